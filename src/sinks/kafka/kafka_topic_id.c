/*
 * kafka_topic_id.c
 *	  Asks the brokers for the id of the topic.  A topic that is deleted and recreated gets another one.
 *
 * Offsets and the newest records do not tell a topic that was recreated and filled again
 * with the same records.  The id does.  librdkafka has calls for it since 2.3.0, and
 * Debian 12 has 2.0.2.  So the calls are looked up at run time, in the library that the sink is
 * linked to and in no other one.  With an older library, or with brokers that have no topic
 * ids (before 2.8), the id is unknown, and offsets and records have to do.
 */
#include "postgres.h"

#include <dlfcn.h>

#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_phase.h"
#include "sinks/kafka/kafka_topic_id.h"
#include "sinks/kafka/kafka_types.h"

/* Two zero words, as text: brokers without topic ids. */
#define NO_TOPIC_ID			"AAAAAAAAAAAAAAAAAAAAAA"
#define FIRST_WITH_IDS		0x020300ff
#define QUESTION_MS			5000

#if RD_KAFKA_VERSION < FIRST_WITH_IDS
typedef struct rd_kafka_Uuid_s rd_kafka_Uuid_t;
typedef struct rd_kafka_TopicCollection_s rd_kafka_TopicCollection_t;
typedef struct rd_kafka_TopicDescription_s rd_kafka_TopicDescription_t;
typedef rd_kafka_event_t rd_kafka_DescribeTopics_result_t;
#endif

static struct
{
	rd_kafka_TopicCollection_t *(*collect) (const char **names, size_t count);
	void		(*destroy_collection) (rd_kafka_TopicCollection_t *topics);
	void		(*describe) (rd_kafka_t *handle, const rd_kafka_TopicCollection_t *topics,
							 const rd_kafka_AdminOptions_t *options, rd_kafka_queue_t *queue);
	const rd_kafka_DescribeTopics_result_t *(*result) (rd_kafka_event_t *event);
	const rd_kafka_TopicDescription_t **(*topics) (const rd_kafka_DescribeTopics_result_t *result, size_t *count);
	const rd_kafka_error_t *(*error) (const rd_kafka_TopicDescription_t *topic);
	const rd_kafka_Uuid_t *(*id) (const rd_kafka_TopicDescription_t *topic);
	const char *(*base64) (const rd_kafka_Uuid_t *id);
}			calls;

static const struct
{
	const char *name;
	void	  **call;
}			names[] = {
	{"rd_kafka_TopicCollection_of_topic_names", (void **) &calls.collect},
	{"rd_kafka_TopicCollection_destroy", (void **) &calls.destroy_collection},
	{"rd_kafka_DescribeTopics", (void **) &calls.describe},
	{"rd_kafka_event_DescribeTopics_result", (void **) &calls.result},
	{"rd_kafka_DescribeTopics_result_topics", (void **) &calls.topics},
	{"rd_kafka_TopicDescription_error", (void **) &calls.error},
	{"rd_kafka_TopicDescription_topic_id", (void **) &calls.id},
	{"rd_kafka_Uuid_base64str", (void **) &calls.base64},
};

/* The library may depend on others: a name is good only where its address is in the library itself. */
static bool
calls_look_up(void *library, const void *base)
{
	for (int i = 0; i < lengthof(names); i++)
	{
		Dl_info		place;

		*names[i].call = dlsym(library, names[i].name);
		if (*names[i].call == NULL || dladdr(*names[i].call, &place) == 0 || place.dli_fbase != base)
			return false;
	}
	return true;
}

/* Does the librdkafka that the sink is linked to have the calls for topic ids? */
static bool
calls_are_there(void)
{
	static bool is_looked_up = false;
	static bool are_there = false;
	Dl_info		ours;
	void	   *library;

	if (is_looked_up)
		return are_there;
	is_looked_up = true;
	if (rd_kafka_version() < FIRST_WITH_IDS || dladdr((void *) rd_kafka_version, &ours) == 0)
		return false;
	library = dlopen(ours.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	if (library == NULL)
		return false;
	are_there = calls_look_up(library, ours.dli_fbase);
	dlclose(library);
	return are_there;
}

static rd_kafka_queue_t *
question_send(const Kafka *kafka, rd_kafka_t *handle)
{
	const char *name = kafka->topic;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(handle);
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_ANY);
	rd_kafka_TopicCollection_t *topics = calls.collect(&name, 1);
	char		reason[128];

	(void) rd_kafka_AdminOptions_set_request_timeout(options, QUESTION_MS, reason, sizeof(reason));
	calls.describe(handle, topics, options, queue);
	calls.destroy_collection(topics);
	rd_kafka_AdminOptions_destroy(options);
	return queue;
}

/* Copies the id as Kafka's own tools show it; librdkafka uses the other alphabet of base64. */
static void
copy_id(char *id, const char *base64)
{
	id[0] = '\0';
	if (base64 == NULL || strncmp(base64, NO_TOPIC_ID, strlen(NO_TOPIC_ID)) == 0)
		return;
	strlcpy(id, base64, KAFKA_TOPIC_ID_BYTES);
	for (char *at = id; *at != '\0'; at++)
		*at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
}

/* False: there is no id in it, and another answer may have one. */
static bool
take_topic_id(rd_kafka_event_t *event, char *id)
{
	const rd_kafka_DescribeTopics_result_t *result = calls.result(event);
	const rd_kafka_TopicDescription_t **topics;
	size_t		count = 0;

	if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR || result == NULL)
		return false;
	topics = calls.topics(result, &count);
	/* One broker alone may say that the topic is missing; a consumer will find out. */
	if (count != 1 || rd_kafka_error_code(calls.error(topics[0])) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return false;
	copy_id(id, calls.base64(calls.id(topics[0])));
	return true;
}

void
kafka_topic_id_forget(rd_kafka_queue_t **question)
{
	if (*question != NULL)
		rd_kafka_queue_destroy(*question);
	*question = NULL;
}

bool
kafka_topic_id_ask(const Kafka *kafka, rd_kafka_t *handle, rd_kafka_queue_t **question, int milliseconds, char *id)
{
	rd_kafka_event_t *event;
	bool		is_answered;

	id[0] = '\0';
	if (!calls_are_there())
		return true;
	if (*question == NULL)
		*question = question_send(kafka, handle);
	event = rd_kafka_queue_poll(*question, milliseconds);
	if (event == NULL)
		return false;
	is_answered = take_topic_id(event, id);
	rd_kafka_event_destroy(event);
	kafka_topic_id_forget(question);
	return is_answered;
}

AdminSinkResult
kafka_identify(Kafka *kafka)
{
	char		id[KAFKA_TOPIC_ID_BYTES];
	char		found[64 + 2 * KAFKA_TOPIC_ID_BYTES];
	bool		is_late = kafka_is_late(kafka);
	bool		is_answered = kafka_topic_id_ask(kafka, kafka->producer, &kafka->question, ADMIN_SINK_SLICE_MS, id);

	rd_kafka_poll(kafka->producer, 0);
	/* Where no id is remembered there is nothing to compare. */
	if (!is_answered && !(is_late && kafka->topic_id[0] == '\0'))
		return is_late ? kafka_no_answer(kafka, "ask for the id of the topic") : ADMIN_SINK_PENDING;
	if (id[0] == '\0' || strcmp(id, kafka->topic_id) == 0)
		return ADMIN_SINK_OK;
	if (kafka->topic_id[0] == '\0')
	{
		strlcpy(kafka->topic_id, id, sizeof(kafka->topic_id));
		return ADMIN_SINK_OK;
	}
	if (kafka_is_patient(kafka))
	{
		/* A broker that has just restarted may give an outdated answer. */
		rd_kafka_poll(kafka->producer, ADMIN_SINK_SLICE_MS);
		return ADMIN_SINK_PENDING;
	}
	snprintf(found, sizeof(found), "its id is %s, remembered is %s", id, kafka->topic_id);
	return kafka_stop_at_loss(kafka, found);
}
