/*
 * kafka_sender.c
 *	  librdkafka alone: sends the lines of files idempotently, as fast as it can.
 *
 *	kafka_sender TOPIC PROPERTIES FILE ...
 *
 * The other side of benchmark P5: the records that the worker sends, with its key and its
 * content-type header, but from memory, without a database and without transactions.
 * PROPERTIES are name=value, separated by ';'.  Prints "records seconds", counted from the
 * first record to the last report.
 */
#include <fcntl.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONTENT_TYPE	"application/cloudevents+json; charset=UTF-8"
#define SUBJECT			"\"subject\":\""
#define DEADLINE_S		600

static long reported = 0;

static void
fail(const char *what)
{
	fprintf(stderr, "kafka_sender: %s\n", what);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
take_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *opaque)
{
	if (message->err)
		fail(rd_kafka_err2str(message->err));
	reported++;
}

static rd_kafka_t *
make_producer(char *properties)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *producer;
	char		reason[256];

	for (char *name = strtok(properties, ";"); name; name = strtok(NULL, ";"))
	{
		char	   *value = strchr(name, '=');

		if (value == NULL)
			fail(name);
		*value++ = '\0';
		if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
			fail(reason);
	}
	rd_kafka_conf_set_dr_msg_cb(conf, take_report);
	producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
	if (producer == NULL)
		fail(reason);
	return producer;
}

/* In memory before the clock starts. */
static char *
map_file(const char *path, size_t *length)
{
	int			file = open(path, O_RDONLY);
	struct stat status;
	char	   *data;

	if (file < 0 || fstat(file, &status) != 0)
		fail(path);
	data = mmap(NULL, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
	if (data == MAP_FAILED)
		fail(path);
	*length = status.st_size;
	return data;
}

static void
send_line(rd_kafka_t *producer, const char *topic, char *line, size_t length)
{
	char	   *key = memmem(line, length, SUBJECT, strlen(SUBJECT));
	rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
	rd_kafka_error_t *error;

	if (key == NULL)
		fail("a line has no subject");
	key += strlen(SUBJECT);
	rd_kafka_header_add(headers, "content-type", -1, CONTENT_TYPE, -1);
	rd_kafka_vu_t arguments[] = {
		{.vtype = RD_KAFKA_VTYPE_TOPIC,.u.cstr = topic},
		{.vtype = RD_KAFKA_VTYPE_KEY,.u.mem = {key, (char *) memchr(key, '"', line + length - key) - key}},
		{.vtype = RD_KAFKA_VTYPE_VALUE,.u.mem = {line, length}},
		{.vtype = RD_KAFKA_VTYPE_HEADERS,.u.headers = headers},
	};

	while ((error = rd_kafka_produceva(producer, arguments, 4)) != NULL)
	{
		if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
			fail(rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
		rd_kafka_poll(producer, 100);
	}
}

static long
send_file(rd_kafka_t *producer, const char *topic, char *data, size_t length)
{
	long		sent = 0;

	for (char *line = data, *end; line < data + length; line = end + 1)
	{
		end = memchr(line, '\n', data + length - line);
		if (end == NULL)
			fail("a file does not end with a line break");
		send_line(producer, topic, line, end - line);
		if ((++sent & 1023) == 0)
			rd_kafka_poll(producer, 0);
	}
	return sent;
}

int
main(int count, char **arguments)
{
	char	   *data[64];
	size_t		length[64];
	long		sent = 0;
	double		started;
	rd_kafka_t *producer;

	if (count < 4 || count > 64)
		fail("kafka_sender TOPIC PROPERTIES FILE ...");
	alarm(DEADLINE_S);
	for (int i = 3; i < count; i++)
		data[i] = map_file(arguments[i], &length[i]);
	producer = make_producer(arguments[2]);
	started = now();
	for (int i = 3; i < count; i++)
		sent += send_file(producer, arguments[1], data[i], length[i]);
	if (rd_kafka_flush(producer, DEADLINE_S * 1000) || reported != sent)
		fail("not every record was reported");
	printf("%ld %.3f\n", sent, now() - started);
	rd_kafka_destroy(producer);
	return 0;
}
