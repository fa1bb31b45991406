/*
 * ticking.c
 *	  When a worker makes a tick.
 *
 * A tick is on disk, and on synchronous standbys, before a row is sent under it; see durable.c.
 * An idle database gets no tick: a probe, read-only, looks first.
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "delivery/durable.h"
#include "delivery/reading.h"
#include "delivery/ticking.h"
#include "delivery/worker_lock.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "monotonic.h"
#include "settings.h"

/* Has no transaction ended, or begun, since then?  Asked without a transaction of our own. */
static bool
nothing_happened(const TickSnapshot *since)
{
	return since->count == 0 &&
		U64FromFullTransactionId(ReadNextFullTransactionId()) == since->xmax;
}

static void
forget_counted(Worker *worker)
{
	if (worker->ticks.counted != NULL)
		pfree(worker->ticks.counted);
	worker->ticks.counted = NULL;
	worker->ticks.behind = 0;
}

void
worker_make_tick(Worker *worker)
{
	Tick		tick;

	worker_begin("making a tick");
	tick = tick_make(CurrentMemoryContext);
	worker_commit_owed(worker);
	worker->ticks.newest = tick.tick_id;
}

/*
 * Looks for rows that became visible since the last window.  If there are any, makes a tick in the
 * same transaction.  If not, moves the near end of the next window, in memory only.
 */
static StepResult
probe_and_tick(Worker *worker)
{
	Window		window = {.from = worker->ticks.done, .above = worker->position.floor_audit_id};
	int64		tick_id = 0;

	worker_begin("probing");
	if (!worker_still_holds(worker))
	{
		worker_commit();
		return STEP_REOPEN;
	}
	worker_begin_look(worker);
	window.to = tick_snapshot_now();
	if (window_has_rows(&window))
		tick_id = tick_make(CurrentMemoryContext).tick_id;
	else
		tick_snapshot_keep(&worker->ticks.done, window.to, worker->context);
	worker_commit();
	if (tick_id == 0)
	{
		forget_counted(worker);
		if (worker->lag.is_waiting)
			worker_set_lag(worker, 0, 0);
		worker_has_looked(worker);
		return STEP_IDLE;
	}
	worker_owe(worker, XactLastCommitEnd);
	worker->ticks.newest = tick_id;
	worker->ticks.made_at = monotonic_ms();
	return STEP_MORE;
}

static StepResult
find_tick(Worker *worker)
{
	int64		resumed = worker->position.window_tick_id;

	if (resumed > worker->ticks.done_tick && resumed > worker->ticks.newest)
		worker_make_tick(worker);
	if (worker->ticks.newest > worker->ticks.done_tick)
		return STEP_MORE;
	if (nothing_happened(worker->ticks.done))
		return STEP_IDLE;
	/* Transactions that commit within a few milliseconds of each other share a tick. */
	if (monotonic_ms() - worker->ticks.made_at < admin_linger_ms)
		return STEP_IDLE;
	return probe_and_tick(worker);
}

StepResult
worker_ensure_tick(Worker *worker)
{
	StepResult	result = find_tick(worker);

	/* It suffices to wait for the tick: every commit that it sees came before its own. */
	return result == STEP_MORE && !worker_is_durable(worker) ? STEP_UNCONFIRMED : result;
}

/* Counts the rows that a resync still has to send; *lowest becomes the first of them. */
static int64
count_backfill(const Worker *worker, int64 *lowest)
{
	int64		above = worker->passed.audit_id;
	int64		total = 0;
	AdminSinkRange range;

	while (worker->position.backfill_audit_id > 0 && worker_next_backfill(worker, above, &range))
	{
		WindowKeys	found = {0};

		window_count_backfill(range.first, range.last, &found);
		if (found.total > 0 && total == 0)
			*lowest = found.lowest;
		total += found.total;
		above = range.last;
	}
	return total;
}

bool
worker_count_new(Worker *worker)
{
	WindowKeys	found = {0};
	Window		window;
	TimestampTz since;
	bool		is_first = worker->ticks.counted == NULL && worker->window.tick_id == 0;

	window.from = worker->ticks.counted ? worker->ticks.counted :
		worker->window.tick_id > 0 ? worker->window.snapshot : worker->ticks.done;
	window.above = worker->position.floor_audit_id;
	if (nothing_happened(window.from))
		return false;
	worker_begin("counting what waits");
	worker_begin_look(worker);
	window.to = tick_snapshot_now();
	window_count(&window, &found);
	/* Keys at hand are counted already. */
	if (worker->ticks.counted == NULL && worker->keys.count == 0)
		found.total += count_backfill(worker, &found.lowest);
	tick_snapshot_keep(&worker->ticks.counted, window.to, worker->context);
	since = is_first ? 0 : worker->lag.since;
	if (since == 0 && found.total > 0)
		since = trail_recorded_at(found.lowest);
	worker_commit();
	worker->ticks.behind += found.total;
	worker_set_lag(worker, (is_first ? 0 : worker->lag.rows) + found.total, since);
	worker_has_looked(worker);
	return found.total > 0;
}

/* While the sink is down, makes ticks, which keep windows small, and counts the waiting rows. */
void
worker_tick_while_down(Worker *worker)
{
	if (worker_count_new(worker))
		worker_make_tick(worker);
}
