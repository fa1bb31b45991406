/*
 * kafka_recover.c
 *	  Finds out where in the topic delivery stands.  The topic itself is the truth.
 *
 * The last record of each transaction carries the position that holds once it is
 * committed.  The database remembers, as a lower bound, behind which offsets to look,
 * and where the last such header was: offsets alone would not recognise a topic that
 * was recreated.  Each call waits for a slice at the most; for brokers that are slow, for some seconds.
 *
 * 0. A peek: steps 2 and 3, with the same time limits.  A server that finds a position
 *    built on ticks it does not know is an older copy: it stops here, and has fenced no worker.  So
 *    an old primary that comes up for a moment does not end the delivery of the new one.  A peek
 *    that does not get to its end, because brokers are slow or away, is an outage: fencing without
 *    having looked could end the delivery of another server.  Any other problem of the topic is
 *    left to step 1 and the following ones.
 *    A claim that another server has left (kafka_claim.c) has the same effect.  A worker that was
 *    fenced before goes on only where the peek gets to its end and finds nothing.
 * 1. init_transactions fences an older worker and settles its transaction.
 *    Then the topic's id is asked for (kafka_topic_id.c): a new id means that the topic is another one.
 * 2. Watermarks, asked by a read_uncommitted consumer: a producer, or a read_committed
 *    one, is answered the last stable offset.
 * 3. A read_committed consumer (kafka_reading.c), assigned at the newest records remembered, has to see
 *    these, and reads until in every partition it stands at the watermark.  An earlier end
 *    is only the last stable offset: another producer's open transaction holds it back, and
 *    is waited for.
 * 4. Claims are looked for once more: one may have been left since the peek.  Then this server
 *    leaves its own, if it has one.
 *
 * A commit is acknowledged before its markers are written.  A broker of Kafka 4 that is killed
 * in between may leave them out for ever where it has the only copy of a partition (KAFKA-20734).
 * Then our own transaction stays open there, and whatever ends our next one in that partition ends
 * it, too: a commit makes its records visible, an abort takes them away, which step 3 finds.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sinks/kafka/kafka_claim.h"
#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_detail.h"
#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_offsets.h"
#include "sinks/kafka/kafka_peek.h"
#include "sinks/kafka/kafka_phase.h"
#include "sinks/kafka/kafka_reading.h"
#include "sinks/kafka/kafka_recover.h"
#include "sinks/kafka/kafka_topic_id.h"
#include "sinks/kafka/kafka_types.h"

/* For so long after its restart a broker may report outdated topics and watermarks. */
#define PATIENCE_MS	2000
/*
 * The watermark of a new leader is late until the replicas on other brokers have fetched from it.
 */
#define COPIES_PATIENCE_MS	5000
#define SPARE_PARTITIONS	256
/*
 * After an operator's resync, so many offsets at the end of each partition are read: more than the
 * largest batch and aborted ones need.
 */
#define KEPT_OFFSETS		20000

static AdminSinkResult
kafka_fence_others(Kafka *kafka)
{
	rd_kafka_error_t *error = rd_kafka_init_transactions(kafka->producer, ADMIN_SINK_SLICE_MS);

	rd_kafka_poll(kafka->producer, 0);
	if (error == NULL)
	{
		kafka_enter(kafka, KAFKA_LOOKING, LOOKING_MS);
		return ADMIN_SINK_PENDING;
	}
	if (!rd_kafka_error_is_retriable(error))
		return kafka_failure(kafka, error, "begin to deliver");
	rd_kafka_error_destroy(error);
	return kafka_wait_for_brokers(kafka);
}

static AdminSinkResult
begin_measuring(Kafka *kafka)
{
	kafka->consumer = kafka_new_consumer(kafka, "read_uncommitted");
	if (kafka->consumer == NULL)
		return kafka->why_none;
	kafka_enter(kafka, KAFKA_MEASURING, LOOKING_MS);
	return ADMIN_SINK_PENDING;
}

/* A remembered partition is missing: asks again for a while, then stops. */
static AdminSinkResult
look_for_partition(Kafka *kafka)
{
	char		found[64];

	snprintf(found, sizeof(found), "partition %d is not there any more", kafka->shrunk_partition);
	kafka->shrunk_partition = NO_OFFSET;
	if (kafka_phase_age(kafka, LOOKING_MS) >= kafka->patience_ms)
		return kafka_stop_at_loss(kafka, found);
	rd_kafka_poll(kafka->producer, ADMIN_SINK_SLICE_MS);
	return ADMIN_SINK_PENDING;
}

/* An answer that comes after its timeout is lost, so slow brokers need longer timeouts. */
static rd_kafka_resp_err_t
ask_for_metadata(Kafka *kafka, const struct rd_kafka_metadata **metadata)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka->producer, kafka->topic, NULL);
	rd_kafka_resp_err_t code = rd_kafka_metadata(kafka->producer, 0, topic, metadata, kafka_asking_ms(kafka));

	rd_kafka_topic_destroy(topic);
	return code;
}

static AdminSinkResult
kafka_look_for_position(Kafka *kafka, const AdminSinkPosition *position)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_resp_err_t code = ask_for_metadata(kafka, &metadata);
	int			count = 0;

	rd_kafka_poll(kafka->producer, 0);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
		count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
		kafka->patience_ms = count > 0 && metadata->topics[0].partitions[0].replica_cnt > 1 ? COPIES_PATIENCE_MS : PATIENCE_MS;
		rd_kafka_metadata_destroy(metadata);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR && count == 0)
			code = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	}
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT)
			return kafka_wait_for_brokers(kafka);
		if (!kafka_is_late(kafka) && kafka_remedy(code) == NULL)
			return ADMIN_SINK_PENDING;
		return kafka_give_up(kafka, code, "find the topic");
	}

	kafka->partition_count = count;
	kafka->partition_room = count + SPARE_PARTITIONS;
	if (kafka->partitions != NULL)
		pfree(kafka->partitions);
	kafka->partitions = MemoryContextAllocZero(kafka->sink->context, kafka->partition_room * sizeof(KafkaPartition));
	for (int i = 0; i < kafka->partition_room; i++)
	{
		KafkaPartition *partition = &kafka->partitions[i];

		partition->next = partition->newest = partition->due = partition->last = NO_OFFSET;
	}
	if (!position->is_resync && !kafka_read_detail(kafka, position->detail))
	{
		snprintf(kafka->sink->error, sizeof(kafka->sink->error),
				 "the position was recorded for another topic than \"%s\"; call "
				 "admin.resync_sink('%s', ...) with the number that admin.resync_proposal('%s') returns",
				 kafka->topic, kafka->sink->name, kafka->sink->name);
		return ADMIN_SINK_STOP;
	}
	if (kafka->shrunk_partition != NO_OFFSET)
		return look_for_partition(kafka);
	/* A peek has no time for the id. */
	if (kafka->is_peeking)
		return begin_measuring(kafka);
	kafka_enter(kafka, KAFKA_IDENTIFYING, LOOKING_MS);
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
kafka_identify_topic(Kafka *kafka)
{
	AdminSinkResult result = kafka_identify(kafka);

	return result == ADMIN_SINK_OK ? begin_measuring(kafka) : result;
}

static AdminSinkResult
kafka_measure_topic(Kafka *kafka, const AdminSinkPosition *position)
{
	int			i = kafka->measured;
	KafkaPartition *partition = &kafka->partitions[i];
	int64		low;
	int64		high;
	rd_kafka_resp_err_t code = kafka_offsets(kafka, i, &low, &high);

	rd_kafka_poll(kafka->consumer, 0);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (!kafka_is_late(kafka))
			return ADMIN_SINK_PENDING;
		return kafka_give_up(kafka, code, "ask for the offsets of the topic");
	}
	if (position->is_resync)
	{
		/* After a resync only the delivery numbers in the topic count. */
		partition->next = Max(low, high - KEPT_OFFSETS);
		kafka->header_partition = NO_OFFSET;
		kafka->header_offset = NO_OFFSET;
	}
	else if (partition->next == NO_OFFSET)
		partition->next = low;	/* not remembered: all of it is new */
	else if (kafka_is_without_marker(partition->newest, partition->next, high))
	{
		partition->is_open = true;
		partition->next = high;
	}
	else if (partition->next > high && kafka_is_patient(kafka))
	{
		/* The watermark of a new leader may be behind for a moment. */
		rd_kafka_poll(kafka->consumer, ADMIN_SINK_SLICE_MS);
		return ADMIN_SINK_PENDING;
	}
	else if (partition->next < low || partition->next > high)
		return kafka_stop_at_offsets(kafka, i, low, high);
	if (i == kafka->header_partition && kafka->header_offset >= low)
		kafka->due_partition = i;
	partition->due = kafka->due_partition == i ? kafka->header_offset : partition->newest;
	/* Retention may have removed the record. */
	if (partition->due < low)
		partition->due = NO_OFFSET;
	partition->high = high;
	partition->from = partition->next;
	partition->is_read = partition->next >= high && partition->due == NO_OFFSET;
	/* The time limit holds for each partition. */
	kafka_enter(kafka, KAFKA_MEASURING, LOOKING_MS);
	if (++kafka->measured < kafka->partition_count)
		return ADMIN_SINK_PENDING;
	return kafka_begin_reading(kafka);
}

/* A server that has lost rows of the topic leaves no claim: the worker stops. */
static AdminSinkResult
find_claims(Kafka *kafka, const AdminSinkPosition *position)
{
	AdminSinkResult result;

	if (kafka_found_unknown(kafka, position))
	{
		kafka->phase = KAFKA_READY;
		return ADMIN_SINK_OK;
	}
	result = kafka_find_claims(kafka);
	if (result != ADMIN_SINK_OK || kafka->is_peeking)
		return result;
	kafka_enter(kafka, KAFKA_CLAIMING, LOOKING_MS);
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
kafka_claim_id(Kafka *kafka, AdminSinkPosition *position)
{
	AdminSinkResult result = kafka_claim(kafka);

	if (result != ADMIN_SINK_OK)
		return result;
	kafka->phase = KAFKA_READY;
	kafka_write_detail(kafka, position->detail, sizeof(position->detail));
	return ADMIN_SINK_OK;
}

static AdminSinkResult
recover_step(Kafka *kafka, AdminSinkPosition *position)
{
	switch (kafka->phase)
	{
		case KAFKA_FENCING:
			return kafka->deadline == 0 ? kafka_begin_recovery(kafka, position) : kafka_fence_others(kafka);
		case KAFKA_LOOKING:
			return kafka_look_for_position(kafka, position);
		case KAFKA_IDENTIFYING:
			return kafka_identify_topic(kafka);
		case KAFKA_MEASURING:
			return kafka_measure_topic(kafka, position);
		case KAFKA_READING:
			return kafka_read_on(kafka, position);
		case KAFKA_FINDING_CLAIMS:
			return find_claims(kafka, position);
		case KAFKA_CLAIMING:
			return kafka_claim_id(kafka, position);
		case KAFKA_READY:
			break;
	}
	return ADMIN_SINK_OK;
}

AdminSinkResult
kafka_recover(AdminSink *sink, AdminSinkPosition *position)
{
	Kafka	   *kafka = sink->state;
	AdminSinkResult result = recover_step(kafka, position);

	if (!kafka->is_peeking || result == ADMIN_SINK_PENDING)
		return result;
	if (result == ADMIN_SINK_OK && kafka_found_unknown(kafka, position))
		return sink->was_fenced ? kafka_is_outdone(kafka) : ADMIN_SINK_OK;
	if (result == ADMIN_SINK_FENCED || result == ADMIN_SINK_RETRY || (sink->was_fenced && result != ADMIN_SINK_OK))
		return result;
	return kafka_end_peek(kafka, position);
}
