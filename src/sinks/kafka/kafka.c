/*
 * kafka.c
 *	  The Kafka sink: each batch is one transaction, and its last record carries the
 *	  position that holds once it is committed.
 *
 * So the topic itself says what was delivered, and a read_committed consumer sees every row once.
 * librdkafka gets the values of a batch without a copy, so no memory is freed before the
 * transaction has been committed or aborted.
 *
 * A record that the broker refuses for its size becomes a dead letter.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_detail.h"
#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_pace.h"
#include "sinks/kafka/kafka_recover.h"
#include "sinks/kafka/kafka_registry.h"
#include "sinks/kafka/kafka_send.h"
#include "sinks/kafka/kafka_topic_id.h"
#include "sinks/kafka/kafka_types.h"
#include "sinks/kafka/kafka_watch.h"
#include "text_limits.h"

PG_MODULE_MAGIC;

/* How many times the same handle tries a batch whose transaction had to be aborted. */
#define MOST_ATTEMPTS		3
#define MARKERS_US			5000
#define MANY_RECORDS		1000

extern PGDLLEXPORT const AdminSinkCallbacks *_PG_admin_sink_init(void);

static void
kafka_say_place(Kafka *kafka)
{
	StringInfoData place;

	initStringInfo(&place);
	appendStringInfo(&place, "topic \"%s\", ", kafka->topic);
	if (kafka->schema_id != 0)
		appendStringInfo(&place, "schema id %d", kafka->schema_id);
	else
		appendStringInfoString(&place, "no schema registry");
	strlcpy(kafka->sink->place, place.data, sizeof(kafka->sink->place));
	pfree(place.data);
}

/*
 * A database's name in the topic's may be any text, and the topic is also part of a registry's URL.
 */
static bool
is_topic_name(const char *name)
{
	Size		length = strlen(name);

	return length >= 1 && length <= TOPIC_MAX_BYTES &&
		strspn(name, TOPIC_CHARACTERS) == length;
}

static AdminSinkResult
kafka_open(AdminSink *sink, AdminSinkPosition *seen)
{
	Kafka	   *kafka = MemoryContextAllocZero(sink->context, sizeof(Kafka));
	AdminSinkResult result;

	kafka->sink = sink;
	kafka->topic = MemoryContextStrdup(sink->context, sink->setting("admin_ext.kafka_topic"));
	kafka->header_partition = NO_OFFSET;
	kafka->header_offset = NO_OFFSET;
	kafka->due_partition = NO_OFFSET;
	kafka->shrunk_partition = NO_OFFSET;
	kafka->sent_bytes = MaxAllocHugeSize;
	sink->state = kafka;
	if (!is_topic_name(kafka->topic))
	{
		snprintf(sink->error, sizeof(sink->error),
				 "admin_ext.kafka_topic makes the name \"%.200s\" for this database, and a topic's name is 1 to %d letters, digits, "
				 "dots, underscores and hyphens; change admin_ext.kafka_topic", kafka->topic, TOPIC_MAX_BYTES);
		return ADMIN_SINK_STOP;
	}
	if (sink->setting("admin_ext.kafka_brokers")[0] == '\0')
	{
		snprintf(sink->error, sizeof(sink->error), "no broker is configured; set admin_ext.kafka_brokers");
		return ADMIN_SINK_STOP;
	}
	result = kafka_find_schema(kafka);
	if (result != ADMIN_SINK_OK)
		return result;
	kafka->producer = kafka_new_producer(kafka);
	if (kafka->producer == NULL)
		return kafka->why_none;
	kafka->producer_topic = rd_kafka_topic_new(kafka->producer, kafka->topic, NULL);
	if (kafka->producer_topic != NULL)
	{
		kafka_say_place(kafka);
		return ADMIN_SINK_OK;
	}
	snprintf(sink->error, sizeof(sink->error), "could not use topic \"%s\": %s", kafka->topic,
			 rd_kafka_err2str(rd_kafka_last_error()));
	return ADMIN_SINK_RETRY;
}

static void
kafka_begin(Kafka *kafka, AdminSinkBatch *batch)
{
	kafka->batch = batch;
	kafka->reported = 0;
	kafka->report_code = RD_KAFKA_RESP_ERR_NO_ERROR;
	kafka->report_error[0] = '\0';
	kafka->failed_code = RD_KAFKA_RESP_ERR_NO_ERROR;
	kafka_pace_begin(kafka);
	for (int i = 0; i < kafka->partition_count; i++)
		kafka->partitions[i].last = NO_OFFSET;
	if (kafka->schema_id != 0 && kafka->values == NULL)
		kafka_prefix_values(kafka, batch);
}

/*
 * A commit is acknowledged before its markers are written.  Until then the broker lets no partition
 * into the next transaction, and librdkafka retries only after 20 ms.  The markers take a quarter
 * of that.  A few records are sent without waiting; half of the time that succeeds.  Many records
 * would wait in the queue while the sender stands still, so a short pause comes first.
 */
static void
let_markers_be_written(const Kafka *kafka)
{
	int64		left = kafka->committed_us + MARKERS_US - monotonic_us();

	/* Ignores the latch: a commit that sets it makes no marker come sooner. */
	if (left > 0 && kafka->batch->count >= MANY_RECORDS)
		(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, (Min(left, MARKERS_US) + 999) / 1000, PG_WAIT_EXTENSION);
}

static AdminSinkResult
send_batch(Kafka *kafka, AdminSinkBatch *batch)
{
	rd_kafka_error_t *error = rd_kafka_begin_transaction(kafka->producer);
	AdminSinkResult result;

	if (error != NULL)
		return kafka_failure(kafka, error, "begin a transaction");
	kafka_begin(kafka, batch);
	let_markers_be_written(kafka);
	result = kafka_send_records(kafka);
	if (result == ADMIN_SINK_RETRY)
		return result;
	kafka->transaction = result == ADMIN_SINK_OK ? KAFKA_COMMITTING : KAFKA_ABORTING;
	return ADMIN_SINK_OK;
}

static AdminSinkResult
kafka_deliver(AdminSink *sink, AdminSinkBatch *batch)
{
	Kafka	   *kafka = sink->state;
	AdminSinkResult result;

	kafka->attempts = 0;
	if (kafka->is_spent)
	{
		snprintf(sink->error, sizeof(sink->error), "a transaction on topic \"%s\" could not be aborted; beginning anew", kafka->topic);
		return ADMIN_SINK_RETRY;
	}
	result = kafka_watch(kafka, false);
	return result == ADMIN_SINK_OK ? send_batch(kafka, batch) : result;
}

/* Frees the batch; librdkafka must no longer refer to it. */
static void
let_go_of_batch(Kafka *kafka)
{
	kafka->transaction = KAFKA_NONE;
	kafka->begun = 0;
	kafka->batch = NULL;
	if (kafka->values != NULL)
		pfree(kafka->values);
	kafka->values = NULL;
}

/*
 * Another server with this store's identity would have fenced this one.  So there is no unknown
 * position among the offsets that a look has seen before a commit.  The remembered offset moves
 * past these, and past the markers of aborted batches.  Otherwise a partition that retention has
 * emptied would look like a loss.
 */
static void
go_past_seen(KafkaPartition *partition)
{
	if (partition->next != NO_OFFSET)
		partition->next = Max(partition->next, partition->seen);
}

static AdminSinkResult
kafka_committed(Kafka *kafka, AdminSinkBatch *batch)
{
	if (kafka->reported != batch->count)
		elog(ERROR, "a transaction of %d records was committed with %d of them", batch->count, kafka->reported);
	for (int i = 0; i < kafka->partition_count; i++)
	{
		KafkaPartition *partition = &kafka->partitions[i];

		go_past_seen(partition);
		if (partition->last == NO_OFFSET)
			continue;
		/* The commit marker follows the record. */
		partition->next = Max(partition->next, partition->last + 2);
		partition->newest = partition->last;
		partition->is_open = false;
	}
	kafka->committed_us = monotonic_us();
	kafka->sent_bytes = batch->length;
	kafka_pace_committed(kafka);
	let_go_of_batch(kafka);
	kafka_sets_committed();
	kafka_write_detail(kafka, batch->position.detail, sizeof(batch->position.detail));
	return ADMIN_SINK_OK;
}

/* Stops: a partition took a record at an offset that was used long ago. */
static AdminSinkResult
stop_at_shrunk(Kafka *kafka)
{
	char		found[128];
	int32		partition = kafka->shrunk_partition;

	snprintf(found, sizeof(found), "partition %d took a record at offset " INT64_FORMAT ", remembered is " INT64_FORMAT,
			 partition, kafka->shrunk_offset, kafka->partitions[partition].next);
	return kafka_stop_at_loss(kafka, found);
}

/*
 * The broker has forgotten our transactional id, and with it which producers it has fenced.
 * librdkafka would ask for a new one and continue.  Only a worker that begins again learns from the
 * topic whether another worker has delivered meanwhile.
 */
static bool
has_expired(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING || code == RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID;
}

/*
 * Waits for all delivery reports before the commit, which would send the remaining records and
 * continue by itself.  Without the commit no consumer sees the transaction: the next producer
 * aborts it.
 */
static AdminSinkResult
kafka_commit(Kafka *kafka, AdminSinkBatch *batch)
{
	rd_kafka_error_t *error;

	if (rd_kafka_flush(kafka->producer, ADMIN_SINK_SLICE_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT)
		return kafka_pace(kafka);
	if (!kafka->is_flushed)
		kafka->deadline = Max(kafka->deadline, monotonic_ms() + KAFKA_TRANSACTION_MS / 2);
	kafka->is_flushed = true;
	if (kafka->shrunk_partition != NO_OFFSET)
		return stop_at_shrunk(kafka);
	error = rd_kafka_commit_transaction(kafka->producer, ADMIN_SINK_SLICE_MS);
	if (error == NULL)
		return kafka_committed(kafka, batch);
	if (rd_kafka_error_is_retriable(error) && monotonic_ms() < kafka->deadline)
	{
		rd_kafka_error_destroy(error);
		return ADMIN_SINK_PENDING;
	}

	/*
	 * A batch that was too large is retried in parts.  A failure that no record has caused is
	 * retried unchanged.  Every other failure is an outage.
	 */
	if (rd_kafka_error_txn_requires_abort(error) && !has_expired(rd_kafka_error_code(error)) &&
		(kafka_is_too_large(kafka) || kafka->report_code == RD_KAFKA_RESP_ERR_NO_ERROR))
	{
		kafka->transaction = KAFKA_ABORTING;
		kafka_set_failed(kafka, rd_kafka_error_code(error), rd_kafka_error_string(error));
		rd_kafka_error_destroy(error);
		return ADMIN_SINK_PENDING;
	}
	return kafka_failure(kafka, error, "commit a transaction");
}

/* Can this abort have removed records committed before, whose marker is missing in a partition? */
static bool
abort_took_more(const Kafka *kafka)
{
	for (int i = 0; i < kafka->partition_count; i++)
	{
		if (kafka->partitions[i].is_open && kafka->partitions[i].last != NO_OFFSET)
			return true;
	}
	return false;
}

static AdminSinkResult
abort_batch(Kafka *kafka, AdminSinkBatch *batch)
{
	rd_kafka_error_t *error = rd_kafka_abort_transaction(kafka->producer, ADMIN_SINK_SLICE_MS);
	AdminSinkResult result;

	if (error != NULL && rd_kafka_error_is_retriable(error) && monotonic_ms() < kafka->deadline)
	{
		rd_kafka_error_destroy(error);
		return ADMIN_SINK_PENDING;
	}
	if (error != NULL && batch->rejected_record != ADMIN_SINK_NO_RECORD)
	{
		rd_kafka_error_destroy(error);
		kafka->is_spent = true;
		let_go_of_batch(kafka);
		return ADMIN_SINK_REJECTED;
	}
	if (error != NULL)
		return kafka_failure(kafka, error, "abort a transaction");
	if (kafka->shrunk_partition != NO_OFFSET)
		return stop_at_shrunk(kafka);
	if (abort_took_more(kafka))
	{
		snprintf(kafka->sink->error, sizeof(kafka->sink->error),
				 "an aborted transaction may have taken along what was committed to topic \"%s\" before it; looking",
				 kafka->topic);
		return ADMIN_SINK_RETRY;
	}
	if (batch->rejected_record != ADMIN_SINK_NO_RECORD)
	{
		/* The other records may again be sent in sets of any size. */
		kafka_sets_unlimited();
		let_go_of_batch(kafka);
		return ADMIN_SINK_REJECTED;
	}
	if (kafka_is_too_large(kafka))
		kafka_sets_refused();
	/* After a refused set librdkafka's sequence numbers are wrong; one more abort repairs them. */
	else if (++kafka->attempts >= MOST_ATTEMPTS)
		return kafka_refused(kafka, kafka->failed_code, kafka->failed_error, "send a batch");
	result = send_batch(kafka, batch);
	return result == ADMIN_SINK_OK ? ADMIN_SINK_PENDING : result;
}

static AdminSinkResult
kafka_confirm(AdminSink *sink, AdminSinkBatch *batch)
{
	Kafka	   *kafka = sink->state;

	return kafka->transaction == KAFKA_ABORTING ? abort_batch(kafka, batch) : kafka_commit(kafka, batch);
}

/* Serves librdkafka's events, which would pile up otherwise. */
static AdminSinkResult
kafka_idle(AdminSink *sink)
{
	Kafka	   *kafka = sink->state;

	rd_kafka_poll(kafka->producer, 0);
	return kafka_watch(kafka, true);
}

/* Destroys the handles first, because they refer to the batch and to this state. */
static void
kafka_close(AdminSink *sink)
{
	Kafka	   *kafka = sink->state;

	sink->state = NULL;
	if (kafka == NULL)
		return;
	kafka_destroy(&kafka->consumer);
	kafka_watch_close(kafka);
	kafka_topic_id_forget(&kafka->question);
	if (kafka->producer_topic != NULL)
		rd_kafka_topic_destroy(kafka->producer_topic);
	kafka->producer_topic = NULL;
	kafka_destroy(&kafka->producer);
}

static const AdminSinkCallbacks callbacks = {
	.api_version = ADMIN_SINK_API_VERSION,
	.keeps_position = true,
	.open = kafka_open,
	.recover = kafka_recover,
	.deliver = kafka_deliver,
	.confirm = kafka_confirm,
	.idle = kafka_idle,
	.close = kafka_close,
};

const AdminSinkCallbacks *
_PG_admin_sink_init(void)
{
	return &callbacks;
}
