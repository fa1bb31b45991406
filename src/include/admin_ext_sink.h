/*
 * admin_ext_sink.h
 *	  The interface of sinks, the plug-ins that deliver the audit trail.
 *
 * A sink named x in admin_ext.sinks is the library admin_ext_x, loaded by the
 * delivery worker alone, which exports
 *
 *		const AdminSinkCallbacks *_PG_admin_sink_init(void);
 *
 * The worker calls the callbacks outside any transaction, one at a time, from its
 * one thread.  A sink never calls PostgreSQL from a thread of its own, never waits
 * longer than ADMIN_SINK_SLICE_MS at a stretch, and reports an outage as a value:
 * raising an ERROR is for what should not happen.
 */
#ifndef ADMIN_EXT_SINK_H
#define ADMIN_EXT_SINK_H

#include "postgres.h"

#define ADMIN_SINK_API_VERSION	5
#define ADMIN_SINK_SLICE_MS		200
#define ADMIN_SINK_DETAIL_BYTES	8192
#define ADMIN_SINK_RECORD_BYTES	512
#define ADMIN_SINK_ERROR_BYTES	512
#define ADMIN_SINK_PLACE_BYTES	320
#define ADMIN_SINK_CHAIN_BYTES	65	/* SHA-256 as lower-case hexadecimal digits, and the end */
#define ADMIN_SINK_CLAIM_BYTES	160
#define ADMIN_SINK_MOST_RANGES	8

/* Prefixes of source (the store id follows) and of type in documents of the trail's own events. */
#define ADMIN_SINK_SOURCE_PREFIX	"/admin_ext/"
#define ADMIN_SINK_TYPE_PREFIX		"ptt.admin."

typedef enum AdminSinkResult
{
	ADMIN_SINK_OK,
	ADMIN_SINK_PENDING,			/* confirm: not yet, call again */
	ADMIN_SINK_RETRY,			/* an outage: close, back off, open, deliver again */
	ADMIN_SINK_REJECTED,		/* deliver, confirm: nothing of the batch was taken, for one record
								 * of it never will be */
	ADMIN_SINK_FENCED,			/* another worker has taken over delivery */
	ADMIN_SINK_STOP				/* an operator has to decide; error says what */
} AdminSinkResult;

/* Rows by their audit_ids: in order, with a gap between any two ranges. */
typedef struct AdminSinkRange
{
	int64		first;
	int64		last;
} AdminSinkRange;

typedef struct AdminSinkRanges
{
	int			count;
	AdminSinkRange ranges[ADMIN_SINK_MOST_RANGES];
} AdminSinkRanges;

/* The progress of a sink.  tick_id and nonce name the newest tick of which it has rows. */
typedef struct AdminSinkPosition
{
	int64		position_id;	/* one more with every batch; 0: none */
	bool		is_resync;		/* an operator's: it says where to go on, whatever the sink holds */
	int64		tick_id;
	char		nonce[37];		/* uuid of that tick, as text */
	int64		audit_id;		/* the highest row delivered */
	char		record[ADMIN_SINK_RECORD_BYTES];	/* opaque to the sink; only the worker can make
													 * one */
	char		detail[ADMIN_SINK_DETAIL_BYTES];	/* the sink's own, opaque to the worker */
	int64		last_number;	/* into recover: delivery number of the last document that was
								 * delivered; 0: none of this store */
	char		chain[ADMIN_SINK_CHAIN_BYTES];	/* and the delivery chain after it */
	int64		kept_id;		/* out of recover, for an operator's: the newest position that a
								 * sink that keeps them holds; 0: none */
	char		kept_record[ADMIN_SINK_RECORD_BYTES];	/* and its record: its number and chain are
														 * gone on from */
	int64		repeating_from; /* into recover: delivered rows from this audit_id on are being
								 * delivered again; 0: none are */
	int64		again_from;		/* out of recover: delivered rows from this audit_id on are to be
								 * delivered again; 0: none */
	AdminSinkRanges again;		/* out of recover: of rows that are delivered again these alone
								 * are; no range: all of them */
} AdminSinkPosition;

/* One CloudEvents document: UTF-8, no line break; the byte after it is '\n'. */
typedef struct AdminSinkRecord
{
	int64		audit_id;
	Size		offset;			/* of the document in the batch's data */
	Size		length;			/* in bytes, without the line break */
	Size		key_offset;		/* of the partition key (approval_id, else source) in the batch's
								 * keys */
	Size		key_length;
	bool		is_ingested;	/* it came from elsewhere: its source does not name the store */
} AdminSinkRecord;

/* The store before this one, where history has forked: what the database knew of its delivery. */
typedef struct AdminSinkContinued
{
	char		store_id[37];	/* empty: there was none */
	int64		last_number;
	char		chain[ADMIN_SINK_CHAIN_BYTES];
} AdminSinkContinued;

/*
 * Records in order; their documents, each with its line break, fill data without gaps.
 * They have the delivery numbers first_number, first_number + 1, ... of this store at this sink,
 * and the batch extends the delivery chain, as doc/evidence.md defines it.  A sink that keeps
 * numbers and chain beside the documents lets a reader prove later that no document is missing.
 */
typedef struct AdminSinkBatch
{
	const char *data;
	Size		length;
	const char *keys;
	const AdminSinkRecord *records;
	int			count;
	int64		first_number;
	char		chain_before[ADMIN_SINK_CHAIN_BYTES];
	char		chain_after[ADMIN_SINK_CHAIN_BYTES];
	AdminSinkPosition position; /* what holds once the batch is confirmed */
	int			rejected_record;	/* out: with ADMIN_SINK_REJECTED, which one; else
									 * ADMIN_SINK_NO_RECORD */
	char		rejected_error[ADMIN_SINK_ERROR_BYTES]; /* out: and why */
} AdminSinkBatch;

#define ADMIN_SINK_NO_RECORD	(-1)

typedef struct AdminSink
{
	const char *name;
	const char *database;		/* name of the database that is served */
	const char *store_id;		/* uuid of the store, as text */
	const char *home;			/* "<system identifier>/<timeline>": where this runs */
	const AdminSinkContinued *continued;	/* what the batch that begins with number 1 continues */
	MemoryContext context;		/* lives from open to close */
	void	   *state;			/* the sink's own */

	/*
	 * Does the database know what a position that was found is built on?  To be asked before
	 * others are shut out.
	 */
	bool		(*knows) (struct AdminSink *sink, int64 position_id, const char *record);

	/*
	 * Returns the text of a setting, also of one that holds a secret, and of one that the sink's
	 * library has defined in _PG_init; raises an error if there is no such setting.  Copy it: the
	 * text of a number is valid until the next call, any other one until the next reload.  A
	 * setting that says where a sink of admin_ext delivers is expanded for this database and
	 * store.
	 */
	const char *(*setting) (const char *name);

	/*
	 * Returns why a position that the sink has found was not written by this store, as a clause;
	 * NULL if the store has written it.  For a sink that can report its position.
	 */
	const char *(*forgery) (const struct AdminSink *sink, int64 position_id, const char *record);

	/*
	 * Gets the number of documents of each batch from one delivery number to another, in order.
	 * Returns the number of batches, or 0 if they are not all known any more.  The counts are
	 * valid until the callback that asks returns.
	 */
	int			(*counts) (struct AdminSink *sink, int64 first, int64 last, int64 **counts);

	/*
	 * For a sink that keeps the position: the claim that this server stores in the sink after it
	 * has shut out others.  Servers with the same identity find the claim there.  Empty if there
	 * is no claim to store.  The sink clears this member once the claim is stored.
	 */
	char		claim[ADMIN_SINK_CLAIM_BYTES];

	/*
	 * Was a claim that the sink has found made by a server that came after this one?  Then that
	 * one goes on.
	 */
	bool		(*yields) (const struct AdminSink *sink, const char *claim);
	bool		was_fenced;		/* others have shut out this one: it comes back only if it finds
								 * nothing against that */
	bool		is_outdone;		/* out, with ADMIN_SINK_FENCED: another one has delivered, or comes
								 * after this one */
	char		error[ADMIN_SINK_ERROR_BYTES];	/* one sentence a DBA can act on */
	char		place[ADMIN_SINK_PLACE_BYTES];	/* out: where it delivers, without secrets; empty:
												 * it does not say */
	Size		most_bytes;		/* out: no batch is to have more, a single record apart; 0: no
								 * limit; outlives close */
	bool		has_lost;		/* out, with ADMIN_SINK_STOP: rows that were delivered to it are
								 * gone */
	bool		is_recorded;	/* into idle: no crash and no failover can take back the position
								 * of the last batch */
	bool		cannot_tell;	/* out: its memory is new, or copied to standbys: it need not know
								 * of all that was delivered */
} AdminSink;

typedef struct AdminSinkCallbacks
{
	uint32		api_version;	/* ADMIN_SINK_API_VERSION */

	/*
	 * The sink stores the position with the data, in one atomic step, and returns it in recover.
	 * Then the database records the position only from time to time.
	 */
	bool		keeps_position;

	/*
	 * Connects, and reports in *seen the newest batch the sink ever saw (position_id 0: none that
	 * counts).  The worker compares it with the database: more than one position ahead of it, or a
	 * tick it does not know, means that history forked. Called before recover.
	 */
	AdminSinkResult (*open) (AdminSink *sink, AdminSinkPosition *seen);

	/*
	 * Makes the sink hold exactly what the position says.  ADMIN_SINK_PENDING: not yet, call
	 * again. A sink that keeps positions, and finds a later one of this store, sets position_id,
	 * record and detail to those of the later one.  The worker refuses a record that it has not
	 * written. A sink that keeps no position, and may have lost rows that it confirmed, sets
	 * again_from and the detail that holds then.  The worker records these and opens the sink
	 * again.  While repeating_from is set, the sink sets the member `again` each time, to say
	 * which rows are meant.
	 */
	AdminSinkResult (*recover) (AdminSink *sink, AdminSinkPosition *position);

	/* Hands a batch over; its memory stays valid until it is confirmed. */
	AdminSinkResult (*deliver) (AdminSink *sink, AdminSinkBatch *batch);

	/*
	 * Waits at most ADMIN_SINK_SLICE_MS for the batch to be durable.  On ADMIN_SINK_OK
	 * batch->position.detail has been set.
	 */
	AdminSinkResult (*confirm) (AdminSink *sink, AdminSinkBatch *batch);

	/*
	 * Called about once a second while there is nothing to deliver.  Must not wait; NULL if not
	 * needed.  Returns ADMIN_SINK_OK, or what is wrong with a connection that was lost meanwhile.
	 */
	AdminSinkResult (*idle) (AdminSink *sink);

	/* Releases everything, and must not fail.  Also called after an error. */
	void		(*close) (AdminSink *sink);
} AdminSinkCallbacks;

typedef const AdminSinkCallbacks *(*AdminSinkInit) (void);

#endif							/* ADMIN_EXT_SINK_H */
