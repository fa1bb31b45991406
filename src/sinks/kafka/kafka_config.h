/*
 * kafka_config.h
 *	  Handles of librdkafka with the settings of admin_ext applied.
 */
#ifndef ADMIN_EXT_KAFKA_CONFIG_H
#define ADMIN_EXT_KAFKA_CONFIG_H

#include "sinks/kafka/kafka_types.h"

/* A handle of the kind, with the settings applied; NULL with sink->error and why_none. */
extern rd_kafka_t *kafka_new_producer(Kafka *kafka);
extern rd_kafka_t *kafka_new_consumer(Kafka *kafka, const char *isolation);

/* The same, for kafka_watch.c; it fetches as little as possible. */
extern rd_kafka_t *kafka_new_watcher(Kafka *kafka);
extern void kafka_destroy(rd_kafka_t **handle);

/* Forgets the last error that error_cb has reported. */
extern void kafka_forget_error(Kafka *kafka);

/* The value of a property in admin_ext.kafka_options; NULL: it is not there. */
extern const char *kafka_option(const Kafka *kafka, const char *wanted);

#endif							/* ADMIN_EXT_KAFKA_CONFIG_H */
