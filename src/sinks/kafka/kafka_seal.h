/*
 * kafka_seal.h
 *	  The functions of kafka_seal.c that other files call.
 */
#ifndef ADMIN_EXT_KAFKA_SEAL_H
#define ADMIN_EXT_KAFKA_SEAL_H

#include "sinks/kafka/kafka_types.h"

/* The headers of a record of kafka->batch; the message takes them over. */
extern rd_kafka_headers_t *kafka_headers(const Kafka *kafka, int record);

#endif							/* ADMIN_EXT_KAFKA_SEAL_H */
