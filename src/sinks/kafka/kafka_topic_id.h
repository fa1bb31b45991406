/*
 * kafka_topic_id.h
 *	  Asks the brokers for the id of the topic.  A topic that is deleted and recreated gets another one.
 */
#ifndef ADMIN_EXT_KAFKA_TOPIC_ID_H
#define ADMIN_EXT_KAFKA_TOPIC_ID_H

#include "sinks/kafka/kafka_types.h"

/*
 * Asks the brokers for the id of the topic, and waits so long for the answer.  True: id has it, in
 * KAFKA_TOPIC_ID_BYTES at most.  It is empty if librdkafka has no such call, or the brokers have no
 * ids.  False: there is no answer yet; the next call takes it from *question, or asks again.
 */
extern bool kafka_topic_id_ask(const Kafka *kafka, rd_kafka_t *handle, rd_kafka_queue_t **question, int milliseconds, char *id);

/* Is it the topic that is remembered?  ADMIN_SINK_OK: it is, as far as ids tell, and its id is remembered from now on. */
extern AdminSinkResult kafka_identify(Kafka *kafka);

/* To be called before the handle that was asked is destroyed. */
extern void kafka_topic_id_forget(rd_kafka_queue_t **question);

#endif							/* ADMIN_EXT_KAFKA_TOPIC_ID_H */
