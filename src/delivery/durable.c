/*
 * durable.c
 *	  What a failover could take back is not sent: the worker waits for synchronous standbys.
 *
 * That a commit has returned proves nothing.  Its wait for the standbys ends when it is
 * cancelled, with success and a WARNING; the death of the postmaster ends it with nothing at
 * all.  So the worker's own commits wait for the disk alone (worker_settings.c pins
 * synchronous_commit to local), and what the standbys have flushed is read where the WAL
 * senders record it: SyncRepReleaseWaiters() in syncrep.c sets WalSndCtl->lsn by the rules of
 * synchronous_standby_names, even if no backend waits for it.
 * A step waits for a slice at most: reloads, signals and the sink are served in between.
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

/* By this process's own setting: what the server keeps in shared memory has another form in each minor release. */
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
	/* It may be that setting. */
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
