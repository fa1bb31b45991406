/*
 * retry.c
 *	  Sends a dead letter again when an operator has asked for it.
 *
 * Delivery has skipped the row.  So it is sent between two batches, as a batch of its own that does
 * not move the place in the window.  Before the next batch, one transaction records the position
 * and removes the dead letter.  So, where the sink keeps the position, at most its newest position
 * names a dead letter that the database still has.  Adopting that position removes the dead letter.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "audit/audit_append.h"
#include "delivery/batch.h"
#include "delivery/content.h"
#include "delivery/durable.h"
#include "delivery/retry.h"
#include "delivery/ticking.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "monotonic.h"

#define LOOK_MS	1000

/* Builds the envelope of one row.  False: the row is no longer in the trail. */
static bool
read_dead_letter_row(Worker *worker, int64 audit_id)
{
	WindowKeys	keys = {.context = CurrentMemoryContext};
	AuditReader *reader;
	TupleTableSlot *row;

	worker_content_begin(&worker->batch.envelopes);
	envelopes_reset(&worker->batch.envelopes, MaxAllocHugeSize);
	window_collect_backfill(audit_id, audit_id, &keys);
	reader = audit_reader_open(&keys);

	/*
	 * There may be several keys: vacuum may not have removed a row that was rolled back, or an old
	 * version of a row that a superuser changed.
	 */
	for (int i = 0; i < keys.count && worker->batch.envelopes.count == 0; i++)
	{
		if (audit_reader_fetch(reader, &keys.keys[i], &row))
			envelopes_add(&worker->batch.envelopes, row);
	}
	audit_reader_close(reader);
	return worker->batch.envelopes.count == 1;
}

/* The place in the window stays; only the retried row and the counts change. */
static Position
position_after_retry(const Worker *worker, int64 audit_id)
{
	Position	next = position_next(&worker->position);

	next.retried_audit_id = audit_id;
	next.delivered_rows++;
	return next;
}

StepResult
worker_retry_dead_letter(Worker *worker)
{
	Position   *position = &worker->position;
	int64		newest = Max(position->tick_id, position->window_tick_id);
	Tick		tick = {0};
	Position	next;
	int64		audit_id;

	if (worker->retries.has_retried || monotonic_ms() - worker->retries.seen_at < LOOK_MS)
	{
		worker->retries.has_retried = false;
		return STEP_MORE;
	}
	worker_begin("looking for a dead letter to send again");
	audit_id = dead_letter_wanted(worker->sink_name);
	if (audit_id != 0 && !worker_still_holds(worker))
	{
		worker_commit();
		return STEP_REOPEN;
	}
	if (audit_id != 0 && !read_dead_letter_row(worker, audit_id))
	{
		dead_letter_record(worker->sink_name, audit_id, "the row is not in the audit trail any more");
		audit_id = 0;
	}
	if (audit_id != 0 && newest > 0)
		tick = tick_next(newest - 1, newest, worker->context);
	worker_commit();
	if (audit_id == 0)
	{
		worker->retries.seen_at = monotonic_ms();
		return STEP_MORE;
	}
	if (tick.snapshot != NULL)
		pfree(tick.snapshot);

	/*
	 * The previous position may have been recorded asynchronously, because a tick would be
	 * committed before the next batch.
	 */
	if (!worker->callbacks->keeps_position)
	{
		/* If another worker recorded it, its LSN is not known; a new tick is committed after it. */
		if (worker->recorded.lsn == InvalidXLogRecPtr && worker->ticks.newest == 0)
			worker_make_tick(worker);
		worker_owe(worker, worker->recorded.lsn);
	}
	if (!worker_is_durable(worker))
		return STEP_UNCONFIRMED;
	worker->retries.has_retried = true;
	next = position_after_retry(worker, audit_id);
	return worker_deliver_batch(worker, &next, tick.tick_id, tick.nonce);
}
