/*
 * kafka_peek.c
 *	  The beginning and the end of a peek: a look at the topic before other workers are fenced.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "sinks/kafka/kafka_config.h"
#include "sinks/kafka/kafka_peek.h"
#include "sinks/kafka/kafka_phase.h"
#include "sinks/kafka/kafka_types.h"

/* The worker stops at a position that its database does not know. */
bool
kafka_found_unknown(const Kafka *kafka, const AdminSinkPosition *position)
{
	return position->position_id > kafka->peeked_id &&
		!kafka->sink->knows(kafka->sink, position->position_id, position->record);
}

/*
 * If the topic may have lost records, there is no time for a peek, unless this worker was fenced
 * before: then it must look first.  After an operator's resync a peek is not needed.
 */
AdminSinkResult
kafka_begin_recovery(Kafka *kafka, const AdminSinkPosition *position)
{
	kafka->is_peeking = !position->is_resync && (kafka->sink->was_fenced || !kafka_suspects_loss());
	kafka->peeked_id = position->position_id;
	strlcpy(kafka->peeked_record, position->record, sizeof(kafka->peeked_record));
	strlcpy(kafka->peeked_detail, position->detail, sizeof(kafka->peeked_detail));
	if (kafka->is_peeking)
		kafka_enter(kafka, KAFKA_LOOKING, LOOKING_MS);
	else
		kafka_enter(kafka, KAFKA_FENCING, FENCING_MS);
	return ADMIN_SINK_PENDING;
}

/* Discards what a peek has found: once other workers are fenced, the topic is read again. */
AdminSinkResult
kafka_end_peek(Kafka *kafka, AdminSinkPosition *position)
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
	kafka_enter(kafka, KAFKA_FENCING, FENCING_MS);
	return ADMIN_SINK_PENDING;
}
