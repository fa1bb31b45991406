/*
 * kafka_offsets.h
 *	  Asks the brokers where a partition begins and ends.
 */
#ifndef ADMIN_EXT_KAFKA_OFFSETS_H
#define ADMIN_EXT_KAFKA_OFFSETS_H

#include "sinks/kafka/kafka_types.h"

/* How long to wait for the next answer, in ms: twice as long each time, 3 s at most. */
extern int	kafka_asking_ms(Kafka *kafka);

/*
 * Where a partition begins and ends, asked by kafka->consumer; begin may be NULL.  A read_committed consumer is told
 * the last stable offset as the end.  Each of the two questions waits kafka_asking_ms() at most.  An answer that comes
 * later is lost, so slow brokers need longer waits.
 */
extern rd_kafka_resp_err_t kafka_offsets(Kafka *kafka, int partition, int64 *begin, int64 *end);

/* The topic ends with the last of our records: all that is missing is the marker behind it. */
extern bool kafka_is_without_marker(int64 newest, int64 next, int64 high);

#endif							/* ADMIN_EXT_KAFKA_OFFSETS_H */
