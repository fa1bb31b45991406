/*
 * kafka_reading.h
 *	  Reads the topic in recovery, from the remembered offsets to its end, read_committed.
 */
#ifndef ADMIN_EXT_KAFKA_READING_H
#define ADMIN_EXT_KAFKA_READING_H

#include "sinks/kafka/kafka_types.h"

/* Assigns the consumer that reads what is new; after an operator's resync, what is newest. */
extern AdminSinkResult kafka_begin_reading(Kafka *kafka);
extern AdminSinkResult kafka_read_on(Kafka *kafka, AdminSinkPosition *position);

/* Stops: the remembered offset is not among those that the partition holds. */
extern AdminSinkResult kafka_stop_at_offsets(Kafka *kafka, int partition, int64 low, int64 high);

#endif							/* ADMIN_EXT_KAFKA_READING_H */
