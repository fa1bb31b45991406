/*
 * latency.c
 *	  Counts the calls of admin.sensitive_check by how long their callers waited.
 *
 * A call lasts from the start of its statement to the end of its transaction: after the commit
 * record is flushed, or replicated, as settings have it.  PREPARE TRANSACTION is an end too: the
 * caller has waited for that.  A call in a subtransaction that aborts ends there, as failed.
 *
 * This file has all the code that runs in a check and at the end of each transaction.  The code
 * takes no lock, does not allocate and does not fail.  The exception is the first call of a session
 * when all places are taken.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "metrics/latency.h"
#include "shared_area.h"

/* Calls under way, by statement: a transaction with more of them adds to the last one. */
#define OPEN_STATEMENTS	256

typedef struct OpenStatement
{
	TimestampTz began;
	int			level;			/* of the (sub)transaction that ends them; ascending in the array */
	uint32		calls;
} OpenStatement;

static LatencyDatabase *shared = NULL;	/* NULL where the library was not preloaded */
static OpenStatement open_statements[OPEN_STATEMENTS];
static int	open_count = 0;

static LatencyDatabase *
take_free_place(void)
{
	for (int i = 0; i < LATENCY_DATABASES; i++)
	{
		uint32		owner = 0;

		/* If the place is taken, the function stores its owner here. */
		if (pg_atomic_compare_exchange_u32(&shared[i].oid, &owner, MyDatabaseId) || owner == MyDatabaseId)
			return &shared[i];
	}
	return NULL;
}

static void
forget_counts(LatencyDatabase *database)
{
	pg_atomic_write_u64(&database->last_call_at, 0);
	for (int i = 0; i < LATENCY_COUNTERS; i++)
		pg_atomic_write_u64(&database->counts[i], 0);
	for (int i = 0; i < MINUTES_REMEMBERED; i++)
		pg_atomic_write_u64(&database->minutes[i].minute, MINUTE_NONE);
}

static Oid
latency_database_of(int place)
{
	return pg_atomic_read_u32(&shared[place].oid);
}

static int
latency_find_place(uint64 owner)
{
	for (int i = 0; i < LATENCY_DATABASES; i++)
	{
		if (latency_database_of(i) == owner)
			return i;
	}
	return -1;
}

static void
latency_take_over(int place, uint64 owner)
{
	forget_counts(&shared[place]);
	pg_write_barrier();
	pg_atomic_write_u32(&shared[place].oid, owner);
}

static LatencyDatabase *
latency_take_place_of_dropped(void)
{
	static const SharedPlaces places = {LATENCY_DATABASES, latency_database_of, latency_find_place, latency_take_over};
	int			place = shared_area_take_left(&places, MyDatabaseId);

	return place < 0 ? NULL : &shared[place];
}

/* The first call of a session must be within a transaction. */
LatencyDatabase *
check_latency_here(void)
{
	static LatencyDatabase *here = NULL;
	static bool looked = false;

	if (looked || shared == NULL)
		return here;
	here = take_free_place();
	if (here == NULL)
		here = latency_take_place_of_dropped();
	looked = true;
	return here;
}

/*
 * The first call that ends in a minute saves the counters as they were before.  Other sessions do
 * not wait for it.
 */
static void
enter_minute(LatencyDatabase *here, uint64 minute)
{
	LatencyMinute *kept = &here->minutes[minute_place(minute)];
	uint64		before = pg_atomic_read_u64(&kept->minute);

	if (before == minute || before == MINUTE_UNSETTLED ||
		!pg_atomic_compare_exchange_u64(&kept->minute, &before, MINUTE_UNSETTLED))
		return;
	for (int i = 0; i < LATENCY_COUNTERS; i++)
		kept->counts[i] = pg_atomic_read_u64(&here->counts[i]);
	pg_write_barrier();
	pg_atomic_write_u64(&kept->minute, minute);
}

/* Counts the calls of this nesting level and of deeper ones, which have ended. */
static void
end_calls(int level, bool failed)
{
	LatencyDatabase *here;
	TimestampTz now;

	if (open_count == 0 || open_statements[open_count - 1].level < level)
		return;
	here = check_latency_here();
	now = GetCurrentTimestamp();
	if (here != NULL)
	{
		enter_minute(here, minute_of(now));
		pg_atomic_write_u64(&here->last_call_at, now);
	}
	while (open_count > 0 && open_statements[open_count - 1].level >= level)
	{
		const OpenStatement *statement = &open_statements[--open_count];

		if (here == NULL)
			continue;
		pg_atomic_fetch_add_u64(&here->counts[histogram_bucket(now - statement->began)], statement->calls);
		if (failed)
			pg_atomic_fetch_add_u64(&here->counts[LATENCY_FAILED], statement->calls);
	}
}

void
check_latency_begin(void)
{
	TimestampTz began = GetCurrentStatementStartTimestamp();
	int			level = GetCurrentTransactionNestLevel();
	OpenStatement *last = open_count > 0 ? &open_statements[open_count - 1] : NULL;

	if (shared == NULL)
		return;
	(void) check_latency_here();
	if (last != NULL && (open_count == OPEN_STATEMENTS || (last->began == began && last->level == level)))
		last->calls++;
	else
	{
		OpenStatement added = {began, level, 1};

		open_statements[open_count++] = added;
	}
}

static void
latency_at_transaction_end(XactEvent event, void *arg)
{
	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			end_calls(1, false);
			break;
		case XACT_EVENT_ABORT:
			end_calls(1, true);
			break;
		default:
			break;
	}
}

static void
latency_at_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	int			level = GetCurrentTransactionNestLevel();

	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_calls(level, true);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
	{
		for (int i = open_count - 1; i >= 0 && open_statements[i].level >= level; i--)
			open_statements[i].level = level - 1;
	}
}

static void
init_database(LatencyDatabase *database)
{
	memset(database, 0, sizeof(LatencyDatabase));
	pg_atomic_init_u32(&database->oid, 0);
	pg_atomic_init_u64(&database->last_call_at, 0);
	for (int i = 0; i < LATENCY_COUNTERS; i++)
		pg_atomic_init_u64(&database->counts[i], 0);
	for (int i = 0; i < MINUTES_REMEMBERED; i++)
		pg_atomic_init_u64(&database->minutes[i].minute, MINUTE_NONE);
}

static void
latency_attach(void *memory, bool found)
{
	shared = memory;
	for (int i = 0; i < LATENCY_DATABASES && !found; i++)
		init_database(&shared[i]);
}

void
check_latency_init(void)
{
	static const SharedArea area = {"admin_ext check latency", LATENCY_DATABASES * sizeof(LatencyDatabase), 0, latency_attach};

	shared_area_add(&area);
	if (!process_shared_preload_libraries_in_progress)
		return;
	RegisterXactCallback(latency_at_transaction_end, NULL);
	RegisterSubXactCallback(latency_at_subtransaction_end, NULL);
}
