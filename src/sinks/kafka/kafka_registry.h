/*
 * kafka_registry.h
 *	  The functions of kafka_registry.c that other files call.
 */
#ifndef ADMIN_EXT_KAFKA_REGISTRY_H
#define ADMIN_EXT_KAFKA_REGISTRY_H

#include "sinks/kafka/kafka_types.h"

/* Finds or registers the schema; sets kafka->schema_id, 0 without a registry. */
extern AdminSinkResult kafka_find_schema(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_REGISTRY_H */
