/*
 * worker.c
 *	  The worker's life: wait, reset the latch, interrupts, reload, one step.
 *
 * A worker opens its sink step by step, and each step rests on the one before:
 *
 *		nothing -> locked -> positioned -> open -> steps, each of which may be a batch
 *
 * "Locked" is a session lock, "positioned" is what the database knows of the sink (opening.c), and
 * "open" is a connection to the sink, which has been made to hold what the position says.  A step
 * (deliver.c) answers with a StepResult.  It says what the worker's state in admin.worker_status is,
 * and how far back the worker goes before the next step:
 *
 *		result			state			goes back to, and then
 *		IDLE			idle			open; waits for a commit
 *		MORE			delivering, or	open; goes on at once
 *						as it was
 *		DELIVERED		delivering		open; goes on at once
 *		UNCONFIRMED		backing_off		open; asks again, and counts what waits
 *						after 3 s
 *		REOPEN			as it was		nothing; at once
 *		RETRY			backing_off		positioned; after a pause that doubles
 *		FENCED			fenced			positioned; until a reload, an operator's position, or,
 *										if claims allow, for a while (claim.c)
 *		STOP			stopped			positioned; until a reload or an operator's position, if
 *										opening the sink fences others; else tries each second
 *
 * Everything that goes wrong ends in a state: an error raised by the database is caught here, and
 * becomes RETRY, or STOP for a 55000.  What is known of the position is forgotten then, unless only
 * the sink could not be opened.  A reload closes the sink, whatever the state.  While the sink is shut
 * and the position known, ticks are made and rows counted, so that lag is true and windows stay small.
 *
 * SIGTERM ends the worker at the next interrupt check; SIGINT means nothing to it unless it comes
 * from its own lock_timeout.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "audit/insider_own.h"
#include "audit/insider_setting.h"
#include "delivery/backlog.h"
#include "delivery/claim.h"
#include "delivery/deliver.h"
#include "delivery/durable.h"
#include "delivery/opening.h"
#include "delivery/rest.h"
#include "delivery/ticking.h"
#include "delivery/upkeep.h"
#include "delivery/worker.h"
#include "delivery/worker_lock.h"
#include "delivery/worker_settings.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "monotonic.h"
#include "settings.h"

#define IDLE_MS			1000	/* a prepared transaction's commit does not wake the worker */
#define FIRST_BACKOFF_MS 100
#define UNCONFIRMED_SHOWN_MS 3000	/* a standby that takes longer is reported */
#define STEADY_MS		10000	/* a sink that was open for this long is retried at once */

static void
worker_leave(int code, Datum arg)
{
	DeliverySlot *slot = (DeliverySlot *) DatumGetPointer(arg);

	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	pg_atomic_write_u32(&slot->database_oid, 0);
	slot->latch = NULL;
	slot->pid = 0;
	if (delivery_shared->launcher_latch)
		SetLatch(delivery_shared->launcher_latch);
	LWLockRelease(delivery_shared->lock);
}

/* Ends the sink's threads before the process exits: they must not run beside exit() handlers. */
static void
close_sink_at_exit(int code, Datum arg)
{
	worker_close_sink((Worker *) DatumGetPointer(arg));
}

static DeliverySlot *
worker_enter(Datum arg)
{
	DeliverySlot *slot = &delivery_shared->slots[DatumGetInt32(arg)];
	char		database[NAMEDATALEN];
	TimestampTz now = GetCurrentTimestamp();

	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	if (!slot->in_use || slot->pid != 0)
		elog(FATAL, "slot %d is not waiting for a worker", DatumGetInt32(arg));
	slot->pid = MyProcPid;
	slot->latch = MyLatch;
	strlcpy(database, slot->database, NAMEDATALEN);
	SpinLockAcquire(&slot->mutex);
	slot->status.state = DELIVERY_STARTING;
	slot->status.started_at = now;
	SpinLockRelease(&slot->mutex);
	LWLockRelease(delivery_shared->lock);
	before_shmem_exit(worker_leave, PointerGetDatum(slot));

	/* Called first: a database may set these, too, and pinned settings hide them. */
	insider_keep_command_line();
	BackgroundWorkerInitializeConnection(database, NULL, 0);
	pg_atomic_write_u32(&slot->database_oid, MyDatabaseId);
	worker_pin_settings();
	return slot;
}

/* Cleans up after an ERROR, and copies its message to sink.error. */
static StepResult
recover_from_error(Worker *worker)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	error = worker_give_up();
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		worker_lock_is_in_the_way(worker);
	else
		snprintf(worker->sink.error, sizeof(worker->sink.error), "%s%s%s", error->message,
				 error->hint ? ". " : "", error->hint ? error->hint : "");
	/* An error of the database does not keep the sink closed: the worker tries again. */
	worker->fencing.has_fenced = false;

	/* If only the sink could not be opened, the position is kept, and waiting rows are counted. */
	if (worker->is_positioned && !worker->is_open)
		worker_close_sink(worker);
	else
		worker_close(worker);
	RESUME_INTERRUPTS();
	return error->sqlerrcode == ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE ? STEP_STOP : STEP_RETRY;
}

static StepResult
run_guarded(Worker *worker, StepResult (*action) (Worker *))
{
	StepResult	result;

	PG_TRY();
	{
		result = action(worker);
	}
	PG_CATCH();
	{
		result = recover_from_error(worker);
	}
	PG_END_TRY();
	return result;
}

/* Lets the sink notice a lost connection even when there are no rows to deliver. */
static StepResult
look_after_sink(Worker *worker, StepResult step)
{
	AdminSinkResult result;

	worker->sink.is_recorded = worker_is_recorded(worker);
	result = worker->callbacks->idle ? worker->callbacks->idle(&worker->sink) : ADMIN_SINK_OK;
	return result == ADMIN_SINK_OK ? step : worker_step_result(result);
}

static StepResult
open_and_step(Worker *worker)
{
	StepResult	result = worker->is_open ? STEP_MORE : worker_open(worker);

	if (result == STEP_MORE)
		result = worker_step(worker);
	return result == STEP_IDLE || (result == STEP_UNCONFIRMED && worker->is_open) ? look_after_sink(worker, result) : result;
}

/* Counts the waiting rows; if the position is known, also makes ticks to keep windows small. */
static StepResult
count_while_down(Worker *worker)
{
	if (worker->is_positioned)
		worker_tick_while_down(worker);
	else
		worker_count_backlog(worker);
	return STEP_MORE;
}

/* Notes since when the worker has waited for standbys. */
static void
note_confirmation(Worker *worker, StepResult result)
{
	if (result != STEP_UNCONFIRMED)
		worker->durability.unconfirmed_at = 0;
	else if (worker->durability.unconfirmed_at == 0)
		worker->durability.unconfirmed_at = worker->durability.counted_at = monotonic_ms();
}

static void
report_step(Worker *worker, StepResult result)
{
	DeliveryState before = delivery_status_of(worker->slot).state;
	DeliveryState state;
	const char *error = NULL;

	switch (result)
	{
		case STEP_MORE:
			/* Work is under way, but no batch is confirmed yet. */
			if (before != DELIVERY_STARTING && before != DELIVERY_IDLE)
				return;
			state = DELIVERY_DELIVERING;
			break;
		case STEP_DELIVERED:
			state = DELIVERY_DELIVERING;
			break;
		case STEP_IDLE:
			state = DELIVERY_IDLE;
			break;
		case STEP_REOPEN:
			return;
		case STEP_UNCONFIRMED:
			if (monotonic_ms() - worker->durability.unconfirmed_at < UNCONFIRMED_SHOWN_MS)
				return;
			state = DELIVERY_BACKING_OFF;
			break;
		case STEP_FENCED:
			state = DELIVERY_FENCED;
			break;
		case STEP_STOP:
			/* An open sink may notice a loss, too. */
			worker_show_loss(worker);
			state = DELIVERY_STOPPED;
			break;
		default:
			state = DELIVERY_BACKING_OFF;
			break;
	}
	if (state != DELIVERY_DELIVERING && state != DELIVERY_IDLE)
		error = worker->sink.error;
	worker_set_state(worker, state, error);
}

/* Returns early when the latch is set. */
static void
wait_ms(long milliseconds)
{
	worker_rest(milliseconds, 0);
}

/* How long a commit still waits for others to share its tick: ticks are that far apart. */
static long
linger_left(const Worker *worker)
{
	return worker->ticks.made_at + admin_linger_ms - monotonic_ms();
}

static void
wait_for_work(Worker *worker)
{
	long		left;

	if (pg_atomic_read_u32(&worker->slot->wake) == 0)
	{
		pgstat_report_activity(STATE_IDLE, "waiting for rows");
		wait_ms(IDLE_MS);
	}
	/* Later commits do not set the latch, because wake is already set. */
	while (pg_atomic_read_u32(&worker->slot->wake) != 0 && (left = linger_left(worker)) > 0)
	{
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		wait_ms(left);
	}
	pg_atomic_write_u32(&worker->slot->wake, 0);
	pg_memory_barrier();
}

/* Leaves the sink alone for so long; meanwhile makes ticks and counts waiting rows. */
static void
back_off(Worker *worker, int milliseconds)
{
	int64		until = monotonic_ms() + milliseconds;
	int64		next_tick = 0;

	for (;;)
	{
		int64		now = monotonic_ms();
		long		left = until - now;

		if (ConfigReloadPending)
			return;
		if (now >= next_tick)
		{
			bool		was_positioned = worker->is_positioned;

			/* If counting fails, a worker without a position just continues to wait. */
			if (run_guarded(worker, count_while_down) != STEP_MORE && was_positioned)
				return;
			next_tick = now + IDLE_MS;
		}
		worker_show_unseen(worker);
		worker_upkeep(worker);
		if (left <= 0)
			return;
		pgstat_report_activity(STATE_IDLE, "waiting to open the sink again");
		wait_ms(Min(left, worker->chores.is_sweeping ? 1 : IDLE_MS));
	}
}

static StepResult
look_at_position(Worker *worker)
{
	worker_look_at_position(worker);
	return STEP_MORE;
}

/*
 * Opening a sink that keeps the position fences any other worker that delivers to it.  So after
 * this worker was fenced or stopped, the sink stays closed until a reload or an operator's
 * position.  A fenced worker may also return when its pause is over.
 */
static bool
is_shut(Worker *worker)
{
	worker_begin_step();
	if (!worker->fencing.has_fenced || !worker->is_positioned || ConfigReloadPending || worker_returns(worker))
		return false;
	wait_ms(FIRST_BACKOFF_MS);
	return run_guarded(worker, look_at_position) != STEP_MORE || worker->is_positioned;
}

/* A sink that accepts the worker and soon fences it again is not opened without a pause. */
static bool
is_steady(const Worker *worker)
{
	return monotonic_ms() - worker->opened_at >= STEADY_MS;
}

static StepResult
count_new(Worker *worker)
{
	(void) worker_count_new(worker);
	return STEP_MORE;
}

/*
 * Counts waiting rows while standbys have to confirm.  Makes no ticks: each would have to be
 * confirmed, too, and a slow standby would never catch up.
 */
static void
count_unconfirmed(Worker *worker)
{
	if (monotonic_ms() - worker->durability.counted_at < IDLE_MS)
		return;
	(void) run_guarded(worker, count_new);
	worker->durability.counted_at = monotonic_ms();
}

/*
 * Waits, or closes the sink, before the next step.  After an outage that follows a steady time, the
 * first retry comes at once.
 */
static void
pause_after(Worker *worker, StepResult result, int *backoff)
{
	switch (result)
	{
		case STEP_MORE:
			break;
		case STEP_DELIVERED:
			*backoff = Min(*backoff, is_steady(worker) ? 0 : FIRST_BACKOFF_MS);
			break;
		case STEP_IDLE:
			if (is_steady(worker))
				*backoff = 0;
			wait_for_work(worker);
			break;
		case STEP_UNCONFIRMED:
			count_unconfirmed(worker);
			break;
		case STEP_REOPEN:
			worker_close(worker);
			wait_ms(1);
			break;
		case STEP_FENCED:
		case STEP_STOP:
			/* The position stays, so that what waits is counted. */
			worker->fencing.returns_at = 0;
			if (result == STEP_FENCED)
				worker_plan_return(worker);
			worker_close_sink(worker);
			do
				back_off(worker, IDLE_MS);
			while (is_shut(worker));
			break;
		case STEP_RETRY:
			worker_close_sink(worker);
			back_off(worker, *backoff);
			*backoff = Min(Max(*backoff * 2, FIRST_BACKOFF_MS), admin_retry_backoff_max_ms);
			break;
	}
}

static void
worker_reload(Worker *worker)
{
	if (!ConfigReloadPending)
		return;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	/* Settings that changed before the worker began are reported with its start. */
	if (worker->chores.settings_scope == NULL)
		worker->chores.settings_scope = "reload";
	worker_close_sink(worker);
	worker->sink.was_fenced = false;
	worker->fencing.pause = 0;
}

/* A lock_timeout reaches its process as a SIGINT; an operator's pg_cancel_backend() would, too. */
static void
cancel_at_lock_timeout(SIGNAL_ARGS)
{
	if (get_timeout_indicator(LOCK_TIMEOUT, false))
		StatementCancelHandler(postgres_signal_arg);
}

void
admin_delivery_worker_main(Datum arg)
{
	Worker	   *worker = MemoryContextAllocZero(TopMemoryContext, sizeof(Worker));
	int			backoff = 0;

	pqsignal(SIGTERM, rest_end_at_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, cancel_at_lock_timeout);
	BackgroundWorkerUnblockSignals();
	/* A reload signal that came before the handler was installed is lost, so read the file now. */
	ProcessConfigFile(PGC_SIGHUP);
	worker->slot = worker_enter(arg);
	before_shmem_exit(close_sink_at_exit, PointerGetDatum(worker));
	strlcpy(worker->database, worker->slot->database, NAMEDATALEN);
	strlcpy(worker->sink_name, worker->slot->sink, NAMEDATALEN);
	worker_state_init();
	insider_own_worker();
	worker->chores.settings_scope = "start";

	for (;;)
	{
		StepResult	result;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
			backoff = 0;
		worker_reload(worker);
		worker_begin_step();
		result = run_guarded(worker, open_and_step);
		note_confirmation(worker, result);
		report_step(worker, result);
		worker_upkeep(worker);
		pause_after(worker, result, &backoff);
	}
}
