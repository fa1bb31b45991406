/*
 * replay.c
 *	  See replay.h.
 *
 * What a check saw is what was committed when it looked.  A change draws its audit_id under
 * the lock of the approval's row and before it commits, so everything the check saw has a
 * smaller audit_id than its own.  The reverse does not hold for one transaction: the last
 * one may have been in flight still, and the trail cannot tell.  (The one before had
 * committed, for the last one had its lock.)  So where the whole history gives another
 * answer, the history without that transaction is tried, and the replay says so.
 *
 * The trail has the answer, not which action and resource were asked for: a mismatch that
 * is recorded is taken to have been one.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "check/replay.h"
#include "check/response.h"
#include "compat.h"
#include "decision/approval_id.h"
#include "json_text.h"
#include "owner.h"
#include "relations.h"
#include "store/approval_store.h"

PG_FUNCTION_INFO_V1(admin_replay_check);

#define ACTION_MISMATCH		5	/* precedences of policy.c */
#define RESOURCE_MISMATCH	6

/* A change of the approval, or a signature, by the trail. */
typedef struct TrailEvent
{
	int64		audit_id;
	uint64		xid;
	TimestampTz recorded_at;
	bool		is_signature;
	ApprovalRow approval;
	PolicyText	role;
	PolicyText	signer;
	PolicyText	digest;
} TrailEvent;

/* SPI leaves its own memory current; what is made of its rows has to outlive that. */
typedef struct Trail
{
	MemoryContext context;
	TrailEvent *events;
	int			count;
} Trail;

/* The recorded check. */
typedef struct Recorded
{
	int64		audit_id;
	uint64		xid;
	text	   *answer;
	int			precedence;
} Recorded;

static Datum
column(HeapTuple tuple, TupleDesc desc, int number, bool *isnull)
{
	return SPI_getbinval(tuple, desc, number, isnull);
}

static void
read_recorded(int64 audit_id, Recorded *recorded, Check *check, MemoryContext context)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(audit_id)};
	HeapTuple	row;
	TupleDesc	desc;
	bool		isnull;
	Datum		value;

	owner_plan(&plan,
			   "select xid, payload::text, payload operator(pg_catalog.->>) 'approval_id', "
			   "(payload operator(pg_catalog.->>) 'evaluated_at')::timestamptz, "
			   "(payload operator(pg_catalog.#>>) '{meta,precedence}')::int4 "
			   "from admin.audit where audit_id operator(pg_catalog.=) $1 and event_type operator(pg_catalog.=) '" CHECK_EVENT_TYPE "'", 1, types);
	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the trail");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("the trail has no check with audit_id " INT64_FORMAT, audit_id),
				 errdetail("There is no such row, or it is an event of another type than " CHECK_EVENT_TYPE ".")));
	MemoryContextSwitchTo(context);
	row = SPI_copytuple(SPI_tuptable->vals[0]);
	desc = SPI_tuptable->tupdesc;
	recorded->audit_id = audit_id;
	recorded->xid = U64FromFullTransactionId(DatumGetFullTransactionId(column(row, desc, 1, &isnull)));
	recorded->answer = DatumGetTextPP(column(row, desc, 2, &isnull));
	value = column(row, desc, 3, &isnull);
	check->approval_id = isnull ? NULL : DatumGetTextPP(value);
	check->request.approval_id = policy_text_of(value, isnull);
	check->request.at = DatumGetTimestampTz(column(row, desc, 4, &isnull));
	recorded->precedence = DatumGetInt32(column(row, desc, 5, &isnull));
}

/* The last three columns of both queries. */
static TrailEvent *
add_event(Trail *trail, HeapTuple row, TupleDesc desc, int first)
{
	TrailEvent *event = &trail->events[trail->count++];
	bool		isnull;

	event->audit_id = DatumGetInt64(column(row, desc, first, &isnull));
	event->xid = U64FromFullTransactionId(DatumGetFullTransactionId(column(row, desc, first + 1, &isnull)));
	event->recorded_at = DatumGetTimestampTz(column(row, desc, first + 2, &isnull));
	return event;
}

static void
make_room(Trail *trail, uint64 more)
{
	Size		bytes = (trail->count + more + 1) * sizeof(TrailEvent);

	trail->events = trail->events == NULL ? SPI_palloc(bytes) : SPI_repalloc(trail->events, bytes);
}

static void
run(SPIPlanPtr plan, const Recorded *recorded, const Check *check, const Trail *trail)
{
	Datum		values[] = {PointerGetDatum(check->approval_id), Int64GetDatum(recorded->audit_id)};

	if (SPI_execute_plan(plan, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the trail");
	MemoryContextSwitchTo(trail->context);
}

static void
read_changes(const Recorded *recorded, const Check *check, Trail *trail)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID, INT8OID};

	run(owner_plan(&plan,
				   "select row.*, e.audit_id, e.xid, e.recorded_at from admin.audit as e, "
				   "lateral pg_catalog.json_populate_record(null::admin.approval, e.payload operator(pg_catalog.->) 'row') as row "
				   "where e.approval_id operator(pg_catalog.=) $1 and e.audit_id operator(pg_catalog.<) $2 "
				   "and e.event_type operator(pg_catalog.=) any (array['approval.issued', 'approval.signed_partial', "
				   "'approval.signed_full', 'approval.withdrawn', 'approval.altered']) order by e.audit_id", 2, types), recorded, check, trail);
	make_room(trail, SPI_processed);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_copytuple(SPI_tuptable->vals[i]);
		TrailEvent *event = add_event(trail, row, SPI_tuptable->tupdesc, APPROVAL_COLUMNS + 1);

		event->is_signature = false;
		approval_row_from_tuple(row, SPI_tuptable->tupdesc, &event->approval);
	}
}

static void
read_signatures(const Recorded *recorded, const Check *check, Trail *trail)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID, INT8OID};

	run(owner_plan(&plan,
				   "select row.signer_role, row.signer, row.approval_digest, e.audit_id, e.xid, e.recorded_at from admin.audit as e, "
				   "lateral pg_catalog.json_populate_record(null::admin.signature, e.payload operator(pg_catalog.->) 'row') as row "
				   "where e.approval_id operator(pg_catalog.=) $1 and e.audit_id operator(pg_catalog.<) $2 "
				   "and e.event_type operator(pg_catalog.=) 'signature.added' order by e.audit_id", 2, types), recorded, check, trail);
	make_room(trail, SPI_processed);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	row = SPI_copytuple(SPI_tuptable->vals[i]);
		TupleDesc	desc = SPI_tuptable->tupdesc;
		TrailEvent *event = add_event(trail, row, desc, 4);
		bool		isnull;
		Datum		value;

		event->is_signature = true;
		value = column(row, desc, 1, &isnull);
		event->role = policy_text_of(value, isnull);
		value = column(row, desc, 2, &isnull);
		event->signer = policy_text_of(value, isnull);
		value = column(row, desc, 3, &isnull);
		event->digest = policy_text_of(value, isnull);
	}
}

static int
by_audit_id(const void *a, const void *b)
{
	int64		left = ((const TrailEvent *) a)->audit_id;
	int64		right = ((const TrailEvent *) b)->audit_id;

	return left < right ? -1 : left > right ? 1 : 0;
}

static void
read_trail(const Recorded *recorded, const Check *check, Trail *trail)
{
	if (check->approval_id == NULL ||
		!approval_id_is_valid(check->request.approval_id.data, check->request.approval_id.length))
		return;
	read_changes(recorded, check, trail);
	read_signatures(recorded, check, trail);
	if (trail->count > 1)
		qsort(trail->events, trail->count, sizeof(TrailEvent), by_audit_id);
	if (trail->count > 0 && trail->events[0].is_signature)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the trail does not reach back to the issuing of approval \"%s\"", text_to_cstring(check->approval_id)),
				 errdetail("It begins with audit_id " INT64_FORMAT ".", trail->events[0].audit_id),
				 errhint("What was dropped with admin.drop_audit_partitions() is where it was delivered to.")));
}

/* The approval and its signatures after the first so many events. */
static void
facts_after(const Trail *trail, int count, ApprovalFacts *facts)
{
	const ApprovalRow *approval = NULL;
	SignatureJudge judge;

	for (int i = 0; i < count; i++)
	{
		if (!trail->events[i].is_signature)
			approval = &trail->events[i].approval;
	}
	memset(facts, 0, sizeof(*facts));
	if (approval == NULL)
		return;
	judge = signature_judge_of(approval);
	for (int i = 0; i < count; i++)
	{
		const TrailEvent *event = &trail->events[i];

		if (event->is_signature)
			signature_judge(&judge, event->role, event->signer, event->digest);
	}
	approval_facts(approval, judge.count, judge.sound, facts);
}

/* What was asked for, as far as the answer tells. */
static void
guess_request(Check *check, int precedence)
{
	static const PolicyText another = {"\001", 1};

	if (precedence == ACTION_MISMATCH)
		check->request.action = another;
	else if (precedence == RESOURCE_MISMATCH)
		check->request.resource = another;
}

static bool
decide_after(const Trail *trail, int count, const Recorded *recorded, Replay *replay)
{
	Check	   *check = &replay->check;

	facts_after(trail, count, &check->facts);
	policy_decide(&check->request, &check->facts, &check->decision);
	replay->replayed = response_build(check->approval_id, &check->request, &check->facts, &check->decision, recorded->audit_id);
	return VARSIZE_ANY_EXHDR(replay->replayed) == VARSIZE_ANY_EXHDR(recorded->answer) &&
		memcmp(VARDATA_ANY(replay->replayed), VARDATA_ANY(recorded->answer), VARSIZE_ANY_EXHDR(recorded->answer)) == 0;
}

/* How many events come before the transaction that the last of so many belongs to. */
static int
before_transaction(const Trail *trail, int count)
{
	uint64		xid = trail->events[count - 1].xid;

	while (count > 0 && trail->events[count - 1].xid == xid)
		count--;
	return count;
}

/* Tries the whole history, then without what may have been in flight, latest first. */
static void
decide(const Trail *trail, const Recorded *recorded, Replay *replay)
{
	int			count = trail->count;

	replay->is_equal = decide_after(trail, count, recorded, replay);
	while (!replay->is_equal && count > 0 && trail->events[count - 1].xid != recorded->xid)
	{
		int			before = before_transaction(trail, count);
		bool		had_begun = trail->events[before].recorded_at < replay->check.request.at;

		replay->is_equal = decide_after(trail, before, recorded, replay);
		replay->in_flight = replay->is_equal ? trail->events[before].audit_id : 0;
		/* It held the lock before the check looked: those before it had committed. */
		if (had_begun)
			break;
		count = before;
	}
	if (!replay->is_equal)
		(void) decide_after(trail, trail->count, recorded, replay);
}

void
replay_recorded(int64 audit_id, Replay *replay)
{
	Relation	audit = RelationIdGetRelation(admin_relations()->audit);
	Oid			owner = audit->rd_rel->relowner;
	OwnerScope	scope;
	Recorded	recorded;
	Trail		trail = {.context = CurrentMemoryContext};

	RelationClose(audit);
	memset(replay, 0, sizeof(*replay));
	owner_enter(&scope, owner);
	read_recorded(audit_id, &recorded, &replay->check, trail.context);
	read_trail(&recorded, &replay->check, &trail);
	/* What was read has been copied out of SPI's memory. */
	owner_leave(&scope);
	guess_request(&replay->check, recorded.precedence);
	decide(&trail, &recorded, replay);
	replay->recorded = recorded.answer;
}

Datum
admin_replay_check(PG_FUNCTION_ARGS)
{
	Replay		replay;
	StringInfoData out;

	replay_recorded(PG_GETARG_INT64(0), &replay);
	initStringInfo(&out);
	appendStringInfoString(&out, "{\"recorded\":");
	appendBinaryStringInfo(&out, VARDATA_ANY(replay.recorded), VARSIZE_ANY_EXHDR(replay.recorded));
	appendStringInfoString(&out, ",\"replayed\":");
	appendBinaryStringInfo(&out, VARDATA_ANY(replay.replayed), VARSIZE_ANY_EXHDR(replay.replayed));
	appendStringInfo(&out, ",\"equal\":%s", replay.is_equal ? "true" : "false");
	if (replay.in_flight != 0)
		appendStringInfo(&out, ",\"in_flight\":\"" INT64_FORMAT "\"", replay.in_flight);
	appendStringInfoChar(&out, '}');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)));
}
