/*
 * latency.h
 *	  How long the answers of admin.sensitive_check take, in shared memory, by database.
 *
 * Counters only grow, so no call is lost and no session waits for a lock.  The last hour is their
 * present value less their value when its oldest minute began.  The session that counts the first
 * call of a minute saves that value.
 *
 * Three races are harmless.  A call that ends while a minute begins may count for that minute or
 * for the one before, and its failure for the other one.  A concurrent reader may miss that minute.
 * If the clock is set, the hour covers other minutes, but its counts are never negative.
 */
#ifndef ADMIN_EXT_LATENCY_H
#define ADMIN_EXT_LATENCY_H

#include "port/atomics.h"

#include "metrics/histogram.h"

#define LATENCY_DATABASES	16	/* further databases are not counted; their checks still work */

/* One counter per bucket, then one of failed calls, which are counted in their bucket, too. */
#define LATENCY_FAILED		HISTOGRAM_BUCKETS
#define LATENCY_COUNTERS	(HISTOGRAM_BUCKETS + 1)

typedef struct LatencyMinute
{
	pg_atomic_uint64 minute;	/* MINUTE_UNSETTLED while one process writes counts */
	uint64		counts[LATENCY_COUNTERS];	/* as they were when it began */
} LatencyMinute;

typedef struct LatencyDatabase
{
	pg_atomic_uint32 oid;		/* 0: free; a dropped database's place may be taken over */
	pg_atomic_uint64 last_call_at;	/* a TimestampTz; 0: never */
	pg_atomic_uint64 counts[LATENCY_COUNTERS];
	LatencyMinute minutes[MINUTES_REMEMBERED];
} LatencyDatabase;

/* Does nothing unless the library is being preloaded. */
extern void check_latency_init(void);

/* A call has begun; it ends with its transaction, by itself. */
extern void check_latency_begin(void);

/* The place of this database; NULL where nothing is counted. */
extern LatencyDatabase *check_latency_here(void);

#endif							/* ADMIN_EXT_LATENCY_H */
