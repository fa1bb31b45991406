/*
 * kafka_watch.h
 *	  Looks after the topic while the sink is open: do the brokers answer, and does the
 *	  topic still hold what was delivered to it?
 */
#ifndef ADMIN_EXT_KAFKA_WATCH_H
#define ADMIN_EXT_KAFKA_WATCH_H

#include "sinks/kafka/kafka_types.h"

/*
 * Begins a look at the topic, or takes its results; never waits.  ADMIN_SINK_RETRY: the topic seems
 * to have lost records, or the brokers do not answer although they have no other request to serve.
 */
extern AdminSinkResult kafka_watch(Kafka *kafka, bool is_idle);
extern void kafka_watch_close(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_WATCH_H */
