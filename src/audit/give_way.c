/*
 * give_way.c
 *	  A transaction that holds the trail with a strong lock ends when others wait for it.
 *
 * Functions that drop or attach partitions hold locks until the end of their caller's
 * transaction, and the caller may leave that open.  So the function arms a timer.  It looks
 * for processes that wait for one of these relations.  Where it finds one it ends this
 * session, as pg_terminate_backend() would: no SQL stops the timer, and a session that runs
 * a statement ends as well as an idle one.
 *
 * The timer's handler reads other processes' PGPROC without a lock.  That memory is never
 * given back, so a read that comes at a bad moment sees an old wait, and no more.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/timeout.h"

#include "compat.h"

#define LOOK_MS			50
#define MAX_RELATIONS	1024	/* months of eighty years, and more */

PG_FUNCTION_INFO_V1(admin_give_way);
PG_FUNCTION_INFO_V1(admin_is_waited_for);

static TimeoutId timer = MAX_TIMEOUTS;	/* not registered yet */
static Oid	relations[MAX_RELATIONS];
static int	relation_count = 0; /* 0: not armed */
static SubTransactionId armed_in = InvalidSubTransactionId;
static volatile sig_atomic_t gave_way = false;
static emit_log_hook_type previous_log = NULL;

static bool
is_lock_on_one_of(const LOCKTAG *tag, const Oid *oids, int count)
{
	if (tag->locktag_type != LOCKTAG_RELATION || tag->locktag_field1 != MyDatabaseId)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (oids[i] == tag->locktag_field2)
			return true;
	}
	return false;
}

static bool
is_any_waited_for(const Oid *oids, int count, bool by_clients)
{
	for (uint32 i = 0; i < ProcGlobal->allProcCount; i++)
	{
		PGPROC	   *proc = &ProcGlobal->allProcs[i];
		LOCK	   *lock = *(LOCK *volatile *) &proc->waitLock;

		if (lock != NULL && is_lock_on_one_of(&lock->tag, oids, count) &&
			(!by_clients || compat_is_client(proc)))
			return true;
	}
	return false;
}

/* The timer's handler: allocates nothing, locks nothing. */
static void
look_for_waiters(void)
{
	if (relation_count == 0)
		return;
	if (is_any_waited_for(relations, relation_count, false))
	{
		gave_way = true;
		kill(MyProcPid, SIGTERM);
	}
	else
		enable_timeout_after(timer, LOOK_MS);
}

static void
disarm_timer(void)
{
	if (relation_count == 0)
		return;
	relation_count = 0;
	disable_timeout(timer, false);
}

static void
give_way_at_transaction_end(XactEvent event, void *arg)
{
	if (relation_count == 0)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has locked the audit trail")));
	/* The rest of the transaction does not wait for the client. */
	if (event == XACT_EVENT_PRE_COMMIT || event == XACT_EVENT_ABORT)
		disarm_timer();
}

/* An aborted subtransaction releases its own locks.  An error in another one stops all timers. */
static void
give_way_at_subtransaction_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (relation_count == 0)
		return;
	if (event == SUBXACT_EVENT_COMMIT_SUB && mine == armed_in)
		armed_in = parent;
	else if (event == SUBXACT_EVENT_ABORT_SUB && mine == armed_in)
		disarm_timer();
	else if (event == SUBXACT_EVENT_ABORT_SUB)
		enable_timeout_after(timer, LOOK_MS);
}

/*
 * An error stops all timers before it is logged.  In a transaction that has failed already no
 * callback follows, so the timer is armed again here.
 */
static void
at_log(ErrorData *error)
{
	if (previous_log)
		previous_log(error);
	if (relation_count > 0 && error->elevel == ERROR && !get_timeout_active(timer))
		enable_timeout_after(timer, LOOK_MS);
}

static void
say_why(int code, Datum arg)
{
	if (gave_way)
		ereport(LOG,
				(errmsg("admin_ext: ended a session whose open transaction had locked the audit trail while other sessions waited for it"),
				 errhint("Call admin.create_audit_partitions(), admin.drop_audit_partitions() and admin.resync_sink() outside of long transactions.")));
}

static void
register_once(void)
{
	if (timer != MAX_TIMEOUTS)
		return;
	timer = RegisterTimeout(USER_TIMEOUT, look_for_waiters);
	RegisterXactCallback(give_way_at_transaction_end, NULL);
	RegisterSubXactCallback(give_way_at_subtransaction_end, NULL);
	before_shmem_exit(say_why, (Datum) 0);
	previous_log = emit_log_hook;
	emit_log_hook = at_log;
}

static int
read_relations(ArrayType *array, Oid *oids)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &values, &nulls, &count);
	if (count > MAX_RELATIONS)
		elog(ERROR, "more than %d relations", MAX_RELATIONS);
	for (int i = 0; i < count; i++)
		oids[i] = nulls[i] ? InvalidOid : DatumGetObjectId(values[i]);
	return count;
}

/* is_waited_for(variadic relations regclass[]): does a client wait?  Our workers can wait. */
Datum
admin_is_waited_for(PG_FUNCTION_ARGS)
{
	Oid			oids[MAX_RELATIONS];
	int			count = read_relations(PG_GETARG_ARRAYTYPE_P(0), oids);

	PG_RETURN_BOOL(is_any_waited_for(oids, count, true));
}

/* give_way(variadic relations regclass[]): adds to those of this transaction. */
Datum
admin_give_way(PG_FUNCTION_ARGS)
{
	Oid			oids[MAX_RELATIONS];
	int			count = read_relations(PG_GETARG_ARRAYTYPE_P(0), oids);

	if (relation_count + count > MAX_RELATIONS)
		elog(ERROR, "more than %d relations to give way for", MAX_RELATIONS);
	register_once();
	for (int i = 0; i < count; i++)
		relations[relation_count + i] = oids[i];
	/* The outer of two subtransactions outlives the inner. */
	if (relation_count == 0)
		armed_in = GetCurrentSubTransactionId();
	relation_count += count;
	if (relation_count > 0)
		enable_timeout_after(timer, LOOK_MS);
	PG_RETURN_VOID();
}
