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
#define SEAL_HEADER			"admin-ext-seal"
#define CLAIM_HEADER		"admin-ext-claim"
#define NO_OFFSET			(-1)
/* A transaction that takes longer is an outage: the next handle settles it. */
#define KAFKA_TRANSACTION_MS	20000
#define FENCING_MS	30000
#define LOOKING_MS	15000
#define KAFKA_TOPIC_ID_BYTES	23	/* as Kafka's tools show it, and the end */

/* A partition of the topic, and how far it is known to hold what is ours. */
typedef struct KafkaPartition
{
	int64		next;			/* behind the last of our records and its commit marker */
	int64		seen;			/* high watermark at the last look; 0: none has been */
	int64		newest;			/* offset of the newest committed record; NO_OFFSET: unknown */
	int64		due;			/* recovery has to see the record here; NO_OFFSET: none, or it has */
	int64		from;			/* recovery reads from here */
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
	AdminSinkResult why_none;	/* what it is when a handle could not be had */
	int			timeout_ms;		/* after which the broker ends a transaction */
	rd_kafka_t *consumer;		/* while recovering */
	KafkaPhase	phase;
	int64		deadline;		/* of the phase, or of the transaction at hand */
	KafkaPartition *partitions;
	int			partition_count;
	int			partition_room; /* as many may there be, those included that are added while the
								 * sink is open */
	char		topic_id[KAFKA_TOPIC_ID_BYTES]; /* of the topic that holds what was delivered;
												 * empty: unknown */
	rd_kafka_queue_t *question; /* where the answer to the question for it comes; NULL: it is not
								 * asked */
	int			asking_ms;		/* the next question for the topic's partitions, or for offsets, is
								 * waited for so long */
	int			patience_ms;	/* so long may what the brokers say of the topic be old */
	int			measured;		/* partitions whose watermark is known */
	bool		is_peeking;		/* recovery reads, and has fenced no worker yet */
	bool		is_claiming;	/* a claim is on its way */
	bool		has_claimed;	/* and has got there */
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
	int32		shrunk_partition;	/* it took a record below what is remembered; NO_OFFSET: none
									 * did */
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
	bool		is_spent;		/* the handle has a transaction that cannot be ended: another one
								 * does that */
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

/* The next phase of recovery, and how long it may take. */
extern void kafka_enter(Kafka *kafka, KafkaPhase phase, int milliseconds);

/* The phase has had its time. */
extern bool kafka_is_late(const Kafka *kafka);

/* Recovery waits for what may be old news to pass: as long as it can, and no longer than it has to where loss is suspected. */
extern bool kafka_is_patient(const Kafka *kafka);

/* kafka_offsets.c: how long to wait for the next answer, in ms: twice as long each time, 3 s at most. */
extern int	kafka_asking_ms(Kafka *kafka);

/*
 * Where a partition begins and ends, asked by kafka->consumer; begin may be NULL.  A read_committed consumer is told
 * the last stable offset as the end.  Each of the two questions waits kafka_asking_ms() at most.  An answer that comes
 * later is lost, so slow brokers need longer waits.
 */
extern rd_kafka_resp_err_t kafka_offsets(Kafka *kafka, int partition, int64 *begin, int64 *end);

/* kafka_reading.c: assigns the consumer that reads what is new; after an operator's resync, what is newest. */
extern AdminSinkResult kafka_begin_reading(Kafka *kafka);
extern AdminSinkResult kafka_read_on(Kafka *kafka, AdminSinkPosition *position);

/* A partition holds these offsets, and what is remembered is not among them. */
extern AdminSinkResult kafka_stop_at_offsets(Kafka *kafka, int partition, int64 low, int64 high);

/* kafka_peek.c */
extern AdminSinkResult kafka_begin_recovery(Kafka *kafka, const AdminSinkPosition *position);

/* Recovery begins once more, and fences first. */
extern AdminSinkResult kafka_end_peek(Kafka *kafka, AdminSinkPosition *position);

/* Has a later position been found that the database does not know? */
extern bool kafka_found_unknown(const Kafka *kafka, const AdminSinkPosition *position);

/*
 * kafka_claim.c: reads what recovery has read once more, uncommitted, for claims; ADMIN_SINK_FENCED: another
 * server's is better than ours.  The first call begins it.
 */
extern AdminSinkResult kafka_find_claims(Kafka *kafka);

/* Leaves sink->claim in the topic, if there is one; ADMIN_SINK_OK: it is there. */
extern AdminSinkResult kafka_claim(Kafka *kafka);

/* Fenced before, and now the topic holds what this database does not know. */
extern AdminSinkResult kafka_is_outdone(Kafka *kafka);

/* The topic ends with the last of our records: all that is missing is the marker behind it. */
extern bool kafka_is_without_marker(int64 newest, int64 next, int64 high);

/* Copies the last header of this name as text, cut to the size of the buffer.  False: there is none. */
extern bool kafka_header_text(const rd_kafka_message_t *message, const char *name, char *text, Size size);

/* The position in a header of this store, "" where there is none; valid until the next call. */
extern const char *kafka_position_of(const Kafka *kafka, rd_kafka_message_t *message, int64 *position_id);
extern AdminSinkResult kafka_stop_at_forgery(Kafka *kafka, const rd_kafka_message_t *message, int64 position_id, const char *forgery);

/* After an operator's resync: keeps the newest position of this store for the worker. */
extern void kafka_keep_newest(Kafka *kafka, rd_kafka_message_t *message, AdminSinkPosition *position);

/* The topic has lost delivered records; found says what is there instead. */
extern AdminSinkResult kafka_stop_at_loss(Kafka *kafka, const char *found);

/*
 * kafka_topic_id.c: asks the brokers for the id of the topic, and waits so long for the answer.  True: id has
 * it, of KAFKA_TOPIC_ID_BYTES at most; empty: librdkafka has no call for it, or the brokers have no ids.  False:
 * there is no answer yet, and *question is where it comes; the next call takes it, or asks again.
 */
extern bool kafka_topic_id_ask(const Kafka *kafka, rd_kafka_t *handle, rd_kafka_queue_t **question, int milliseconds, char *id);

/* Is it the topic that is remembered?  ADMIN_SINK_OK: it is, as far as ids tell, and its id is remembered from now on. */
extern AdminSinkResult kafka_identify(Kafka *kafka);

/* Before the handle is destroyed that was asked. */
extern void kafka_topic_id_forget(rd_kafka_queue_t **question);

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

/* An outage, for what a broker has answered. */
extern AdminSinkResult kafka_give_up(Kafka *kafka, rd_kafka_resp_err_t code, const char *what);

/* They have not answered yet: an outage once the phase has had its time. */
extern AdminSinkResult kafka_wait_for_brokers(Kafka *kafka);

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

/* kafka_seal.c: the headers of a record of kafka->batch; the message takes them over. */
extern rd_kafka_headers_t *kafka_headers(const Kafka *kafka, int record);

/* kafka_pace.c: a transaction begins; error_cb was called for the producer; a batch was committed. */
extern void kafka_pace_begin(Kafka *kafka);
extern void kafka_pace_heard(Kafka *kafka, rd_kafka_resp_err_t code, const char *reason);
extern void kafka_pace_committed(Kafka *kafka);

/* Were the brokers too slow for a batch a moment ago? */
extern bool kafka_pace_was_slow(void);

/*
 * While records are on their way: ADMIN_SINK_PENDING: go on, or abort where the batch has a rejected
 * record now; ADMIN_SINK_RETRY: the batch does not get through, the next one may be smaller.
 */
extern AdminSinkResult kafka_pace(Kafka *kafka);

/* kafka_registry.c: finds or registers the schema; sets kafka->schema_id, 0 without a registry. */
extern AdminSinkResult kafka_find_schema(Kafka *kafka);

#endif							/* ADMIN_EXT_KAFKA_H */
