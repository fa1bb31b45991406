/*
 * kafka_pace.c
 *	  Decides how much is sent at once, and what to do with a batch that does not get through.
 *
 * The broker ends a transaction that is left open, so a batch has a deadline.  The deadline moves
 * on while records are taken, as far as transaction.timeout.ms allows.  A batch that misses it
 * would miss it again.  So the next batch is smaller, and batches grow again while they go well.
 *
 * A broker silently closes the connection on a request that is larger than
 * socket.request.max.bytes.  A broker that restarts does the same.  The request was too large if,
 * after a record, the connection was closed, no record was taken since and no connection was
 * refused.  A later look at the topic, by a connection of its own, must also succeed.  Then smaller
 * batches follow, down to a single record.  That record is rejected when this has happened three
 * times, each time with a new handle, which has begun with small requests.  A small record is not
 * rejected: no broker refuses so few bytes, so something else closes the connection.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_pace.h"
#include "sinks/kafka/kafka_types.h"
#include "sinks/kafka/kafka_watch.h"

#define HANG_UP_MS		3000
#define HANG_UPS		3
#define LEAST_BYTES		16384
/* Brokers refuse no request for so few bytes. */
#define SMALL_BYTES		65536
/* A batch that took less than this went well; after so many of them, the limit doubles. */
#define QUICK_MS		3000
#define QUICK_BATCHES	4
/* A batch that took this long was too large. */
#define SLOW_MS			15000

/* The record, alone in its batch, on which a broker closed the connection.  Outlives the handle. */
static int64 hung_up_audit_id = 0;
static int	hang_ups = 0;
static int	quick_batches = 0;

void
kafka_pace_begin(Kafka *kafka)
{
	kafka->begun = monotonic_ms();
	kafka->deadline = kafka->begun + KAFKA_TRANSACTION_MS;
	kafka->taken = 0;
	kafka->is_flushed = false;
	kafka->taken_at = kafka->begun;
}

/* The latest deadline for records; the time after it is for the commit. */
static int64
pace_end(const Kafka *kafka)
{
	return kafka->begun + kafka->timeout_ms - KAFKA_TRANSACTION_MS / 2;
}

static AdminSinkResult
pace_shrink(Kafka *kafka, Size bytes, const char *why)
{
	kafka->sink->most_bytes = bytes;
	quick_batches = 0;
	snprintf(kafka->sink->error, sizeof(kafka->sink->error), why, kafka->topic);
	return ADMIN_SINK_RETRY;
}

static bool
pace_is_hung_up(const Kafka *kafka, int64 now)
{
	return kafka->hung_up_at >= kafka->begun && kafka->refused_at < kafka->begun &&
		now - Max(kafka->hung_up_at, kafka->taken_at) >= HANG_UP_MS && kafka->answered_at > kafka->hung_up_at;
}

static AdminSinkResult
pace_isolate(Kafka *kafka)
{
	AdminSinkBatch *batch = kafka->batch;

	if (batch->count > 1)
		return pace_shrink(kafka, Max(batch->length / 16, 1),
						   "the broker closes the connection when a batch is sent to topic \"%s\"; smaller batches follow");
	hang_ups = batch->records[0].audit_id == hung_up_audit_id ? hang_ups + 1 : 1;
	hung_up_audit_id = batch->records[0].audit_id;
	if (hang_ups < HANG_UPS || batch->length <= SMALL_BYTES)
		return pace_shrink(kafka, 1, "the broker closes the connection when a record is sent to topic \"%s\"; it is tried again");
	hang_ups = 0;
	batch->rejected_record = 0;
	snprintf(batch->rejected_error, sizeof(batch->rejected_error),
			 "the broker closes the connection when it is sent (%lu bytes), as it does with more than its "
			 "socket.request.max.bytes", (unsigned long) batch->length);
	kafka->transaction = KAFKA_ABORTING;
	kafka->deadline = monotonic_ms() + KAFKA_TRANSACTION_MS;
	return ADMIN_SINK_PENDING;
}

/*
 * The deadline has passed.  Brokers that do not answer may only be slow: the next batch is smaller.
 */
static AdminSinkResult
pace_give_up(Kafka *kafka)
{
	AdminSinkBatch *batch = kafka->batch;
	Size		bytes = kafka->taken > 0 ? batch->length / 2 * kafka->taken / batch->count : batch->length / 4;
	AdminSinkResult result = kafka_no_answer(kafka, "send a batch");

	bytes = Max(bytes, LEAST_BYTES);
	if (kafka->taken > 0 || kafka->throttled_at >= kafka->begun || kafka->answered_at >= kafka->begun)
	{
		kafka_set_slow(true);
		return pace_shrink(kafka, bytes, "the brokers are slow, or throttle what is sent to topic \"%s\"; smaller batches follow");
	}
	kafka->sink->most_bytes = bytes;
	return result;
}

AdminSinkResult
kafka_pace(Kafka *kafka)
{
	int64		now = monotonic_ms();
	AdminSinkResult looked = kafka_watch(kafka, false);

	if (looked != ADMIN_SINK_OK)
		return looked;
	if (kafka->reported > kafka->taken)
	{
		kafka->taken = kafka->reported;
		kafka->taken_at = now;
		kafka->deadline = Min(now + KAFKA_TRANSACTION_MS, pace_end(kafka));
	}
	/* A broker that throttles may stop reading for any length of time. */
	if (kafka->throttled_at >= kafka->begun)
		kafka->deadline = pace_end(kafka);
	if (pace_is_hung_up(kafka, now))
		return pace_isolate(kafka);
	return now < kafka->deadline ? ADMIN_SINK_PENDING : pace_give_up(kafka);
}

void
kafka_pace_committed(Kafka *kafka)
{
	int64		taken = monotonic_ms() - kafka->begun;
	AdminSink  *sink = kafka->sink;

	kafka_set_slow(false);
	if (taken >= SLOW_MS)
	{
		sink->most_bytes = Max(kafka->batch->length / 2, LEAST_BYTES);
		quick_batches = 0;
	}
	/* If even so few bytes take long, the size is not the reason. */
	else if (sink->most_bytes > 0 && (taken < QUICK_MS || sink->most_bytes < LEAST_BYTES) && ++quick_batches >= QUICK_BATCHES)
	{
		sink->most_bytes = sink->most_bytes < MaxAllocSize ? Max(sink->most_bytes * 2, LEAST_BYTES) : 0;
		quick_batches = 0;
	}
}
