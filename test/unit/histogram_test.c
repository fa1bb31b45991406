/*
 * histogram_test.c
 *	  Buckets of how long calls took, shares of them, and the minutes of the last hour.
 *
 * Links: src/metrics/histogram.c
 */
#include <string.h>

#include "metrics/histogram.h"
#include "tap.h"

#define SECOND		INT64_C(1000000)
#define MINUTE		(60 * SECOND)
#define CALLS		1000

/* A generator of our own: the same numbers on every machine. */
static uint64_t
draw(uint64_t *state)
{
	*state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return *state >> 33;
}

static void
test_buckets_are_in_order_without_a_gap(void)
{
	int64_t		least = 0;
	int			wrong = 0;
	int			wide = 0;

	for (int i = 0; i < HISTOGRAM_BUCKETS - 1; i++)
	{
		int64_t		most = histogram_at_most(i);

		if (histogram_bucket(least) != i || histogram_bucket(most) != i || histogram_bucket(most + 1) != i + 1)
			wrong++;
		if ((most - least) * HISTOGRAM_STEPS > least)
			wide++;
		least = most + 1;
	}
	ok(wrong == 0, "each bucket begins where the one below ends, and takes what it says at most");
	ok(wide == 0, "no bucket is wider than a sixteenth of what it begins with");
	ok(least > 10 * SECOND, "the buckets reach beyond ten seconds, to %lld us", (long long) least - 1);
}

static void
test_bucket_edges(void)
{
	static const struct
	{
		int64_t		microseconds;
		int64_t		at_most;
	}			cases[] = {
		{INT64_MIN, 0}, {-1, 0}, {0, 0}, {1, 1}, {15, 15}, {16, 16}, {31, 31}, {32, 33}, {33, 33}, {34, 35}, {63, 63},
		{64, 67}, {1000, 1023}, {1023, 1023}, {1024, 1087}, {SECOND, 1015807}, {10 * SECOND, 10485759},
		{(1 << 26) - 1, (1 << 26) - 1}, {1 << 26, HISTOGRAM_ENDLESS}, {INT64_MAX, HISTOGRAM_ENDLESS},
	};

	for (size_t i = 0; i < LENGTH_OF(cases); i++)
	{
		int64_t		got = histogram_at_most(histogram_bucket(cases[i].microseconds));

		if (!ok(got == cases[i].at_most, "%lld us are at most %lld", (long long) cases[i].microseconds, (long long) cases[i].at_most))
			diag("got %lld", (long long) got);
	}
}

static int
ascending(const void *a, const void *b)
{
	int64_t		x = *(const int64_t *) a;
	int64_t		y = *(const int64_t *) b;

	return (x > y) - (x < y);
}

/* Held against the calls themselves, in order: the nearest rank is one of them. */
static void
test_shares_of_calls(void)
{
	static const int thousandths[] = {0, 1, 500, 950, 990, 999, 1000};
	uint64_t	state = 4711;
	int			wrong = 0;

	for (int calls = 1; calls <= CALLS; calls++)
	{
		int64_t		took[CALLS];
		uint64_t	counts[HISTOGRAM_BUCKETS] = {0};

		for (int i = 0; i < calls; i++)
		{
			took[i] = (int64_t) draw(&state) >> draw(&state) % 31;
			counts[histogram_bucket(took[i])]++;
		}
		qsort(took, calls, sizeof(took[0]), ascending);
		if (histogram_total(counts) != (uint64_t) calls)
			wrong++;
		for (size_t i = 0; i < LENGTH_OF(thousandths); i++)
		{
			int			rank = (calls * thousandths[i] + 999) / 1000;

			if (histogram_quantile(counts, thousandths[i]) != histogram_bucket(took[rank > 0 ? rank - 1 : 0]))
				wrong++;
		}
	}
	ok(wrong == 0, "shares of 1 to %d calls are those of the calls in order", CALLS);
}

static void
test_shares_of_few_and_many(void)
{
	uint64_t	counts[HISTOGRAM_BUCKETS] = {0};

	ok(histogram_quantile(counts, 500) == -1 && histogram_quantile(counts, 1000) == -1, "no calls have no shares");
	counts[7] = 99;
	counts[HISTOGRAM_BUCKETS - 1] = 1;
	ok(histogram_quantile(counts, 990) == 7, "99 of 100 calls: the slowest is not among them");
	ok(histogram_quantile(counts, 991) == HISTOGRAM_BUCKETS - 1, "99.1 of 100 calls: the slowest is among them");
	ok(histogram_quantile(counts, 1000) == HISTOGRAM_BUCKETS - 1, "100 of 100 calls: the slowest is among them");
	counts[7] = UINT64_C(1000000000000000);
	ok(histogram_quantile(counts, 999) == 7 && histogram_quantile(counts, 1000) == HISTOGRAM_BUCKETS - 1, "a slow call among 10^15 is among all of them, and not among 99.9 %%");
}

static void
test_minutes_of_instants(void)
{
	ok(minute_of(INT64_MIN) == MINUTE_NONE && minute_of(-1) == MINUTE_NONE, "before the epoch there is no minute");
	ok(minute_of(0) == 1 && minute_of(MINUTE - 1) == 1 && minute_of(MINUTE) == 2, "a minute has sixty seconds");
	ok(minute_of(INT64_MAX) < MINUTE_UNSETTLED, "the last instant has a minute");
	for (uint64_t minute = 1; minute < 3 * MINUTES_REMEMBERED; minute++)
	{
		int			place = minute_place(minute);

		if (place < 0 || place >= MINUTES_REMEMBERED || place != minute_place(minute + MINUTES_REMEMBERED) ||
			place == minute_place(minute + 1))
		{
			ok(false, "minute %d has a place of its own", (int) minute);
			return;
		}
	}
	ok(true, "sixty minutes in a row have sixty places, and the next sixty the same");
}

/* The oldest minute of the hour, or -1, after a call in each minute from first to last that is a multiple of every. */
static int64_t
oldest_after(uint64_t first, uint64_t last, uint64_t every, uint64_t now)
{
	uint64_t	remembered[MINUTES_REMEMBERED] = {MINUTE_NONE};
	int			place;

	for (uint64_t minute = first; minute <= last; minute++)
	{
		if (minute % every == 0)
			remembered[minute_place(minute)] = minute;
	}
	place = minute_oldest(remembered, now);
	return place < 0 ? -1 : (int64_t) remembered[place];
}

static void
test_minutes_of_the_hour(void)
{
	static const struct
	{
		const char *name;
		uint64_t	first,
					last,
					every,
					now;
		int64_t		expected;
	}			cases[] = {
		{"nothing yet", 1, 0, 1, 1000, -1},
		{"this minute alone", 1000, 1000, 1, 1000, 1000},
		{"a call 59 minutes ago", 941, 941, 1, 1000, 941},
		{"a call 60 minutes ago", 940, 940, 1, 1000, -1},
		{"a call a minute for ten minutes", 991, 1000, 1, 1000, 991},
		{"a call a minute for hours", 1, 1000, 1, 1000, 941},
		{"a call a minute for hours, the running one without", 1, 1000, 1, 1001, 942},
		{"a call every seven minutes", 1, 1000, 7, 1000, 945},
		{"a call every hour, at the full one", 1, 1020, 60, 1020, 1020},
		{"a call every hour, in between", 1, 1020, 60, 1079, 1020},
		{"a call every hour, before the next", 1, 1020, 60, 1080, -1},
		{"nothing for days", 1, 1000, 1, 5000, -1},
		{"the clock was set back ten minutes", 941, 1000, 1, 990, 941},
		{"the clock was set back a day", 2000, 2059, 1, 600, -1},
		{"the first minute of all", 1, 1, 1, 1, 1},
		{"before the epoch", 1, 60, 1, MINUTE_NONE, -1},
	};

	for (size_t i = 0; i < LENGTH_OF(cases); i++)
	{
		int64_t		got = oldest_after(cases[i].first, cases[i].last, cases[i].every, cases[i].now);

		if (!ok(got == cases[i].expected, "the hour begins, %s: %lld", cases[i].name, (long long) cases[i].expected))
			diag("got %lld", (long long) got);
	}
}

static void
test_a_minute_that_is_not_settled_is_passed_over(void)
{
	uint64_t	remembered[MINUTES_REMEMBERED] = {MINUTE_NONE};

	remembered[minute_place(941)] = MINUTE_UNSETTLED;
	ok(minute_oldest(remembered, 1000) == -1, "a minute that is being kept does not count yet");
	remembered[minute_place(943)] = 943;
	ok(minute_oldest(remembered, 1000) == minute_place(943), "the minute after one that is being kept is the oldest");
}

int
main(void)
{
	test_buckets_are_in_order_without_a_gap();
	test_bucket_edges();
	test_shares_of_calls();
	test_shares_of_few_and_many();
	test_minutes_of_instants();
	test_minutes_of_the_hour();
	test_a_minute_that_is_not_settled_is_passed_over();
	return tap_done();
}
