/*
 * kafka_position.h
 *	  Reads the header that carries the worker's position.
 */
#ifndef ADMIN_EXT_KAFKA_POSITION_H
#define ADMIN_EXT_KAFKA_POSITION_H

#include "sinks/kafka/kafka_types.h"

/* Copies the last header of this name as text, cut to the size of the buffer.  False: there is none. */
extern bool kafka_header_text(const rd_kafka_message_t *message, const char *name, char *text, Size size);

/* The position in a header of this store, "" where there is none; valid until the next call. */
extern const char *kafka_position_of(const Kafka *kafka, rd_kafka_message_t *message, int64 *position_id);
extern AdminSinkResult kafka_stop_at_forgery(Kafka *kafka, const rd_kafka_message_t *message, int64 position_id, const char *forgery);

/* After an operator's resync: keeps the newest position of this store for the worker. */
extern void kafka_keep_newest(Kafka *kafka, rd_kafka_message_t *message, AdminSinkPosition *position);

#endif							/* ADMIN_EXT_KAFKA_POSITION_H */
