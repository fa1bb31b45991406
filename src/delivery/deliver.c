/*
 * deliver.c
 *	  One step of a worker: tick, window, batch, position.  Ticks are ticking.c's.
 *
 * A batch's transaction is closed before the sink waits for anything; the position is
 * recorded after the sink has the batch for good.  In between nothing is held that
 * anybody could wait for.
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
#define PURGE_EVERY			64			/* positions */
/* A sink that is behind takes the windows of so many ticks, of faster sinks, as one. */
#define MERGED_TICKS		64
/* How often the position is recorded where the sink keeps it. */
#define RECORD_ROWS			50000
#define RECORD_MS			1000

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
			 /* it has been told of */ ;
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

/* Hands the batch to the sink and waits until it has it for good. */
static AdminSinkResult
deliver_batch(Worker *worker, AdminSinkBatch *batch)
{
	AdminSinkResult result;

	pgstat_report_activity(STATE_IDLE, "waiting for the sink");
	result = worker->callbacks->deliver(&worker->sink, batch);
	if (result == ADMIN_SINK_OK)
		result = ADMIN_SINK_PENDING;
	while (result == ADMIN_SINK_PENDING)
	{
		CHECK_FOR_INTERRUPTS();
		result = worker->callbacks->confirm(&worker->sink, batch);
	}
	return result;
}

/* On disk before the batch is tried without it: from then on it is passed by. */
static void
take_rejection(Worker *worker, const AdminSinkBatch *batch)
{
	int64		audit_id = batch->records[batch->rejected_record].audit_id;

	worker_begin("recording a dead letter");
	dead_letter_record(worker->sink_name, audit_id, batch->rejected_error);
	worker_commit();
	worker->has_rejected = true;
	SpinLockAcquire(&worker->slot->mutex);
	worker->slot->status.dead_letters++;
	SpinLockRelease(&worker->slot->mutex);
	ereport(LOG,
			(errmsg("admin_ext: sink \"%s\" of database \"%s\" has rejected audit_id " INT64_FORMAT " for good: %s",
					worker->sink_name, worker->database, audit_id, batch->rejected_error)));
}

/* What holds once the batch has been delivered. */
static Position
position_after(const Worker *worker, bool is_last)
{
	Position	next = worker->position;
	int64		last = worker->keys.keys[worker->next_key - 1].audit_id;

	next.position_id++;
	next.is_resync = false;
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

/*
 * At the end of the newest window the commit need not be waited for: the next batch comes
 * after the next tick, whose commit waits for this one too, and a crash before that
 * delivers the last batch once more, as one before this commit would.  A sink that keeps
 * positions needs no waiting at all.
 */
StepResult
worker_record_position(Worker *worker)
{
	const Position *position = &worker->position;
	bool		was_resync = worker->recorded_is_resync;
	bool		recorded;

	worker_begin("recording the position");
	if ((worker->callbacks->keeps_position && !was_resync) ||
		(position->window_tick_id == 0 && position->tick_id > 0 && position->tick_id == worker->durable_tick))
		(void) set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	recorded = position_record(worker->sink_name, position, worker->recorded_id);
	if (recorded && position->position_id - worker->purged_position >= PURGE_EVERY)
	{
		worker->purged_tick = position_purge(worker->sink_name, worker->purged_position,
											 position->position_id, worker->purged_tick);
		worker->purged_position = position->position_id;
	}
	worker_commit();
	if (!recorded)
		return STEP_REOPEN;
	worker->recorded_id = position->position_id;
	worker->recorded_is_resync = position->is_resync;
	worker->recorded_rows = position->delivered_rows;
	worker->recorded_at = GetCurrentTimestamp();
	return STEP_MORE;
}

/* The database's own copy is a lower bound where the sink keeps the position. */
static bool
is_due(const Worker *worker)
{
	if (worker->position.position_id == worker->recorded_id)
		return false;
	return !worker->callbacks->keeps_position ||
		worker->position.delivered_rows - worker->recorded_rows >= RECORD_ROWS ||
		TimestampDifferenceExceeds(worker->recorded_at, GetCurrentTimestamp(), RECORD_MS);
}

static void
report_batch(Worker *worker, int64 lag_rows, TimestampTz pending_since)
{
	DeliveryStatus *status = &worker->slot->status;
	Envelopes  *envelopes = &worker->envelopes;
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&worker->slot->mutex);
	status->delivered_rows += envelopes->count;
	status->delivered_bytes += envelopes->length;
	status->batches++;
	status->last_audit_id = envelopes->records[envelopes->count - 1].audit_id;
	status->last_delivery_at = now;
	status->lag_rows = lag_rows;
	status->pending_since = pending_since;
	SpinLockRelease(&worker->slot->mutex);
}

static AdminSinkBatch
make_batch(const Worker *worker, const Position *next)
{
	const Envelopes *envelopes = &worker->envelopes;
	AdminSinkBatch batch = {
		.data = envelopes->data,
		.length = envelopes->length,
		.keys = envelopes->keys,
		.records = envelopes->records,
		.count = envelopes->count,
	};

	batch.position.position_id = next->position_id;
	batch.position.tick_id = worker->position.backfill_audit_id > 0 ? 0 : worker->window.tick_id;
	strlcpy(batch.position.nonce, batch.position.tick_id > 0 ? worker->window.nonce : "-", UUID_TEXT_BYTES);
	batch.position.audit_id = next->highest_audit_id;
	position_write(next, batch.position.nonce, batch.position.record, sizeof(batch.position.record));
	batch.rejected_record = ADMIN_SINK_NO_RECORD;
	return batch;
}

/* Delivers what was read, and records that. */
static StepResult
pass_on(Worker *worker, TimestampTz first_recorded, bool is_last)
{
	Position	next = position_after(worker, is_last);
	AdminSinkBatch batch = make_batch(worker, &next);
	int64		lag = delivery_status_of(worker->slot).lag_rows;
	AdminSinkResult result;

	worker_set_lag(worker, lag, first_recorded);
	result = deliver_batch(worker, &batch);
	if (result != ADMIN_SINK_OK)
		worker->next_key = worker->first_key;
	if (result == ADMIN_SINK_REJECTED)
	{
		take_rejection(worker, &batch);
		return STEP_MORE;
	}
	if (result != ADMIN_SINK_OK)
		return worker_step_result(result);
	strlcpy(next.sink_detail, batch.position.detail, sizeof(next.sink_detail));
	worker->position = next;
	if (is_due(worker) && worker_record_position(worker) != STEP_MORE)
		return STEP_REOPEN;
	report_batch(worker, Max(lag - (worker->next_key - worker->first_key), 0),
				 is_last && worker->behind == 0 ? 0 : first_recorded);
	return STEP_DELIVERED;
}

static StepResult
step_batch(Worker *worker)
{
	TimestampTz first_recorded = 0;
	int64		lag;

	if (!read_batch(worker, &first_recorded))
		return STEP_REOPEN;
	if (worker->envelopes.count > 0)
		return pass_on(worker, first_recorded,
					   worker->keys.complete && worker->next_key == worker->keys.count);
	/* All of them were rolled back, or rejected before. */
	lag = delivery_status_of(worker->slot).lag_rows - (worker->next_key - worker->first_key);
	worker_set_lag(worker, Max(lag, 0), 0);
	return STEP_MORE;
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

	if (is_due(worker))
		result = worker_record_position(worker);
	if (result != STEP_MORE)
		return result;
	if (worker->position.backfill_audit_id > 0)
		return step_backfill(worker);
	if (worker->window.tick_id != 0 && worker->keys.complete && worker->next_key == worker->keys.count)
		end_window(worker);
	if (worker->window.tick_id == 0)
		result = worker_ensure_tick(worker);
	return result == STEP_MORE ? step_batch(worker) : result;
}
