/*
 * kafka_claim.h
 *	  Claims: a promoted server leaves one in the topic, for the previous server to find.
 */
#ifndef ADMIN_EXT_KAFKA_CLAIM_H
#define ADMIN_EXT_KAFKA_CLAIM_H

#include "sinks/kafka/kafka_types.h"

/*
 * Reads the offsets that recovery has read once more, uncommitted, and looks for claims.  The first
 * call begins that.  ADMIN_SINK_FENCED: the claim of another server is better than ours.
 */
extern AdminSinkResult kafka_find_claims(Kafka *kafka);

/* Leaves sink->claim in the topic, if there is one; ADMIN_SINK_OK: it is there. */
extern AdminSinkResult kafka_claim(Kafka *kafka);

/* For a worker that was fenced before: the topic now holds rows that its database does not know. */
extern AdminSinkResult kafka_is_outdone(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_CLAIM_H */
