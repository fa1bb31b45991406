/*
 * upkeep.c
 *	  What a worker does for its database besides delivering: months to come get their
 *	  partitions, and deadlines that have passed are announced where pg_cron does not.
 *
 * Each is a transaction of its own, and what fails is tried again later.  Several workers of
 * a database may do the same: partitions are made once, and a deadline is announced once.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/guc.h"

#include "delivery/worker.h"
#include "monotonic.h"
#include "settings.h"

#define PARTITION_CHECK_MS	(6 * 3600 * 1000)
#define RETRY_MS			(60 * 1000)
/* Who wants to sign or withdraw one of them waits for no more than these. */
#define SWEPT_AT_A_TIME		"1000"

/* What the query says, as a number. */
static int64
ask(const char *query)
{
	bool		isnull;
	int64		result;

	SPI_connect();
	if (SPI_execute(query, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "could not execute \"%s\"", query);
	result = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return result;
}

static StepResult
make_partitions(Worker *worker)
{
	worker_begin("making partitions");
	(void) set_config_option("lock_timeout", "100", PGC_SUSET, PGC_S_SESSION, GUC_ACTION_LOCAL,
							 true, 0, false);
	(void) ask("select admin.create_audit_partitions()::bigint");
	worker_commit();
	return STEP_MORE;
}

/* STEP_MORE: there may be more of them. */
static StepResult
sweep(Worker *worker)
{
	int64		announced = 0;

	worker_begin("sweeping");
	if (worker->is_sweeping ||
		ask("select (swept_by = 'pg_cron')::int::bigint from admin.sweep_status_row()") == 0)
		announced = ask("select admin.sweep_expired(" SWEPT_AT_A_TIME ")");
	worker_commit();
	worker->is_sweeping = announced > 0;
	return announced > 0 ? STEP_MORE : STEP_IDLE;
}

static void
log_failure(const Worker *worker, const char *what)
{
	ereport(LOG,
			(errmsg("admin_ext: could not %s in database \"%s\", trying again later: %s",
					what, worker->database, worker->sink.error)));
}

static void
keep_partitions(Worker *worker)
{
	if (worker->is_positioned && monotonic_ms() >= worker->partitions_at)
	{
		bool		made = worker_guarded(worker, make_partitions) == STEP_MORE;

		if (!made)
			log_failure(worker, "make partitions");
		worker->partitions_at = monotonic_ms() + (made ? PARTITION_CHECK_MS : RETRY_MS);
	}
}

static void
keep_sweeping(Worker *worker)
{
	StepResult	result;

	if (!worker->is_positioned || admin_sweep_interval_s == 0 ||
		(worker->swept_at != 0 && monotonic_ms() < worker->swept_at + admin_sweep_interval_s * INT64CONST(1000)))
		return;
	result = worker_guarded(worker, sweep);
	/* One part at a time: what has been announced is delivered in between. */
	if (result == STEP_MORE)
		return;
	if (result != STEP_IDLE)
		log_failure(worker, "sweep");
	worker->is_sweeping = false;
	worker->swept_at = monotonic_ms();
}

void
worker_upkeep(Worker *worker)
{
	keep_partitions(worker);
	keep_sweeping(worker);
}
