/*
 * histogram.c
 *	  See histogram.h.
 */
#include "metrics/histogram.h"

#define MINUTE_US	INT64_C(60000000)

int
histogram_bucket(int64_t microseconds)
{
	int			octave = 0;

	if (microseconds < 0)
		return 0;

	/*
	 * The shifted value is one of the sixteen steps of the octave.  In the first two octaves it is
	 * the microseconds themselves.
	 */
	while (microseconds >> octave >= 2 * HISTOGRAM_STEPS)
	{
		if (++octave == HISTOGRAM_OCTAVES)
			return HISTOGRAM_BUCKETS - 1;
	}
	return octave * HISTOGRAM_STEPS + (int) (microseconds >> octave);
}

int64_t
histogram_at_most(int bucket)
{
	int			octave = bucket < HISTOGRAM_STEPS ? 0 : bucket / HISTOGRAM_STEPS - 1;

	if (bucket >= HISTOGRAM_BUCKETS - 1)
		return HISTOGRAM_ENDLESS;
	return ((int64_t) (bucket - octave * HISTOGRAM_STEPS + 1) << octave) - 1;
}

uint64_t
histogram_total(const uint64_t *counts)
{
	uint64_t	total = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
		total += counts[i];
	return total;
}

int
histogram_quantile(const uint64_t *counts, int thousandths)
{
	uint64_t	rank = (histogram_total(counts) * (uint64_t) thousandths + 999) / 1000;
	uint64_t	seen = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		seen += counts[i];
		if (seen > 0 && seen >= rank)
			return i;
	}
	return -1;
}

uint64_t
minute_of(int64_t instant)
{
	return instant < 0 ? MINUTE_NONE : (uint64_t) (instant / MINUTE_US) + 1;
}

int
minute_place(uint64_t minute)
{
	return (int) (minute % MINUTES_REMEMBERED);
}

int
minute_oldest(const uint64_t *remembered, uint64_t now)
{
	int			oldest = -1;

	for (int i = 0; i < MINUTES_REMEMBERED; i++)
	{
		uint64_t	minute = remembered[i];

		/* A minute after now is not settled yet, or the clock was set back since. */
		if (minute == MINUTE_NONE || minute > now || now - minute >= MINUTES_REMEMBERED)
			continue;
		if (oldest < 0 || minute < remembered[oldest])
			oldest = i;
	}
	return oldest;
}
