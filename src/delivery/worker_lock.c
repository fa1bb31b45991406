/*
 * worker_lock.c
 *	  What a worker reports while another session's lock keeps it from the trail.
 *
 * Its statements wait at most lock_timeout for a lock.  After that the worker acts as in an outage:
 * it retries, names the relation that it waits for, and shows how many rows were committed since
 * its last count.  The committing backends count these rows, since the worker cannot.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "delivery/worker_lock.h"
#include "delivery/worker_state.h"
#include "delivery/worker_types.h"

/*
 * Locks the table if that is possible at once, to the end of the transaction: partitions of the
 * trail as for reading, other tables as for writing.
 */
static bool
can_lock(Form_pg_class form)
{
	LOCKMODE	mode = form->relkind == RELKIND_PARTITIONED_TABLE || form->relispartition ? AccessShareLock : RowExclusiveLock;

	return ConditionalLockRelationOid(form->oid, mode);
}

/*
 * The schema-qualified name of the first table that cannot be locked now; NULL: all can be locked.
 */
static char *
find_locked_table(const char *schema)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	char	   *found = NULL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_relnamespace, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(get_namespace_oid(schema, true)));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	while (found == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		if ((form->relkind == RELKIND_RELATION || form->relkind == RELKIND_PARTITIONED_TABLE) && !can_lock(form))
			found = psprintf("%s.%s", schema, NameStr(form->relname));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}

/* Puts into sink.error what the worker waits for. */
static void
name_lock(Worker *worker)
{
	char	   *name = NULL;

	snprintf(worker->sink.error, sizeof(worker->sink.error), "waits for a lock that another transaction holds");
	PG_TRY();
	{
		worker_begin("looking for who holds a lock");
		name = find_locked_table("admin");
		if (name == NULL)
			name = find_locked_table("admin_internal");
		if (name != NULL)
			snprintf(worker->sink.error, sizeof(worker->sink.error),
					 "waits for a lock on %s; see pg_locks for who holds it", name);
		worker_commit();
	}
	PG_CATCH();
	{
		(void) worker_give_up();
	}
	PG_END_TRY();
}

void
worker_lock_is_in_the_way(Worker *worker)
{
	worker->lag.is_waiting = true;
	name_lock(worker);
	worker_show_unseen(worker);
}

/* To be called before a snapshot is taken: the snapshot sees all rows committed up to here. */
void
worker_begin_look(Worker *worker)
{
	worker->lag.looking_rows = pg_atomic_read_u64(&worker->slot->committed_rows);
}

/* All rows committed before worker_begin_look() are now counted or delivered. */
void
worker_has_looked(Worker *worker)
{
	worker->lag.looked_rows = worker->lag.looking_rows;
	worker->lag.is_waiting = false;
	worker->lag.waiting_since = 0;
}

/* While a lock blocks the worker, shows its last count plus the rows committed since then. */
void
worker_show_unseen(Worker *worker)
{
	int64		unseen = pg_atomic_read_u64(&worker->slot->committed_rows) - worker->lag.looked_rows;
	TimestampTz since = worker->lag.since;

	if (!worker->lag.is_waiting)
		return;
	if (since == 0 && unseen > 0)
	{
		if (worker->lag.waiting_since == 0)
			worker->lag.waiting_since = GetCurrentTimestamp();
		since = worker->lag.waiting_since;
	}
	SpinLockAcquire(&worker->slot->mutex);
	worker->slot->status.lag_rows = worker->lag.rows + unseen;
	worker->slot->status.pending_since = since;
	SpinLockRelease(&worker->slot->mutex);
}
