/*
 * batch.c
 *	  Delivers a batch: hands it to the sink, waits for confirmation, records its position.
 *
 * The transaction that read the batch is closed before the worker waits for the sink.  The position
 * is recorded after the sink has confirmed the batch.  In between the worker holds no lock that
 * another session could wait for.  An error in the database is raised; a problem at the sink is
 * returned as a result.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "delivery/batch.h"
#include "delivery/content.h"
#include "delivery/durable.h"
#include "delivery/reading.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "monotonic.h"

#define PURGE_EVERY			64	/* positions */
/* How often the position is recorded where the sink keeps it. */
#define RECORD_ROWS			50000
#define RECORD_MS			1000

/* Hands the batch to the sink and waits until the sink has confirmed it. */
static AdminSinkResult
hand_over(Worker *worker, AdminSinkBatch *batch)
{
	DeliveryState state = delivery_status_of(worker->slot).state;
	AdminSinkResult result;

	/* A worker that waits for its sink is not idle. */
	if (state == DELIVERY_IDLE || state == DELIVERY_STARTING)
		worker_set_state(worker, DELIVERY_DELIVERING, NULL);
	result = worker->callbacks->deliver(&worker->sink, batch);
	if (result == ADMIN_SINK_OK)
	{
		worker_read_ahead(worker);
		result = ADMIN_SINK_PENDING;
	}
	pgstat_report_activity(STATE_IDLE, "waiting for the sink");
	while (result == ADMIN_SINK_PENDING)
	{
		CHECK_FOR_INTERRUPTS();
		result = worker->callbacks->confirm(&worker->sink, batch);
	}
	return result;
}

/*
 * Records a dead letter.  It must be durable before the batch is sent without it, because delivery
 * skips it from then on.
 */
static void
take_rejection(Worker *worker, const AdminSinkBatch *batch)
{
	int64		audit_id = batch->records[batch->rejected_record].audit_id;

	worker_begin("recording a dead letter");
	dead_letter_record(worker->sink_name, audit_id, batch->rejected_error);
	worker_commit_owed(worker);
	worker->has_rejected = true;
	SpinLockAcquire(&worker->slot->mutex);
	worker->slot->status.dead_letters++;
	SpinLockRelease(&worker->slot->mutex);
	ereport(WARNING,
			(errmsg("admin_ext: sink \"%s\" of database \"%s\" has rejected audit_id " INT64_FORMAT " for good: %s",
					worker->sink_name, worker->database, audit_id, batch->rejected_error)));
}

/*
 * Is it safe not to wait for the commit of the position?  At the end of the newest window it is:
 * the next batch follows the next tick, whose commit comes later.  A crash before that delivers the
 * last batch again, as a crash before this commit would.  A sink that keeps positions needs no wait
 * either, except after a retried dead letter: only the newest position in the sink names it.
 */
static bool
is_covered_later(const Worker *worker)
{
	const Position *position = &worker->position;

	return position->retried_audit_id == 0 &&
		((worker->callbacks->keeps_position && !worker->recorded.is_resync) ||
		 (position->window_tick_id == 0 && position->tick_id > 0 && position->tick_id == worker->ticks.newest));
}

static void
purge_batch(Worker *worker, const Position *position)
{
	if (position->position_id - worker->recorded.purged_position < PURGE_EVERY)
		return;
	worker->recorded.purged_tick = position_purge(worker->sink_name, worker->recorded.purged_position,
												  position->position_id, worker->recorded.purged_tick);
	worker->recorded.purged_position = position->position_id;
}

StepResult
worker_record_position(Worker *worker)
{
	const Position *position = &worker->position;
	bool		is_covered = is_covered_later(worker);
	bool		recorded;

	worker_begin("recording the position");
	if (is_covered)
		(void) set_config_option("synchronous_commit", "off", PGC_SUSET, PGC_S_SESSION,
								 GUC_ACTION_LOCAL, true, 0, false);
	recorded = position_record(worker->sink_name, position, worker->recorded.position_id);

	/*
	 * Even if an operator's position was recorded first, a sink that keeps its own position has
	 * the dead letter.
	 */
	if (position->retried_audit_id != 0 && (recorded || worker->callbacks->keeps_position))
		dead_letter_delivered(worker->sink_name, position);
	if (recorded)
	{
		links_record(&worker->links, worker->sink_name);
		purge_batch(worker, position);
	}
	worker_commit();
	worker->recorded.is_late = false;
	if (!recorded)
		return STEP_REOPEN;
	worker->recorded.lsn = XactLastCommitEnd;
	if (!is_covered)
		worker_owe(worker, worker->recorded.lsn);
	worker->recorded.position_id = position->position_id;
	strlcpy(worker->position.recorded_home, position->home, HOME_TEXT_BYTES);
	worker->recorded.is_resync = position->is_resync;
	worker->recorded.rows = position->delivered_rows;
	worker->recorded.at = monotonic_ms();
	return STEP_MORE;
}

/* Where the sink keeps the position, the database's copy is only a lower bound. */
bool
worker_position_is_due(const Worker *worker)
{
	if (worker->position.position_id == worker->recorded.position_id)
		return false;
	return !worker->callbacks->keeps_position || worker->position.retried_audit_id != 0 ||
		worker->position.delivered_rows - worker->recorded.rows >= RECORD_ROWS ||
		worker->links.count == MOST_LINKS ||
		monotonic_ms() - worker->recorded.at >= RECORD_MS;
}

static int
latency_bucket(int64 milliseconds)
{
	int			bucket = 0;

	while (bucket < LATENCY_BUCKETS - 1 && milliseconds > ((int64) 1 << bucket))
		bucket++;
	return bucket;
}

static void
report_batch(Worker *worker, int64 milliseconds)
{
	DeliveryStatus *status = &worker->slot->status;
	Envelopes  *envelopes = &worker->batch.envelopes;
	TimestampTz now = GetCurrentTimestamp();

	SpinLockAcquire(&worker->slot->mutex);
	status->delivered_rows += envelopes->count;
	status->delivered_bytes += envelopes->length;
	status->batches++;
	status->latency[latency_bucket(milliseconds)]++;
	status->last_audit_id = envelopes->records[envelopes->count - 1].audit_id;
	status->last_delivery_at = now;
	SpinLockRelease(&worker->slot->mutex);
}

static AdminSinkBatch
make_batch(const Worker *worker, const Position *next, int64 tick_id, const char *nonce)
{
	const Envelopes *envelopes = &worker->batch.envelopes;
	AdminSinkBatch batch = {
		.data = envelopes->data,
		.length = envelopes->length,
		.keys = envelopes->keys,
		.records = envelopes->records,
		.count = envelopes->count,
	};

	batch.first_number = next->last_number - envelopes->count + 1;
	chain_write(worker->position.chain, batch.chain_before);
	chain_write(next->chain, batch.chain_after);
	batch.position.last_number = next->last_number;
	strlcpy(batch.position.chain, batch.chain_after, sizeof(batch.position.chain));
	batch.position.position_id = next->position_id;
	batch.position.tick_id = tick_id;
	strlcpy(batch.position.nonce, tick_id > 0 ? nonce : "-", UUID_TEXT_BYTES);
	batch.position.audit_id = next->highest_audit_id;
	position_write(&worker->key, next, batch.position.nonce, batch.position.record, sizeof(batch.position.record));
	batch.rejected_record = ADMIN_SINK_NO_RECORD;
	return batch;
}

/* Numbers the documents of the batch, after the last number delivered. */
static void
number_batch(Position *next, Envelopes *envelopes)
{
	unsigned char content[CHAIN_BYTES];

	worker_content_of(envelopes, content);
	if (!chain_extend(next->chain, next->last_number + 1, envelopes->count, content))
		elog(ERROR, "could not compute SHA-256 digest");
	next->last_number += envelopes->count;
	next->batch_count = envelopes->count;
}

StepResult
worker_deliver_batch(Worker *worker, Position *next, int64 tick_id, const char *nonce)
{
	AdminSinkBatch batch;
	int64		begun = monotonic_ms();
	AdminSinkResult result;
	int64		taken;

	number_batch(next, &worker->batch.envelopes);
	batch = make_batch(worker, next, tick_id, nonce);
	result = hand_over(worker, &batch);
	taken = monotonic_ms() - begun;
	if (result == ADMIN_SINK_REJECTED)
	{
		take_rejection(worker, &batch);
		return STEP_MORE;
	}
	if (result != ADMIN_SINK_OK)
		return worker_step_result(result);
	strlcpy(next->sink_detail, batch.position.detail, sizeof(next->sink_detail));
	worker->position = *next;
	links_add(&worker->links, next, worker->context);
	/* Stays true after an error, until a position is recorded. */
	worker->recorded.is_late = worker_position_is_due(worker);
	if (worker->recorded.is_late && worker_record_position(worker) != STEP_MORE)
		return STEP_REOPEN;
	report_batch(worker, taken);
	return STEP_DELIVERED;
}
