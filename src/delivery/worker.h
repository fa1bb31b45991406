/*
 * worker.h
 *	  The worker of one database and sink: what its files share.
 */
#ifndef ADMIN_EXT_WORKER_H
#define ADMIN_EXT_WORKER_H

#include "delivery/envelope.h"
#include "delivery/links.h"
#include "delivery/position.h"
#include "delivery/shared.h"
#include "delivery/window.h"

/* What a step came to. */
typedef enum StepResult
{
	STEP_IDLE,					/* nothing to do until woken */
	STEP_MORE,					/* go on at once */
	STEP_DELIVERED,				/* a batch is with the sink for good; go on at once */
	STEP_REOPEN,				/* what is known of the position holds no longer */
	STEP_UNCONFIRMED,			/* a synchronous standby has to confirm first; sink.error says so */
	STEP_RETRY,					/* an outage; sink.error says which */
	STEP_FENCED,
	STEP_STOP					/* somebody has to decide; sink.error says what */
} StepResult;

/*
 * What a worker knows is in parts.  The file that a part names keeps it; opening.c begins most of
 * them anew.  Instants without a type of their own are by monotonic_ms().
 */

/* claim.c: this worker and others of the same identity. */
typedef struct WorkerFencing
{
	bool		has_fenced;		/* opening the sink went so far that another's worker is fenced */
	int64		returns_at;		/* fenced, it comes back at this time; 0: it does not */
	int			pause;			/* in milliseconds, before it last did; 0: it has not been fenced
								 * lately */
} WorkerFencing;

/* worker_lock.c, backlog.c: what waits, and whether it could be counted. */
typedef struct WorkerLag
{
	bool		is_waiting;		/* a lock was in the way when it looked last */
	uint64		looking_rows;	/* slot->committed_rows before the snapshot at hand */
	uint64		looked_rows;	/* the same, of the last one that rows were counted by */
	int64		rows;			/* as counted then */
	TimestampTz since;			/* recorded_at of the oldest of them; 0: none */
	TimestampTz waiting_since;	/* when the first row after them was noticed; 0: none was */
	int64		backlog_at;		/* when it is counted next without a position */
} WorkerLag;

/* batch.c: the position that the database has. */
typedef struct WorkerRecorded
{
	int64		position_id;
	bool		is_resync;
	bool		is_late;		/* the sink has a batch whose position could not be recorded */
	int64		rows;			/* its delivered_rows */
	int64		at;
	XLogRecPtr	lsn;
	int64		purged_position;	/* older ones, and their ticks, are gone up to these */
	int64		purged_tick;
} WorkerRecorded;

/* retry.c: dead letters that an operator has asked for. */
typedef struct WorkerRetries
{
	bool		has_retried;	/* one was sent again: now it is the others' turn */
	int64		seen_at;		/* when there was none */
} WorkerRetries;

/* upkeep.c: what is done from time to time, by one worker of a database. */
typedef struct WorkerChores
{
	const char *settings_scope; /* why the settings are to be looked at: a start, or a reload;
								 * NULL: they are not */
	int64		partitions_at;	/* when months to come are looked at again */
	bool		has_failed_partitions;	/* when they were looked at last */
	int64		swept_at;		/* when nothing was left to be announced; 0: not yet */
	bool		is_sweeping;	/* part of what is due has been announced */
} WorkerChores;

/* ticking.c: the snapshots that windows lie between. */
typedef struct WorkerTicks
{
	TickSnapshot *done;			/* delivered; at or after that of the position */
	int64		done_tick;		/* id of the tick that done began with */
	int64		made_at;		/* when the newest of them was made */
	int64		newest;			/* the newest one this worker has made; 0: none since it was opened */
	TickSnapshot *counted;		/* rows waiting behind the window are counted up to here; NULL:
								 * none are */
	int64		behind;			/* how many those are */
} WorkerTicks;

/* durable.c: what standbys have to confirm. */
typedef struct WorkerDurability
{
	XLogRecPtr	owed_lsn;		/* nothing is sent before they have confirmed this */
	int64		unconfirmed_at; /* since when it waits for that; 0: it does not */
	int64		counted_at;		/* when it counted last what waits meanwhile */
} WorkerDurability;

/* reading.c: keys of the window that no batch has, for they are dead letters. */
typedef struct WorkerPassed
{
	bool		is_any;			/* of this window */
	int64		audit_id;		/* of the last key that was fetched; 0: none of this window */
} WorkerPassed;

/* reading.c: a batch that was read. */
typedef struct WorkerBatch
{
	bool		is_read;		/* of the one ahead: it is at hand */
	int			first_key;		/* of the one that is being delivered */
	int			next_key;		/* after its last */
	Envelopes	envelopes;
	TimestampTz first_recorded; /* when its first row was; 0: it has none */
} WorkerBatch;

typedef struct Worker
{
	DeliverySlot *slot;
	char		database[NAMEDATALEN];
	char		sink_name[NAMEDATALEN];
	const AdminSinkCallbacks *callbacks;
	AdminSink	sink;

	/* How far opening.c has come; see worker.c. */
	bool		is_locked;		/* the sink is ours alone */
	bool		is_positioned;	/* what follows is known */
	bool		is_open;		/* the sink is open besides */
	int64		opened_at;		/* since when */
	MemoryContext context;		/* from one open to the next */
	Oid			audit;			/* admin.audit at that time: another one, another store */

	Position	position;		/* as the sink has it */
	PositionKey key;			/* that positions of the sink are sealed with */
	Links		links;			/* batches delivered since one was recorded */
	bool		has_rejected;	/* there may be dead letters to pass by */
	Tick		window;			/* being delivered; tick_id 0: none */
	WindowKeys	keys;			/* of it, or of the backfill */
	AdminSinkRanges again;		/* the backfill is of these rows alone; no range: of all */
	WorkerPassed passed;
	WorkerBatch batch;
	WorkerBatch ahead;			/* begins with the key after it */

	WorkerTicks ticks;
	WorkerRecorded recorded;
	WorkerDurability durability;
	WorkerRetries retries;
	WorkerLag	lag;
	WorkerFencing fencing;
	WorkerChores chores;
} Worker;

/* opening.c */
extern StepResult worker_open(Worker *worker);

/* Forgets the position where it is not the newest any more: an operator may have answered. */
extern void worker_look_at_position(Worker *worker);

/* Shows whether the sink has lost rows that were delivered to it. */
extern void worker_show_loss(Worker *worker);

/* The sink alone: the position, the window and its keys stay. */
extern void worker_close_sink(Worker *worker);
extern void worker_close(Worker *worker);

/*
 * divergence.c: the sink holds rows up to this one that the database has lost.  STEP_STOP: an
 * operator has to decide; STEP_REOPEN: he has, and the store has a new id.
 */
extern StepResult worker_diverged(Worker *worker, int64 highest_sent);

/* Has an operator said that it is to go on as another store where commits were lost, and can they have been? */
extern bool worker_may_fork(const Worker *worker);

/* After a promotion, where the sink cannot tell: were rows lost?  STEP_MORE: no. */
extern StepResult worker_check_promotion(Worker *worker);

/* kept_number.c: after an operator's resync, number and chain go on from what the sink holds. */
extern void worker_take_kept_number(Worker *worker, const AdminSinkPosition *found);

/* claim.c: sets sink.claim, where this server has come after the one that recorded the position. */
extern void worker_make_claim(Worker *worker);

/* Was the claim made for this store, by a server that has come after this one? */
extern bool worker_yields(const AdminSink *sink, const char *claim);

/* Fenced by another worker, its sink still open: decides whether and when this one comes back. */
extern void worker_plan_return(Worker *worker);

/* Is it time?  Then sink.was_fenced is set. */
extern bool worker_returns(Worker *worker);

/* sink_context.c: what the sink is given when it is opened. */
extern void worker_prepare_sink(Worker *worker);

/* The highest row that another fork of the data has sent; 0: there is no fork. */
extern void worker_set_highest_sent(Worker *worker, int64 audit_id);

/*
 * promotion.c: was the server before this one at its end when this one took over?  False
 * where it may have committed, and delivered, what this one does not have.
 */
extern bool promotion_lost_nothing(const char *home_before, const char *home);

/* backlog.c: sets the lag of a sink without a position to go on from; in a transaction of its own. */
extern void worker_count_backlog(Worker *worker);

/* upkeep.c: what is to be done from time to time; raises nothing. */
extern void worker_upkeep(Worker *worker);

/* deliver.c */
extern StepResult worker_step(Worker *worker);

/* reading.c: the next batch.  False: what is known of the position holds no longer. */
extern bool worker_read_batch(Worker *worker);

/* What is left of a backfill above this row, as far as it is in one piece; false: nothing is. */
extern bool worker_next_backfill(const Worker *worker, int64 above, AdminSinkRange *range);

/* The one after it, if its keys are at hand. */
extern void worker_read_ahead(Worker *worker);

/*
 * content.c: the SHA-256 of the documents of a batch, computed in the background while they are
 * made.  To be begun before the first, updated after each, and taken once when they are complete.
 */
extern void worker_content_begin(Envelopes *envelopes);
extern void worker_content_grown(Envelopes *envelopes);
extern void worker_content_of(Envelopes *envelopes, unsigned char content[CHAIN_BYTES]);

/* Afterwards the documents of both batches may be let go of. */
extern void worker_content_settle(Worker *worker);

/*
 * batch.c: the envelopes at hand, up to the position that holds afterwards; tick_id and
 * nonce name the newest tick whose rows are among them (0: none).  STEP_MORE: one was
 * rejected, the others are to be read again without it.
 */
extern StepResult worker_deliver_batch(Worker *worker, Position *next, int64 tick_id, const char *nonce);
extern bool worker_position_is_due(const Worker *worker);
extern StepResult worker_record_position(Worker *worker);

/* retry.c: sends a dead letter again where an operator has asked for it; STEP_MORE: there was none. */
extern StepResult worker_retry_dead_letter(Worker *worker);

/* ticking.c: sees to it that there is a tick whose window comes next, and that it is durable. */
extern StepResult worker_ensure_tick(Worker *worker);
extern void worker_tick_while_down(Worker *worker);

/* Counts what became visible since it was counted last; says whether that was any row. */
extern bool worker_count_new(Worker *worker);
extern void worker_make_tick(Worker *worker);

/* durable.c: nothing is sent before this is where no failover can take it back. */
extern void worker_owe(Worker *worker, XLogRecPtr lsn);
extern void worker_commit_owed(Worker *worker);

/* Is all that is owed there?  Waits for a slice; false: sink.error says what it waits for. */
extern bool worker_is_durable(Worker *worker);

/* Is the position that was recorded last there, too? */
extern bool worker_is_recorded(const Worker *worker);

/* worker_state.c */
extern void worker_state_init(void);

/* What the step before has allocated is given back. */
extern void worker_begin_step(void);

/* A transaction of the worker's own, with a snapshot. */
extern void worker_begin(const char *activity);
extern void worker_commit(void);

/* After an ERROR: ends the transaction, and hands out what was wrong. */
extern ErrorData *worker_give_up(void);

/* Is the position still the newest, and the store what it was?  In a transaction. */
extern bool worker_still_holds(Worker *worker);
extern StepResult worker_step_result(AdminSinkResult result);

/* Sets state and last_error, with one line in the log per change of state. */
extern void worker_set_state(Worker *worker, DeliveryState state, const char *error);
extern void worker_set_lag(Worker *worker, int64 rows, TimestampTz pending_since);

/* worker_settings.c */
extern void worker_pin_settings(void);

/* worker_lock.c: a lock_timeout has ended a statement of the worker's. */
extern void worker_lock_is_in_the_way(Worker *worker);
extern void worker_begin_look(Worker *worker);
extern void worker_has_looked(Worker *worker);
extern void worker_show_unseen(Worker *worker);

#endif							/* ADMIN_EXT_WORKER_H */
