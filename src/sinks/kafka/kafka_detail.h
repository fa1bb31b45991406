/*
 * kafka_detail.h
 *	  The text in which the database remembers the topic: up to which offset each partition holds
 *	  our records, and where the newest position is.
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
