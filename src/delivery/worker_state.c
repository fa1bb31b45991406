/*
 * worker_state.c
 *	  What all parts of a worker use: its transactions, the state that it shows, and whether the
 *	  known position is still valid.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "relations.h"

/* Memory that a step allocates outside a transaction. */
static MemoryContext step_context;

void
worker_state_init(void)
{
	step_context = AllocSetContextCreate(TopMemoryContext, "admin_ext step", ALLOCSET_DEFAULT_SIZES);
}

void
worker_begin_step(void)
{
	MemoryContextReset(step_context);
	MemoryContextSwitchTo(step_context);
}

void
worker_begin(const char *activity)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, activity);
}

void
worker_commit(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
	MemoryContextSwitchTo(step_context);
}

ErrorData *
worker_give_up(void)
{
	ErrorData  *error;

	HOLD_INTERRUPTS();
	MemoryContextSwitchTo(step_context);
	error = CopyErrorData();
	FlushErrorState();
	AbortCurrentTransaction();
	MemoryContextSwitchTo(step_context);
	pgstat_report_activity(STATE_IDLE, NULL);
	RESUME_INTERRUPTS();
	return error;
}

StepResult
worker_step_result(AdminSinkResult result)
{
	switch (result)
	{
		case ADMIN_SINK_OK:
		case ADMIN_SINK_PENDING:
			return STEP_MORE;
		case ADMIN_SINK_RETRY:
		case ADMIN_SINK_REJECTED:
			return STEP_RETRY;
		case ADMIN_SINK_FENCED:
			return STEP_FENCED;
		case ADMIN_SINK_STOP:
			return STEP_STOP;
	}
	return STEP_STOP;
}

void
worker_set_lag(Worker *worker, int64 rows, TimestampTz pending_since)
{
	worker->lag.rows = rows;
	worker->lag.since = pending_since;
	SpinLockAcquire(&worker->slot->mutex);
	worker->slot->status.lag_rows = rows;
	worker->slot->status.pending_since = pending_since;
	SpinLockRelease(&worker->slot->mutex);
}

/* Logs one line per change of state; if an operator has to act, it is a warning. */
void
worker_set_state(Worker *worker, DeliveryState state, const char *error)
{
	DeliveryState before = delivery_status_of(worker->slot).state;

	if (!delivery_set_state(worker->slot, state, error))
		return;
	if (error)
		ereport(state == DELIVERY_FENCED || state == DELIVERY_STOPPED ? WARNING : LOG,
				(errmsg("admin_ext: delivery of database \"%s\" to sink \"%s\" is %s: %s",
						worker->database, worker->sink_name, delivery_state_name(state), error)));
	else if (before == DELIVERY_BACKING_OFF || before == DELIVERY_FENCED || before == DELIVERY_STOPPED)
		ereport(LOG,
				(errmsg("admin_ext: delivery of database \"%s\" to sink \"%s\" works again",
						worker->database, worker->sink_name)));
}

bool
worker_still_holds(Worker *worker)
{
	return worker->audit == admin_relations()->audit &&
		position_is_newest(worker->sink_name, worker->recorded.position_id, worker->position.store_id);
}
