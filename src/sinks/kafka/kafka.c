/*
 * kafka.c
 *	  The Kafka sink: each batch is one transaction, and its last record carries the
 *	  position that holds once it is committed.
 *
 * So the topic is the truth about what was delivered, and a read_committed consumer
 * sees every row once.  The values of a batch are handed to librdkafka where they lie;
 * nothing is let go of before the transaction has ended one way or the other.
 *
 * A record that the broker refuses for its size is a rejection.  What it refuses is a set of
 * records, though: then the batch is sent anew in smaller sets, until one record alone is
 * too large, or none.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "sinks/kafka/kafka.h"

PG_MODULE_MAGIC;

#define CONTENT_TYPE		"application/cloudevents+json; charset=UTF-8"
#define MOST_TOPIC_BYTES	249
#define PREFIX_BYTES		5	/* of the registry's wire format: 0, then the schema's id, big-endian */
/* Once a set of records was too large for the topic, and after so many batches another attempt at more. */
#define MOST_SET_BYTES		(1024 * 1024)
#define SET_BATCHES			256
/* A transaction that had to be aborted is begun again at once, by the same handle, so often. */
#define MOST_ATTEMPTS		3
#define MARKERS_US			5000
#define MANY_RECORDS		1000

/* Most that is sent at once, a single record apart; 0: no limit.  Outlives the handle. */
static Size set_bytes = 0;
static int	set_batches = 0;

extern PGDLLEXPORT const AdminSinkCallbacks *_PG_admin_sink_init(void);

static void
say_place(Kafka *kafka)
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

	return length >= 1 && length <= MOST_TOPIC_BYTES &&
		strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == length;
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
	sink->state = kafka;
	if (!is_topic_name(kafka->topic))
	{
		snprintf(sink->error, sizeof(sink->error),
				 "admin_ext.kafka_topic makes the name \"%.200s\" for this database, and a topic's name is 1 to %d letters, digits, "
				 "dots, underscores and hyphens; change admin_ext.kafka_topic", kafka->topic, MOST_TOPIC_BYTES);
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
		say_place(kafka);
		return ADMIN_SINK_OK;
	}
	snprintf(sink->error, sizeof(sink->error), "could not use topic \"%s\": %s", kafka->topic,
			 rd_kafka_err2str(rd_kafka_last_error()));
	return ADMIN_SINK_RETRY;
}

/* Copies the values of a batch, each behind the prefix that names its schema. */
static void
prefix_values(Kafka *kafka, const AdminSinkBatch *batch)
{
	uint32		id = kafka->schema_id;
	char		prefix[PREFIX_BYTES] = {0, id >> 24, id >> 16, id >> 8, id};
	char	   *at;

	kafka->values = MemoryContextAllocHuge(kafka->sink->context,
										   batch->length + (Size) batch->count * PREFIX_BYTES);
	at = kafka->values;
	for (int i = 0; i < batch->count; i++)
	{
		memcpy(at, prefix, PREFIX_BYTES);
		memcpy(at + PREFIX_BYTES, batch->data + batch->records[i].offset, batch->records[i].length);
		at += PREFIX_BYTES + batch->records[i].length;
	}
}

static AdminSinkResult
reject(Kafka *kafka, int record, const char *error)
{
	AdminSinkBatch *batch = kafka->batch;

	batch->rejected_record = record;
	snprintf(batch->rejected_error, sizeof(batch->rejected_error), "%s", error);
	return ADMIN_SINK_REJECTED;
}

/* The position in the topic: "<store id> <position_id> <the worker's own record of it>". */
static void
add_headers(Kafka *kafka, rd_kafka_headers_t *headers, bool is_last)
{
	const AdminSinkPosition *position = &kafka->batch->position;
	char		text[ADMIN_SINK_RECORD_BYTES + 128];

	rd_kafka_header_add(headers, "content-type", -1, CONTENT_TYPE, -1);
	if (!is_last)
		return;
	snprintf(text, sizeof(text), "%s " INT64_FORMAT " %s", kafka->sink->store_id, position->position_id,
			 position->record);
	rd_kafka_header_add(headers, POSITION_HEADER, -1, text, -1);
}

static rd_kafka_resp_err_t
produce(Kafka *kafka, int record, char *value, Size length)
{
	const AdminSinkRecord *r = &kafka->batch->records[record];
	rd_kafka_headers_t *headers = rd_kafka_headers_new(2);
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_vu_t arguments[] = {
		{.vtype = RD_KAFKA_VTYPE_RKT,.u.rkt = kafka->producer_topic},
		{.vtype = RD_KAFKA_VTYPE_KEY,.u.mem = {unconstify(char *, kafka->batch->keys) + r->key_offset, r->key_length}},
		{.vtype = RD_KAFKA_VTYPE_VALUE,.u.mem = {value, length}},
		{.vtype = RD_KAFKA_VTYPE_HEADERS,.u.headers = headers},
		{.vtype = RD_KAFKA_VTYPE_OPAQUE,.u.ptr = (void *) (intptr_t) (record + 1)},
	};

	add_headers(kafka, headers, record == kafka->batch->count - 1);
	error = rd_kafka_produceva(kafka->producer, arguments, lengthof(arguments));
	if (error != NULL)
	{
		code = rd_kafka_error_code(error);
		rd_kafka_error_destroy(error);
		rd_kafka_headers_destroy(headers);
	}
	return code;
}

/* What is queued is sent, in slices; past the deadline the commit will say what is wrong. */
static void
flush(Kafka *kafka)
{
	while (rd_kafka_flush(kafka->producer, ADMIN_SINK_SLICE_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT &&
		   monotonic_ms() < kafka->deadline)
		CHECK_FOR_INTERRUPTS();
}

static bool
is_too_large(const Kafka *kafka)
{
	return kafka->report_code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
}

/* Ends a set of records that begins with this one, where sets have a limit. */
static AdminSinkResult
end_set(Kafka *kafka, int first, int count)
{
	if (set_bytes == 0 || count == 0)
		return ADMIN_SINK_OK;
	flush(kafka);
	if (is_too_large(kafka))
		return count > 1 ? ADMIN_SINK_PENDING : reject(kafka, first, "larger than max.message.bytes of the topic allows");
	if (rd_kafka_outq_len(kafka->producer) > 0)
		return kafka_no_answer(kafka, "send a batch");
	/* It goes on; the broker has its own idea of how long. */
	kafka->deadline = Min(monotonic_ms() + KAFKA_TRANSACTION_MS,
						  kafka->begun + kafka->timeout_ms - KAFKA_TRANSACTION_MS / 2);
	if (monotonic_ms() < kafka->deadline)
		return ADMIN_SINK_OK;
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "a batch takes longer than transaction.timeout.ms in sets of %d bytes; raise max.message.bytes of "
			 "topic \"%s\", or lower admin_ext.batch_bytes", (int) set_bytes, kafka->topic);
	return ADMIN_SINK_RETRY;
}

static void
set_failed(Kafka *kafka, rd_kafka_resp_err_t code, const char *error)
{
	kafka->failed_code = code;
	strlcpy(kafka->failed_error, error, sizeof(kafka->failed_error));
}

/* Hands one record over, waiting for room in the queue. */
static AdminSinkResult
produce_one(Kafka *kafka, int record, char *value, Size length)
{
	rd_kafka_resp_err_t code;

	while ((code = produce(kafka, record, value, length)) == RD_KAFKA_RESP_ERR__QUEUE_FULL &&
		   monotonic_ms() < kafka->deadline)
	{
		rd_kafka_poll(kafka->producer, ADMIN_SINK_SLICE_MS);
		CHECK_FOR_INTERRUPTS();
	}
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return ADMIN_SINK_OK;
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
		return reject(kafka, record, "larger than message.max.bytes of admin_ext.kafka_options allows");
	/* No report of this one follows, and a commit would succeed without it. */
	set_failed(kafka, code, rd_kafka_err2str(code));
	return ADMIN_SINK_PENDING;
}

/* ADMIN_SINK_PENDING: the transaction is to be aborted, and then it is known why. */
static AdminSinkResult
produce_all(Kafka *kafka)
{
	AdminSinkBatch *batch = kafka->batch;
	Size		prefix = kafka->values ? PREFIX_BYTES : 0;
	char	   *value = kafka->values ? kafka->values : unconstify(char *, batch->data);
	int			first = 0;		/* of the set at hand */
	Size		bytes = 0;
	AdminSinkResult result = ADMIN_SINK_OK;

	for (int i = 0; i < batch->count && result == ADMIN_SINK_OK; i++)
	{
		Size		length = batch->records[i].length + prefix;

		if (bytes + length > set_bytes)
		{
			result = end_set(kafka, first, i - first);
			first = i;
			bytes = 0;
		}
		if (result == ADMIN_SINK_OK)
			result = produce_one(kafka, i, value, length);
		bytes += length;
		/* Without a prefix each value has its line break behind it. */
		value += prefix ? length : length + 1;
		if ((i & 1023) == 1023)
			rd_kafka_poll(kafka->producer, 0);
	}
	return result == ADMIN_SINK_OK ? end_set(kafka, first, batch->count - first) : result;
}

static void
begin(Kafka *kafka, AdminSinkBatch *batch)
{
	kafka->batch = batch;
	kafka->reported = 0;
	kafka->report_code = RD_KAFKA_RESP_ERR_NO_ERROR;
	kafka->report_error[0] = '\0';
	kafka->failed_code = RD_KAFKA_RESP_ERR_NO_ERROR;
	kafka->begun = monotonic_ms();
	kafka->deadline = kafka->begun + KAFKA_TRANSACTION_MS;
	for (int i = 0; i < kafka->partition_count; i++)
		kafka->partitions[i].last = NO_OFFSET;
	if (kafka->schema_id != 0 && kafka->values == NULL)
		prefix_values(kafka, batch);
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
	begin(kafka, batch);
	let_markers_be_written(kafka);
	result = produce_all(kafka);
	if (result == ADMIN_SINK_RETRY)
		return result;
	kafka->transaction = result == ADMIN_SINK_OK ? KAFKA_COMMITTING : KAFKA_ABORTING;
	return ADMIN_SINK_OK;
}

static AdminSinkResult
kafka_deliver(AdminSink *sink, AdminSinkBatch *batch)
{
	Kafka	   *kafka = sink->state;

	kafka->attempts = 0;
	return send_batch(kafka, batch);
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

static AdminSinkResult
committed(Kafka *kafka, AdminSinkBatch *batch)
{
	if (kafka->reported != batch->count)
		elog(ERROR, "a transaction of %d records was committed with %d of them", batch->count, kafka->reported);
	for (int i = 0; i < kafka->partition_count; i++)
	{
		KafkaPartition *partition = &kafka->partitions[i];

		if (partition->last == NO_OFFSET)
			continue;
		/* Behind the record comes the commit marker. */
		partition->next = partition->last + 2;
		partition->newest = partition->last;
		partition->is_open = false;
	}
	kafka->committed_us = monotonic_us();
	let_go_of_batch(kafka);
	if (set_bytes > 0 && ++set_batches % SET_BATCHES == 0)
		set_bytes = set_bytes * 4 >= MOST_SET_BYTES ? 0 : set_bytes * 4;
	kafka_write_detail(kafka, batch->position.detail, sizeof(batch->position.detail));
	return ADMIN_SINK_OK;
}

static AdminSinkResult
commit(Kafka *kafka, AdminSinkBatch *batch)
{
	rd_kafka_error_t *error = rd_kafka_commit_transaction(kafka->producer, ADMIN_SINK_SLICE_MS);

	if (error == NULL)
		return committed(kafka, batch);
	if (rd_kafka_error_is_retriable(error) && monotonic_ms() < kafka->deadline)
	{
		rd_kafka_error_destroy(error);
		return ADMIN_SINK_PENDING;
	}
	/* What was too large is tried again in parts, what no record is to blame for as it is; all else is an outage. */
	if (rd_kafka_error_txn_requires_abort(error) &&
		(is_too_large(kafka) || kafka->report_code == RD_KAFKA_RESP_ERR_NO_ERROR))
	{
		kafka->transaction = KAFKA_ABORTING;
		set_failed(kafka, rd_kafka_error_code(error), rd_kafka_error_string(error));
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
	if (error != NULL)
		return kafka_failure(kafka, error, "abort a transaction");
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
		set_bytes = 0;
		let_go_of_batch(kafka);
		return ADMIN_SINK_REJECTED;
	}
	if (is_too_large(kafka))
		set_bytes = set_bytes == 0 ? MOST_SET_BYTES / 4 : Max(set_bytes / 4, 1);
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

	return kafka->transaction == KAFKA_ABORTING ? abort_batch(kafka, batch) : commit(kafka, batch);
}

/* What librdkafka has to say is taken, or it would pile up. */
static AdminSinkResult
kafka_idle(AdminSink *sink)
{
	Kafka	   *kafka = sink->state;

	rd_kafka_poll(kafka->producer, 0);
	return ADMIN_SINK_OK;
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
