/*
 * kafka_claim.h
 *	  The functions of kafka_claim.c that other files call.
 */
#ifndef ADMIN_EXT_KAFKA_CLAIM_H
#define ADMIN_EXT_KAFKA_CLAIM_H

#include "sinks/kafka/kafka_types.h"

/*
 * Reads what recovery has read once more, uncommitted, for claims; ADMIN_SINK_FENCED: another
 * server's is better than ours.  The first call begins it.
 */
extern AdminSinkResult kafka_find_claims(Kafka *kafka);

/* Leaves sink->claim in the topic, if there is one; ADMIN_SINK_OK: it is there. */
extern AdminSinkResult kafka_claim(Kafka *kafka);

/* Fenced before, and now the topic holds what this database does not know. */
extern AdminSinkResult kafka_is_outdone(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_CLAIM_H */
