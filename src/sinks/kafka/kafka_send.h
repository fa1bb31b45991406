/*
 * kafka_send.h
 *	  Hands the records of a batch to librdkafka, all at once or in sets.
 */
#ifndef ADMIN_EXT_KAFKA_SEND_H
#define ADMIN_EXT_KAFKA_SEND_H

#include "sinks/kafka/kafka_types.h"

/* Copies the values of a batch, each behind the prefix that names its schema. */
extern void kafka_prefix_values(Kafka *kafka, const AdminSinkBatch *batch);

/*
 * Hands the records of kafka->batch to librdkafka.  ADMIN_SINK_PENDING: the transaction has to be
 * aborted, and the reason is known.
 */
extern AdminSinkResult kafka_send_records(Kafka *kafka);
extern bool kafka_is_too_large(const Kafka *kafka);

/* Why the transaction has to be aborted, where no report says so. */
extern void kafka_set_failed(Kafka *kafka, rd_kafka_resp_err_t code, const char *error);

/* Sets of records become smaller, are without a limit again, and grow with each batch that went well. */
extern void kafka_sets_refused(void);
extern void kafka_sets_unlimited(void);
extern void kafka_sets_committed(void);

#endif							/* ADMIN_EXT_KAFKA_SEND_H */
