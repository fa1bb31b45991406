/*
 * deliver.c
 *	  One step of a worker: tick, window, batch, position.  ticking.c makes the ticks, reading.c
 *	  reads the rows, and batch.c delivers the batch.
 *
 * An error in the database is raised; a problem at the sink is returned as a result.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "delivery/batch.h"
#include "delivery/deliver.h"
#include "delivery/durable.h"
#include "delivery/reading.h"
#include "delivery/retry.h"
#include "delivery/ticking.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"

#define KEYS_TO_KEEP		65536	/* a larger array is freed after a window */

static void
end_window(Worker *worker)
{
	if (worker->keys.capacity > KEYS_TO_KEEP)
	{
		pfree(worker->keys.keys);
		worker->keys.keys = NULL;
		worker->keys.count = worker->batch.next_key = 0;
	}
	pfree(worker->ticks.done);
	worker->ticks.done = worker->window.snapshot;
	worker->ticks.done_tick = worker->window.tick_id;
	worker->window.tick_id = 0;
}

/* The position that holds once the batch has been delivered. */
static Position
position_after_batch(const Worker *worker, bool is_last)
{
	Position	next = position_next(&worker->position);
	int64		last = worker->batch.next_key > 0 ? worker->keys.keys[worker->batch.next_key - 1].audit_id : 0;

	next.delivered_rows += worker->batch.envelopes.count;
	next.highest_audit_id = Max(next.highest_audit_id, last);
	if (next.backfill_audit_id > 0)
		next.backfill_audit_id = is_last ? 0 : last + 1;
	else
	{
		next.tick_id = is_last ? worker->window.tick_id : worker->ticks.done_tick;
		next.window_tick_id = is_last ? 0 : worker->window.tick_id;
		next.window_audit_id = is_last ? 0 : last;
	}
	return next;
}

/* Delivers the batch that was read, and records its position. */
static StepResult
pass_on(Worker *worker, bool is_last)
{
	TimestampTz first_recorded = worker->batch.first_recorded;
	int64		lag = worker->lag.rows;
	bool		is_backfill = worker->position.backfill_audit_id > 0;
	Position	next = position_after_batch(worker, is_last);
	StepResult	result;

	worker_set_lag(worker, lag, first_recorded);
	result = worker_deliver_batch(worker, &next, is_backfill ? 0 : worker->window.tick_id, worker->window.nonce);
	if (result != STEP_DELIVERED)
	{
		worker->batch.next_key = worker->batch.first_key;
		worker->ahead.is_read = false;
		return result;
	}
	worker_set_lag(worker, Max(lag - (worker->batch.next_key - worker->batch.first_key), 0),
				   is_last && worker->ticks.behind == 0 ? 0 : first_recorded);
	return result;
}

static bool
is_at_end(const Worker *worker)
{
	return worker->keys.complete && worker->batch.next_key == worker->keys.count;
}

/* Moves the position past skipped rows: only dead letters behind the position are retried. */
static StepResult
record_passed_by(Worker *worker)
{
	if (worker->position.backfill_audit_id > 0)
		return STEP_MORE;
	worker->position = position_after_batch(worker, true);
	return worker_record_position(worker);
}

static StepResult
step_batch(Worker *worker)
{
	int64		lag;

	if (!worker_read_batch(worker))
		return STEP_REOPEN;
	if (worker->batch.envelopes.count > 0)
		return pass_on(worker, is_at_end(worker));
	/* All rows of this batch were rolled back, or rejected before. */
	lag = worker->lag.rows - (worker->batch.next_key - worker->batch.first_key);
	worker_set_lag(worker, Max(lag, 0), 0);
	return worker->passed.is_any && is_at_end(worker) ? record_passed_by(worker) : STEP_MORE;
}

/* Delivers the rows up to the floor, in order of audit_id, and ends the backfill after the last. */
static StepResult
step_backfill(Worker *worker)
{
	StepResult	result = step_batch(worker);

	if (result != STEP_MORE || worker->keys.count > 0)
		return result;
	worker->position = position_next(&worker->position);
	worker->position.backfill_audit_id = 0;
	worker->passed.audit_id = 0;
	worker->keys.complete = true;
	return worker_record_position(worker);
}

StepResult
worker_step(Worker *worker)
{
	StepResult	result = STEP_MORE;
	bool		has_retried = worker->retries.has_retried;

	if (worker_position_is_due(worker))
		result = worker_record_position(worker);
	if (result == STEP_MORE && !worker_is_durable(worker))
		return STEP_UNCONFIRMED;
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
	/* No other work is due, so the next dead letter need not wait for it. */
	if (result == STEP_IDLE && has_retried)
		return STEP_MORE;
	return result == STEP_MORE ? step_batch(worker) : result;
}
