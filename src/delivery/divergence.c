/*
 * divergence.c
 *	  A sink holds rows that this database has lost: an asynchronous failover, an older backup.
 *
 * Without intervention, other rows would get numbers that the sink has already seen.  By default an
 * operator has to decide.  With admin_ext.on_divergence = fork the operator has decided beforehand:
 * the store gets a new id, from which the source of every event is made.  Delivery continues at the
 * first row that the sink is not known to have.
 */
#include "postgres.h"

#include "delivery/divergence.h"
#include "delivery/durable.h"
#include "delivery/promotion.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
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
	has_forked = position_fork(worker->sink_name, worker->recorded.position_id, worker->position.store_id, &fork);
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
 * May the store fork by itself?  Only after a promotion, which can lose commits.  A copy that was
 * started without a promotion, perhaps beside the original server, looks the same from the sink;
 * then an operator has to decide.
 */
bool
worker_may_fork(const Worker *worker)
{
	const Position *position = &worker->position;

	return admin_on_divergence == ON_DIVERGENCE_FORK && position->recorded_home[0] != '\0' &&
		strcmp(position->recorded_home, position->home) != 0;
}

StepResult
worker_diverged(Worker *worker, int64 highest_sent)
{
	worker_set_highest_sent(worker, highest_sent);
	if (highest_sent > 0 && worker_may_fork(worker))
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

/*
 * The memory of a sink is a copy if its directory is in the data directory, and new if each server
 * has its own.  Such a sink does not know what the previous server delivered later.  The database
 * knows whether such rows can exist.
 */
StepResult
worker_check_promotion(Worker *worker)
{
	const Position *position = &worker->position;
	StepResult	result;

	if (!worker->sink.cannot_tell || position->was_synchronous ||
		promotion_lost_nothing(position->recorded_home, position->home))
		return STEP_MORE;
	result = worker_diverged(worker, Max(position->highest_audit_id, 1));
	if (result == STEP_STOP)
		snprintf(worker->sink.error, sizeof(worker->sink.error),
				 "the server before this one was not shut down before this one was promoted, and may have delivered rows that this "
				 "database has lost; the sink cannot tell, for its memory is new or a copy: call admin.resync_sink('%s', ...) "
				 "with the number that admin.resync_proposal('%s') returns, and let the servers share a directory outside",
				 worker->sink_name, worker->sink_name);
	return result;
}
