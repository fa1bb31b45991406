/*
 * kafka_pace.h
 *	  Decides how much is sent at once, and what to do with a batch that does not get through.
 */
#ifndef ADMIN_EXT_KAFKA_PACE_H
#define ADMIN_EXT_KAFKA_PACE_H

#include "sinks/kafka/kafka_types.h"

/* A transaction begins; a batch was committed. */
extern void kafka_pace_begin(Kafka *kafka);
extern void kafka_pace_committed(Kafka *kafka);

/*
 * To be called while records are on their way.  ADMIN_SINK_PENDING: continue, or abort if the batch
 * now has a rejected record.  ADMIN_SINK_RETRY: the batch does not get through, and the next one
 * may be smaller.
 */
extern AdminSinkResult kafka_pace(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_PACE_H */
