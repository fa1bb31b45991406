/*
 * kafka_config.c
 *	  Handles of librdkafka with the settings of admin_ext applied.
 *
 * Properties that exactly-once delivery depends on are set here and cannot be overridden; the
 * others come from admin_ext.kafka_options.  No error names the value of a property: it may be a
 * secret.
 */
#include "postgres.h"

#include <pthread.h>
#include <signal.h>

#include "miscadmin.h"

#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_offsets.h"
#include "sinks/kafka/kafka_types.h"

/* Recovery and delivery depend on these. */
static const char *const fixed[] = {
	"acks", "auto.offset.reset", "bootstrap.servers", "dr_cb", "dr_msg_cb", "enable.auto.commit",
	"enable.auto.offset.store", "enable.idempotence", "enable.partition.eof", "group.id",
	"isolation.level", "log.queue", "log_cb", "metadata.broker.list", "opaque",
	"request.required.acks", "transactional.id",
};

/* Defaults that admin_ext.kafka_options can override. */
static const struct
{
	const char *name;
	const char *value;
}			defaults[] = {
	{"compression.type", "lz4"},
	{"linger.ms", "2"},
	{"batch.size", "1000000"},
	{"batch.num.messages", "100000"},
	{"queue.buffering.max.messages", "2000000"},
	{"queue.buffering.max.kbytes", "1048576"},
	{"partitioner", "murmur2_random"},	/* as Java's producers have it */
	{"retry.backoff.ms", "10"}, /* a broker that is still busy with the transaction before says so */
	{"reconnect.backoff.ms", "50"},
	{"reconnect.backoff.max.ms", "1000"},	/* the default makes recovery of a broker cost 19 s */
	{"socket.keepalive.enable", "true"},
	{"transaction.timeout.ms", "60000"},
	{"client.id", "admin_ext"},
};

/* librdkafka reports other errors as a broken connection, too; its text tells them apart. */
static int
cause_of(int code, const char *reason)
{
	if (code != RD_KAFKA_RESP_ERR__TRANSPORT)
		return code;
	if (strstr(reason, "SSL routines"))
		return RD_KAFKA_RESP_ERR__SSL;
	if (strstr(reason, "incorrect security.protocol"))
		return RD_KAFKA_RESP_ERR__AUTHENTICATION;
	return code;
}

/* For kafka_pace.c: was a connection closed, or refused? */
static void
note_transport(Kafka *kafka, rd_kafka_resp_err_t code, const char *reason)
{
	if (code != RD_KAFKA_RESP_ERR__TRANSPORT)
		return;
	if (strstr(reason, "Connect to ") != NULL)
		kafka->refused_at = monotonic_ms();
	else
		kafka->hung_up_at = monotonic_ms();
}

static void
take_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
	Kafka	   *kafka = opaque;

	if (handle == kafka->producer)
		note_transport(kafka, code, reason);
	/* An error that names a cause is not replaced by the timeout that follows from it. */
	if (kafka->broker_code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
		kafka->broker_code == RD_KAFKA_RESP_ERR__SSL)
		return;
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && kafka->broker_error[0] != '\0')
		return;
	kafka->broker_code = cause_of(code, reason);
	strlcpy(kafka->broker_error, reason, sizeof(kafka->broker_error));
}

static void
take_throttle(rd_kafka_t *handle, const char *broker, int32_t broker_id, int milliseconds, void *opaque)
{
	Kafka	   *kafka = opaque;

	if (handle == kafka->producer && milliseconds > 0)
		kafka->throttled_at = monotonic_ms();
}

static void
take_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
	/* No interrupt is served inside librdkafka: it would destroy the handle that it came from. */
	HOLD_INTERRUPTS();
	ereport(DEBUG1, (errmsg_internal("librdkafka %s: %s", facility, text)));
	RESUME_INTERRUPTS();
}

/* Enabled by statistics.interval.ms, for the producer only: that handle lives on. */
static int
take_statistics(rd_kafka_t *handle, char *json, size_t length, void *opaque)
{
	HOLD_INTERRUPTS();
	if (rd_kafka_type(handle) == RD_KAFKA_PRODUCER)
		ereport(LOG, (errmsg("admin_ext: statistics of librdkafka: %s", json)));
	RESUME_INTERRUPTS();
	return 0;
}

/*
 * Below the remembered offset, only the place of a missing marker is free.  A record at any other
 * offset there means that this is not the partition that took the earlier records.
 */
static void
take_offset(Kafka *kafka, int32 number, int64 offset)
{
	KafkaPartition *partition;

	if (number < 0 || number >= kafka->partition_room || offset < 0)
		return;
	/* Partitions may be added at any time. */
	kafka->partition_count = Max(kafka->partition_count, number + 1);
	partition = &kafka->partitions[number];
	if (offset < partition->next && !kafka_is_without_marker(partition->newest, partition->next, offset))
	{
		kafka->shrunk_partition = number;
		kafka->shrunk_offset = offset;
	}
	partition->is_open |= offset < partition->next;
	partition->last = Max(partition->last, offset);
}

/*
 * The delivery report of a record of the current transaction; opaque is its place in the batch,
 * from 1 on.
 */
static void
take_report(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
	Kafka	   *kafka = opaque;
	int			record = (int) (intptr_t) message->_private - 1;

	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		take_offset(kafka, message->partition, message->offset);
		kafka->reported++;
		if (kafka->batch != NULL && record == kafka->batch->count - 1)
		{
			kafka->header_partition = message->partition;
			kafka->header_offset = message->offset;
		}
		return;
	}
	if (message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE || message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT)
		return;
	if (kafka->report_code == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		kafka->report_code = message->err;
		/* Not rd_kafka_message_errstr(): in librdkafka 2.0.2 it returns the payload. */
		strlcpy(kafka->report_error, rd_kafka_err2str(message->err), sizeof(kafka->report_error));
	}
}

static bool
set_property(Kafka *kafka, rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char		reason[256];
	rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, reason, sizeof(reason));

	if (result == RD_KAFKA_CONF_OK)
		return true;
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 result == RD_KAFKA_CONF_UNKNOWN ?
			 "admin_ext.kafka_options: librdkafka %s knows no property \"%.64s\"" :
			 "admin_ext.kafka_options: librdkafka %s refuses the value of property \"%.64s\"",
			 rd_kafka_version_str(), name);
	return false;
}

static bool
is_fixed(const char *name)
{
	/* In front of a topic's property this means nothing to librdkafka. */
	if (strncmp(name, "topic.", strlen("topic.")) == 0)
		name += strlen("topic.");
	for (int i = 0; i < lengthof(fixed); i++)
	{
		if (strcmp(name, fixed[i]) == 0)
			return true;
	}
	return false;
}

static char *
trim_text(char *text)
{
	char	   *end;

	text += strspn(text, " \t\r");
	end = text + strlen(text);
	while (end > text && strchr(" \t\r", end[-1]))
		*--end = '\0';
	return text;
}

/*
 * Parses the next name=value, up to a semicolon or line break.  The check hook has checked the
 * form.
 */
static bool
next_option(char **rest, char **name, char **value)
{
	char	   *option;

	while ((option = strsep(rest, ";\n")) != NULL)
	{
		char	   *equals = strchr(option, '=');

		if (equals == NULL)
			continue;
		*equals = '\0';
		*name = trim_text(option);
		*value = trim_text(equals + 1);
		return true;
	}
	return false;
}

const char *
kafka_option(const Kafka *kafka, const char *wanted)
{
	char	   *rest = pstrdup(kafka->sink->setting("admin_ext.kafka_options"));
	char	   *name;
	char	   *value;
	const char *found = NULL;

	while (next_option(&rest, &name, &value))
	{
		if (strcmp(name, wanted) == 0)
			found = value;
	}
	return found;
}

static bool
kafka_set_options(Kafka *kafka, rd_kafka_conf_t *conf)
{
	char	   *rest = pstrdup(kafka->sink->setting("admin_ext.kafka_options"));
	char	   *name;
	char	   *value;

	while (next_option(&rest, &name, &value))
	{
		if (is_fixed(name))
		{
			snprintf(kafka->sink->error, sizeof(kafka->sink->error),
					 "admin_ext.kafka_options: property \"%s\" is set by admin_ext alone", name);
			return false;
		}
		if (!set_property(kafka, conf, name, value))
			return false;
	}
	return true;
}

static rd_kafka_conf_t *
new_conf(Kafka *kafka)
{
	const char *brokers = kafka->sink->setting("admin_ext.kafka_brokers");
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	bool		good;

	kafka->why_none = ADMIN_SINK_STOP;
	good = set_property(kafka, conf, "bootstrap.servers", brokers) &&
		set_property(kafka, conf, "log.queue", "true");

	for (int i = 0; i < lengthof(defaults) && good; i++)
		good = set_property(kafka, conf, defaults[i].name, defaults[i].value);
	if (!good || !kafka_set_options(kafka, conf))
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	rd_kafka_conf_set_opaque(conf, kafka);
	rd_kafka_conf_set_error_cb(conf, take_error);
	rd_kafka_conf_set_log_cb(conf, take_log);
	rd_kafka_conf_set_throttle_cb(conf, take_throttle);
	rd_kafka_conf_set_stats_cb(conf, take_statistics);
	return conf;
}

/*
 * Creates a handle with all signals blocked, so that its threads do not take the server's signals.
 */
static rd_kafka_t *
kafka_start_handle(Kafka *kafka, rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
	sigset_t	all;
	sigset_t	before;
	char		reason[256];
	rd_kafka_t *handle;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	handle = rd_kafka_new(type, conf, reason, sizeof(reason));
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (handle == NULL)
	{
		rd_kafka_conf_destroy(conf);
		/* A missing file may appear in a moment. */
		kafka->why_none = ADMIN_SINK_RETRY;
		snprintf(kafka->sink->error, sizeof(kafka->sink->error), "could not start librdkafka %s: %s; correct admin_ext.kafka_options",
				 rd_kafka_version_str(), reason);
		return NULL;
	}
	rd_kafka_set_log_queue(handle, NULL);
	return handle;
}

/* The broker must not end a transaction that the worker still waits for. */
static bool
check_timeout(Kafka *kafka, const rd_kafka_conf_t *conf)
{
	char		value[32] = "";
	size_t		size = sizeof(value);

	rd_kafka_conf_get(conf, "transaction.timeout.ms", value, &size);
	kafka->timeout_ms = atoi(value);
	if (kafka->timeout_ms >= 2 * KAFKA_TRANSACTION_MS)
		return true;
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "admin_ext.kafka_options: property \"transaction.timeout.ms\" has to be at least %d",
			 2 * KAFKA_TRANSACTION_MS);
	return false;
}

rd_kafka_t *
kafka_new_producer(Kafka *kafka)
{
	rd_kafka_conf_t *conf = new_conf(kafka);
	char		id[128];

	if (conf == NULL)
		return NULL;
	snprintf(id, sizeof(id), "admin_ext.%s", kafka->sink->store_id);
	rd_kafka_conf_set_dr_msg_cb(conf, take_report);
	if (!set_property(kafka, conf, "transactional.id", id) || !check_timeout(kafka, conf))
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return kafka_start_handle(kafka, RD_KAFKA_PRODUCER, conf);
}

static rd_kafka_conf_t *
consumer_conf(Kafka *kafka, const char *isolation)
{
	rd_kafka_conf_t *conf = new_conf(kafka);

	if (conf == NULL)
		return NULL;
	if (!set_property(kafka, conf, "isolation.level", isolation) ||
		!set_property(kafka, conf, "enable.partition.eof", "true") ||
		!set_property(kafka, conf, "enable.auto.commit", "false") ||
		!set_property(kafka, conf, "auto.offset.reset", "error"))
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return conf;
}

rd_kafka_t *
kafka_new_consumer(Kafka *kafka, const char *isolation)
{
	rd_kafka_conf_t *conf = consumer_conf(kafka, isolation);
	char		id[128];

	if (conf == NULL)
		return NULL;
	/* It never subscribes and never commits, so no group is created and no right to one is needed. */
	snprintf(id, sizeof(id), "admin_ext.%s", kafka->sink->store_id);
	if (!set_property(kafka, conf, "group.id", id))
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return kafka_start_handle(kafka, RD_KAFKA_CONSUMER, conf);
}

rd_kafka_t *
kafka_new_watcher(Kafka *kafka)
{
	/* No group: librdkafka would look for its broker every second, most of an idle handle's cost. */
	rd_kafka_conf_t *conf = consumer_conf(kafka, "read_uncommitted");

	if (conf == NULL)
		return NULL;
	if (!set_property(kafka, conf, "fetch.message.max.bytes", "65536") ||
		!set_property(kafka, conf, "queued.min.messages", "1000") ||
		!set_property(kafka, conf, "queued.max.messages.kbytes", "64") ||
		!set_property(kafka, conf, "fetch.wait.max.ms", "500"))
	{
		rd_kafka_conf_destroy(conf);
		return NULL;
	}
	return kafka_start_handle(kafka, RD_KAFKA_CONSUMER, conf);
}

void
kafka_forget_error(Kafka *kafka)
{
	kafka->broker_error[0] = '\0';
	kafka->broker_code = RD_KAFKA_RESP_ERR_NO_ERROR;
}

void
kafka_destroy(rd_kafka_t **handle)
{
	rd_kafka_t *destroyed = *handle;

	*handle = NULL;
	if (destroyed == NULL)
		return;
	if (rd_kafka_type(destroyed) == RD_KAFKA_PRODUCER)
		rd_kafka_purge(destroyed, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT | RD_KAFKA_PURGE_F_NON_BLOCKING);
	rd_kafka_destroy_flags(destroyed, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}
