/*
 * latency_report.c
 *	  SQL's answer to: how long do checks take?  Reads what latency.c counts.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/float.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "metrics/latency.h"

PG_FUNCTION_INFO_V1(admin_check_latency);

/* In the order of admin_internal.check_latency_row(). */
enum Column
{
	CALLS,
	FAILED,
	P50_MS,
	P95_MS,
	P99_MS,
	MAX_MS,
	LAST_CALL_AT,
	CALLS_SINCE_START,
	COLUMNS
};

/* Gets the counters as they were when the last hour began.  False if no call has ended since. */
static bool
before_the_hour(LatencyDatabase *here, uint64 now, uint64 *counts)
{
	uint64		remembered[MINUTES_REMEMBERED];
	int			oldest;

	for (int i = 0; i < MINUTES_REMEMBERED; i++)
		remembered[i] = pg_atomic_read_u64(&here->minutes[i].minute);
	oldest = minute_oldest(remembered, now);
	if (oldest < 0)
		return false;
	pg_read_barrier();
	memcpy(counts, here->minutes[oldest].counts, LATENCY_COUNTERS * sizeof(uint64));

	/* Counters read after this are not lower, even if another minute has just taken the place. */
	pg_read_barrier();
	return true;
}

static Datum
bucket_milliseconds(int bucket)
{
	int64		at_most = histogram_at_most(bucket);

	return Float8GetDatum(at_most == HISTOGRAM_ENDLESS ? get_float8_infinity() : at_most / 1000.0);
}

static void
report_database(LatencyDatabase *here, Datum *values, bool *nulls)
{
	static const int thousandths[] = {[P50_MS] = 500,[P95_MS] = 950,[P99_MS] = 990,[MAX_MS] = 1000};
	uint64		hour[LATENCY_COUNTERS];
	uint64		before[LATENCY_COUNTERS];
	bool		any = before_the_hour(here, minute_of(GetCurrentTimestamp()), before);
	TimestampTz last_call_at = pg_atomic_read_u64(&here->last_call_at);
	uint64		since_start = 0;

	/* Read the failed calls first, because each of them is already counted in its bucket. */
	for (int i = LATENCY_COUNTERS - 1; i >= 0; i--)
	{
		uint64		counted = pg_atomic_read_u64(&here->counts[i]);

		if (i < HISTOGRAM_BUCKETS)
			since_start += counted;
		hour[i] = any ? counted - before[i] : 0;
		pg_read_barrier();
	}
	values[CALLS] = Int64GetDatum(histogram_total(hour));
	values[FAILED] = Int64GetDatum(hour[LATENCY_FAILED]);
	for (int column = P50_MS; column <= MAX_MS; column++)
	{
		int			bucket = histogram_quantile(hour, thousandths[column]);

		nulls[column] = bucket < 0;
		values[column] = nulls[column] ? (Datum) 0 : bucket_milliseconds(bucket);
	}
	nulls[LAST_CALL_AT] = last_call_at == 0;
	values[LAST_CALL_AT] = TimestampTzGetDatum(last_call_at);
	values[CALLS_SINCE_START] = Int64GetDatum(since_start);
}

Datum
admin_check_latency(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LatencyDatabase *here = check_latency_here();
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (here != NULL)
	{
		report_database(here, values, nulls);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
