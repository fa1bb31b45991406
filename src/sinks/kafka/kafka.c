/*
 * kafka.c
 *	  The Kafka sink: each batch is one transaction, and its last record carries the
 *	  position that holds once it is committed.
 *
 * So the topic is the truth about what was delivered, and a read_committed consumer
 * sees every row once.  The values of a batch are handed to librdkafka where they lie;
 * nothing is let go of before the transaction has ended one way or the other.
 *
 * A record that the broker refuses for its size is a rejection.
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

/* A transaction that had to be aborted is begun again at once, by the same handle, so often. */
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

/* The setting has been checked; a database may have any name.  The topic is part of a registry's address, too. */
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
 * A commit is acknowledged before its markers are written, and until they are the broker lets
 * no partition into the next transaction.  librdkafka asks again after 20 ms, whatever happens;
 * the markers take a quarter of that.  A few records take their chance, half of them have luck;
 * with many the sender would stand still while they are queued.
 */
static void
let_markers_be_written(const Kafka *kafka)
{
	int64		left = kafka->committed_us + MARKERS_US - monotonic_us();

	/* Not by the latch: a commit that sets it meanwhile makes no marker come sooner. */
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

/* Nothing of librdkafka's refers to the batch any more. */
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
 * Another server with this store's identity would have shut out this one.  So what a look has seen
 * before a commit holds no position that is unknown here.  What is remembered goes past that, and past the
 * markers of aborted batches.  Otherwise a partition that retention has emptied would look like a loss.
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
		/* Behind the record comes the commit marker. */
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

/* A log took a record where it should have had one for long. */
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
 * The broker has forgotten our transactional id, and with it whom it has fenced: librdkafka would ask for
 * a new one and go on.  Only a worker that begins again learns from the topic whether another has delivered meanwhile.
 */
static bool
has_expired(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING || code == RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID;
}

/*
 * All reports come before the commit, which would send the rest and go on by itself.  Without
 * it the transaction is never seen: the next producer aborts it.
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
	 * What was too large is tried again in parts, what no record is to blame for as it is; all
	 * else is an outage.
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

/* An abort ends what is open in a partition, whosever records these are. */
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
		/* The others may well be as large a set as before. */
		kafka_sets_unlimited();
		let_go_of_batch(kafka);
		return ADMIN_SINK_REJECTED;
	}
	if (kafka_is_too_large(kafka))
		kafka_sets_refused();
	/* After a set that was refused librdkafka's numbers do not fit: one more abort mends them. */
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

/* What librdkafka has to say is taken, or it would pile up. */
static AdminSinkResult
kafka_idle(AdminSink *sink)
{
	Kafka	   *kafka = sink->state;

	rd_kafka_poll(kafka->producer, 0);
	return kafka_watch(kafka, true);
}

/* The handles first: they refer to the batch, and to this state. */
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
