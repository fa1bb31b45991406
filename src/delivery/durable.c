/*
 * durable.c
 *	  Before it sends a row, the worker waits for synchronous standbys: no failover can take the row
 *	  back.
 *
 * A commit that has returned is no proof.  If its wait for the standbys is cancelled, it succeeds
 * with a WARNING; if the postmaster dies, the wait ends silently.  So the worker's own commits wait
 * only for the disk (worker_settings.c pins synchronous_commit to local).  What the standbys have
 * flushed is read where the WAL senders record it: SyncRepReleaseWaiters() in syncrep.c sets
 * WalSndCtl->lsn by the rules of synchronous_standby_names, even if no backend waits for it.  A
 * step waits for one slice at most: reloads, signals and the sink are served in between.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "replication/syncrep.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "utils/wait_event.h"

#include "compat.h"
#include "delivery/durable.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "monotonic.h"

#define POLL_MS 1				/* our latch is not set when a standby confirms */

/* Uses this process's own setting: the form of the shared copy differs between minor releases. */
static bool
are_standbys_waited_for(void)
{
	return max_wal_senders > 0 && SyncRepStandbyNames != NULL && SyncRepStandbyNames[0] != '\0';
}

static bool
is_confirmed(XLogRecPtr lsn)
{
	bool		confirmed;

	if (!are_standbys_waited_for())
		return true;
	LWLockAcquire(SyncRepLock, LW_SHARED);
	confirmed = WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH] >= lsn;
	LWLockRelease(SyncRepLock);
	return confirmed;
}

void
worker_owe(Worker *worker, XLogRecPtr lsn)
{
	worker->durability.owed_lsn = Max(worker->durability.owed_lsn, lsn);
}

void
worker_commit_owed(Worker *worker)
{
	worker_commit();
	worker_owe(worker, XactLastCommitEnd);
}

bool
worker_is_recorded(const Worker *worker)
{
	return compat_flushed() >= worker->recorded.lsn && is_confirmed(worker->recorded.lsn);
}

bool
worker_is_durable(Worker *worker)
{
	int64		until = monotonic_ms() + ADMIN_SINK_SLICE_MS;

	/* A position may have been recorded without waiting for the disk. */
	XLogFlush(worker->durability.owed_lsn);
	/* The reload may change synchronous_standby_names. */
	if (ConfigReloadPending)
		return false;
	if (is_confirmed(worker->durability.owed_lsn))
		return true;
	pgstat_report_activity(STATE_IDLE, "waiting for synchronous standbys");
	while (!is_confirmed(worker->durability.owed_lsn))
	{
		if (monotonic_ms() >= until || ConfigReloadPending)
		{
			snprintf(worker->sink.error, sizeof(worker->sink.error),
					 "no synchronous standby has confirmed what is to be sent; see pg_stat_replication, and start the standbys "
					 "that synchronous_standby_names (\"%s\") asks for, or change it", SyncRepStandbyNames);
			return false;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS, WAIT_EVENT_SYNC_REP);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
	return true;
}
