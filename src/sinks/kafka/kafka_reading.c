/*
 * kafka_reading.c
 *	  Reads the topic in recovery, from the remembered offsets to its end, read_committed.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_detail.h"
#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_offsets.h"
#include "sinks/kafka/kafka_phase.h"
#include "sinks/kafka/kafka_position.h"
#include "sinks/kafka/kafka_reading.h"
#include "sinks/kafka/kafka_types.h"

/* Longer than transaction.timeout.ms of any producer with an open transaction: brokers allow 15 minutes. */
#define READING_MS	(20 * 60 * 1000)

static int64
reads_from(const KafkaPartition *partition)
{
	return partition->due != NO_OFFSET ? partition->due : partition->next;
}

AdminSinkResult
kafka_stop_at_offsets(Kafka *kafka, int partition, int64 low, int64 high)
{
	char		found[128];

	snprintf(found, sizeof(found), "partition %d holds offsets " INT64_FORMAT " to " INT64_FORMAT ", remembered is " INT64_FORMAT,
			 partition, low, high, kafka->partitions[partition].next);
	return kafka_stop_at_loss(kafka, found);
}

AdminSinkResult
kafka_begin_reading(Kafka *kafka)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;

	kafka_destroy(&kafka->consumer);
	kafka->consumer = kafka_new_consumer(kafka, "read_committed");
	if (kafka->consumer == NULL)
		return kafka->why_none;
	list = rd_kafka_topic_partition_list_new(kafka->partition_count);
	for (int i = 0; i < kafka->partition_count; i++)
		rd_kafka_topic_partition_list_add(list, kafka->topic, i)->offset = reads_from(&kafka->partitions[i]);
	code = rd_kafka_assign(kafka->consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		elog(ERROR, "could not assign partitions: %s", rd_kafka_err2str(code));
	rd_kafka_poll_set_consumer(kafka->consumer);
	kafka_enter(kafka, KAFKA_READING, READING_MS);
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
take_header(Kafka *kafka, rd_kafka_message_t *message, AdminSinkPosition *position)
{
	KafkaPartition *partition = &kafka->partitions[message->partition];
	int64		position_id = 0;
	const char *record = kafka_position_of(kafka, message, &position_id);
	const char *forgery = record[0] == '\0' ? NULL : kafka->sink->forgery(kafka->sink, position_id, record);

	if (forgery != NULL)
		return kafka_stop_at_forgery(kafka, message, position_id, forgery);
	if (partition->due != NO_OFFSET &&
		(message->offset != partition->due || (message->partition == kafka->due_partition && record[0] == '\0')))
		return kafka_stop_at_offsets(kafka, message->partition, message->offset, partition->high);
	if (record[0] != '\0' && position_id > position->position_id)
	{
		position->position_id = position_id;
		strlcpy(position->record, record, sizeof(position->record));
		kafka->header_partition = message->partition;
		kafka->header_offset = message->offset;
	}
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
take_message(Kafka *kafka, rd_kafka_message_t *message, AdminSinkPosition *position)
{
	KafkaPartition *partition = &kafka->partitions[message->partition];
	AdminSinkResult result = ADMIN_SINK_PENDING;

	if (position->is_resync)
		kafka_keep_newest(kafka, message, position);
	else
		result = take_header(kafka, message, position);
	if (result != ADMIN_SINK_PENDING)
		return result;
	partition->due = NO_OFFSET;
	partition->is_open = false;
	/* After a resync it may be another writer's record, which need not be there next time. */
	partition->newest = position->is_resync ? NO_OFFSET : message->offset;
	partition->next = Max(partition->next, message->offset + 1);
	partition->is_read = partition->next >= partition->high;
	partition->is_held_back = false;
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
take_end(Kafka *kafka, const rd_kafka_message_t *message)
{
	KafkaPartition *partition = &kafka->partitions[message->partition];

	/* The record has no marker, and no record follows it. */
	if (partition->due != NO_OFFSET && message->offset <= partition->due && partition->high <= partition->next)
	{
		partition->is_open = true;
		partition->is_read = true;
		return ADMIN_SINK_PENDING;
	}
	if (partition->due != NO_OFFSET && message->offset > partition->due)
		return kafka_stop_at_offsets(kafka, message->partition, message->offset, partition->high);
	/* The consumer does not show commit markers. */
	partition->next = Max(partition->next, message->offset);
	partition->is_read = message->offset >= partition->high || kafka->is_peeking;
	partition->is_held_back = !partition->is_read;
	return ADMIN_SINK_PENDING;
}

/*
 * Behind the last stable offset a consumer gets no record, and librdkafka reports no end of the
 * partition.  That happens if another producer's transaction was already open when our newest
 * record was written.
 */
static void
look_for_open_transaction(Kafka *kafka)
{
	int64		stable;

	for (int i = 0; i < kafka->partition_count; i++)
	{
		KafkaPartition *partition = &kafka->partitions[i];

		if (partition->is_read || partition->is_held_back)
			continue;
		if (kafka_offsets(kafka, i, NULL, &stable) == RD_KAFKA_RESP_ERR_NO_ERROR && stable < reads_from(partition))
		{
			partition->is_read = kafka->is_peeking;
			partition->is_held_back = !partition->is_read;
		}
		/* One question at a time: each may take as long as a slice. */
		return;
	}
}

static bool
is_read(const Kafka *kafka)
{
	for (int i = 0; i < kafka->partition_count; i++)
	{
		if (!kafka->partitions[i].is_read)
			return false;
	}
	return true;
}

static bool
is_held_back(const Kafka *kafka)
{
	for (int i = 0; i < kafka->partition_count; i++)
	{
		if (kafka->partitions[i].is_held_back)
			return true;
	}
	return false;
}

static AdminSinkResult
finish_reading(Kafka *kafka, AdminSinkPosition *position)
{
	kafka_destroy(&kafka->consumer);
	kafka_enter(kafka, KAFKA_FINDING_CLAIMS, READING_MS);
	kafka_forget_error(kafka);
	if (!kafka->is_peeking)
		kafka_forget_suspicion();
	kafka_write_detail(kafka, position->detail, sizeof(position->detail));
	return ADMIN_SINK_PENDING;
}

AdminSinkResult
kafka_read_on(Kafka *kafka, AdminSinkPosition *position)
{
	int64		until = monotonic_ms() + ADMIN_SINK_SLICE_MS;
	AdminSinkResult result = ADMIN_SINK_PENDING;

	while (!is_read(kafka))
	{
		rd_kafka_message_t *message = rd_kafka_consumer_poll(kafka->consumer, ADMIN_SINK_SLICE_MS);

		if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			result = take_message(kafka, message, position);
		else if (message != NULL && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			result = take_end(kafka, message);
		/* If retention has removed records meanwhile, measuring again shows what is left. */
		else if (message != NULL &&
				 (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || kafka_remedy(message->err) != NULL))
			result = kafka_give_up(kafka, message->err, "read the topic");
		if (message != NULL)
			rd_kafka_message_destroy(message);
		if (result != ADMIN_SINK_PENDING)
			return result;
		if (monotonic_ms() >= until)
			break;
	}
	if (!is_read(kafka))
		look_for_open_transaction(kafka);
	if (is_read(kafka))
		return finish_reading(kafka, position);
	if (kafka_is_late(kafka) && !is_held_back(kafka))
		return kafka_no_answer(kafka, "read the topic to its end");
	snprintf(kafka->sink->error, sizeof(kafka->sink->error), "reading topic \"%s\" to its end%s", kafka->topic,
			 is_held_back(kafka) ? "; a transaction that another producer has left open is waited for" : "");
	return kafka_is_late(kafka) ? ADMIN_SINK_RETRY : ADMIN_SINK_PENDING;
}
