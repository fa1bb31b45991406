/*
 * kafka_registry.h
 *	  Finds the event's JSON Schema in a Confluent-compatible schema registry, or registers
 *	  it there, and learns the id that values carry in front (wire format: 0, id in four bytes).
 */
#ifndef ADMIN_EXT_KAFKA_REGISTRY_H
#define ADMIN_EXT_KAFKA_REGISTRY_H

#include "sinks/kafka/kafka_types.h"

/* Finds or registers the schema; sets kafka->schema_id, 0 without a registry. */
extern AdminSinkResult kafka_find_schema(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_REGISTRY_H */
