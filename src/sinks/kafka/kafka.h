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

/* kafka_watch.c's own: the look after the topic while the sink is open. */
typedef struct KafkaWatch KafkaWatch;

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
	int			partition_room;	/* as many may there be, those included that are added while the sink is open */
	int			measured;		/* partitions whose watermark is known */
	bool		is_peeking;		/* recovery reads, and has fenced nobody yet */
	int64		peeked_id;		/* position_id before it did */
	char		peeked_detail[ADMIN_SINK_DETAIL_BYTES];
	char		peeked_record[ADMIN_SINK_RECORD_BYTES];
	int32		header_partition;	/* where the last header record is; NO_OFFSET: unknown */
	int64		header_offset;
	int32		due_partition;	/* where the record due has to be that one; NO_OFFSET: nowhere */

	KafkaTransaction transaction;
	int64		begun;			/* when it was; 0: it was not */
	AdminSinkBatch *batch;
	char	   *values;			/* with a registry: the batch's values, each with its prefix */
	int64		committed_us;	/* when the transaction before was; 0: none */
	Size		sent_bytes;		/* values of that one */
	KafkaWatch *watch;			/* NULL: it has not begun */
	int32		shrunk_partition;	/* it took a record below what is remembered; NO_OFFSET: none did */
	int64		shrunk_offset;
	int			attempts;		/* that had to be aborted */
	rd_kafka_resp_err_t failed_code;	/* why it has to be aborted, where no report says so */
	char		failed_error[256];
	int			reported;		/* records of the transaction that the broker has */
	int			taken;			/* as many did it have when that was last looked at */
	int64		taken_at;		/* this and what follows by monotonic_ms() */
	int64		hung_up_at;		/* when a broker last closed the producer's connection */
	int64		refused_at;		/* when it last refused one */
	int64		throttled_at;	/* when it last said that it throttles */
	int64		answered_at;	/* when the last look began that went well */
	bool		is_flushed;		/* all records of the transaction have been reported */
	bool		is_spent;		/* the handle has a transaction that cannot be ended: another one does that */
	char		broker_error[256];	/* what error_cb last said; empty: nothing */
	rd_kafka_resp_err_t broker_code;
	char		report_error[256];	/* of the first failed delivery report */
	rd_kafka_resp_err_t report_code;
} Kafka;

/* kafka_config.c: a handle of the kind, with the settings applied; NULL with sink->error and why_none. */
extern rd_kafka_t *kafka_new_producer(Kafka *kafka);
extern rd_kafka_t *kafka_new_consumer(Kafka *kafka, const char *isolation);

/* The same, for kafka_watch.c: it fetches no more than it has to. */
extern rd_kafka_t *kafka_new_watcher(Kafka *kafka);
extern void kafka_destroy(rd_kafka_t **handle);

/* What error_cb has said is over. */
extern void kafka_forget_error(Kafka *kafka);

/* The value of a property in admin_ext.kafka_options; NULL: it is not there. */
extern const char *kafka_option(const Kafka *kafka, const char *wanted);

/* kafka_recover.c */
extern AdminSinkResult kafka_recover(AdminSink *sink, AdminSinkPosition *position);

/* The topic ends with the last of our records: all that is missing is the marker behind it. */
extern bool kafka_is_without_marker(int64 newest, int64 next, int64 high);

/* The position in a header of this store, "" where there is none; valid until the next call. */
extern const char *kafka_position_of(const Kafka *kafka, rd_kafka_message_t *message, int64 *position_id);

/* The topic has lost what was delivered to it; found says what the partition holds instead. */
extern AdminSinkResult kafka_stop_at_loss(Kafka *kafka, int partition, const char *found);

/*
 * kafka_watch.c: begins a look after the topic, or takes what came of it; never waits.  ADMIN_SINK_RETRY: the
 * topic seems to have lost something, or the brokers do not answer, though there is nothing else for them to do.
 */
extern AdminSinkResult kafka_watch(Kafka *kafka, bool is_idle);
extern void kafka_watch_close(Kafka *kafka);

/* Such a look has seen a log that is too short; recovery need not be patient.  Outlives the handle. */
extern bool kafka_suspects_loss(void);
extern void kafka_forget_suspicion(void);

/*
 * kafka_detail.c: reads what kafka_write_detail() has written; false: it was written for another topic.  A
 * partition that is remembered, and is not there, is kafka->shrunk_partition.
 */
extern bool kafka_read_detail(Kafka *kafka, const char *detail);
extern void kafka_write_detail(const Kafka *kafka, char *detail, Size size);

/* kafka_errors.c: an outage or worse, in one sentence a DBA can act on. */
extern AdminSinkResult kafka_refused(Kafka *kafka, rd_kafka_resp_err_t code, const char *reason, const char *what);

/* The same of an error object, which it destroys. */
extern AdminSinkResult kafka_failure(Kafka *kafka, rd_kafka_error_t *error, const char *what);

/* Why the brokers do not answer, as far as is known. */
extern AdminSinkResult kafka_no_answer(Kafka *kafka, const char *what);
extern const char *kafka_remedy(rd_kafka_resp_err_t code);

/* kafka_send.c: copies the values of a batch, each behind the prefix that names its schema. */
extern void kafka_prefix_values(Kafka *kafka, const AdminSinkBatch *batch);

/*
 * Hands the records of kafka->batch to librdkafka.  ADMIN_SINK_PENDING: the transaction is to be aborted, and
 * then it is known why.
 */
extern AdminSinkResult kafka_send_records(Kafka *kafka);
extern bool kafka_is_too_large(const Kafka *kafka);

/* Why the transaction has to be aborted, where no report says so. */
extern void kafka_set_failed(Kafka *kafka, rd_kafka_resp_err_t code, const char *error);

/* Sets of records become smaller, are without a limit again, and grow with each batch that went well. */
extern void kafka_sets_refused(void);
extern void kafka_sets_unlimited(void);
extern void kafka_sets_committed(void);

/* kafka_pace.c: a transaction begins; error_cb was called for the producer; a batch was committed. */
extern void kafka_pace_begin(Kafka *kafka);
extern void kafka_pace_heard(Kafka *kafka, rd_kafka_resp_err_t code, const char *reason);
extern void kafka_pace_committed(Kafka *kafka);

/*
 * While records are on their way: ADMIN_SINK_PENDING: go on, or abort where the batch has a rejected
 * record now; ADMIN_SINK_RETRY: the batch does not get through, the next one may be smaller.
 */
extern AdminSinkResult kafka_pace(Kafka *kafka);

/* kafka_registry.c: finds or registers the schema; sets kafka->schema_id, 0 without a registry. */
extern AdminSinkResult kafka_find_schema(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_H */
