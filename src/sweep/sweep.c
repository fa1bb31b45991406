/*
 * sweep.c
 *	  admin.sweep_expired(): announces deadlines that have passed.
 *
 * The sweep reads admin.sweep_due in order of time.  Like every change, it locks an approval before
 * its event gets a number, so that the trail is in order of commit.  It leaves a locked approval to
 * the next sweep.  It ends early if a session waits for an approval that the sweep has locked.  So
 * a sweep never waits, and no session waits long for a sweep.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/itemptr.h"
#include "storage/lmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/audit_append.h"
#include "audit/insider_restoring.h"
#include "audit/row_json.h"
#include "layout.h"
#include "owner.h"
#include "relations.h"
#include "store/approval.h"

#define CHUNK				100 /* approvals at a time */
#define DUE_TTL_STATE		(APPROVAL_COLUMNS + 1)
#define DUE_TID				(APPROVAL_COLUMNS + 2)
#define DUE_AT				(APPROVAL_COLUMNS + 3)

PG_FUNCTION_INFO_V1(admin_sweep_expired);

typedef struct Sweep
{
	TimestampTz now;
	TimestampTz from;			/* rows that were due before this have been processed */
	int64		announced;
	int64		most;
	Relation	approval;
	MemoryContext context;		/* memory of a chunk; SPI calls switch to a context of their own */
	Datum		ended[CHUNK];	/* rows of sweep_due with nothing left to be announced */
	int			ended_count;
	Datum		to_turn_stale[CHUNK];	/* rows that go on to be announced as stale */
	int			to_turn_stale_count;
} Sweep;

/* The instant at which an approval enters this state. */
static TimestampTz
due_at(TtlState ttl, TimestampTz deadline)
{
	return ttl == TTL_EXPIRED ? deadline : deadline + TTL_STALE_AFTER_US + 1;
}

static text *
sweep_payload(const Sweep *sweep, TtlState before, TtlState after, const Datum *values, const bool *nulls)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "{\"op\":\"SWEEP\",\"changed\":{\"ttl_state\":[\"%s\",\"%s\"]},\"row\":",
					 ttl_state_name(before), ttl_state_name(after));
	append_row_json(&out, RelationGetDescr(sweep->approval), values, nulls);
	appendStringInfoChar(&out, '}');
	return cstring_to_text_with_len(out.data, out.len);
}

/* The event has no actor, because the clock caused it. */
static void
announce_state(Sweep *sweep, TtlState ttl, const ApprovalRow *approval, const Datum *values, const bool *nulls)
{
	AuditEvent	event = {0};
	TimestampTz occurred_at = due_at(ttl, approval->sla_deadline);

	event.audit_id = audit_draw_id();
	event.recorded_at = GetCurrentTimestamp();
	event.occurred_at = occurred_at;
	event.event_type = psprintf("approval.%s", ttl_state_name(ttl));
	event.approval_id = DatumGetTextPP(values[APPROVAL_ID - 1]);
	event.payload = sweep_payload(sweep, ttl_state(approval->state, approval->closed, approval->sla_deadline, occurred_at - 1),
								  ttl, values, nulls);
	audit_append(&event);
	sweep->announced++;
}

/* Announces all that is due for one approval.  Its row of sweep_due ends, or goes on to stale. */
static void
sweep_approval(Sweep *sweep, HeapTuple row, TupleDesc desc)
{
	Datum		values[DUE_AT];
	bool		nulls[DUE_AT];
	ApprovalRow approval;
	TtlState	next;

	heap_deform_tuple(row, desc, values, nulls);
	approval_row_from_tuple(row, desc, &approval);
	next = strcmp(TextDatumGetCString(layout_set_value(row, desc, DUE_TTL_STATE, TEXTOID)), ttl_state_name(TTL_EXPIRED)) == 0 ?
		TTL_EXPIRED : TTL_STALE;
	if (approval.closed || approval.state == STATE_WITHDRAWN)
	{
		sweep->ended[sweep->ended_count++] = values[DUE_TID - 1];
		return;
	}
	if (next == TTL_EXPIRED)
	{
		announce_state(sweep, TTL_EXPIRED, &approval, values, nulls);
		if (sweep->announced == sweep->most || ttl_state(approval.state, false, approval.sla_deadline, sweep->now) != TTL_STALE)
		{
			sweep->to_turn_stale[sweep->to_turn_stale_count++] = values[DUE_TID - 1];
			return;
		}
	}
	announce_state(sweep, TTL_STALE, &approval, values, nulls);
	sweep->ended[sweep->ended_count++] = values[DUE_TID - 1];
}

static void
run_for_tids(OwnerQuery *query, Datum *tids, int count)
{
	Datum		array;

	if (count == 0)
		return;
	array = PointerGetDatum(construct_array(tids, count, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT));
	if (owner_run(query, &array, NULL, 0) != count)
		elog(ERROR, "%d of %d rows of admin.sweep_due are there", (int) SPI_processed, count);
}

/* Finds the rows by ctid, which does not change because they are locked. */
static void
end_chunk(Sweep *sweep)
{
	static OwnerQuery end = {
		.text = "delete from admin.sweep_due where ctid operator(pg_catalog.=) any ($1)",
		.nargs = 1,
		.types = {TIDARRAYOID},
		.result = SPI_OK_DELETE
	};
	static OwnerQuery go_on = {
		.text = "update admin.sweep_due set ttl_state = 'stale', due_at = due_at operator(pg_catalog.+) "
		"'24:00:00.000001'::pg_catalog.interval where ctid operator(pg_catalog.=) any ($1)",
		.nargs = 1,
		.types = {TIDARRAYOID},
		.result = SPI_OK_UPDATE
	};

	run_for_tids(&end, sweep->ended, sweep->ended_count);
	MemoryContextSwitchTo(sweep->context);
	run_for_tids(&go_on, sweep->to_turn_stale, sweep->to_turn_stale_count);
	sweep->ended_count = sweep->to_turn_stale_count = 0;
}

/* Checks the columns that are read by number: those of the approval, DUE_TID and DUE_AT. */
static void
check_rows(Relation approval, TupleDesc desc)
{
	layout_check_exact(approval, approval_types, APPROVAL_COLUMNS);
	layout_check_column(desc, DUE_TID, TIDOID);
	layout_check_column(desc, DUE_AT, TIMESTAMPTZOID);
}

/*
 * Starts where the previous chunk ended, because processed entries stay in the index until a
 * vacuum.  Rows that other sessions have locked are skipped, and the next call finds them.
 */
static int
sweep_chunk(Sweep *sweep)
{
	static OwnerQuery due = {
		.text = "select a.*, d.ttl_state, d.ctid, d.due_at from admin.sweep_due as d "
		"join admin.approval as a on a.approval_id operator(pg_catalog.=) d.approval_id "
		"where d.due_at operator(pg_catalog.>=) $1 and d.due_at operator(pg_catalog.<=) $2 order by d.due_at limit $3 "
		"for update of d skip locked for no key update of a skip locked",
		.nargs = 3,
		.types = {TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID},
		.result = SPI_OK_SELECT
	};
	Datum		values[] = {
		TimestampTzGetDatum(sweep->from), TimestampTzGetDatum(sweep->now),
		Int64GetDatum(Min(CHUNK, sweep->most - sweep->announced))
	};
	int			count = owner_run(&due, values, NULL, 0);
	SPITupleTable *rows = SPI_tuptable;
	bool		isnull;

	if (count > 0)
		check_rows(sweep->approval, rows->tupdesc);
	MemoryContextSwitchTo(sweep->context);
	/* Rows that are left when the limit is reached stay locked and due. */
	for (int i = 0; i < count && sweep->announced < sweep->most; i++)
	{
		sweep_approval(sweep, rows->vals[i], rows->tupdesc);
		sweep->from = DatumGetTimestampTz(heap_getattr(rows->vals[i], DUE_AT, rows->tupdesc, &isnull));
	}
	end_chunk(sweep);
	SPI_freetuptable(rows);
	MemoryContextReset(sweep->context);
	return count;
}

static bool
has_waiters(TransactionId xid)
{
	LOCKTAG		tag;

	if (!TransactionIdIsValid(xid))
		return false;
	SET_LOCKTAG_TRANSACTION(tag, xid);
	return LockHasWaiters(&tag, ExclusiveLock, false);
}

/* Does anybody wait for what this transaction has locked, here or at its top level? */
static bool
sweep_is_waited_for(void)
{
	return has_waiters(GetCurrentTransactionIdIfAny()) || has_waiters(GetTopTransactionIdIfAny());
}

/*
 * Plans are kept in the backend, so they must not depend on the size of the tables when they are
 * made.  Only index scans in the order of time and lookups by ctid are right.
 */
static void
pin_plans(void)
{
	static const char *const off[] = {"enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin"};

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

static int64
most_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"max_rows\" is out of range"),
				 errdetail("Its value %s is not 1 or more.",
						   PG_ARGISNULL(0) ? "null" : psprintf("%d", PG_GETARG_INT32(0)))));
	return PG_GETARG_INT32(0);
}

Datum
admin_sweep_expired(PG_FUNCTION_ARGS)
{
	Sweep		sweep = {.now = GetCurrentTimestamp(), .from = DT_NOBEGIN, .most = most_argument(fcinfo)};
	OwnerScope	scope;
	int			count;

	PreventCommandIfReadOnly("admin.sweep_expired()");
	PreventCommandDuringRecovery("admin.sweep_expired()");
	insider_refuse_while_restoring("admin.sweep_expired()");
	sweep.approval = admin_relation_open(&admin_relations()->approval, RowShareLock);
	sweep.context = AllocSetContextCreate(CurrentMemoryContext, "admin_ext sweep", ALLOCSET_DEFAULT_SIZES);
	owner_enter(&scope, admin_relations()->approval);
	pin_plans();
	/* Returns 0 only if no approval is left to be announced. */
	do
	{
		count = sweep_chunk(&sweep);
		CHECK_FOR_INTERRUPTS();
	} while (count > 0 && sweep.announced < sweep.most && (sweep.announced == 0 || !sweep_is_waited_for()));
	owner_leave(&scope);
	MemoryContextDelete(sweep.context);
	table_close(sweep.approval, NoLock);
	PG_RETURN_INT64(sweep.announced);
}
