/*
 * kafka_peek.h
 *	  The beginning and the end of a peek: a look at the topic before other workers are fenced.
 */
#ifndef ADMIN_EXT_KAFKA_PEEK_H
#define ADMIN_EXT_KAFKA_PEEK_H

#include "sinks/kafka/kafka_types.h"

extern AdminSinkResult kafka_begin_recovery(Kafka *kafka, const AdminSinkPosition *position);

/* Recovery begins once more, and fences first. */
extern AdminSinkResult kafka_end_peek(Kafka *kafka, AdminSinkPosition *position);

/* Has a later position been found that the database does not know? */
extern bool kafka_found_unknown(const Kafka *kafka, const AdminSinkPosition *position);

#endif							/* ADMIN_EXT_KAFKA_PEEK_H */
