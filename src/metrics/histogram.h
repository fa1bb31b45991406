/*
 * histogram.h
 *	  Durations of calls in buckets, and which of the remembered minutes belong to the last hour.
 *
 * Pure C: no server headers, no allocation, no clock of its own.  A bucket is a sixteenth of an
 * octave: the duration that it reports is at most 6.25 % above the real one.
 */
#ifndef ADMIN_EXT_HISTOGRAM_H
#define ADMIN_EXT_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS		16	/* buckets per octave; below so many microseconds each has its own */
#define HISTOGRAM_OCTAVES	22	/* above those: to 2^26 microseconds, 67 seconds */
#define HISTOGRAM_BUCKETS	(HISTOGRAM_STEPS * (HISTOGRAM_OCTAVES + 1) + 1) /* the last one is for
																			 * all above */
#define HISTOGRAM_ENDLESS	INT64_MAX	/* what that one takes at most */

/* The bucket of so many microseconds; a negative number counts as 0. */
extern int	histogram_bucket(int64_t microseconds);

/* The most microseconds that go into a bucket. */
extern int64_t histogram_at_most(int bucket);

extern uint64_t histogram_total(const uint64_t *counts);

/*
 * A quantile, by nearest rank: the bucket of the call that so many thousandths of all calls did not
 * exceed. -1 if there were no calls.
 */
extern int	histogram_quantile(const uint64_t *counts, int thousandths);

#define MINUTES_REMEMBERED	60	/* the one that is running, and those before it */
#define MINUTE_NONE			0	/* before all minutes */
#define MINUTE_UNSETTLED	UINT64_MAX	/* after all minutes */

/* The minute of an instant in microseconds since whatever epoch, counted from 1; MINUTE_NONE before the epoch. */
extern uint64_t minute_of(int64_t instant);

/* The place of a minute.  The minute that had this place before is older than an hour by then. */
extern int	minute_place(uint64_t minute);

/* The place of the oldest remembered minute within the last hour; -1 if there is no such minute. */
extern int	minute_oldest(const uint64_t *remembered, uint64_t now);

#endif							/* ADMIN_EXT_HISTOGRAM_H */
