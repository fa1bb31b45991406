/*
 * kafka_detail.h
 *	  The functions of kafka_detail.c that other files call.
 */
#ifndef ADMIN_EXT_KAFKA_DETAIL_H
#define ADMIN_EXT_KAFKA_DETAIL_H

#include "sinks/kafka/kafka_types.h"

/*
 * Reads the text of kafka_write_detail(); false: it was written for another topic.  If a remembered
 * partition no longer exists, sets kafka->shrunk_partition.
 */
extern bool kafka_read_detail(Kafka *kafka, const char *detail);
extern void kafka_write_detail(const Kafka *kafka, char *detail, Size size);

#endif							/* ADMIN_EXT_KAFKA_DETAIL_H */
