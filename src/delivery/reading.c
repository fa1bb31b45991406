/*
 * reading.c
 *	  The rows of the next batch: which window, its keys, their documents.
 *
 * While the sink sends or flushes a batch in the background, the next batch is read, if its keys
 * are known.  Each batch is read in a transaction of its own.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "delivery/content.h"
#include "delivery/reading.h"
#include "delivery/worker_lock.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "settings.h"

/* Most ticks, made for faster sinks, whose windows a lagging sink merges into one. */
#define MERGED_TICKS		64

/* Finds the window that comes next.  False: its tick is gone. */
static bool
find_window(Worker *worker)
{
	int64		resumed = worker->position.window_tick_id;
	int64		first = resumed > worker->ticks.done_tick ? resumed - 1 : worker->ticks.done_tick;
	int64		last = resumed > worker->ticks.done_tick ? resumed :
	Min(worker->ticks.newest, worker->ticks.done_tick + MERGED_TICKS);

	worker->window = tick_next(first, last, worker->context);
	/* If this sink is new, the ticks in between may be purged already. */
	if (worker->window.tick_id == 0 && resumed <= worker->ticks.done_tick)
		worker->window = tick_next(first, worker->ticks.newest, worker->context);
	worker->keys.count = 0;
	worker->keys.complete = false;
	worker->batch.next_key = 0;
	worker->passed.audit_id = 0;
	worker->passed.is_any = false;
	worker->ahead.is_read = false;
	return worker->window.tick_id != 0;
}

/* Rows of the window up to here have been delivered, or were rolled back. */
static int64
delivered_up_to(const Worker *worker)
{
	const Position *position = &worker->position;
	int64		recorded = position->window_tick_id == worker->window.tick_id ? position->window_audit_id : 0;

	return Max(Max(position->floor_audit_id, recorded), worker->passed.audit_id);
}

bool
worker_next_backfill(const Worker *worker, int64 above, AdminSinkRange *range)
{
	const Position *position = &worker->position;
	int64		first = Max(position->backfill_audit_id, above + 1);

	range->first = first;
	range->last = position->backfill_end;
	for (int i = 0; i < worker->again.count; i++)
	{
		if (worker->again.ranges[i].last < first)
			continue;
		range->first = Max(first, worker->again.ranges[i].first);
		range->last = Min(position->backfill_end, worker->again.ranges[i].last);
		return range->first <= range->last;
	}
	return worker->again.count == 0 && range->first <= range->last;
}

/* Collects the next keys of a backfill; skips ranges without rows, for later ones may have rows. */
static void
collect_backfill(Worker *worker)
{
	AdminSinkRange range;
	AdminSinkRange next;
	int64		above = worker->passed.audit_id;

	worker->keys.count = 0;
	worker->keys.total = 0;
	worker->keys.complete = true;
	while (worker->keys.count == 0 && worker_next_backfill(worker, above, &range))
	{
		window_collect_backfill(range.first, range.last, &worker->keys);
		above = range.last;
	}
	if (worker->keys.count > 0 && worker_next_backfill(worker, above, &next))
		worker->keys.complete = false;
}

static void
collect_keys(Worker *worker)
{
	Position   *position = &worker->position;
	Window		window = {worker->ticks.done, worker->window.snapshot, delivered_up_to(worker)};

	if (position->backfill_audit_id > 0)
		collect_backfill(worker);
	else
		window_collect(&window, &worker->keys);
	worker->batch.next_key = 0;
	/* Rows that waited behind the previous window are in this one. */
	if (worker->passed.audit_id == 0)
		worker->ticks.behind = Max(worker->ticks.behind - worker->keys.total, 0);
	worker_set_lag(worker, worker->keys.total + worker->ticks.behind, worker->lag.since);
	worker_has_looked(worker);
}

/*
 * Finds the dead letters from this key on.  In a backfill, rows are read again because the sink may
 * have lost them; then rows that an operator has skipped meanwhile are included.
 */
static int
find_rejected(Worker *worker, int next_key, int end, int64 **rejected)
{
	WindowKeys *keys = &worker->keys;

	bool		is_backfill = worker->position.backfill_audit_id > 0;

	if ((!worker->has_rejected && !is_backfill) || next_key == end)
		return 0;
	return dead_letters(worker->sink_name, keys->keys[next_key].audit_id,
						keys->keys[end - 1].audit_id, is_backfill, rejected);
}

/* Does the backfill include this row?  Rows committed after the resync are left to windows. */
static bool
is_due(const Worker *worker, const TupleTableSlot *row)
{
	const Position *position = &worker->position;
	FullTransactionId xid = DatumGetFullTransactionId(row->tts_values[AUDIT_XID - 1]);

	return position->backfill_audit_id == 0 ||
		DatumGetInt64(row->tts_values[AUDIT_ID - 1]) <= position->floor_audit_id ||
		tick_sees(worker->ticks.done, U64FromFullTransactionId(xid));
}

/*
 * Fetches rows from the key on until the batch is full; those rolled back, or rejected for good, are
 * skipped.
 */
static void
fill_batch(Worker *worker, WorkerBatch *batch, int first_key)
{
	const WindowKeys *keys = &worker->keys;
	Envelopes  *envelopes = &batch->envelopes;
	int			next_key = first_key;
	Size		full = (Size) admin_batch_kb * 1024;
	Size		limit = worker->sink.most_bytes > 0 ? Min(full, worker->sink.most_bytes) : full;
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext, "admin_ext row",
												  ALLOCSET_DEFAULT_SIZES);
	AuditReader *reader = audit_reader_open(keys);
	int64	   *rejected = NULL;

	/* Skipped rows are looked up one by one, so only for as many rows as a batch may have. */
	int			end = worker->position.backfill_audit_id > 0 ? Min(keys->count, next_key + admin_batch_rows) : keys->count;
	int			rejected_count = find_rejected(worker, next_key, end, &rejected);
	int			passed = 0;

	worker_content_begin(envelopes);
	envelopes_reset(envelopes, 2 * full);
	for (; next_key < end && envelopes->count < admin_batch_rows && envelopes->length < limit; next_key++)
	{
		int64		audit_id = keys->keys[next_key].audit_id;
		TupleTableSlot *row;

		while (passed < rejected_count && rejected[passed] < audit_id)
			passed++;
		if (passed < rejected_count && rejected[passed] == audit_id)
			worker->passed.is_any = true;	/* it has been reported */
		else if (audit_reader_fetch(reader, &keys->keys[next_key], &row) && is_due(worker, row))
		{
			MemoryContext old;

			if (envelopes->count == 0)
				batch->first_recorded = DatumGetTimestampTz(row->tts_values[AUDIT_RECORDED_AT - 1]);
			old = MemoryContextSwitchTo(per_row);
			envelopes_add(envelopes, row);
			MemoryContextSwitchTo(old);
			MemoryContextReset(per_row);
			worker_content_grown(envelopes);
		}
		CHECK_FOR_INTERRUPTS();
	}
	audit_reader_close(reader);
	batch->first_key = first_key;
	batch->next_key = next_key;
}

/* Makes the batch that was read ahead the current one. */
static void
take_ahead(Worker *worker)
{
	WorkerBatch spent = worker->batch;

	worker->batch = worker->ahead;
	worker->ahead = spent;
	worker->ahead.is_read = false;
}

static bool
read_next(Worker *worker)
{
	bool		is_backfill = worker->position.backfill_audit_id > 0;
	bool		holds;

	worker_begin("reading");
	holds = worker_still_holds(worker) &&
		(is_backfill || worker->window.tick_id != 0 || find_window(worker));
	if (holds && worker->batch.next_key == worker->keys.count && (is_backfill || !worker->keys.complete))
		collect_keys(worker);
	if (holds)
		fill_batch(worker, &worker->batch, worker->batch.next_key);
	worker_commit();
	return holds;
}

bool
worker_read_batch(Worker *worker)
{
	if (worker->ahead.is_read)
		take_ahead(worker);
	else if (!read_next(worker))
		return false;
	if (worker->batch.next_key > 0)
		worker->passed.audit_id = worker->keys.keys[worker->batch.next_key - 1].audit_id;
	return true;
}

/*
 * Reads the next batch while the sink works on this one, in a transaction of its own.  A lock or an
 * error only ends the reading: it shows up again when the next batch is due.
 */
void
worker_read_ahead(Worker *worker)
{
	if (worker->ahead.is_read || worker->batch.next_key == worker->keys.count)
		return;
	PG_TRY();
	{
		worker_begin("reading ahead");
		(void) set_config_option("lock_timeout", "10", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		if (worker_still_holds(worker))
		{
			fill_batch(worker, &worker->ahead, worker->batch.next_key);
			worker->ahead.is_read = worker->ahead.envelopes.count > 0;
		}
		worker_commit();
	}
	PG_CATCH();
	{
		(void) worker_give_up();
		worker->ahead.is_read = false;
	}
	PG_END_TRY();
}
