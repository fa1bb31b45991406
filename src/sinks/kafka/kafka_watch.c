/*
 * kafka_watch.c
 *	  Looks after the topic while the sink is open: do the brokers answer, and does the
 *	  topic still hold what was delivered to it?
 *
 * A consumer handle of its own looks every two seconds.  No call waits: a look begins to read all
 * partitions, and a later call takes the result.  A partition is read from one of three offsets;
 * the next one is tried if the broker says "out of range":
 *
 * 1. At the newest of our records, which has to be there.  Offsets alone do not recognise a
 *    topic that was recreated and filled again.  If that record is part of a large set,
 *    reading it is expensive, so it is read only when the watermark has moved.
 * 2. Behind it and its commit marker: retention may have taken the record.
 * 3. Between the two: the marker may not have been written.
 *
 * Besides, the brokers are asked for the id of the topic, where it is known: a topic that was
 * recreated has another one, whatever it holds.
 *
 * A log that is shorter than what was delivered fails all of them.  A watermark that lags behind
 * the log, as a new leader's does, fails none of them: the broker decides "out of range" by the log
 * alone.  Logical offsets are not used: librdkafka 2.0.2 asks for those by a timer, which keeps a
 * handle from being destroyed once the topic is gone.
 *
 * The watch makes no decision.  A suspicion is an outage, so no further row is sent.  Recovery,
 * with new handles, then finds out whether the topic has lost records.
 */
#include "postgres.h"

#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_errors.h"
#include "sinks/kafka/kafka_phase.h"
#include "sinks/kafka/kafka_position.h"
#include "sinks/kafka/kafka_topic_id.h"
#include "sinks/kafka/kafka_types.h"
#include "sinks/kafka/kafka_watch.h"

#define LOOK_EVERY_MS	2000
/* A look without an answer for this long is an outage. */
#define LOOK_MS			5000
#define CHEAP_BYTES		65536

typedef enum LookWay
{
	LOOK_RECORD,
	LOOK_NEXT,
	LOOK_MARKER
} LookWay;

/* A partition, as it was when the look began: batches are committed meanwhile. */
typedef struct KafkaLook
{
	int64		next;
	int64		newest;
	int64		high;			/* high watermark when the newest record was seen */
	LookWay		way;
	bool		has_position;	/* its newest record carries the newest position */
	bool		is_aged;		/* retention seems to have taken the record */
	bool		is_started;
	bool		is_settled;
} KafkaLook;

struct KafkaWatch
{
	rd_kafka_t *consumer;
	rd_kafka_topic_t *topic;
	rd_kafka_queue_t *queue;
	rd_kafka_queue_t *question; /* for the topic's id */
	bool		is_identified;	/* the topic has still the id that is remembered, as far as that is
								 * known */
	int64		due;			/* when the next look begins */
	int64		begun;			/* 0: none is under way */
	int64		idle_since;		/* since when no other request was sent to the brokers */
	int			count;			/* partitions that are looked at */
	KafkaLook  *looks;
};

static void
watch_stop(KafkaWatch *watch, int partition)
{
	if (watch->looks[partition].is_started)
		(void) rd_kafka_consume_stop(watch->topic, partition);
	watch->looks[partition].is_started = false;
}

void
kafka_watch_close(Kafka *kafka)
{
	KafkaWatch *watch = kafka->watch;

	if (watch == NULL)
		return;
	for (int i = 0; i < watch->count; i++)
		watch_stop(watch, i);
	kafka_topic_id_forget(&watch->question);
	rd_kafka_queue_destroy(watch->queue);
	rd_kafka_topic_destroy(watch->topic);
	kafka_destroy(&watch->consumer);
	kafka->watch = NULL;
}

/* Begins to read a partition where its look says. */
static void
watch_start(KafkaWatch *watch, int partition)
{
	KafkaLook  *look = &watch->looks[partition];
	int64		offset = look->way == LOOK_NEXT ? look->next : look->newest + (look->way == LOOK_MARKER);

	if (rd_kafka_consume_start_queue(watch->topic, partition, offset, watch->queue) != 0)
		elog(ERROR, "could not read partition %d: %s", partition, rd_kafka_err2str(rd_kafka_last_error()));
	look->is_started = true;
}

static LookWay
watch_way(const Kafka *kafka, const KafkaLook *look)
{
	if (look->newest == NO_OFFSET || look->is_aged || kafka->sent_bytes > CHEAP_BYTES)
		return LOOK_NEXT;
	return LOOK_RECORD;
}

static void
watch_begin(Kafka *kafka, int64 now)
{
	KafkaWatch *watch = kafka->watch;

	watch->begun = watch->idle_since = now;
	watch->is_identified = kafka->topic_id[0] == '\0';
	watch->count = kafka->partition_count;
	for (int i = 0; i < watch->count; i++)
	{
		const KafkaPartition *partition = &kafka->partitions[i];
		KafkaLook  *look = &watch->looks[i];

		if (look->newest != partition->newest)
		{
			look->is_aged = false;
			look->high = partition->next;
		}
		look->next = partition->next;
		look->newest = partition->newest;
		look->has_position = i == kafka->header_partition && kafka->header_offset == partition->newest;

		/* A partition that was added and holds none of our records cannot lose any. */
		look->is_settled = look->next == NO_OFFSET;
		look->way = watch_way(kafka, look);
		if (!look->is_settled)
			watch_start(watch, i);
	}
}

/* Ends the look; recovery, by new handles, finds out. */
static AdminSinkResult
watch_suspect(Kafka *kafka, int partition)
{
	kafka_suspect_loss();
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "topic \"%s\" seems to have lost what was delivered to partition %d; looking", kafka->topic, partition);
	return ADMIN_SINK_RETRY;
}

/* Looks at the partition once more, in another way. */
static AdminSinkResult
watch_again(KafkaWatch *watch, int partition, LookWay way)
{
	watch_stop(watch, partition);
	watch->looks[partition].way = way;
	watch_start(watch, partition);
	return ADMIN_SINK_OK;
}

/* The brokers have answered for a partition: the watermarks are those of this look. */
static AdminSinkResult
watch_compare(Kafka *kafka, int partition)
{
	KafkaLook  *look = &kafka->watch->looks[partition];
	int64		low;
	int64		high;

	if (rd_kafka_get_watermark_offsets(kafka->watch->consumer, kafka->topic, partition, &low, &high) !=
		RD_KAFKA_RESP_ERR_NO_ERROR || high < 0)
		return ADMIN_SINK_OK;
	/* The log has offsets on both sides of the record, so retention has not removed it. */
	if (look->is_aged && low <= look->newest)
		return watch_suspect(kafka, partition);
	if (look->way == LOOK_NEXT && look->newest != NO_OFFSET && !look->is_aged && high != look->high)
		return watch_again(kafka->watch, partition, LOOK_RECORD);
	if (look->way == LOOK_RECORD)
		look->high = high;
	kafka->partitions[partition].seen = high;
	look->is_settled = true;
	watch_stop(kafka->watch, partition);
	return ADMIN_SINK_OK;
}

static AdminSinkResult
watch_take(Kafka *kafka, rd_kafka_message_t *message)
{
	KafkaWatch *watch = kafka->watch;
	KafkaLook  *look;
	int64		position_id;

	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && kafka_remedy(message->err) != NULL)
		return kafka_refused(kafka, message->err, rd_kafka_err2str(message->err), "look at the topic");
	if (message->partition < 0 || message->partition >= watch->count)
		return ADMIN_SINK_OK;
	look = &watch->looks[message->partition];
	if (look->is_settled)
		return ADMIN_SINK_OK;
	if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET ||
		(look->way == LOOK_RECORD && message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF))
	{
		if (look->way == LOOK_MARKER || look->newest == NO_OFFSET)
			return watch_suspect(kafka, message->partition);
		look->is_aged |= message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && look->way == LOOK_RECORD;
		return watch_again(watch, message->partition, look->way == LOOK_RECORD ? LOOK_NEXT : LOOK_MARKER);
	}
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return watch_compare(kafka, message->partition);
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		return ADMIN_SINK_OK;
	if (look->way == LOOK_RECORD &&
		(message->offset != look->newest ||
		 (look->has_position && kafka_position_of(kafka, message, &position_id)[0] == '\0')))
		return watch_suspect(kafka, message->partition);
	return watch_compare(kafka, message->partition);
}

static bool
watch_is_settled(const KafkaWatch *watch)
{
	for (int i = 0; i < watch->count; i++)
	{
		if (!watch->looks[i].is_settled)
			return false;
	}
	return watch->is_identified;
}

/* Does the topic have another id? */
static AdminSinkResult
watch_identify(Kafka *kafka)
{
	KafkaWatch *watch = kafka->watch;
	char		id[KAFKA_TOPIC_ID_BYTES];

	if (watch->is_identified || !kafka_topic_id_ask(kafka, watch->consumer, &watch->question, 0, id))
		return ADMIN_SINK_OK;
	watch->is_identified = true;
	if (id[0] == '\0' || strcmp(id, kafka->topic_id) == 0)
		return ADMIN_SINK_OK;
	kafka_suspect_loss();
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "topic \"%s\" seems to be another one, of the same name; looking", kafka->topic);
	return ADMIN_SINK_RETRY;
}

/* Takes the results of the look so far. */
static AdminSinkResult
watch_look_on(Kafka *kafka)
{
	KafkaWatch *watch = kafka->watch;
	AdminSinkResult result = watch_identify(kafka);
	rd_kafka_message_t *message;

	rd_kafka_poll(watch->consumer, 0);
	while (result == ADMIN_SINK_OK && (message = rd_kafka_consume_queue(watch->queue, 0)) != NULL)
	{
		result = watch_take(kafka, message);
		rd_kafka_message_destroy(message);
		if (watch_is_settled(watch))
			break;
	}
	if (result != ADMIN_SINK_OK)
		return result;
	if (watch_is_settled(watch))
	{
		kafka->answered_at = watch->begun;
		watch->begun = 0;
		watch->due = monotonic_ms() + LOOK_EVERY_MS;
		/* An error of a connection that broke in between no longer counts. */
		if (kafka->transaction == KAFKA_NONE)
			kafka_forget_error(kafka);
	}
	else if (monotonic_ms() - watch->idle_since >= LOOK_MS)
		return kafka_no_answer(kafka, "look at the topic");
	return ADMIN_SINK_OK;
}

static bool
watch_open(Kafka *kafka)
{
	KafkaWatch *watch = MemoryContextAllocZero(kafka->sink->context, sizeof(KafkaWatch));

	watch->looks = MemoryContextAllocZero(kafka->sink->context, kafka->partition_room * sizeof(KafkaLook));
	for (int i = 0; i < kafka->partition_room; i++)
		watch->looks[i].newest = NO_OFFSET;
	watch->consumer = kafka_new_watcher(kafka);
	if (watch->consumer == NULL)
		return false;
	watch->topic = rd_kafka_topic_new(watch->consumer, kafka->topic, NULL);
	watch->queue = rd_kafka_queue_new(watch->consumer);
	kafka->watch = watch;
	return true;
}

AdminSinkResult
kafka_watch(Kafka *kafka, bool is_idle)
{
	int64		now = monotonic_ms();

	if (kafka->watch == NULL && !watch_open(kafka))
		return kafka->why_none;
	/* On a slow link a look has to wait for what is being sent. */
	if (!is_idle)
		kafka->watch->idle_since = now;
	if (kafka->watch->begun != 0)
		return watch_look_on(kafka);
	if (now >= kafka->watch->due)
		watch_begin(kafka, now);
	return ADMIN_SINK_OK;
}
