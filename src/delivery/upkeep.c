/*
 * upkeep.c
 *	  Maintenance that a worker does for its database: it creates partitions for the months to come,
 *	  removes what belonged to dropped months, and announces passed deadlines if pg_cron does not.
 *	  It also reports weakened settings, and changes of who can reach the trail.
 *
 * Each chore is a transaction of its own, which gives way to other holders of a table's lock.  If a
 * chore fails, the worker retries it later; the sink and its position are not touched.  Several
 * workers of a database may do the same chores: a partition is created once, and a deadline is
 * announced once.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "delivery/upkeep.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "layout.h"
#include "monotonic.h"
#include "settings.h"

#define PARTITION_CHECK_MS	(6 * 3600 * 1000)
#define REACH_CHECK_MS		(3600 * 1000)
#define FIRST_RETRY_MS		(5 * 1000)
#define RETRY_MS			(60 * 1000)
/* A call that signs or withdraws an approval waits for at most so many others. */
#define SWEPT_AT_A_TIME		"1000"
#define REMOVED_AT_A_TIME	"10000"

/* The outcome of a chore. */
typedef enum Outcome
{
	CHORE_DONE,
	CHORE_HAS_MORE,
	CHORE_FAILED
} Outcome;

/* Runs a query that returns one number. */
static int64
ask_number(const char *query)
{
	bool		isnull;
	int64		result;

	SPI_connect();
	if (SPI_execute(query, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", query);
	result = DatumGetInt64(layout_value(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, INT8OID, &isnull));
	SPI_finish();
	return result;
}

/* Runs a chore if the extension exists; error says why it failed. */
static Outcome
attempt_chore(const char *activity, int64 (*chore) (Worker *), Worker *worker, char *error, Size size)
{
	volatile Outcome outcome = CHORE_DONE;

	PG_TRY();
	{
		worker_begin(activity);
		(void) set_config_option("lock_timeout", "100", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
		if (OidIsValid(get_extension_oid("admin_ext", true)) && chore(worker) > 0)
			outcome = CHORE_HAS_MORE;
		worker_commit();
	}
	PG_CATCH();
	{
		ErrorData  *caught = worker_give_up();

		/* The detail names the sessions that hold the lock. */
		if (caught->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && caught->detail != NULL)
			snprintf(error, size, "%s: %s", caught->message, caught->detail);
		else
			strlcpy(error, caught->message, size);
		outcome = CHORE_FAILED;
	}
	PG_END_TRY();
	return outcome;
}

/* Incomplete partitions stay locked until the end, so another transaction creates the months. */
static int64
prepare_partitions(Worker *worker)
{
	return ask_number("select pg_catalog.cardinality(admin_internal.prepare_partitions())::bigint "
					  "from admin_internal.lock_briefly('share update exclusive', 'admin.audit')");
}

/* May lock the trail against all sessions, so this transaction does nothing else. */
static int64
make_partitions(Worker *worker)
{
	(void) ask_number("select admin.create_audit_partitions()::bigint");
	return 0;
}

static int64
tidy_trail(Worker *worker)
{
	return ask_number("select admin_internal.ingest_tidy(" REMOVED_AT_A_TIME ")");
}

static int64
sweep_approvals(Worker *worker)
{
	/* A copy that is being loaded has numbers of its own to come. */
	if (!worker->chores.is_sweeping && ask_number("select (exists (select from admin_internal.sweep_jobs() as j where j.problem is null) or "
												  "exists (select from admin.store as s where s.adopted_at is null))::int::bigint") != 0)
		return 0;
	return ask_number("select admin.sweep_expired(" SWEPT_AT_A_TIME ")");
}

/* Months of a copy that is not adopted belong to no store yet. */
static void
keep_partitions(Worker *worker)
{
	char		error[ADMIN_SINK_ERROR_BYTES];
	Outcome		outcome;

	if (!worker->is_positioned || monotonic_ms() < worker->chores.partitions_at)
		return;
	outcome = attempt_chore("preparing partitions", prepare_partitions, worker, error, sizeof(error));
	if (outcome != CHORE_FAILED)
		outcome = attempt_chore("making partitions", make_partitions, worker, error, sizeof(error));
	if (outcome == CHORE_DONE)
		outcome = attempt_chore("tidying", tidy_trail, worker, error, sizeof(error));

	/* Workers of a database start together and block each other: only a second failure is logged. */
	if (outcome == CHORE_FAILED && worker->chores.has_failed_partitions)
		ereport(LOG,
				(errmsg("admin_ext: could not make partitions in database \"%s\", trying again later: %s",
						worker->database, error)));
	if (outcome != CHORE_HAS_MORE)
		worker->chores.partitions_at = monotonic_ms() + (outcome == CHORE_DONE ? PARTITION_CHECK_MS :
														 worker->chores.has_failed_partitions ? RETRY_MS : FIRST_RETRY_MS);
	worker->chores.has_failed_partitions = outcome == CHORE_FAILED;
}

/* Shows the result of the sweep, and logs one line when it changes. */
static void
show_sweep(Worker *worker, const char *error)
{
	DeliverySlot *slot = worker->slot;
	DeliveryStatus before = delivery_status_of(slot);

	SpinLockAcquire(&slot->mutex);
	strlcpy(slot->status.sweep_error, error, sizeof(slot->status.sweep_error));
	if (error[0] == '\0')
		slot->status.swept_at = GetCurrentTimestamp();
	SpinLockRelease(&slot->mutex);
	if (error[0] != '\0' && strcmp(error, before.sweep_error) != 0)
		ereport(LOG,
				(errmsg("admin_ext: could not sweep database \"%s\", trying again later: %s", worker->database, error)));
	else if (error[0] == '\0' && before.sweep_error[0] != '\0')
		ereport(LOG,
				(errmsg("admin_ext: sweep of database \"%s\" works again", worker->database)));
}

/* Sweeps one part at a time, so that announced deadlines are delivered in between. */
static void
keep_sweeping(Worker *worker)
{
	char		error[ADMIN_SINK_ERROR_BYTES] = "";
	Outcome		outcome;

	worker->chores.is_sweeping = worker->chores.is_sweeping && admin_sweep_interval_ms != 0;
	if (admin_sweep_interval_ms == 0 ||
		(worker->chores.swept_at != 0 && monotonic_ms() < worker->chores.swept_at + admin_sweep_interval_ms))
		return;
	outcome = attempt_chore("sweeping", sweep_approvals, worker, error, sizeof(error));
	worker->chores.is_sweeping = outcome == CHORE_HAS_MORE;
	if (worker->chores.is_sweeping)
		return;
	worker->chores.swept_at = monotonic_ms() - (outcome == CHORE_FAILED ? Max(admin_sweep_interval_ms - RETRY_MS, 0) : 0);
	show_sweep(worker, error);
}

/* A copy that is being loaded is checked once it has been adopted. */
static int64
look_at_settings(Worker *worker)
{
	return ask_number(psprintf("select (not admin_internal.look_at_settings('%s'))::int::bigint", worker->chores.settings_scope));
}

static bool
is_first_sink(const Worker *worker)
{
	List	   *sinks = settings_list(admin_sinks);

	return sinks != NIL && strcmp(linitial(sinks), worker->sink_name) == 0;
}

/* One worker of a database reports settings that a reload or a restart has weakened. */
static void
keep_settings(Worker *worker)
{
	static int64 retry_at = 0;
	char		error[ADMIN_SINK_ERROR_BYTES];

	if (worker->chores.settings_scope == NULL || monotonic_ms() < retry_at)
		return;
	retry_at = monotonic_ms() + RETRY_MS;
	if (!is_first_sink(worker) ||
		attempt_chore("recording changed settings", look_at_settings, worker, error, sizeof(error)) == CHORE_DONE)
	{
		worker->chores.settings_scope = NULL;
		retry_at = 0;
	}
	else
		ereport(LOG,
				(errmsg("admin_ext: could not compare settings in database \"%s\", trying again later: %s",
						worker->database, error)));
}

static int64
look_at_reach(Worker *worker)
{
	(void) ask_number("select admin_internal.look_at_reach()");
	return 0;
}

/* One worker of a database reports changes of who can reach the trail, and of stored settings. */
static void
keep_looking(Worker *worker)
{
	static int64 look_at = 0;
	char		error[ADMIN_SINK_ERROR_BYTES];

	if (!worker->is_positioned || monotonic_ms() < look_at)
		return;
	if (!is_first_sink(worker) || attempt_chore("looking at memberships", look_at_reach, worker, error, sizeof(error)) == CHORE_DONE)
		look_at = monotonic_ms() + REACH_CHECK_MS;
	else
	{
		ereport(LOG,
				(errmsg("admin_ext: could not compare role memberships and stored settings in database \"%s\", trying again later: %s",
						worker->database, error)));
		look_at = monotonic_ms() + RETRY_MS;
	}
}

void
worker_upkeep(Worker *worker)
{
	keep_settings(worker);
	keep_looking(worker);
	keep_partitions(worker);
	keep_sweeping(worker);
}
