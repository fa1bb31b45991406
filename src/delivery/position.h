/*
 * position.h
 *	  How far a sink has got, as admin.sink_position records it.
 */
#ifndef ADMIN_EXT_POSITION_H
#define ADMIN_EXT_POSITION_H

#include "datatype/timestamp.h"

#include "admin_ext_sink.h"
#include "delivery/chain.h"
#include "delivery/position_seal.h"
#include "delivery/tick.h"

#define UUID_TEXT_BYTES	37
#define HOME_TEXT_BYTES	40

/* 0 stands for null; audit_ids and ticks of windows begin at 1. */
typedef struct Position
{
	char		store_id[UUID_TEXT_BYTES];
	char		home[HOME_TEXT_BYTES];
	char		recorded_home[HOME_TEXT_BYTES]; /* where the one recorded last was; empty: not
												 * known */
	bool		was_synchronous;	/* commits waited for a standby there */
	int64		position_id;
	bool		is_resync;		/* recorded by admin.resync_sink() */
	int64		tick_id;		/* all rows that it sees are delivered */
	int64		window_tick_id; /* the tick whose window is under way */
	int64		window_audit_id;	/* rows of that window up to here are delivered */
	int64		highest_audit_id;
	int64		floor_audit_id; /* rows up to here came from another copy: their xid means nothing */
	int64		backfill_audit_id;	/* next row that tick_id sees of those that a resync sends */
	int64		backfill_end;	/* and the last one; the database's alone */
	int64		delivered_rows;
	int64		retried_audit_id;	/* the dead letter that was delivered last of all, alone */
	int64		last_number;	/* delivery number of the last document; 0: none of this store */
	int64		batch_count;	/* documents of the batch that it came in; 0: not known */
	unsigned char chain[CHAIN_BYTES];	/* the delivery chain after it */
	AdminSinkContinued continued;	/* the database's alone */
	char		sink_detail[ADMIN_SINK_DETAIL_BYTES];
} Position;

typedef struct Tick
{
	int64		tick_id;		/* 0: none */
	char		nonce[UUID_TEXT_BYTES];
	TickSnapshot *snapshot;		/* in the context it was asked for */
} Tick;

/* The next position.  The marks of a resync and of a retried dead letter are not carried over. */
extern Position position_next(const Position *position);

/* The functions below run in the caller's transaction, and connect to SPI themselves. */

/* Raises 55000 where an operator has to decide. *done is allocated in context. */
extern void position_open(const char *sink, Position *position, MemoryContext context,
						  TickSnapshot **done);

/* The store's key, for positions of the sink.  Never logged, never handed to a sink. */
extern void position_key(const char *sink, PositionKey *key);

/* Is this still the sink's newest position, and store_id still the id of this database's store? */
extern bool position_is_newest(const char *sink, int64 position_id, const char *store_id);

/*
 * Counts the rows that the last recorded position does not cover (an estimate if many); *since is 0
 * if there are none.
 */
extern int64 position_backlog(const char *sink, TimestampTz *since);

/* Records the position that follows recorded_id.  False: another one was recorded meanwhile. */
extern bool position_record(const char *sink, const Position *position, int64 recorded_id);

/*
 * Convert a position to the sealed text that is stored in the sink, and back; nonce is that of the
 * newest tick it names.  position_read() expects store_id and position_id in *position.  It returns
 * a clause that says what is wrong; NULL: this store has written the text.
 */
extern void position_write(const PositionKey *key, const Position *position, const char *nonce, char *record, Size size);
extern const char *position_read(const PositionKey *key, const char *record, Position *position,
								 char nonce[UUID_TEXT_BYTES]);

#define PROBLEM_BYTES	128

/*
 * Checks a later position that the sink has kept; problem becomes a clause that says what is wrong
 * (empty: no problem).  Returns whether it is of the same resync and the database has its ticks.
 */
extern bool position_problem(const char *sink, const Position *position, const char *nonce,
							 char problem[PROBLEM_BYTES]);

/* Checks the highest row that a sink has marked as written, in the same way. */
extern void marker_problem(int64 audit_id, char problem[PROBLEM_BYTES]);

/* What became of a store whose history has forked. */
typedef struct Fork
{
	char		store_id[UUID_TEXT_BYTES];	/* the new one */
	int64		from_audit_id;	/* where delivery goes on */
	int64		lost_from;		/* the first row that was lost */
	int64		lost_to;		/* the last one */
} Fork;

/*
 * Renews the store, and the positions of its sinks.  False: this is no longer the newest position
 * of that store.
 */
extern bool position_fork(const char *sink, int64 position_id, const char *store_id, Fork *fork);

/* Counts a row that the sink has rejected for good. */
extern void dead_letter_record(const char *sink, int64 audit_id, const char *error);

/*
 * Lists the dead letters of a sink from one audit_id to another, ascending, in the current context;
 * returns how many.  with_skipped: includes the rows that an operator has skipped.
 */
extern int	dead_letters(const char *sink, int64 first, int64 last, bool with_skipped, int64 **audit_ids);

/* A dead letter behind the position that an operator wants sent again; 0: there is none. */
extern int64 dead_letter_wanted(const char *sink);

/* Deletes the dead letter of the position, delivered alone; notes its number and store. */
extern void dead_letter_delivered(const char *sink, const Position *position);

/* Removes positions before this one, and ticks that no position needs; returns where to begin next time. */
extern int64 position_purge(const char *sink, int64 from_position, int64 to_position, int64 from_tick);

extern Tick tick_make(MemoryContext context);

/* The last stored tick after one and up to another; snapshot is NULL if there is none. */
extern Tick tick_next(int64 after, int64 up_to, MemoryContext context);

extern bool tick_exists(int64 tick_id, const char *nonce);

/* When a row of the trail was recorded; 0 when there is no such row. */
extern TimestampTz trail_recorded_at(int64 audit_id);

#endif							/* ADMIN_EXT_POSITION_H */
