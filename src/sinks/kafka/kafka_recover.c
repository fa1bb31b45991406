/*
 * kafka_recover.c
 *	  Finds out where in the topic delivery stands.  The topic itself is the truth.
 *
 * The last record of each transaction carries the position that holds once it is
 * committed.  The database remembers, as a lower bound, behind which offsets to look,
 * and where the last such header was: offsets alone would not recognise a topic that
 * was made anew.  Each call waits for one slice at the most.
 *
 * 0. A peek: steps 2 and 3, as far as they get at once.  A copy that finds a position built on
 *    ticks it does not know is an older one: it stops here, and has fenced nobody.  So an old
 *    primary that comes up for a moment does not end the delivery of the new one.  Whatever
 *    else goes wrong is step 1's and what follows to find.
 * 1. init_transactions fences an older worker and settles its transaction.
 * 2. Watermarks, asked by a read_uncommitted consumer: a producer, or a read_committed
 *    one, is answered the last stable offset.
 * 3. A read_committed consumer, assigned at the newest records remembered, has to see
 *    these, and reads until in every partition it stands at the watermark.  An earlier end
 *    is only the last stable offset: another producer's open transaction holds it back, and
 *    is waited for.
 *
 * A commit is acknowledged before its markers are written.  A broker of Kafka 4 that is killed
 * in between may leave them out for ever where it has the only copy of a partition (KAFKA-20734).
 * Then our own transaction stays open there, and whatever ends our next one in that partition ends
 * it, too: a commit makes its records visible, an abort takes them away, which step 3 finds.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sinks/kafka/kafka.h"

#define FENCING_MS	30000
#define LOOKING_MS	15000
/* What a broker that has just come back says of its topics and watermarks may be old. */
#define PATIENCE_MS	2000
#define SPARE_PARTITIONS	256
#define PEEKING_MS	2000
/* Longer than transaction.timeout.ms of whoever holds a transaction open: brokers allow 15 minutes. */
#define READING_MS	(20 * 60 * 1000)

static bool
is_late(const Kafka *kafka)
{
	return monotonic_ms() >= kafka->deadline;
}

static void
enter(Kafka *kafka, KafkaPhase phase, int milliseconds)
{
	kafka->phase = phase;
	kafka->deadline = monotonic_ms() + milliseconds;
}

/* So long has the phase gone on. */
static int64
phase_age(const Kafka *kafka, int milliseconds)
{
	return monotonic_ms() - (kafka->deadline - milliseconds);
}

/* An outage, for what a broker has answered. */
static AdminSinkResult
give_up(Kafka *kafka, rd_kafka_resp_err_t code, const char *what)
{
	kafka->broker_code = code;
	strlcpy(kafka->broker_error, rd_kafka_err2str(code), sizeof(kafka->broker_error));
	return kafka_no_answer(kafka, what);
}

static AdminSinkResult
fence(Kafka *kafka)
{
	rd_kafka_error_t *error = rd_kafka_init_transactions(kafka->producer, ADMIN_SINK_SLICE_MS);

	rd_kafka_poll(kafka->producer, 0);
	if (error == NULL)
	{
		enter(kafka, KAFKA_LOOKING, LOOKING_MS);
		return ADMIN_SINK_PENDING;
	}
	if (!rd_kafka_error_is_retriable(error))
		return kafka_failure(kafka, error, "begin to deliver");
	rd_kafka_error_destroy(error);
	/* Nothing will come of waiting for a broker that does not let us in. */
	if (kafka->broker_code == RD_KAFKA_RESP_ERR__AUTHENTICATION ||
		kafka->broker_code == RD_KAFKA_RESP_ERR__SSL ||
		kafka->broker_code == RD_KAFKA_RESP_ERR__RESOLVE || is_late(kafka))
		return kafka_no_answer(kafka, "reach the brokers");
	(void) kafka_no_answer(kafka, "reach the brokers");
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
look(Kafka *kafka, const AdminSinkPosition *position)
{
	const struct rd_kafka_metadata *metadata = NULL;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka->producer, kafka->topic, NULL);
	rd_kafka_resp_err_t code = rd_kafka_metadata(kafka->producer, 0, topic, &metadata, ADMIN_SINK_SLICE_MS);
	int			count = 0;

	rd_kafka_topic_destroy(topic);
	rd_kafka_poll(kafka->producer, 0);
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
		count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
		rd_kafka_metadata_destroy(metadata);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR && count == 0)
			code = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
	}
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (!is_late(kafka) && kafka_remedy(code) == NULL)
			return ADMIN_SINK_PENDING;
		return give_up(kafka, code, "find the topic");
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
	{
		int			gone = kafka->shrunk_partition;

		kafka->shrunk_partition = NO_OFFSET;
		if (phase_age(kafka, LOOKING_MS) >= PATIENCE_MS)
			return kafka_stop_at_loss(kafka, gone, "is not there any more");
		rd_kafka_poll(kafka->producer, ADMIN_SINK_SLICE_MS);
		return ADMIN_SINK_PENDING;
	}
	kafka->consumer = kafka_new_consumer(kafka, "read_uncommitted");
	if (kafka->consumer == NULL)
		return kafka->why_none;
	enter(kafka, KAFKA_MEASURING, kafka->is_peeking ? PEEKING_MS : LOOKING_MS);
	return ADMIN_SINK_PENDING;
}

AdminSinkResult
kafka_stop_at_loss(Kafka *kafka, int partition, const char *found)
{
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "topic \"%s\" has lost what was delivered to it, or was made anew: partition %d %s"
			 "; call admin.resync_sink('%s', ...) with the number that admin.resync_proposal('%s') returns",
			 kafka->topic, partition, found, kafka->sink->name, kafka->sink->name);
	kafka->sink->has_lost = true;
	return ADMIN_SINK_STOP;
}

static AdminSinkResult
stop_at_loss(Kafka *kafka, int partition, int64 low, int64 high)
{
	char		found[128];

	snprintf(found, sizeof(found), "holds offsets " INT64_FORMAT " to " INT64_FORMAT ", remembered is " INT64_FORMAT,
			 low, high, kafka->partitions[partition].next);
	return kafka_stop_at_loss(kafka, partition, found);
}

/* Assigns the consumer that reads what is new; nothing is, after an operator's resync. */
static AdminSinkResult
begin_reading(Kafka *kafka)
{
	rd_kafka_topic_partition_list_t *list;
	rd_kafka_resp_err_t code;

	kafka_destroy(&kafka->consumer);
	kafka->consumer = kafka_new_consumer(kafka, "read_committed");
	if (kafka->consumer == NULL)
		return kafka->why_none;
	list = rd_kafka_topic_partition_list_new(kafka->partition_count);
	for (int i = 0; i < kafka->partition_count; i++)
		rd_kafka_topic_partition_list_add(list, kafka->topic, i)->offset =
			kafka->partitions[i].due != NO_OFFSET ? kafka->partitions[i].due : kafka->partitions[i].next;
	code = rd_kafka_assign(kafka->consumer, list);
	rd_kafka_topic_partition_list_destroy(list);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		elog(ERROR, "could not assign partitions: %s", rd_kafka_err2str(code));
	rd_kafka_poll_set_consumer(kafka->consumer);
	enter(kafka, KAFKA_READING, kafka->is_peeking ? PEEKING_MS : READING_MS);
	return ADMIN_SINK_PENDING;
}

bool
kafka_is_without_marker(int64 newest, int64 next, int64 high)
{
	return newest != NO_OFFSET && newest == high - 1 && next == high + 1;
}

static AdminSinkResult
measure(Kafka *kafka, const AdminSinkPosition *position)
{
	int			i = kafka->measured;
	KafkaPartition *partition = &kafka->partitions[i];
	int64		low;
	int64		high;
	rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(kafka->consumer, kafka->topic, i, &low, &high,
																ADMIN_SINK_SLICE_MS);

	rd_kafka_poll(kafka->consumer, 0);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
	{
		if (!is_late(kafka))
			return ADMIN_SINK_PENDING;
		return give_up(kafka, code, "ask for the offsets of the topic");
	}
	if (position->is_resync)
	{
		/* An operator has decided; what the topic holds is as it may be. */
		partition->next = high;
		kafka->header_partition = NO_OFFSET;
		kafka->header_offset = NO_OFFSET;
	}
	else if (partition->next == NO_OFFSET)
		partition->next = low;	/* never heard of: all of it is new */
	else if (kafka_is_without_marker(partition->newest, partition->next, high))
	{
		partition->is_open = true;
		partition->next = high;
	}
	else if (partition->next > high && !is_late(kafka) &&
			 !(kafka_suspects_loss() && phase_age(kafka, LOOKING_MS) >= PATIENCE_MS))
	{
		/* The watermark of a new leader may be behind for a moment. */
		rd_kafka_poll(kafka->consumer, ADMIN_SINK_SLICE_MS);
		return ADMIN_SINK_PENDING;
	}
	else if (partition->next < low || partition->next > high)
		return stop_at_loss(kafka, i, low, high);
	if (i == kafka->header_partition && kafka->header_offset >= low)
		kafka->due_partition = i;
	partition->due = kafka->due_partition == i ? kafka->header_offset : partition->newest;
	/* Retention may have taken it. */
	if (partition->due < low)
		partition->due = NO_OFFSET;
	partition->high = high;
	partition->is_read = partition->next >= high && partition->due == NO_OFFSET;
	if (++kafka->measured < kafka->partition_count)
		return ADMIN_SINK_PENDING;
	return begin_reading(kafka);
}

/*
 * The position in a header of this store; empty where there is none.  "<store id> <position_id> <record>"
 * One that names this store and is not of that form comes back as it is: it is a forgery.
 */
const char *
kafka_position_of(const Kafka *kafka, rd_kafka_message_t *message, int64 *position_id)
{
	static char text[ADMIN_SINK_RECORD_BYTES + 128];
	rd_kafka_headers_t *headers;
	const void *value;
	Size		size;
	Size		id_length = strlen(kafka->sink->store_id);
	char	   *record;

	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR ||
		rd_kafka_header_get_last(headers, POSITION_HEADER, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR || value == NULL)
		return "";
	size = Min(size, sizeof(text) - 1);
	memcpy(text, value, size);
	text[size] = '\0';
	if (strncmp(text, kafka->sink->store_id, id_length) != 0)
		return "";
	*position_id = strtoll(text + id_length, &record, 10);
	return *record == ' ' ? record + 1 : text;
}

/* Only this store can write a position of its own: whoever may write to the topic cannot move it. */
static AdminSinkResult
stop_at_forgery(Kafka *kafka, const rd_kafka_message_t *message, int64 position_id, const char *forgery)
{
	snprintf(kafka->sink->error, sizeof(kafka->sink->error),
			 "position " INT64_FORMAT " in the sink (partition %d, offset " INT64_FORMAT ") was not written by this database: "
			 "%s; find out who else writes to topic \"%.100s\", then call admin.resync_sink('%s', ...) with the number that "
			 "admin.resync_proposal('%s') returns", position_id, message->partition, message->offset, forgery,
			 kafka->topic, kafka->sink->name, kafka->sink->name);
	return ADMIN_SINK_STOP;
}

static AdminSinkResult
take_message(Kafka *kafka, rd_kafka_message_t *message, AdminSinkPosition *position)
{
	KafkaPartition *partition = &kafka->partitions[message->partition];
	int64		position_id = 0;
	const char *record = kafka_position_of(kafka, message, &position_id);
	const char *forgery = record[0] == '\0' ? NULL : kafka->sink->forgery(kafka->sink, position_id, record);

	if (forgery != NULL)
		return stop_at_forgery(kafka, message, position_id, forgery);
	if (partition->due != NO_OFFSET &&
		(message->offset != partition->due || (message->partition == kafka->due_partition && record[0] == '\0')))
		return stop_at_loss(kafka, message->partition, message->offset, partition->high);
	partition->due = NO_OFFSET;
	partition->is_open = false;
	partition->newest = message->offset;
	partition->next = Max(partition->next, message->offset + 1);
	partition->is_read = partition->next >= partition->high;
	partition->is_held_back = false;
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
take_end(Kafka *kafka, const rd_kafka_message_t *message)
{
	KafkaPartition *partition = &kafka->partitions[message->partition];

	/* It has no marker, and nothing is behind it. */
	if (partition->due != NO_OFFSET && message->offset <= partition->due && partition->high <= partition->next)
	{
		partition->is_open = true;
		partition->is_read = true;
		return ADMIN_SINK_PENDING;
	}
	if (partition->due != NO_OFFSET && message->offset > partition->due)
		return stop_at_loss(kafka, message->partition, message->offset, partition->high);
	/* Commit markers are passed by unseen. */
	partition->next = Max(partition->next, message->offset);
	partition->is_read = message->offset >= partition->high || kafka->is_peeking;
	partition->is_held_back = !partition->is_read;
	return ADMIN_SINK_PENDING;
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
finish(Kafka *kafka, AdminSinkPosition *position)
{
	kafka_destroy(&kafka->consumer);
	kafka->phase = KAFKA_READY;
	kafka_forget_error(kafka);
	if (!kafka->is_peeking)
		kafka_forget_suspicion();
	kafka_write_detail(kafka, position->detail, sizeof(position->detail));
	return ADMIN_SINK_OK;
}

static AdminSinkResult
read_on(Kafka *kafka, AdminSinkPosition *position)
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
		/* Where retention was quicker it is known what is there when it is measured anew. */
		else if (message != NULL &&
				 (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || kafka_remedy(message->err) != NULL))
			result = give_up(kafka, message->err, "read the topic");
		if (message != NULL)
			rd_kafka_message_destroy(message);
		if (result != ADMIN_SINK_PENDING)
			return result;
		if (monotonic_ms() >= until)
			break;
	}
	if (is_read(kafka))
		return finish(kafka, position);
	if (is_late(kafka) && !is_held_back(kafka))
		return kafka_no_answer(kafka, "read the topic to its end");
	snprintf(kafka->sink->error, sizeof(kafka->sink->error), "reading topic \"%s\" to its end%s", kafka->topic,
			 is_held_back(kafka) ? "; a transaction that another producer has left open is waited for" : "");
	return is_late(kafka) ? ADMIN_SINK_RETRY : ADMIN_SINK_PENDING;
}

/* Nothing of a peek is left when the fence is up: then it is read anew. */
static AdminSinkResult
end_peek(Kafka *kafka, AdminSinkPosition *position)
{
	kafka_destroy(&kafka->consumer);
	kafka->is_peeking = false;
	kafka->measured = 0;
	kafka->due_partition = NO_OFFSET;
	kafka->header_partition = NO_OFFSET;
	kafka->header_offset = NO_OFFSET;
	position->position_id = kafka->peeked_id;
	strlcpy(position->record, kafka->peeked_record, sizeof(position->record));
	strlcpy(position->detail, kafka->peeked_detail, sizeof(position->detail));
	kafka->sink->error[0] = '\0';
	kafka->sink->has_lost = false;
	enter(kafka, KAFKA_FENCING, FENCING_MS);
	return ADMIN_SINK_PENDING;
}

/* Where the topic may have lost something there is no time for it; an operator who has decided needs none. */
static AdminSinkResult
begin_recovery(Kafka *kafka, const AdminSinkPosition *position)
{
	kafka->is_peeking = !position->is_resync && !kafka_suspects_loss();
	kafka->peeked_id = position->position_id;
	strlcpy(kafka->peeked_record, position->record, sizeof(kafka->peeked_record));
	strlcpy(kafka->peeked_detail, position->detail, sizeof(kafka->peeked_detail));
	if (kafka->is_peeking)
		enter(kafka, KAFKA_LOOKING, PEEKING_MS);
	else
		enter(kafka, KAFKA_FENCING, FENCING_MS);
	return ADMIN_SINK_PENDING;
}

static AdminSinkResult
recover_step(Kafka *kafka, AdminSinkPosition *position)
{
	switch (kafka->phase)
	{
		case KAFKA_FENCING:
			return kafka->deadline == 0 ? begin_recovery(kafka, position) : fence(kafka);
		case KAFKA_LOOKING:
			return look(kafka, position);
		case KAFKA_MEASURING:
			return measure(kafka, position);
		case KAFKA_READING:
			return read_on(kafka, position);
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
	/* The worker stops at a position that its database does not know. */
	if (result == ADMIN_SINK_OK && position->position_id > kafka->peeked_id &&
		!sink->knows(sink, position->position_id, position->record))
		return ADMIN_SINK_OK;
	return end_peek(kafka, position);
}
