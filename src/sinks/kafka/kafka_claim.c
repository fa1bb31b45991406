/*
 * kafka_claim.c
 *	  Claims: a promoted server leaves one in the topic, for the previous server to find.
 *
 * At first a promoted server has no rows to deliver.  If the previous server comes up for a moment
 * then, it knows all that the topic holds, and would fence the new server.  So the new server
 * leaves a record in a transaction that it aborts.  Readers of the trail never see this record, but
 * a read_uncommitted consumer does.  Its header is "<store id> <the worker's claim>".
 *
 * In a partition where a commit marker may be missing no transaction is aborted: that would also
 * end the committed one.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_claim.h"
#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_offsets.h"
#include "sinks/kafka/kafka_phase.h"
#include "sinks/kafka/kafka_position.h"
#include "sinks/kafka/kafka_types.h"

/* The claim of this store in a header; NULL where there is none.  Valid until the next call. */
static const char *
claim_in(const Kafka *kafka, const rd_kafka_message_t *message)
{
	static char text[ADMIN_SINK_CLAIM_BYTES + 64];
	Size		id_length = strlen(kafka->sink->store_id);

	if (!kafka_header_text(message, CLAIM_HEADER, text, sizeof(text)) ||
		strncmp(text, kafka->sink->store_id, id_length) != 0 || text[id_length] != ' ')
		return NULL;
	return text + id_length + 1;
}

/* Assigns the consumer to the new offsets; false: there are none. */
static bool
claims_begin(Kafka *kafka)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(kafka->partition_count);
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	bool		is_new;

	for (int i = 0; i < kafka->partition_count; i++)
	{
		KafkaPartition *partition = &kafka->partitions[i];

		partition->is_read = partition->from >= partition->high;
		if (!partition->is_read)
			rd_kafka_topic_partition_list_add(list, kafka->topic, i)->offset = partition->from;
	}
	is_new = list->cnt > 0;
	if (is_new)
		kafka->consumer = kafka_new_consumer(kafka, "read_uncommitted");
	if (kafka->consumer != NULL)
	{
		code = rd_kafka_assign(kafka->consumer, list);
		rd_kafka_poll_set_consumer(kafka->consumer);
	}
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		elog(ERROR, "could not assign partitions: %s", rd_kafka_err2str(code));
	return is_new;
}

static AdminSinkResult
claim_yield(Kafka *kafka, const char *claim)
{
	AdminSink  *sink = kafka->sink;

	snprintf(sink->error, sizeof(sink->error),
			 "the server that came after this one (%.*s) delivers to topic \"%.100s\"; stop this server. If this one is to go on, "
			 "stop the other one, then call admin.resync_sink('%s', ...) here with the number that admin.resync_proposal('%s') returns",
			 (int) strcspn(claim, " "), claim, kafka->topic, sink->name, sink->name);
	sink->is_outdone = true;
	return ADMIN_SINK_FENCED;
}

AdminSinkResult
kafka_is_outdone(Kafka *kafka)
{
	AdminSink  *sink = kafka->sink;

	snprintf(sink->error, sizeof(sink->error),
			 "another worker with the identity of this store has delivered to topic \"%.100s\" what this database does not have; stop "
			 "this server. If this one is to go on, stop the other one, then call admin.resync_sink('%s', ...) here with the "
			 "number that admin.resync_proposal('%s') returns", kafka->topic, sink->name, sink->name);
	sink->is_outdone = true;
	return ADMIN_SINK_FENCED;
}

static AdminSinkResult
claims_take(Kafka *kafka, const rd_kafka_message_t *message)
{
	KafkaPartition *partition = &kafka->partitions[message->partition];
	const char *claim;

	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		claim = claim_in(kafka, message);
		if (claim != NULL && kafka->sink->yields(kafka->sink, claim))
			return claim_yield(kafka, claim);
		partition->is_read = message->offset + 1 >= partition->high;
	}
	/* Or retention has removed the records. */
	else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF || message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET)
		partition->is_read = true;
	else if (kafka_remedy(message->err) != NULL)
		return kafka_refused(kafka, message->err, rd_kafka_err2str(message->err), "read the topic");
	return ADMIN_SINK_PENDING;
}

static bool
claims_are_read(const Kafka *kafka)
{
	for (int i = 0; i < kafka->partition_count; i++)
	{
		if (!kafka->partitions[i].is_read)
			return false;
	}
	return true;
}

AdminSinkResult
kafka_find_claims(Kafka *kafka)
{
	int64		until = monotonic_ms() + ADMIN_SINK_SLICE_MS;
	AdminSinkResult result = ADMIN_SINK_PENDING;

	if (kafka->consumer == NULL && claims_begin(kafka) && kafka->consumer == NULL)
		return kafka->why_none;
	while (result == ADMIN_SINK_PENDING && !claims_are_read(kafka) && monotonic_ms() < until)
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(kafka->consumer, ADMIN_SINK_SLICE_MS);

		if (message == NULL)
			continue;
		result = claims_take(kafka, message);
		rd_kafka_message_destroy(message);
	}
	if (result == ADMIN_SINK_PENDING && !claims_are_read(kafka) && monotonic_ms() < kafka->deadline)
		return result;
	kafka_destroy(&kafka->consumer);
	if (result != ADMIN_SINK_PENDING)
		return result;
	return claims_are_read(kafka) ? ADMIN_SINK_OK : kafka_no_answer(kafka, "read the topic to its end");
}

/* A partition where an abort ends no committed transaction; NO_OFFSET: there is none. */
static int
claim_partition(const Kafka *kafka)
{
	for (int i = 0; i < kafka->partition_count; i++)
	{
		if (!kafka->partitions[i].is_open)
			return i;
	}
	return NO_OFFSET;
}

/* Begins a transaction, with nothing but the claim in it. */
static AdminSinkResult
claim_send(Kafka *kafka, int partition)
{
	char		text[ADMIN_SINK_CLAIM_BYTES + 64];
	rd_kafka_headers_t *headers;
	rd_kafka_error_t *error = rd_kafka_begin_transaction(kafka->producer);

	if (error != NULL)
		return kafka_failure(kafka, error, "begin a transaction");
	kafka->is_claiming = true;
	kafka->report_code = RD_KAFKA_RESP_ERR_NO_ERROR;
	snprintf(text, sizeof(text), "%s %s", kafka->sink->store_id, kafka->sink->claim);
	headers = rd_kafka_headers_new(1);
	rd_kafka_header_add(headers, CLAIM_HEADER, -1, text, -1);
	{
		rd_kafka_vu_t arguments[] = {
			{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = kafka->producer_topic},
			{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
			{.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {unconstify(char *, kafka->sink->store_id), strlen(kafka->sink->store_id)}},
			{.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
		};

		error = rd_kafka_produceva(kafka->producer, arguments, lengthof(arguments));
	}
	if (error == NULL)
		return ADMIN_SINK_PENDING;
	rd_kafka_headers_destroy(headers);
	return kafka_failure(kafka, error, "say that this server delivers");
}

/* Sends the claim, and aborts its transaction; ADMIN_SINK_OK: it is in the topic. */
static AdminSinkResult
claim_confirm(Kafka *kafka)
{
	bool		is_late = kafka_is_late(kafka);
	rd_kafka_error_t *error;

	if (rd_kafka_flush(kafka->producer, ADMIN_SINK_SLICE_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT)
		return is_late ? kafka_no_answer(kafka, "say that this server delivers") : ADMIN_SINK_PENDING;
	if (kafka->report_code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return kafka_refused(kafka, kafka->report_code, kafka->report_error, "say that this server delivers");
	error = rd_kafka_abort_transaction(kafka->producer, ADMIN_SINK_SLICE_MS);
	if (error == NULL)
		return ADMIN_SINK_OK;
	if (!rd_kafka_error_is_retriable(error) || is_late)
		return kafka_failure(kafka, error, "say that this server delivers");
	rd_kafka_error_destroy(error);
	return ADMIN_SINK_PENDING;
}

/*
 * Moves the remembered offset behind the claim and its marker, because retention may remove both.
 * If the marker does not come in time, goes on without it.
 */
static AdminSinkResult
claim_measure(Kafka *kafka, int partition)
{
	bool		is_late = kafka_is_late(kafka);
	KafkaPartition *claimed = &kafka->partitions[partition];
	int64		end;

	if (kafka->consumer == NULL)
		kafka->consumer = kafka_new_consumer(kafka, "read_uncommitted");
	if (kafka->consumer == NULL)
		return kafka->why_none;
	if (kafka_offsets(kafka, partition, NULL, &end) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return is_late ? kafka_no_answer(kafka, "ask for the offsets of the topic") : ADMIN_SINK_PENDING;
	if (end < claimed->last + 2 && !is_late)
	{
		rd_kafka_poll(kafka->consumer, ADMIN_SINK_SLICE_MS / 10);
		return ADMIN_SINK_PENDING;
	}
	claimed->next = Max(claimed->next, end);
	kafka_destroy(&kafka->consumer);
	return ADMIN_SINK_OK;
}

AdminSinkResult
kafka_claim(Kafka *kafka)
{
	int			partition = claim_partition(kafka);
	AdminSinkResult result = ADMIN_SINK_OK;

	if (kafka->sink->claim[0] == '\0' || partition == NO_OFFSET)
		return ADMIN_SINK_OK;
	if (!kafka->is_claiming)
		return claim_send(kafka, partition);
	if (!kafka->has_claimed)
		result = claim_confirm(kafka);
	if (result != ADMIN_SINK_OK)
		return result;
	kafka->has_claimed = true;
	result = claim_measure(kafka, partition);
	if (result == ADMIN_SINK_OK)
		kafka->sink->claim[0] = '\0';
	return result;
}
