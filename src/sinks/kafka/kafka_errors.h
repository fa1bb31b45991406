/*
 * kafka_errors.h
 *	  Turns an error of librdkafka into a result, and into one sentence that a DBA can act on.
 */
#ifndef ADMIN_EXT_KAFKA_ERRORS_H
#define ADMIN_EXT_KAFKA_ERRORS_H

#include "sinks/kafka/kafka_types.h"

/* The topic has lost delivered records; found says what is there instead. */
extern AdminSinkResult kafka_stop_at_loss(Kafka *kafka, const char *found);

/* An outage or worse, in one sentence a DBA can act on. */
extern AdminSinkResult kafka_refused(Kafka *kafka, rd_kafka_resp_err_t code, const char *reason, const char *what);

/* The same of an error object, which it destroys. */
extern AdminSinkResult kafka_failure(Kafka *kafka, rd_kafka_error_t *error, const char *what);

/* Why the brokers do not answer, as far as is known. */
extern AdminSinkResult kafka_no_answer(Kafka *kafka, const char *what);

/* Notes whether the brokers were too slow for a batch just now. */
extern void kafka_set_slow(bool is_slow);

/* What to do about an answer; NULL: it passes by itself. */
extern const char *kafka_remedy(rd_kafka_resp_err_t code);

/* An outage, for what a broker has answered. */
extern AdminSinkResult kafka_give_up(Kafka *kafka, rd_kafka_resp_err_t code, const char *what);

/* For brokers that have not answered yet: an outage once the time of the phase is over. */
extern AdminSinkResult kafka_wait_for_brokers(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_ERRORS_H */
