/*
 * worker_types.h
 *	  The worker of one database and sink: its state, and the results of its steps.
 */
#ifndef ADMIN_EXT_WORKER_TYPES_H
#define ADMIN_EXT_WORKER_TYPES_H

#include "delivery/envelope.h"
#include "delivery/links.h"
#include "delivery/position.h"
#include "delivery/shared.h"
#include "delivery/window.h"

/* The result of a step. */
typedef enum StepResult
{
	STEP_IDLE,					/* nothing to do until woken */
	STEP_MORE,					/* go on at once */
	STEP_DELIVERED,				/* the sink has confirmed a batch; go on at once */
	STEP_REOPEN,				/* the known position is no longer valid */
	STEP_UNCONFIRMED,			/* a synchronous standby has to confirm first; sink.error says so */
	STEP_RETRY,					/* an outage; sink.error says which */
	STEP_FENCED,
	STEP_STOP					/* an operator has to act; sink.error says how */
} StepResult;

/*
 * The state of a worker is in parts.  The file named at each part maintains it; opening.c resets
 * most of them.  Instants without a type of their own are in milliseconds of monotonic_ms().
 */

/* claim.c: this worker and others of the same identity. */
typedef struct WorkerFencing
{
	bool		has_fenced;		/* opening came far enough to fence others */
	int64		returns_at;		/* when a fenced worker returns; 0: it does not */
	int			pause;			/* ms before its last return; 0: not fenced lately */
} WorkerFencing;

/* worker_lock.c, backlog.c: what waits, and whether it could be counted. */
typedef struct WorkerLag
{
	bool		is_waiting;		/* a lock was in the way when it looked last */
	uint64		looking_rows;	/* slot->committed_rows before the snapshot at hand */
	uint64		looked_rows;	/* the same, for the snapshot of the last count */
	int64		rows;			/* as counted then */
	TimestampTz since;			/* recorded_at of the oldest of them; 0: none */
	TimestampTz waiting_since;	/* when the first row after them was noticed; 0: none was */
	int64		backlog_at;		/* when to count next without a position */
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
	bool		has_retried;	/* one was sent again: other rows are next */
	int64		seen_at;		/* when there was none */
} WorkerRetries;

/* upkeep.c: what is done from time to time, by one worker of a database. */
typedef struct WorkerChores
{
	const char *settings_scope; /* why to check the settings: a start or a reload; NULL: no check */
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
	int			first_key;		/* its first, in keys */
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
	bool		is_locked;		/* this worker has locked the sink */
	bool		is_positioned;	/* what follows is known */
	bool		is_open;		/* the sink is open besides */
	int64		opened_at;		/* since when */
	MemoryContext context;		/* from one open to the next */
	Oid			audit;			/* admin.audit at that time: another one, another store */

	Position	position;		/* as the sink has it */
	PositionKey key;			/* that positions of the sink are sealed with */
	Links		links;			/* batches delivered since one was recorded */
	bool		has_rejected;	/* there may be dead letters to skip */
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

#endif							/* ADMIN_EXT_WORKER_TYPES_H */
