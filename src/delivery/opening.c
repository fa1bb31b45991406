/*
 * opening.c
 *	  Finds out where a sink stands, and opens it.
 *
 * The worker takes the session lock, then reads the position that the database has recorded, then
 * asks the sink, which may know better.  If the sink has seen a tick that the database does not
 * have, commits were lost.  Only then is the sink made to hold what the position says.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/extension.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "compat.h"
#include "delivery/batch.h"
#include "delivery/content.h"
#include "delivery/divergence.h"
#include "delivery/durable.h"
#include "delivery/kept_number.h"
#include "delivery/opening.h"
#include "delivery/sink_context.h"
#include "delivery/sink_table.h"
#include "delivery/ticking.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "monotonic.h"
#include "relations.h"

#define SINK_LOCK_CLASS	1633971571	/* 'adms' */
#define RECOVERY_SHOWN_MS	3000

/*
 * The session lock that keeps a second worker from a sink.  It is not an advisory lock, which any
 * user could take.  It still uses their lock method, because only such locks outlive an aborted
 * transaction and end with the process.
 */
static LOCKTAG
sink_lock(const char *sink)
{
	LOCKTAG		tag = {
		.locktag_field1 = MyDatabaseId,
		.locktag_field2 = SINK_LOCK_CLASS,
		.locktag_field3 = hash_bytes((const unsigned char *) sink, strlen(sink)),
		.locktag_type = LOCKTAG_USERLOCK,
		.locktag_lockmethodid = USER_LOCKMETHOD,
	};

	return tag;
}

static bool
lock_sink(const char *sink)
{
	LOCKTAG		tag = sink_lock(sink);

	return LockAcquire(&tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
}

static void
unlock_sink(const char *sink)
{
	LOCKTAG		tag = sink_lock(sink);

	(void) LockRelease(&tag, ExclusiveLock, true);
}

void
worker_close_sink(Worker *worker)
{
	if (worker->sink.context == NULL)
		return;
	worker->callbacks->close(&worker->sink);
	MemoryContextDelete(worker->sink.context);
	worker->sink.context = NULL;
	worker->is_open = false;
}

void
worker_close(Worker *worker)
{
	worker_close_sink(worker);
	if (worker->is_locked)
		unlock_sink(worker->sink_name);
	worker->is_locked = worker->is_positioned = false;
	worker_content_settle(worker);
	if (worker->context)
		MemoryContextDelete(worker->context);
	worker->context = NULL;
}

/* Forgets the window and its keys. */
static void
forget_window(Worker *worker)
{
	if (worker->window.tick_id != 0)
		pfree(worker->window.snapshot);
	worker->window.tick_id = 0;
	worker->keys.count = worker->batch.first_key = worker->batch.next_key = 0;
	worker->keys.complete = true;
	worker->passed.audit_id = 0;
	worker->ahead.is_read = false;
}

/* Resets the state to the position that was just read. */
static void
begin_at_position(Worker *worker)
{
	worker->ticks.done_tick = worker->position.tick_id;
	worker->ticks.newest = 0;
	worker->recorded.lsn = InvalidXLogRecPtr;
	/* What was read may have been committed without waiting for a standby. */
	worker_owe(worker, compat_flushed());
	worker->recorded.position_id = worker->position.position_id;
	worker->recorded.is_resync = worker->position.is_resync;
	worker->recorded.rows = worker->position.delivered_rows;
	worker->recorded.at = monotonic_ms();
	memset(&worker->links, 0, sizeof(worker->links));
	worker->has_rejected = true;
	worker->ticks.counted = NULL;
	worker->ticks.behind = 0;
	worker->recorded.purged_position = 0;
	worker->recorded.purged_tick = 0;
	/* Their memory was freed with the previous context. */
	worker->window.tick_id = 0;
	memset(&worker->keys, 0, sizeof(worker->keys));
	worker->keys.context = worker->context;
	forget_window(worker);
	/* While a lock blocks the worker, the last known lag stays. */
	if (!worker->lag.is_waiting)
		worker_set_lag(worker, 0, 0);
	envelopes_init(&worker->batch.envelopes, worker->context, worker->position.store_id);
	envelopes_init(&worker->ahead.envelopes, worker->context, worker->position.store_id);
	worker->is_positioned = true;
}

/* Locks the sink, and reads its position. */
static StepResult
take_position(Worker *worker)
{
	worker_begin("opening");
	if (!OidIsValid(get_extension_oid("admin_ext", true)))
	{
		snprintf(worker->sink.error, sizeof(worker->sink.error),
				 "extension admin_ext is not installed in database \"%s\"; create it there, or take the database off "
				 "admin_ext.databases", worker->database);
		worker_commit();
		return STEP_STOP;
	}
	if (!lock_sink(worker->sink_name))
	{
		snprintf(worker->sink.error, sizeof(worker->sink.error),
				 "another worker delivers to sink \"%s\"", worker->sink_name);
		worker_commit();
		return STEP_FENCED;
	}
	worker->is_locked = true;
	/* The extension may have been dropped and created again. */
	worker->chores.partitions_at = 0;
	worker->context = AllocSetContextCreate(TopMemoryContext, "admin_ext position", ALLOCSET_DEFAULT_SIZES);
	position_open(worker->sink_name, &worker->position, worker->context, &worker->ticks.done);
	position_key(worker->sink_name, &worker->key);
	worker->audit = admin_relations()->audit;
	worker_commit();

	begin_at_position(worker);
	return STEP_MORE;
}

/*
 * A batch is handed to the sink before its position is recorded, so the sink may be one position
 * ahead.  If it is further ahead, or at a tick that the database does not know, commits were lost.
 */
static bool
position_is_known(Worker *worker, const AdminSinkPosition *seen)
{
	const Position *position = &worker->position;
	bool		known;

	if (seen->position_id > position->position_id + 1)
		return false;
	/* Ticks before the position's own may have been purged. */
	if (seen->tick_id == 0 ||
		(seen->tick_id < position->tick_id && seen->position_id < position->position_id))
		return true;
	worker_begin("looking for the sink's newest tick");
	known = tick_exists(seen->tick_id, seen->nonce);
	worker_commit();
	return known;
}

void
worker_show_loss(Worker *worker)
{
	SpinLockAcquire(&worker->slot->mutex);
	worker->slot->status.has_lost = worker->sink.has_lost;
	SpinLockRelease(&worker->slot->mutex);
}

static void
show_place(Worker *worker, const char *place)
{
	SpinLockAcquire(&worker->slot->mutex);
	strlcpy(worker->slot->status.place, place, sizeof(worker->slot->status.place));
	SpinLockRelease(&worker->slot->mutex);
}

/* Returns true if problem is empty; otherwise writes it to sink.error. */
static bool
is_plausible(Worker *worker, const char *what, const char *problem)
{
	if (problem[0] == '\0')
		return true;
	snprintf(worker->sink.error, sizeof(worker->sink.error),
			 "%s was not written by this database: %s; find out who else writes to the sink, then call "
			 "admin.resync_sink('%s', ...) with the number that admin.resync_proposal('%s') returns",
			 what, problem, worker->sink_name, worker->sink_name);
	return false;
}

/* Checks the newest batch's mark: a forged number must not count as the highest that was sent. */
static bool
is_marker_sound(Worker *worker, const AdminSinkPosition *seen)
{
	char		problem[PROBLEM_BYTES];
	char		what[64];

	if (seen->position_id == 0)
		return true;
	worker_begin("looking at the sink's newest batch");
	marker_problem(seen->audit_id, problem);
	worker_commit();
	snprintf(what, sizeof(what), "the mark of batch " INT64_FORMAT " in the sink", seen->position_id);
	return is_plausible(worker, what, problem);
}

/*
 * Adopts a later position that the sink has kept.  It has to be of the same resync, and built on
 * ticks that the database knows.
 */
static StepResult
adopt_position(Worker *worker, const AdminSinkPosition *found)
{
	Position	position = worker->position;
	char		nonce[UUID_TEXT_BYTES];
	char		what[64];
	char		problem[PROBLEM_BYTES];
	const char *forgery;
	Tick		done = {0};
	bool		known;

	snprintf(what, sizeof(what), "position " INT64_FORMAT " in the sink", found->position_id);
	position.position_id = found->position_id;
	forgery = position_read(&worker->key, found->record, &position, nonce);
	/* A forged position proves nothing, not even that commits were lost. */
	if (forgery != NULL)
		return is_plausible(worker, what, forgery) ? STEP_MORE : STEP_STOP;
	worker_begin("taking over the sink's position");
	known = position_problem(worker->sink_name, &position, nonce, problem);
	if (problem[0] == '\0' && known)
		done = tick_next(position.tick_id - 1, position.tick_id, worker->context);
	worker_commit();
	if (!is_plausible(worker, what, problem))
		return STEP_STOP;
	if (!known || done.snapshot == NULL)
		return worker_diverged(worker, position.highest_audit_id);
	position.is_resync = false;
	strlcpy(position.sink_detail, found->detail, sizeof(position.sink_detail));
	pfree(worker->ticks.done);
	worker->ticks.done = done.snapshot;
	worker->ticks.done_tick = position.tick_id;
	worker->position = position;
	/* Earlier links that were not recorded are lost; the chain covers their batches. */
	worker->links.count = 0;
	if (position.last_number > 0)
		links_add(&worker->links, &position, worker->context);
	/* A batch that seemed lost may have been delivered, so its window is read again. */
	forget_window(worker);
	return worker_record_position(worker);
}

/*
 * The sink may have lost rows that it confirmed.  They are read again in order of audit_id, as
 * after a resync.  All rows of the current window are read again.
 */
static StepResult
deliver_again(Worker *worker, int64 from_audit_id)
{
	Position	next = position_next(&worker->position);

	ereport(LOG, (errmsg("admin_ext: sink \"%s\" of database \"%s\" may have lost rows from audit_id " INT64_FORMAT " on, delivering them again",
						 worker->sink_name, worker->database, from_audit_id)));
	if (next.backfill_audit_id == 0 || next.backfill_audit_id > from_audit_id)
		next.backfill_audit_id = from_audit_id;
	next.window_tick_id = next.window_audit_id = 0;
	worker->position = next;

	/*
	 * If recording fails, this position must not be used: the sink is asked again, with the
	 * position recorded before.
	 */
	worker->is_positioned = false;
	(void) worker_record_position(worker);
	return STEP_REOPEN;
}

/* Shows a long recovery as an outage; meanwhile makes ticks and counts waiting rows. */
static void
show_recovery(Worker *worker)
{
	if (worker->sink.error[0] != '\0')
		worker_set_state(worker, DELIVERY_BACKING_OFF, worker->sink.error);
	worker_tick_while_down(worker);
}

/*
 * Another server has delivered, or may have delivered, rows that this database does not have.  That
 * server continues.  If an operator decides otherwise, this one needs a new store id, as after a
 * divergence.
 */
static void
show_outdone(Worker *worker, const AdminSinkPosition *found)
{
	Position	position = worker->position;
	int64		highest_sent = Max(position.highest_audit_id, 1);
	char		nonce[UUID_TEXT_BYTES];

	position.position_id = found->position_id;
	if (found->position_id > worker->position.position_id && position_read(&worker->key, found->record, &position, nonce) == NULL)
		highest_sent = Max(highest_sent, position.highest_audit_id);
	worker_set_highest_sent(worker, highest_sent);
}

/* Calls recover() until the sink holds what the position says.  A reload ends this early. */
static StepResult
recover_sink(Worker *worker)
{
	AdminSinkPosition position = {0};
	AdminSinkResult result;
	int64		show_at = monotonic_ms() + RECOVERY_SHOWN_MS;

	position.position_id = worker->position.position_id;
	position.is_resync = worker->position.is_resync;
	position.tick_id = worker->position.tick_id;
	position.audit_id = worker->position.highest_audit_id;
	strlcpy(position.detail, worker->position.sink_detail, sizeof(position.detail));
	position.last_number = worker->position.last_number;
	position.repeating_from = worker->position.backfill_audit_id;
	chain_write(worker->position.chain, position.chain);
	do
	{
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			return STEP_REOPEN;
		result = worker->callbacks->recover(&worker->sink, &position);
		if (result == ADMIN_SINK_PENDING && monotonic_ms() >= show_at)
		{
			show_recovery(worker);
			show_at = monotonic_ms() + RECOVERY_SHOWN_MS;
		}
	} while (result == ADMIN_SINK_PENDING);
	if (result == ADMIN_SINK_FENCED && worker->sink.is_outdone)
		show_outdone(worker, &position);
	if (result != ADMIN_SINK_OK)
		return worker_step_result(result);
	strlcpy(worker->position.sink_detail, position.detail, sizeof(position.detail));
	worker->again = position.again;
	if (position.position_id > worker->position.position_id)
		return adopt_position(worker, &position);
	if (position.again_from > 0)
		return deliver_again(worker, position.again_from);

	/* Completes the operator's resync before any row is sent: otherwise it would be repeated. */
	if (worker->callbacks->keeps_position && worker->position.is_resync)
	{
		if (position.kept_id > 0)
			worker_take_kept_number(worker, &position);
		worker->position = position_next(&worker->position);
		return worker_record_position(worker);
	}
	return STEP_MORE;
}

/*
 * Must a position be recorded before the next batch?  The WAL that proves that no row was lost may
 * not be kept, nor may the claim that was left in the sink, so the new home is recorded first.  And
 * if the position of the last batch could not be recorded, that of the next one may fail, too: the
 * batch would be written in vain, each time to a new file.
 */
static bool
must_record_first(const Worker *worker, bool has_left_claim)
{
	return worker->recorded.is_late ||
		((worker->sink.cannot_tell || has_left_claim) &&
		 strcmp(worker->position.recorded_home, worker->position.home) != 0);
}

static StepResult
record_first(Worker *worker)
{
	StepResult	result;

	worker->position = position_next(&worker->position);
	/* If recording fails, this position must not be used. */
	worker->is_positioned = false;
	result = worker_record_position(worker);
	worker->is_positioned = result == STEP_MORE;
	return result;
}

static StepResult
open_sink(Worker *worker)
{
	AdminSink  *sink = &worker->sink;
	AdminSinkPosition seen = {0};
	AdminSinkResult result;
	StepResult	recovered;
	bool		has_claim;

	worker->callbacks = sink_callbacks(worker->sink_name);
	worker_prepare_sink(worker);
	show_place(worker, "");
	worker->fencing.has_fenced = false;
	result = worker->callbacks->open(sink, &seen);
	if (result != ADMIN_SINK_OK)
		return worker_step_result(result);
	if (!is_marker_sound(worker, &seen))
		return STEP_STOP;
	if (!position_is_known(worker, &seen))
		return worker_diverged(worker, seen.audit_id);
	worker->fencing.has_fenced = worker->callbacks->keeps_position;
	has_claim = sink->claim[0] != '\0';
	recovered = recover_sink(worker);
	if (recovered == STEP_MORE)
		recovered = worker_check_promotion(worker);
	if (recovered == STEP_MORE && must_record_first(worker, has_claim && sink->claim[0] == '\0'))
		recovered = record_first(worker);
	worker->is_open = recovered == STEP_MORE;
	worker_show_loss(worker);
	if (worker->is_open)
	{
		worker->opened_at = monotonic_ms();
		sink->was_fenced = false;
		show_place(worker, sink->place);
		worker_set_highest_sent(worker, 0);
	}
	return recovered;
}

void
worker_look_at_position(Worker *worker)
{
	bool		holds;

	worker_begin("looking at the position");
	holds = OidIsValid(get_extension_oid("admin_ext", true)) && worker_still_holds(worker);
	worker_commit();
	if (!holds)
		worker_close(worker);
}

StepResult
worker_open(Worker *worker)
{
	StepResult	result = STEP_MORE;

	if (worker->is_positioned)
		worker_look_at_position(worker);
	if (!worker->is_positioned)
		result = take_position(worker);
	if (result == STEP_MORE && !worker_is_durable(worker))
		return STEP_UNCONFIRMED;
	if (result == STEP_MORE)
		result = open_sink(worker);
	if (result != STEP_MORE)
		worker_close_sink(worker);
	return result;
}
