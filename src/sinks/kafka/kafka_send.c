/*
 * kafka_send.c
 *	  Hands the records of a batch to librdkafka, all at once or in sets.
 *
 * librdkafka gets the values without a copy, so no memory is freed before the transaction has been
 * committed or aborted.
 *
 * A broker refuses a whole set of records for its size.  Then the batch is sent again in smaller
 * sets, until one record alone is too large, or all are taken.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "sinks/kafka/kafka_pace.h"
#include "sinks/kafka/kafka_seal.h"
#include "sinks/kafka/kafka_send.h"
#include "sinks/kafka/kafka_types.h"

#define PREFIX_BYTES		5	/* of the registry's wire format: 0, then the schema's id,
								 * big-endian */
/* The limit once a set was too large, and after how many batches a larger limit is tried. */
#define MOST_SET_BYTES		(1024 * 1024)
#define SET_BATCHES			256

/* Most bytes of a set, unless it is a single record; 0: no limit.  Outlives the handle. */
static Size set_bytes = 0;
static int	set_batches = 0;

/* Copies the values of a batch, each behind the prefix that names its schema. */
void
kafka_prefix_values(Kafka *kafka, const AdminSinkBatch *batch)
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
reject_record(Kafka *kafka, int record, const char *error)
{
	AdminSinkBatch *batch = kafka->batch;

	batch->rejected_record = record;
	snprintf(batch->rejected_error, sizeof(batch->rejected_error), "%s", error);
	return ADMIN_SINK_REJECTED;
}

static rd_kafka_resp_err_t
produce_value(Kafka *kafka, int record, char *value, Size length)
{
	const AdminSinkRecord *r = &kafka->batch->records[record];
	rd_kafka_headers_t *headers = kafka_headers(kafka, record);
	rd_kafka_error_t *error;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_vu_t arguments[] = {
		{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = kafka->producer_topic},
		{.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {unconstify(char *, kafka->batch->keys) + r->key_offset, r->key_length}},
		{.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value, length}},
		{.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
		{.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *) (intptr_t) (record + 1)},
	};

	error = rd_kafka_produceva(kafka->producer, arguments, lengthof(arguments));
	if (error != NULL)
	{
		code = rd_kafka_error_code(error);
		rd_kafka_error_destroy(error);
		rd_kafka_headers_destroy(headers);
	}
	return code;
}

/* Does the transaction go on? */
static bool
is_going_on(const Kafka *kafka, AdminSinkResult result)
{
	return result == ADMIN_SINK_PENDING && kafka->batch->rejected_record == ADMIN_SINK_NO_RECORD;
}

/* Sends what is queued, in slices. */
static AdminSinkResult
flush_set(Kafka *kafka)
{
	AdminSinkResult result = ADMIN_SINK_PENDING;

	while (is_going_on(kafka, result))
	{
		if (rd_kafka_flush(kafka->producer, ADMIN_SINK_SLICE_MS) != RD_KAFKA_RESP_ERR__TIMED_OUT)
			return ADMIN_SINK_OK;
		CHECK_FOR_INTERRUPTS();
		result = kafka_pace(kafka);
	}
	return result;
}

bool
kafka_is_too_large(const Kafka *kafka)
{
	return kafka->report_code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
}

/* Ends a set of records that begins with this one, where sets have a limit. */
static AdminSinkResult
end_set(Kafka *kafka, int first, int count)
{
	AdminSinkResult result;

	if (set_bytes == 0 || count == 0)
		return ADMIN_SINK_OK;
	result = flush_set(kafka);
	if (result != ADMIN_SINK_OK)
		return result;
	if (kafka_is_too_large(kafka))
		return count > 1 ? ADMIN_SINK_PENDING : reject_record(kafka, first, "larger than max.message.bytes of the topic allows");
	/* Sets the deadline of the next set, within the transaction timeout of the broker. */
	kafka->deadline = Min(monotonic_ms() + KAFKA_TRANSACTION_MS,
						  kafka->begun + kafka->timeout_ms - KAFKA_TRANSACTION_MS / 2);
	if (monotonic_ms() < kafka->deadline)
		return ADMIN_SINK_OK;
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "a batch takes longer than transaction.timeout.ms in sets of %d bytes; raise max.message.bytes of "
			 "topic \"%s\", or lower admin_ext.batch_bytes", (int) set_bytes, kafka->topic);
	return ADMIN_SINK_RETRY;
}

void
kafka_set_failed(Kafka *kafka, rd_kafka_resp_err_t code, const char *error)
{
	kafka->failed_code = code;
	strlcpy(kafka->failed_error, error, sizeof(kafka->failed_error));
}

/* Hands one record over, waiting for room in the queue. */
static AdminSinkResult
produce_record(Kafka *kafka, int record, char *value, Size length)
{
	rd_kafka_resp_err_t code;

	while ((code = produce_value(kafka, record, value, length)) == RD_KAFKA_RESP_ERR__QUEUE_FULL)
	{
		AdminSinkResult result;

		rd_kafka_poll(kafka->producer, ADMIN_SINK_SLICE_MS);
		CHECK_FOR_INTERRUPTS();
		result = kafka_pace(kafka);
		if (!is_going_on(kafka, result))
			return result;
	}
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		return ADMIN_SINK_OK;
	if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE)
		return reject_record(kafka, record, "larger than message.max.bytes of admin_ext.kafka_options allows");
	/* No report follows for this record, and a commit would succeed without it. */
	kafka_set_failed(kafka, code, rd_kafka_err2str(code));
	return ADMIN_SINK_PENDING;
}

AdminSinkResult
kafka_send_records(Kafka *kafka)
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
			result = produce_record(kafka, i, value, length);
		bytes += length;
		/* Without a prefix each value has its line break behind it. */
		value += prefix ? length : length + 1;
		if ((i & 1023) == 1023)
			rd_kafka_poll(kafka->producer, 0);
	}
	return result == ADMIN_SINK_OK ? end_set(kafka, first, batch->count - first) : result;
}

void
kafka_sets_refused(void)
{
	set_bytes = set_bytes == 0 ? MOST_SET_BYTES / 4 : Max(set_bytes / 4, 1);
}

void
kafka_sets_unlimited(void)
{
	set_bytes = 0;
}

void
kafka_sets_committed(void)
{
	if (set_bytes > 0 && ++set_batches % SET_BATCHES == 0)
		set_bytes = set_bytes * 4 >= MOST_SET_BYTES ? 0 : set_bytes * 4;
}
