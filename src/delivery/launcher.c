/*
 * launcher.c
 *	  Keeps one worker running for each listed database and sink.
 *
 * The launcher is connected to no database, and reads only pg_database.  On a standby it starts
 * after promotion.  It remembers the workers that it has started in its own memory: after a crash
 * the postmaster has forgotten the workers, and so has the launcher.
 */
#include "postgres.h"

#include <signal.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/procarray.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "delivery/launcher.h"
#include "delivery/rest.h"
#include "delivery/shared.h"
#include "monotonic.h"
#include "settings.h"

#define POLL_MS			1000	/* while a wanted worker is not running */
#define SHORT_LIFE_MS	1000
#define INVALID_DATABASE	(-2)	/* datconnlimit after an interrupted DROP DATABASE */

/* What the launcher knows of a slot's worker. */
typedef struct Charge
{
	BackgroundWorkerHandle *handle; /* NULL: none was started, or it has ended */
	int64		started_at;		/* this and what follows by monotonic_ms() */
	int64		not_before;
	int			backoff_ms;
	bool		is_wanted;
	bool		has_no_slot;	/* max_worker_processes is used up */
} Charge;

static Charge charges[DELIVERY_SLOTS];

void
launcher_register(void)
{
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 1,
		.bgw_name = "admin_ext launcher",
		.bgw_type = "admin_ext launcher",
		.bgw_library_name = "admin_ext",
		.bgw_function_name = "admin_delivery_launcher_main",
	};

	RegisterBackgroundWorker(&worker);
}

static void
launcher_leave(int code, Datum arg)
{
	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	delivery_shared->launcher_latch = NULL;
	LWLockRelease(delivery_shared->lock);
}

/* Takes a free slot for a database and sink; -1: all are in use.  The caller holds the lock. */
static int
take_slot(const char *database, const char *sink)
{
	for (int i = 0; i < DELIVERY_SLOTS; i++)
	{
		DeliverySlot *slot = &delivery_shared->slots[i];

		if (slot->in_use || charges[i].handle != NULL || slot->pid != 0)
			continue;
		memset(&charges[i], 0, sizeof(Charge));
		strlcpy(slot->database, database, NAMEDATALEN);
		strlcpy(slot->sink, sink, NAMEDATALEN);
		SpinLockAcquire(&slot->mutex);
		memset(&slot->status, 0, sizeof(DeliveryStatus));
		SpinLockRelease(&slot->mutex);
		slot->in_use = true;
		return i;
	}
	return -1;
}

static void
want_worker(const char *database, const char *sink)
{
	int			found = -1;

	for (int i = 0; i < DELIVERY_SLOTS && found < 0; i++)
	{
		DeliverySlot *slot = &delivery_shared->slots[i];

		if (slot->in_use && strcmp(slot->database, database) == 0 && strcmp(slot->sink, sink) == 0)
			found = i;
	}
	if (found < 0)
		found = take_slot(database, sink);
	if (found >= 0)
		charges[found].is_wanted = true;
	else
		ereport(LOG,
				(errmsg("admin_ext: no slot for database \"%s\" and sink \"%s\"", database, sink),
				 errdetail("There can be %d pairs of a database and a sink.", DELIVERY_SLOTS)));
}

/* Also ends a worker that an earlier launcher has started, whose handle is lost. */
static void
end_worker(int i)
{
	DeliverySlot *slot = &delivery_shared->slots[i];

	LWLockAcquire(delivery_shared->lock, LW_SHARED);
	if (charges[i].handle != NULL)
		TerminateBackgroundWorker(charges[i].handle);
	else if (slot->pid != 0)
		kill(slot->pid, SIGTERM);
	LWLockRelease(delivery_shared->lock);
}

/* Counts all background workers of the server, this one and those of other extensions included. */
static int
count_background_workers(void)
{
	int			count = 0;

	pgstat_clear_backend_activity_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		if (compat_backend_entry(i)->backendStatus.st_backendType == B_BG_WORKER)
			count++;
	}
	return count;
}

/* Logs one line when the number of needed workers changes: other extensions need some, too. */
static void
log_need(int databases, int sinks)
{
	static int	logged = 0;
	int			needed = databases * sinks;
	int			running = 0;

	if (needed == logged)
		return;
	for (int i = 0; i < DELIVERY_SLOTS; i++)
		running += charges[i].is_wanted && delivery_shared->slots[i].pid != 0;
	ereport(LOG,
			(errmsg("admin_ext: worker processes needed: %d (databases: %d, sinks: %d), running: %d, free: %d of %d (max_worker_processes)",
					needed, databases, sinks, running, Max(max_worker_processes - count_background_workers(), 0), max_worker_processes)));
	logged = needed;
}

/* Makes the slots match the settings. */
static void
read_settings(void)
{
	List	   *databases = settings_list(admin_databases);
	List	   *sinks = settings_list(admin_sinks);
	ListCell   *database;
	ListCell   *sink;

	for (int i = 0; i < DELIVERY_SLOTS; i++)
		charges[i].is_wanted = false;
	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	foreach(database, databases)
	{
		foreach(sink, sinks)
			want_worker(lfirst(database), lfirst(sink));
	}
	LWLockRelease(delivery_shared->lock);
	log_need(list_length(databases), list_length(sinks));
	for (int i = 0; i < DELIVERY_SLOTS; i++)
	{
		if (!charges[i].is_wanted)
			end_worker(i);
	}
}

static bool
is_on_hold(const char *database)
{
	bool		found = false;

	LWLockAcquire(delivery_shared->lock, LW_SHARED);
	for (int i = 0; i < DELIVERY_HOLDS && !found; i++)
	{
		DeliveryHold *hold = &delivery_shared->holds[i];

		found = hold->pid != 0 && strcmp(hold->database, database) == 0 &&
			BackendPidGetProc(hold->pid) != NULL;
	}
	LWLockRelease(delivery_shared->lock);
	return found;
}

/*
 * Returns why no worker can serve this database now; NULL: one can.  Scans the whole of
 * pg_database, because a process without a database may have no index to read it by.
 */
static const char *
obstacle_to_database(const char *database)
{
	const char *why = "the database does not exist";
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	if (is_on_hold(database))
		return "the database is being dropped, renamed, moved or copied";
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while ((tuple = heap_getnext(scan, ForwardScanDirection)) != NULL)
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);

		if (strcmp(NameStr(form->datname), database) != 0)
			continue;
		if (form->datconnlimit == INVALID_DATABASE)
			why = "an interrupted DROP DATABASE has left the database invalid; drop it";
		else
			why = form->datallowconn ? NULL : "the database does not allow connections";
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return why;
}

static void
start_worker(int i)
{
	DeliverySlot *slot = &delivery_shared->slots[i];
	BackgroundWorker worker = {
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = BGW_NEVER_RESTART,
		.bgw_library_name = "admin_ext",
		.bgw_function_name = "admin_delivery_worker_main",
		.bgw_type = "admin_ext worker",
		.bgw_main_arg = Int32GetDatum(i),
		.bgw_notify_pid = MyProcPid,
	};
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	snprintf(worker.bgw_name, BGW_MAXLEN, "admin_ext worker for %s, sink %s", slot->database, slot->sink);
	charges[i].started_at = monotonic_ms();
	if (!RegisterDynamicBackgroundWorker(&worker, &charges[i].handle))
	{
		charges[i].handle = NULL;
		charges[i].has_no_slot = true;
		delivery_set_state(slot, DELIVERY_STOPPED,
						   "no background worker slot is free; raise max_worker_processes");
	}
	MemoryContextSwitchTo(old);
}

/* Notices that a worker has ended.  After a short life the pause before its restart grows. */
static void
look_after_slot(int i, int64 now)
{
	Charge	   *charge = &charges[i];
	pid_t		pid;

	if (charge->handle == NULL || GetBackgroundWorkerPid(charge->handle, &pid) != BGWH_STOPPED)
		return;
	pfree(charge->handle);
	charge->handle = NULL;
	if (now - charge->started_at >= SHORT_LIFE_MS)
		charge->backoff_ms = 0;
	else
		charge->backoff_ms = Min(Max(charge->backoff_ms * 2, 100), admin_retry_backoff_max_ms);
	charge->not_before = now + charge->backoff_ms;
}

static void
release_slot(int i)
{
	DeliverySlot *slot = &delivery_shared->slots[i];

	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	if (slot->pid == 0)
		slot->in_use = false;
	LWLockRelease(delivery_shared->lock);
}

/* Warns once for each number of workers that could not be started. */
static void
warn_without_slots(void)
{
	static int	warned = 0;
	int			missing = 0;

	for (int i = 0; i < DELIVERY_SLOTS; i++)
		missing += charges[i].is_wanted && charges[i].has_no_slot;
	if (missing != warned && missing > 0)
		ereport(WARNING,
				(errmsg_plural("admin_ext: no background worker slot is free for %d pair of a database and a sink",
							   "admin_ext: no background worker slot is free for %d pairs of a database and a sink",
							   missing, missing),
				 errdetail("Their rows wait in the audit trail."),
				 errhint("Raise max_worker_processes.")));
	warned = missing;
}

/* Looks after all slots once; returns whether all wanted workers run. */
static bool
tend_slots(void)
{
	int64		now = monotonic_ms();
	bool		all_served = true;

	for (int i = 0; i < DELIVERY_SLOTS; i++)
	{
		DeliverySlot *slot = &delivery_shared->slots[i];
		const char *why;

		look_after_slot(i, now);
		/* The end of a running worker wakes us, whichever launcher has started it. */
		if (!slot->in_use || charges[i].handle != NULL || slot->pid != 0)
			continue;
		if (!charges[i].is_wanted)
		{
			release_slot(i);
			continue;
		}
		all_served = false;
		if (now < charges[i].not_before)
			continue;
		charges[i].has_no_slot = false;
		why = obstacle_to_database(slot->database);
		if (why == NULL)
			start_worker(i);
		else if (delivery_set_state(slot, DELIVERY_STOPPED, why))
			ereport(is_on_hold(slot->database) ? LOG : WARNING,
					(errmsg("admin_ext: database \"%s\" is not served: %s", slot->database, why)));
	}
	warn_without_slots();
	return all_served;
}

void
admin_delivery_launcher_main(Datum arg)
{
	MemoryContext round;

	pqsignal(SIGTERM, rest_end_at_sigterm);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGINT, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	/* A reload signal that came before the handler was installed is lost, so read the file now. */
	ProcessConfigFile(PGC_SIGHUP);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	LWLockAcquire(delivery_shared->lock, LW_EXCLUSIVE);
	delivery_shared->launcher_latch = MyLatch;
	LWLockRelease(delivery_shared->lock);
	before_shmem_exit(launcher_leave, (Datum) 0);
	round = AllocSetContextCreate(TopMemoryContext, "admin_ext launcher", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(round);
	read_settings();

	for (;;)
	{
		bool		all_served;

		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(round);
		MemoryContextReset(round);
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;
			ProcessConfigFile(PGC_SIGHUP);
			read_settings();
		}
		all_served = tend_slots();
		/* After exit code 1 the postmaster restarts this process, unless the server ends. */
		worker_rest(all_served ? -1 : POLL_MS, 1);
	}
}
