/*
 * divergence.c
 *	  A sink holds rows that this database has lost: an asynchronous failover, an older backup.
 *
 * Numbers that the sink has seen would be given out again, for other rows.  By default an
 * operator has to decide; admin_ext.on_divergence = fork is his decision beforehand: the
 * store gets a new id, which the source of every event is made of, and delivery goes on at
 * the first row that the sink is not known to have.
 */
#include "postgres.h"

#include "delivery/worker.h"
#include "settings.h"

void
worker_set_highest_sent(Worker *worker, int64 audit_id)
{
	SpinLockAcquire(&worker->slot->mutex);
	worker->slot->status.highest_sent = audit_id;
	SpinLockRelease(&worker->slot->mutex);
}

static void
fork_store(Worker *worker)
{
	Fork		fork;
	bool		has_forked;

	worker_begin("going on as another store");
	has_forked = position_fork(worker->sink_name, worker->recorded_id, worker->position.store_id, &fork);
	worker_commit_owed(worker);
	if (has_forked)
		ereport(WARNING,
				(errmsg("admin_ext: database \"%s\" has lost rows that sink \"%s\" holds: some of audit_id " INT64_FORMAT
						" to " INT64_FORMAT, worker->database, worker->sink_name, fork.lost_from, fork.lost_to),
				 errdetail("As admin_ext.on_divergence asks for, delivery goes on as store %s from audit_id " INT64_FORMAT
						   ".", fork.store_id, fork.from_audit_id),
				 errhint("What was lost is in the sink alone: event sink.diverged of admin.audit says where.")));
}

/*
 * Commits are lost in a promotion.  A copy that was started without one, beside the server it
 * was made of perhaps, looks the same from the sink, and is left to an operator.
 */
static bool
was_promoted(const Worker *worker)
{
	const Position *position = &worker->position;

	return position->recorded_home[0] != '\0' && strcmp(position->recorded_home, position->home) != 0;
}

StepResult
worker_diverged(Worker *worker, int64 highest_sent)
{
	worker_set_highest_sent(worker, highest_sent);
	if (admin_on_divergence == ON_DIVERGENCE_FORK && highest_sent > 0 && was_promoted(worker))
	{
		fork_store(worker);
		return STEP_REOPEN;
	}
	snprintf(worker->sink.error, sizeof(worker->sink.error),
			 "the sink holds rows that this database has lost (up to audit_id " INT64_FORMAT
			 "); call admin.resync_sink('%s', ...) with the number that admin.resync_proposal('%s') returns",
			 highest_sent, worker->sink_name, worker->sink_name);
	return STEP_STOP;
}
