/*
 * latency.h
 *	  How long the answers of admin.sensitive_check take, in shared memory, by database.
 *
 * Counters only ever grow, so no call is lost and no session waits for a lock.  The last hour is what they
 * are now less what they were when its oldest minute began; the session that counts the first call of
 * a minute keeps that.
 *
 * Races, all of them harmless: a call that ends while a minute begins counts for that minute or for
 * the one before, and for once its failure for the other; who reads in that instant may miss the
 * minute.  A clock that is set makes the hour show other minutes, never of fewer than no calls.
 */
#ifndef ADMIN_EXT_LATENCY_H
#define ADMIN_EXT_LATENCY_H

#include "port/atomics.h"

#include "metrics/histogram.h"

#define LATENCY_DATABASES	16	/* those beyond are not counted, which breaks no check */

/* By bucket, and then those that failed, which have their bucket, too. */
#define LATENCY_FAILED		HISTOGRAM_BUCKETS
#define LATENCY_COUNTERS	(HISTOGRAM_BUCKETS + 1)

typedef struct LatencyMinute
{
	pg_atomic_uint64 minute;	/* MINUTE_UNSETTLED while one process writes counts */
	uint64		counts[LATENCY_COUNTERS];	/* as they were when it began */
} LatencyMinute;

typedef struct LatencyDatabase
{
	pg_atomic_uint32 oid;		/* 0: free; after DROP DATABASE the place is another's, where none
								 * is free */
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
