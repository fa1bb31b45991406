/*
 * shared.h
 *	  What launcher, workers, committing backends and the status view share.
 *
 * A slot belongs to one listed database and sink.  The launcher alone gives slots
 * out and takes them back, under the lock; a worker writes the status of its own
 * slot under the slot's spinlock; a committing backend only looks at database_oid,
 * wake and latch, without any lock.
 */
#ifndef ADMIN_EXT_SHARED_H
#define ADMIN_EXT_SHARED_H

#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"

#include "admin_ext_sink.h"

#define DELIVERY_SLOTS	64
#define DELIVERY_HOLDS	16
/* Batches that took 1, 2, 4 ... 32768 ms at most, and those that took longer. */
#define LATENCY_BUCKETS	17

/* In the order of delivery_state_name(). */
typedef enum DeliveryState
{
	DELIVERY_STARTING,
	DELIVERY_IDLE,
	DELIVERY_DELIVERING,
	DELIVERY_BACKING_OFF,		/* an outage: the worker retries */
	DELIVERY_FENCED,			/* another worker has this sink */
	DELIVERY_STOPPED			/* an operator has to act; last_error says how */
} DeliveryState;

typedef struct DeliveryStatus
{
	DeliveryState state;
	int64		delivered_rows;
	int64		delivered_bytes;
	int64		batches;
	int64		dead_letters;
	int64		latency[LATENCY_BUCKETS];	/* batches, by how long the sink took */
	int64		last_audit_id;
	int64		highest_sent;	/* by another fork, where the sink holds one; else 0 */
	bool		has_lost;		/* the sink has stopped because rows delivered to it are gone */
	int64		lag_rows;
	TimestampTz last_delivery_at;	/* 0: never */
	TimestampTz pending_since;	/* recorded_at of the oldest known pending row; 0: none */
	TimestampTz last_error_at;
	TimestampTz started_at;
	char		last_error[ADMIN_SINK_ERROR_BYTES];
	char		place[ADMIN_SINK_PLACE_BYTES];	/* where the sink delivers, as it said when it was
												 * opened last; empty: it is not open */
	TimestampTz swept_at;		/* when nothing was left to be announced; 0: never */
	char		sweep_error[ADMIN_SINK_ERROR_BYTES];	/* why it could not; empty since it could */
} DeliveryStatus;

typedef struct DeliverySlot
{
	bool		in_use;
	char		database[NAMEDATALEN];
	char		sink[NAMEDATALEN];
	pid_t		pid;			/* 0: no worker runs */
	pg_atomic_uint32 database_oid;	/* 0: no worker to wake */
	pg_atomic_uint32 wake;		/* 1: woken and not yet looked */
	pg_atomic_uint64 committed_rows;	/* added to the trail while the worker runs */
	Latch	   *latch;			/* of the worker; set before database_oid */
	slock_t		mutex;			/* guards status */
	DeliveryStatus status;
} DeliverySlot;

/* A session that needs a database without workers; see database_ddl.c. */
typedef struct DeliveryHold
{
	pid_t		pid;			/* 0: free */
	char		database[NAMEDATALEN];
} DeliveryHold;

typedef struct DeliveryShared
{
	LWLock	   *lock;
	Latch	   *launcher_latch; /* NULL: no launcher runs */
	DeliverySlot slots[DELIVERY_SLOTS];
	DeliveryHold holds[DELIVERY_HOLDS];
} DeliveryShared;

/* NULL where the library was not preloaded. */
extern DeliveryShared *delivery_shared;

extern void delivery_shared_init(void);
extern const char *delivery_state_name(DeliveryState state);

/* Copies a slot's status out. */
extern DeliveryStatus delivery_status_of(DeliverySlot *slot);

/* Sets state and, unless error is NULL, last_error; says whether that is worth a line in the log. */
extern bool delivery_set_state(DeliverySlot *slot, DeliveryState state, const char *error);

#endif							/* ADMIN_EXT_SHARED_H */
