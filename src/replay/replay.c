/*
 * replay.c
 *	  See replay.h.
 *
 * A check saw what was committed when it looked.  A change draws its audit_id under the lock of the
 * approval's row and before it commits.  So everything that the check saw has a smaller audit_id
 * than its own.  The reverse does not hold for the last transaction before the check, which may
 * still have been in flight.  Nor does it hold for any transaction that began after the check had
 * read its clock.  (Earlier transactions had committed, because a later one got their lock.) If the
 * whole history gives another answer, the replay therefore leaves these transactions out, the last
 * one first, unless an earlier check has seen them.  It reports when it has done so.
 *
 * The row has the request besides the answer, and the replay asks the same.  A row from before
 * admin_ext recorded the request is replayed by a guess: if its answer records a mismatch, the
 * guessed request mismatches, too.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "check/response.h"
#include "compat.h"
#include "decision/approval_id.h"
#include "json_text.h"
#include "layout.h"
#include "owner.h"
#include "relations.h"
#include "replay/replay.h"
#include "replay/trail.h"

PG_FUNCTION_INFO_V1(admin_replay_check);

#define ACTION_MISMATCH		5	/* precedences of policy.c */
#define RESOURCE_MISMATCH	6
#define MOST_EARLIER		1000	/* earlier checks that are read */

/* What is read of a recorded check, in the order of the members of Recorded. */
#define RECORDED_COLUMNS \
	"audit_id, xid, payload::pg_catalog.text, payload operator(pg_catalog.->>) 'approval_id', " \
	"(payload operator(pg_catalog.->>) 'evaluated_at')::pg_catalog.timestamptz, " \
	"(payload operator(pg_catalog.#>>) '{meta,precedence}')::pg_catalog.int4, " \
	"payload operator(pg_catalog.->>) 'state' is not null, " \
	"pg_catalog.json_typeof(payload operator(pg_catalog.->) 'request') operator(pg_catalog.=) 'object', " \
	"payload operator(pg_catalog.#>>) '{request,action}', payload operator(pg_catalog.#>>) '{request,resource}', " \
	"payload operator(pg_catalog.#>) '{request}' "
#define IS_A_CHECK \
	"event_type operator(pg_catalog.=) '" CHECK_EVENT_TYPE "' "

typedef struct Recorded
{
	int64		audit_id;
	uint64		xid;
	text	   *answer;
	text	   *approval_id;	/* or NULL */
	TimestampTz at;
	int			precedence;
	bool		was_found;
	bool		has_request;	/* then what was asked is in the next three */
	text	   *action;			/* or NULL */
	text	   *resource;		/* or NULL */
	text	   *request;		/* as JSON */
} Recorded;

/* False when it is no answer of the contract. */
static bool
take_recorded(HeapTuple row, TupleDesc desc, Recorded *recorded)
{
	static const Oid types[] = {
		INT8OID, XID8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, BOOLOID, BOOLOID, TEXTOID, TEXTOID, JSONOID
	};
	bool		isnull[lengthof(types)];
	Datum		values[lengthof(types)];

	for (int i = 0; i < lengthof(types); i++)
		values[i] = layout_value(row, desc, i + 1, types[i], &isnull[i]);
	recorded->audit_id = DatumGetInt64(values[0]);
	if (isnull[4] || isnull[5])
		return false;
	recorded->xid = U64FromFullTransactionId(DatumGetFullTransactionId(values[1]));
	recorded->answer = response_of_record(DatumGetTextPP(values[2]));
	recorded->approval_id = isnull[3] ? NULL : DatumGetTextPP(values[3]);
	recorded->at = DatumGetTimestampTz(values[4]);
	recorded->precedence = DatumGetInt32(values[5]);
	recorded->was_found = DatumGetBool(values[6]);
	recorded->has_request = !isnull[7] && DatumGetBool(values[7]);
	recorded->action = isnull[8] ? NULL : DatumGetTextPP(values[8]);
	recorded->resource = isnull[9] ? NULL : DatumGetTextPP(values[9]);
	recorded->request = isnull[10] ? NULL : DatumGetTextPP(values[10]);
	return true;
}

static void
read_recorded(int64 audit_id, MemoryContext context, Recorded *recorded)
{
	static OwnerQuery query = {
		.text =
		"select " RECORDED_COLUMNS "from admin.audit "
		"where audit_id operator(pg_catalog.=) $1 and " IS_A_CHECK,
		.nargs = 1,
		.types = {INT8OID},
		.result = SPI_OK_SELECT,
		.is_read_only = true
	};
	Datum		values[] = {Int64GetDatum(audit_id)};

	if (owner_run(&query, values, NULL, 1) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("check with audit_id " INT64_FORMAT " does not exist", audit_id),
				 errdetail("admin.audit has no such row, or its event_type is not " CHECK_EVENT_TYPE "."),
				 errhint("Rows of admin.audit with this event_type are the checks.")));
	MemoryContextSwitchTo(context);
	if (!take_recorded(SPI_copytuple(SPI_tuptable->vals[0]), SPI_tuptable->tupdesc, recorded))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("payload of audit_id " INT64_FORMAT " is not an answer of the contract " CHECK_EVENT_TYPE, audit_id),
				 errdetail("It lacks evaluated_at or precedence.")));
}

/* The recorded request, or one that mismatches as recorded: no action or resource is empty. */
static void
take_request(const Recorded *recorded, PolicyRequest *request)
{
	static const PolicyText another = {"", 0};

	memset(request, 0, sizeof(*request));
	request->approval_id = policy_text(recorded->approval_id);
	request->at = recorded->at;
	if (recorded->has_request)
	{
		request->action = policy_text(recorded->action);
		request->resource = policy_text(recorded->resource);
	}
	else if (recorded->precedence == ACTION_MISMATCH)
		request->action = another;
	else if (recorded->precedence == RESOURCE_MISMATCH)
		request->resource = another;
}

/* Decides by the first `count` events. */
static bool
decide_after(const Trail *trail, int count, const Recorded *recorded, Replay *replay)
{
	Check	   *check = &replay->check;

	check->approval_id = recorded->approval_id;
	check->is_replayed = true;
	check->is_guessed = !recorded->has_request;
	take_request(recorded, &check->request);
	trail_facts(trail, count, &check->facts);
	policy_decide(&check->request, &check->facts, &check->decision);
	replay->recorded = recorded->answer;
	replay->request = recorded->has_request ? recorded->request : NULL;
	replay->replayed = response_build(check->approval_id, &check->request, &check->facts,
									  &check->decision, recorded->audit_id);
	replay->is_equal = policy_texts_equal(policy_text(replay->replayed), policy_text(recorded->answer));
	return replay->is_equal;
}

/*
 * Has an earlier check given an answer that requires the transaction to have committed?  The first
 * checks after the change decide that.  (A check that read its clock before this one, but looked
 * after it, may be mistaken for an earlier one.  Then the difference is shown.)
 */
static bool
was_seen(const Trail *trail, int before, int after, const Recorded *recorded)
{
	static OwnerQuery query = {
		.text =
		"select " RECORDED_COLUMNS "from admin.audit "
		"where approval_id operator(pg_catalog.=) $1 and audit_id operator(pg_catalog.>) $2 "
		"and audit_id operator(pg_catalog.<) $3 and recorded_at operator(pg_catalog.<=) $4 "
		"and " IS_A_CHECK "order by audit_id",
		.nargs = 4,
		.types = {TEXTOID, INT8OID, INT8OID, TIMESTAMPTZOID},
		.result = SPI_OK_SELECT,
		.is_read_only = true
	};
	Datum		values[] = {
		PointerGetDatum(recorded->approval_id), Int64GetDatum(trail->events[after - 1].audit_id),
		Int64GetDatum(recorded->audit_id), TimestampTzGetDatum(recorded->at)
	};
	uint64		count = owner_run(&query, values, NULL, MOST_EARLIER);

	MemoryContextSwitchTo(trail->context);
	for (uint64 i = 0; i < count; i++)
	{
		Recorded	earlier;
		Replay		scratch = {0};

		if (take_recorded(SPI_copytuple(SPI_tuptable->vals[i]), SPI_tuptable->tupdesc, &earlier) &&
			earlier.xid != trail->events[after - 1].xid &&
			decide_after(trail, after, &earlier, &scratch) && !decide_after(trail, before,
																			&earlier, &scratch))
			return true;
	}
	return false;
}

/* Tries the whole history, then without transactions that may have been in flight, latest first. */
static void
decide_recorded(const Trail *trail, const Recorded *recorded, Replay *replay)
{
	int			count = trail->count;
	bool		is_equal = decide_after(trail, count, recorded, replay);

	while (!is_equal && count > 0 && trail->events[count - 1].xid != recorded->xid)
	{
		int			before = trail_before_transaction(trail, count);

		if (was_seen(trail, before, count, recorded))
			break;
		is_equal = decide_after(trail, before, recorded, replay);
		if (is_equal)
			replay->check.in_flight = trail->events[before].audit_id;
		/* This transaction held the lock before the check looked, so earlier ones had committed. */
		if (trail->events[before].recorded_at < recorded->at)
			break;
		count = before;
	}
	if (!is_equal)
		(void) decide_after(trail, trail->count, recorded, replay);
}

/* Raises an error if the beginning of the history has been dropped. */
static void
check_reach(const Trail *trail, const Recorded *recorded)
{
	if (trail->count == 0 ? !recorded->was_found : trail->events[0].is_issuing)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the trail does not reach back to the issuing of approval \"%s\"",
					text_to_cstring(recorded->approval_id)),
			 trail->count == 0 ? errdetail("It has no event of the approval before audit_id " INT64_FORMAT ".", recorded->audit_id) :
			 errdetail("Its first event of the approval has audit_id " INT64_FORMAT ".", trail->events[0].audit_id),
			 errhint("Rows that admin.drop_audit_partitions() has dropped are where the sinks have delivered them.")));
}

void
replay_recorded(int64 audit_id, Replay *replay)
{
	OwnerScope	scope;
	Recorded	recorded;
	Trail		trail = {.context = CurrentMemoryContext};
	PolicyText	id;

	memset(replay, 0, sizeof(*replay));
	owner_enter(&scope, admin_relations()->audit);
	read_recorded(audit_id, trail.context, &recorded);
	id = policy_text(recorded.approval_id);
	if (approval_id_is_valid(id.data, id.length))
	{
		trail_read(&trail, recorded.approval_id, audit_id);
		check_reach(&trail, &recorded);
	}
	decide_recorded(&trail, &recorded, replay);
	owner_leave(&scope);
}

Datum
admin_replay_check(PG_FUNCTION_ARGS)
{
	Replay		replay;
	StringInfoData out;

	replay_recorded(PG_GETARG_INT64(0), &replay);
	initStringInfo(&out);
	appendStringInfoString(&out, "{\"recorded\":");
	appendStringInfoString(&out, text_to_cstring(replay.recorded));
	appendStringInfoString(&out, ",\"replayed\":");
	appendStringInfoString(&out, text_to_cstring(replay.replayed));
	appendStringInfo(&out, ",\"equal\":%s", replay.is_equal ? "true" : "false");
	if (replay.request != NULL)
		appendStringInfo(&out, ",\"request\":%s", text_to_cstring(replay.request));
	if (replay.check.in_flight != 0)
		appendStringInfo(&out, ",\"in_flight\":\"" INT64_FORMAT "\"", replay.check.in_flight);
	appendStringInfoChar(&out, '}');
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data)));
}
