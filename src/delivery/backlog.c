/*
 * backlog.c
 *	  Counts the rows that wait for a sink while the worker has no position to continue from.
 *
 * The last recorded position says what was delivered, no matter why the worker has stopped.
 * Counting takes at most a twentieth of the time, however many rows wait.
 */
#include "postgres.h"

#include "commands/extension.h"

#include "delivery/backlog.h"
#include "delivery/worker_lock.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"
#include "monotonic.h"

#define COUNT_EVERY_MS	1000
#define REST_FACTOR		20

void
worker_count_backlog(Worker *worker)
{
	int64		begun = monotonic_ms();
	int64		rows = 0;
	TimestampTz pending_since = 0;

	if (begun < worker->lag.backlog_at)
		return;
	worker_begin_look(worker);
	worker_begin("counting what waits");
	if (OidIsValid(get_extension_oid("admin_ext", true)))
		rows = position_backlog(worker->sink_name, &pending_since);
	worker_commit();
	worker_set_lag(worker, rows, pending_since);
	/* A lock may still block the worker: rows committed from now on are added to this count. */
	worker->lag.looked_rows = worker->lag.looking_rows;
	worker->lag.backlog_at = begun + Max(COUNT_EVERY_MS, (monotonic_ms() - begun) * REST_FACTOR);
}
