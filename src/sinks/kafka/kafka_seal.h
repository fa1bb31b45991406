/*
 * kafka_seal.h
 *	  The headers of a record: its delivery number, the store where the document does not name
 *	  it, and on the last one of a transaction the position and the seal of the batch.
 */
#ifndef ADMIN_EXT_KAFKA_SEAL_H
#define ADMIN_EXT_KAFKA_SEAL_H

#include "sinks/kafka/kafka_types.h"

/* The headers of a record of kafka->batch; the message takes them over. */
extern rd_kafka_headers_t *kafka_headers(const Kafka *kafka, int record);

#endif							/* ADMIN_EXT_KAFKA_SEAL_H */
