/*
 * kafka_types.h
 *	  The Kafka sink: what its files share.
 *
 * Everything runs in the worker's one thread.  librdkafka's own threads have all
 * signals blocked and never call back: errors, logs and delivery reports are served by
 * polling.
 */
#ifndef ADMIN_EXT_KAFKA_TYPES_H
#define ADMIN_EXT_KAFKA_TYPES_H

#include "postgres.h"

#include <librdkafka/rdkafka.h>

#include "admin_ext_sink.h"
#include "monotonic.h"

#define POSITION_HEADER		"admin-ext-position"
#define SEAL_HEADER			"admin-ext-seal"
#define CLAIM_HEADER		"admin-ext-claim"
#define NO_OFFSET			(-1)
/* A transaction that takes longer is an outage: the next handle settles it. */
#define KAFKA_TRANSACTION_MS	20000
#define FENCING_MS	30000
#define LOOKING_MS	15000
#define KAFKA_TOPIC_ID_BYTES	23	/* as Kafka's tools show it, and the end */

/* A partition of the topic, and up to which offset it holds our records. */
typedef struct KafkaPartition
{
	int64		next;			/* behind the last of our records and its commit marker */
	int64		seen;			/* high watermark at the last look; 0: none has been */
	int64		newest;			/* offset of the newest committed record; NO_OFFSET: unknown */
	int64		due;			/* recovery has to see the record here; NO_OFFSET: none, or it has */
	int64		from;			/* recovery reads from here */
	int64		high;			/* high watermark, read uncommitted, when recovery began */
	int64		last;			/* offset of the batch's last record in it; NO_OFFSET: none */
	bool		is_open;		/* last transaction is committed, but has no marker here */
	bool		is_held_back;	/* recovery has come to an open transaction of another producer's */
	bool		is_read;		/* recovery has come to its end */
} KafkaPartition;

/* kafka_watch.c's own: the look after the topic while the sink is open. */
typedef struct KafkaWatch KafkaWatch;

typedef enum KafkaPhase
{
	KAFKA_FENCING,				/* init_transactions: an older worker is fenced */
	KAFKA_LOOKING,				/* how many partitions are there? */
	KAFKA_IDENTIFYING,			/* is it the topic that is remembered? */
	KAFKA_MEASURING,			/* watermarks, one partition after the other */
	KAFKA_READING,				/* from what is remembered to the watermarks */
	KAFKA_FINDING_CLAIMS,		/* the same once more, for what others have left there */
	KAFKA_CLAIMING,				/* leaves a claim there */
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
	AdminSinkResult why_none;	/* the result if a handle could not be created */
	int			timeout_ms;		/* after which the broker ends a transaction */
	rd_kafka_t *consumer;		/* while recovering */
	KafkaPhase	phase;
	int64		deadline;		/* of the phase, or of the transaction at hand */
	KafkaPartition *partitions;
	int			partition_count;
	int			partition_room; /* room in partitions, also for those that are added later */
	char		topic_id[KAFKA_TOPIC_ID_BYTES]; /* of the topic that holds what was delivered;
												 * empty: unknown */
	rd_kafka_queue_t *question; /* where the answer to the question for it comes; NULL: it is not
								 * asked */
	int			asking_ms;		/* timeout of the next question for partitions or offsets */
	int			patience_ms;	/* how long the brokers may give outdated answers */
	int			measured;		/* partitions whose watermark is known */
	bool		is_peeking;		/* recovery reads, and has fenced no worker yet */
	bool		is_claiming;	/* a claim is on its way */
	bool		has_claimed;	/* the claim is in the topic */
	int64		peeked_id;		/* position_id before the peek */
	char		peeked_detail[ADMIN_SINK_DETAIL_BYTES];
	char		peeked_record[ADMIN_SINK_RECORD_BYTES];
	int32		header_partition;	/* where the last header record is; NO_OFFSET: unknown */
	int64		header_offset;
	int32		due_partition;	/* where the record due has to be that one; NO_OFFSET: nowhere */

	KafkaTransaction transaction;
	int64		begun;			/* when the transaction began; 0: none */
	AdminSinkBatch *batch;
	char	   *values;			/* with a registry: the batch's values, each with its prefix */
	int64		committed_us;	/* when the previous transaction was committed; 0: none */
	Size		sent_bytes;		/* bytes of its values */
	KafkaWatch *watch;			/* NULL: it has not begun */
	int32		shrunk_partition;	/* it took a record below what is remembered; NO_OFFSET: none
									 * did */
	int64		shrunk_offset;
	int			attempts;		/* transactions of this batch that were aborted */
	rd_kafka_resp_err_t failed_code;	/* why it has to be aborted, where no report says so */
	char		failed_error[256];
	int			reported;		/* records of the transaction that the broker has */
	int			taken;			/* reported, when last looked at */
	int64		taken_at;		/* this and what follows by monotonic_ms() */
	int64		hung_up_at;		/* when a broker last closed the producer's connection */
	int64		refused_at;		/* when it last refused one */
	int64		throttled_at;	/* when it last said that it throttles */
	int64		answered_at;	/* when the last successful look began */
	bool		is_flushed;		/* all records of the transaction have been reported */
	bool		is_spent;		/* only another handle can end its transaction */
	char		broker_error[256];	/* what error_cb last said; empty: nothing */
	rd_kafka_resp_err_t broker_code;
	char		report_error[256];	/* of the first failed delivery report */
	rd_kafka_resp_err_t report_code;
} Kafka;

#endif							/* ADMIN_EXT_KAFKA_TYPES_H */
