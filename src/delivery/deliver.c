/*
 * deliver.c
 *	  One step of a worker: tick, window, batch, position.  Ticks are ticking.c's; what
 *	  becomes of a batch that was read is batch.c's.
 *
 * Raises for what is wrong in the database; what is wrong at the sink is a result.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/audit_append.h"
#include "delivery/worker.h"
#include "relations.h"
#include "settings.h"

#define KEYS_TO_KEEP		65536		/* more of them are given back after a window */
/* A sink that is behind takes the windows of so many ticks, of faster sinks, as one. */
#define MERGED_TICKS		64

bool
worker_still_holds(Worker *worker)
{
	return worker->audit == admin_relations()->audit &&
		position_is_newest(worker->sink_name, worker->recorded_id, worker->position.store_id);
}

/* Finds the window that comes next.  False: its tick is gone. */
static bool
find_window(Worker *worker)
{
	int64		resumed = worker->position.window_tick_id;
	int64		first = resumed > worker->done_tick ? resumed - 1 : worker->done_tick;
	int64		last = resumed > worker->done_tick ? resumed :
		Min(worker->durable_tick, worker->done_tick + MERGED_TICKS);

	worker->window = tick_next(first, last, worker->context);
	/* Those in between may be gone where this sink is new. */
	if (worker->window.tick_id == 0 && resumed <= worker->done_tick)
		worker->window = tick_next(first, worker->durable_tick, worker->context);
	worker->keys.count = 0;
	worker->keys.complete = false;
	worker->next_key = 0;
	worker->passed_audit_id = 0;
	worker->has_passed_by = false;
	return worker->window.tick_id != 0;
}

static void
end_window(Worker *worker)
{
	if (worker->keys.capacity > KEYS_TO_KEEP)
	{
		pfree(worker->keys.keys);
		worker->keys.keys = NULL;
		worker->keys.count = worker->next_key = 0;
	}
	pfree(worker->done);
	worker->done = worker->window.snapshot;
	worker->done_tick = worker->window.tick_id;
	worker->window.tick_id = 0;
}

/* Rows of the window up to here have been delivered, or were rolled back. */
static int64
above(const Worker *worker)
{
	const Position *position = &worker->position;
	int64		recorded = position->window_tick_id == worker->window.tick_id ? position->window_audit_id : 0;

	return Max(Max(position->floor_audit_id, recorded), worker->passed_audit_id);
}

static void
collect_keys(Worker *worker)
{
	Position   *position = &worker->position;
	Window		window = {worker->done, worker->window.snapshot, above(worker)};

	if (position->backfill_audit_id > 0)
		window_collect_backfill(Max(position->backfill_audit_id, worker->passed_audit_id + 1),
								position->floor_audit_id, &worker->keys);
	else
		window_collect(&window, &worker->keys);
	worker->next_key = 0;
	/* What was waiting behind the window before is in it now. */
	if (worker->passed_audit_id == 0)
		worker->behind = Max(worker->behind - worker->keys.total, 0);
	worker_set_lag(worker, worker->keys.total + worker->behind,
				   delivery_status_of(worker->slot).pending_since);
}

/* What the sink has rejected for good among the keys at hand. */
static int
find_rejected(Worker *worker, int64 **rejected)
{
	WindowKeys *keys = &worker->keys;

	if (!worker->has_rejected || worker->next_key == keys->count)
		return 0;
	return dead_letters(worker->sink_name, keys->keys[worker->next_key].audit_id,
						keys->keys[keys->count - 1].audit_id, rejected);
}

/* Fetches rows until the batch is full; those rolled back, or rejected for good, are passed by. */
static void
fill_batch(Worker *worker, TimestampTz *first_recorded)
{
	Size		limit = (Size) admin_batch_kb * 1024;
	MemoryContext per_row = AllocSetContextCreate(CurrentMemoryContext, "admin_ext row",
												  ALLOCSET_DEFAULT_SIZES);
	AuditReader *reader = audit_reader_open(&worker->keys);
	int64	   *rejected = NULL;
	int			rejected_count = find_rejected(worker, &rejected);
	int			passed = 0;

	while (worker->next_key < worker->keys.count && worker->envelopes.count < admin_batch_rows &&
		   worker->envelopes.length < limit)
	{
		int64		audit_id = worker->keys.keys[worker->next_key].audit_id;
		TupleTableSlot *row;

		while (passed < rejected_count && rejected[passed] < audit_id)
			passed++;
		if (passed < rejected_count && rejected[passed] == audit_id)
			worker->has_passed_by = true;	/* it has been told of */
		else if (audit_reader_fetch(reader, &worker->keys.keys[worker->next_key], &row))
		{
			MemoryContext old;

			if (worker->envelopes.count == 0)
				*first_recorded = DatumGetTimestampTz(row->tts_values[AUDIT_RECORDED_AT - 1]);
			old = MemoryContextSwitchTo(per_row);
			envelopes_add(&worker->envelopes, row);
			MemoryContextSwitchTo(old);
			MemoryContextReset(per_row);
		}
		worker->next_key++;
		CHECK_FOR_INTERRUPTS();
	}
	audit_reader_close(reader);
}

/*
 * Reads the next batch, in one transaction: finds the window and its keys where they are
 * not known yet.  False: what is known of the position holds no longer.
 */
static bool
read_batch(Worker *worker, TimestampTz *first_recorded)
{
	bool		is_backfill = worker->position.backfill_audit_id > 0;
	bool		holds;

	envelopes_reset(&worker->envelopes, 2 * (Size) admin_batch_kb * 1024);
	worker_begin("reading");
	holds = worker_still_holds(worker) &&
		(is_backfill || worker->window.tick_id != 0 || find_window(worker));
	if (holds && worker->next_key == worker->keys.count && (is_backfill || !worker->keys.complete))
		collect_keys(worker);
	worker->first_key = worker->next_key;
	if (holds)
		fill_batch(worker, first_recorded);
	worker_commit();
	if (worker->next_key > 0)
		worker->passed_audit_id = worker->keys.keys[worker->next_key - 1].audit_id;
	return holds;
}

/* What holds once the batch has been delivered. */
static Position
position_after(const Worker *worker, bool is_last)
{
	Position	next = worker->position;
	int64		last = worker->keys.keys[worker->next_key - 1].audit_id;

	next.position_id++;
	next.is_resync = false;
	next.retried_audit_id = 0;
	next.delivered_rows += worker->envelopes.count;
	next.highest_audit_id = Max(next.highest_audit_id, last);
	if (next.backfill_audit_id > 0)
		next.backfill_audit_id = is_last ? 0 : last + 1;
	else
	{
		next.tick_id = is_last ? worker->window.tick_id : worker->done_tick;
		next.window_tick_id = is_last ? 0 : worker->window.tick_id;
		next.window_audit_id = is_last ? 0 : last;
	}
	return next;
}

/* Delivers what was read, and records that. */
static StepResult
pass_on(Worker *worker, TimestampTz first_recorded, bool is_last)
{
	int64		lag = delivery_status_of(worker->slot).lag_rows;
	bool		is_backfill = worker->position.backfill_audit_id > 0;
	Position	next = position_after(worker, is_last);
	StepResult	result;

	worker_set_lag(worker, lag, first_recorded);
	result = worker_deliver_batch(worker, &next, is_backfill ? 0 : worker->window.tick_id, worker->window.nonce);
	if (result != STEP_DELIVERED)
	{
		worker->next_key = worker->first_key;
		return result;
	}
	worker_set_lag(worker, Max(lag - (worker->next_key - worker->first_key), 0),
				   is_last && worker->behind == 0 ? 0 : first_recorded);
	return result;
}

static bool
is_at_end(const Worker *worker)
{
	return worker->keys.complete && worker->next_key == worker->keys.count;
}

/* Whoever wants a dead letter sent again may rely on its being behind the position. */
static StepResult
record_passed_by(Worker *worker)
{
	if (worker->position.backfill_audit_id > 0)
		return STEP_MORE;
	worker->position = position_after(worker, true);
	return worker_record_position(worker);
}

static StepResult
step_batch(Worker *worker)
{
	TimestampTz first_recorded = 0;
	int64		lag;

	if (!read_batch(worker, &first_recorded))
		return STEP_REOPEN;
	if (worker->envelopes.count > 0)
		return pass_on(worker, first_recorded, is_at_end(worker));
	/* All of them were rolled back, or rejected before. */
	lag = delivery_status_of(worker->slot).lag_rows - (worker->next_key - worker->first_key);
	worker_set_lag(worker, Max(lag, 0), 0);
	return worker->has_passed_by && is_at_end(worker) ? record_passed_by(worker) : STEP_MORE;
}

/* The rows up to the floor, in order of audit_id; none left: done with. */
static StepResult
step_backfill(Worker *worker)
{
	StepResult	result = step_batch(worker);

	if (result != STEP_MORE || worker->keys.count > 0)
		return result;
	worker->position.position_id++;
	worker->position.is_resync = false;
	worker->position.backfill_audit_id = 0;
	worker->passed_audit_id = 0;
	worker->keys.complete = true;
	return worker_record_position(worker);
}

StepResult
worker_step(Worker *worker)
{
	StepResult	result = STEP_MORE;

	if (worker_position_is_due(worker))
		result = worker_record_position(worker);
	if (result == STEP_MORE)
		result = worker_retry_dead_letter(worker);
	if (result != STEP_MORE)
		return result;
	if (worker->position.backfill_audit_id > 0)
		return step_backfill(worker);
	if (worker->window.tick_id != 0 && is_at_end(worker))
		end_window(worker);
	if (worker->window.tick_id == 0)
		result = worker_ensure_tick(worker);
	return result == STEP_MORE ? step_batch(worker) : result;
}
