/*
 * kafka.h
 *	  The Kafka sink: what its files share.
 *
 * Everything runs in the worker's one thread.  librdkafka's own threads have all
 * signals blocked and never call back: errors, logs and delivery reports are served by
 * polling.
 */
#ifndef ADMIN_EXT_KAFKA_H
#define ADMIN_EXT_KAFKA_H

#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "admin_ext_sink.h"
#include "monotonic.h"

#define POSITION_HEADER		"admin-ext-position"
#define NO_OFFSET			(-1)
/* A transaction that takes longer is an outage: the next handle settles it. */
#define KAFKA_TRANSACTION_MS	20000

/* A partition of the topic, and how far it is known to hold what is ours. */
typedef struct KafkaPartition
{
	int64		next;			/* behind the last of our records and its commit marker */
	int64		newest;			/* offset of the newest committed record; NO_OFFSET: unknown */
	int64		due;			/* recovery has to see the record here; NO_OFFSET: none, or it has */
	int64		high;			/* high watermark, read uncommitted, when recovery began */
	int64		last;			/* offset of the batch's last record in it; NO_OFFSET: none */
	bool		is_open;		/* the transaction before was committed, and has no marker here */
	bool		is_held_back;	/* recovery has come to an open transaction of another producer's */
	bool		is_read;		/* recovery has come to its end */
} KafkaPartition;

typedef enum KafkaPhase
{
	KAFKA_FENCING,				/* init_transactions: an older worker is fenced */
	KAFKA_LOOKING,				/* how many partitions are there? */
	KAFKA_MEASURING,			/* watermarks, one partition after the other */
	KAFKA_READING,				/* from what is remembered to the watermarks */
	KAFKA_READY
} KafkaPhase;

typedef enum KafkaTransaction
{
	KAFKA_NONE,
	KAFKA_COMMITTING,
	KAFKA_ABORTING
} KafkaTransaction;

typedef struct Kafka
{
	AdminSink  *sink;
	char	   *topic;
	int			schema_id;		/* of the registry; 0: values carry no prefix */
	rd_kafka_t *producer;
	rd_kafka_topic_t *producer_topic;	/* looked up once, not for each record */
	AdminSinkResult why_none;	/* what it is when a handle could not be had */
	int			timeout_ms;		/* after which the broker ends a transaction */
	rd_kafka_t *consumer;		/* while recovering */
	KafkaPhase	phase;
	int64		deadline;		/* of the phase, or of the transaction at hand */
	KafkaPartition *partitions;
	int			partition_count;
	int			measured;		/* partitions whose watermark is known */
	int32		header_partition;	/* where the last header record is; NO_OFFSET: unknown */
	int64		header_offset;
	int32		due_partition;	/* where the record due has to be that one; NO_OFFSET: nowhere */

	KafkaTransaction transaction;
	int64		begun;			/* when it was; 0: it was not */
	AdminSinkBatch *batch;
	char	   *values;			/* with a registry: the batch's values, each with its prefix */
	int64		committed_us;	/* when the transaction before was; 0: none */
	int			attempts;		/* that had to be aborted */
	rd_kafka_resp_err_t failed_code;	/* why it has to be aborted, where no report says so */
	char		failed_error[256];
	int			reported;		/* records of the transaction that the broker has */
	char		broker_error[256];	/* what error_cb last said; empty: nothing */
	rd_kafka_resp_err_t broker_code;
	char		report_error[256];	/* of the first failed delivery report */
	rd_kafka_resp_err_t report_code;
} Kafka;

/* kafka_config.c: a handle of the kind, with the settings applied; NULL with sink->error and why_none. */
extern rd_kafka_t *kafka_new_producer(Kafka *kafka);
extern rd_kafka_t *kafka_new_consumer(Kafka *kafka, const char *isolation);
extern void kafka_destroy(rd_kafka_t **handle);

/* The value of a property in admin_ext.kafka_options; NULL: it is not there. */
extern const char *kafka_option(const Kafka *kafka, const char *wanted);

/* kafka_recover.c */
extern AdminSinkResult kafka_recover(AdminSink *sink, AdminSinkPosition *position);
extern void kafka_write_detail(const Kafka *kafka, char *detail, Size size);

/* kafka_errors.c: an outage or worse, in one sentence a DBA can act on. */
extern AdminSinkResult kafka_refused(Kafka *kafka, rd_kafka_resp_err_t code, const char *reason, const char *what);

/* The same of an error object, which it destroys. */
extern AdminSinkResult kafka_failure(Kafka *kafka, rd_kafka_error_t *error, const char *what);

/* Why the brokers do not answer, as far as is known. */
extern AdminSinkResult kafka_no_answer(Kafka *kafka, const char *what);
extern const char *kafka_remedy(rd_kafka_resp_err_t code);

/* kafka_registry.c: finds or registers the schema; sets kafka->schema_id, 0 without a registry. */
extern AdminSinkResult kafka_find_schema(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_H */
