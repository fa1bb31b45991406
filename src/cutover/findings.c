/*
 * findings.c
 *	  Compares every approval with its signatures, the clock and the result of the check, in one
 *	  pass that several processes share: the aggregate admin_internal.approval_findings().
 *
 * The results of the check and the view admin.approval_ttl_state are compared by one number of 64
 * bits.  It is the exclusive or of one hash per approval, so the order and the number of processes
 * do not matter.  SQL has bit_xor() for the view's side.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "cutover/findings_policy.h"
#include "json_text.h"
#include "store/approval.h"
#include "store/signature_judge.h"
#include "store/signature_store.h"

PG_FUNCTION_INFO_V1(admin_findings_add);
PG_FUNCTION_INFO_V1(admin_findings_combine);
PG_FUNCTION_INFO_V1(admin_findings_pack);
PG_FUNCTION_INFO_V1(admin_findings_unpack);
PG_FUNCTION_INFO_V1(admin_findings_result);
PG_FUNCTION_INFO_V1(admin_ttl_hash);

#define ID_BYTES	64

/* How many approvals have a fault, and the id of the first of them in order. */
typedef struct Finding
{
	int64		count;
	char		example[ID_BYTES + 1];
} Finding;

typedef struct Findings
{
	int64		approvals;
	int64		signatures;
	int64		valid;			/* by the check */
	uint64		said;			/* hashes of what the check says, joined */
	Finding		inconsistent;	/* state, number of signatures and closed_at do not go together */
	Finding		altered;		/* a signature is of something else than the approval says */
	Finding		not_separate;	/* roles or people */
	Finding		overdue;		/* valid at or after the deadline */
	Finding		against_policy; /* open, and against the policy of its action */
	UnruledActions unruled;		/* actions of open approvals that have no policy */
} Findings;

/* Of one process. */
typedef struct FindingsState
{
	Findings	found;			/* comes first: what is packed */
	SignatureWalk *walk;
	PolicyBook *policies;
} FindingsState;

static void
note_finding(Finding *finding, const char *id, Size length)
{
	char		example[ID_BYTES + 1];

	strlcpy(example, pnstrdup(id, pg_mbcliplen(id, length, ID_BYTES)), sizeof(example));
	if (finding->count++ == 0 || strcmp(example, finding->example) < 0)
		strlcpy(finding->example, example, sizeof(finding->example));
}

static void
add_finding(Finding *into, const Finding *from)
{
	if (from->count > 0 && (into->count == 0 || strcmp(from->example, into->example) < 0))
		strlcpy(into->example, from->example, sizeof(into->example));
	into->count += from->count;
}

/* The hash for an approval: its ttl_state, empty for null, and until when it is valid, if it is. */
static uint64
hash_of(PolicyText id, PolicyText ttl, TimestampTz valid_until)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) ttl.data, ttl.length, (uint64) valid_until);

	return hash_bytes_extended((const unsigned char *) id.data, id.length, hash);
}

/* Do state, signatures and closed_at go together? */
static bool
is_consistent(const ApprovalRow *row, const SignatureJudge *judge)
{
	if (!row->readable || judge->count > row->required_signer_count)
		return false;
	return row->state == STATE_WITHDRAWN ||
		row->state == approval_state_from_signatures(judge->count, row->required_signer_count);
}

static void
look_at(FindingsState *state, const ApprovalRow *row, TimestampTz created_at, TimestampTz at)
{
	Findings   *found = &state->found;
	SignatureJudge judge;
	PolicyRequest request = {.approval_id = row->id, .at = at};
	PolicyDecision decision;
	ApprovalFacts facts;
	PolicyText	said;

	signature_judge_begin(&judge, row);
	signature_walk_judge(state->walk, row->id, &judge);
	approval_facts(row, judge.count, signatures_are_sound(&judge), &facts);
	policy_decide(&request, &facts, &decision);

	found->approvals++;
	found->signatures += judge.count;
	found->valid += decision.valid;
	/* A check does not look up an id that violates the grammar, so it has no ttl_state for it. */
	said.data = decision.reason == REASON_APPROVAL_ID_INVALID ? "" : ttl_state_name(decision.ttl);
	said.length = strlen(said.data);
	found->said ^= hash_of(row->id, said, decision.valid ? row->sla_deadline : DT_NOBEGIN);
	if (!is_consistent(row, &judge))
		note_finding(&found->inconsistent, row->id.data, row->id.length);
	if (row->readable && !judge.are_of_this)
		note_finding(&found->altered, row->id.data, row->id.length);
	if (row->readable && !judge.are_separate)
		note_finding(&found->not_separate, row->id.data, row->id.length);
	if (decision.valid && row->sla_deadline <= at)
		note_finding(&found->overdue, row->id.data, row->id.length);
	if (row->readable && !row->closed && row->state != STATE_WITHDRAWN && row->sla_deadline > at &&
		policy_book_look(state->policies, row, created_at, &found->unruled))
		note_finding(&found->against_policy, row->id.data, row->id.length);
}

static void
end_walk(Datum walk)
{
	signature_walk_end((SignatureWalk *) DatumGetPointer(walk));
}

static FindingsState *
new_state(FunctionCallInfo fcinfo, bool with_walk)
{
	MemoryContext aggregate;
	MemoryContext old;
	FindingsState *state;

	if (!AggCheckCallContext(fcinfo, &aggregate))
		elog(ERROR, "called outside an aggregate");
	old = MemoryContextSwitchTo(aggregate);
	state = palloc0(sizeof(*state));
	if (with_walk)
	{
		state->walk = signature_walk_begin(GetActiveSnapshot());
		state->policies = policy_book_begin();
		AggRegisterCallback(fcinfo, end_walk, PointerGetDatum(state->walk));
	}
	MemoryContextSwitchTo(old);
	return state;
}

/* (state, approval_id, action, resource, required_roles, required_signer_count, requested_by, state, sla_deadline, created_at, closed_at, at) */
Datum
admin_findings_add(PG_FUNCTION_ARGS)
{
	static const int columns[] = {
		APPROVAL_ID, APPROVAL_ACTION, APPROVAL_RESOURCE, APPROVAL_REQUIRED_ROLES, APPROVAL_REQUIRED_SIGNER_COUNT,
		APPROVAL_REQUESTED_BY, APPROVAL_STATE, APPROVAL_SLA_DEADLINE, APPROVAL_CREATED_AT, APPROVAL_CLOSED_AT
	};
	FindingsState *state = PG_ARGISNULL(0) ? new_state(fcinfo, true) : (FindingsState *) PG_GETARG_POINTER(0);
	int			at = lengthof(columns) + 1;
	Datum		values[APPROVAL_COLUMNS];
	bool		nulls[APPROVAL_COLUMNS];
	ApprovalRow row;

	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < lengthof(columns); i++)
	{
		values[columns[i] - 1] = PG_GETARG_DATUM(i + 1);
		nulls[columns[i] - 1] = PG_ARGISNULL(i + 1);
	}
	if (PG_ARGISNULL(1) || PG_ARGISNULL(at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the id of an approval and the instant must not be null")));
	approval_row_from_values(values, nulls, &row);
	look_at(state, &row, nulls[APPROVAL_CREATED_AT - 1] ? DT_NOBEGIN : DatumGetTimestampTz(values[APPROVAL_CREATED_AT - 1]),
			PG_GETARG_TIMESTAMPTZ(at));
	PG_RETURN_POINTER(state);
}

Datum
admin_findings_combine(PG_FUNCTION_ARGS)
{
	FindingsState *into = PG_ARGISNULL(0) ? new_state(fcinfo, false) : (FindingsState *) PG_GETARG_POINTER(0);
	const Findings *from;

	if (PG_ARGISNULL(1))
		PG_RETURN_POINTER(into);
	from = &((FindingsState *) PG_GETARG_POINTER(1))->found;
	into->found.approvals += from->approvals;
	into->found.signatures += from->signatures;
	into->found.valid += from->valid;
	into->found.said ^= from->said;
	add_finding(&into->found.inconsistent, &from->inconsistent);
	add_finding(&into->found.altered, &from->altered);
	add_finding(&into->found.not_separate, &from->not_separate);
	add_finding(&into->found.overdue, &from->overdue);
	add_finding(&into->found.against_policy, &from->against_policy);
	unruled_join(&into->found.unruled, &from->unruled);
	PG_RETURN_POINTER(into);
}

/* From one process to another of the same server: the bytes as they are. */
Datum
admin_findings_pack(PG_FUNCTION_ARGS)
{
	bytea	   *packed = palloc(VARHDRSZ + sizeof(Findings));

	SET_VARSIZE(packed, VARHDRSZ + sizeof(Findings));
	memcpy(VARDATA(packed), &((FindingsState *) PG_GETARG_POINTER(0))->found, sizeof(Findings));
	PG_RETURN_BYTEA_P(packed);
}

Datum
admin_findings_unpack(PG_FUNCTION_ARGS)
{
	bytea	   *packed = PG_GETARG_BYTEA_PP(0);
	FindingsState *state = new_state(fcinfo, false);

	if (VARSIZE_ANY_EXHDR(packed) != sizeof(Findings))
		elog(ERROR, "findings of %zu bytes", (size_t) VARSIZE_ANY_EXHDR(packed));
	memcpy(&state->found, VARDATA_ANY(packed), sizeof(Findings));
	PG_RETURN_POINTER(state);
}

static void
append_finding(StringInfo out, const char *name, const Finding *finding)
{
	appendStringInfo(out, ",\"%s\":{\"count\":" INT64_FORMAT ",\"example\":", name, finding->count);
	append_json_text(out, finding->count > 0 ? cstring_to_text(finding->example) : NULL);
	appendStringInfoChar(out, '}');
}

Datum
admin_findings_result(PG_FUNCTION_ARGS)
{
	static const Findings nothing;
	const Findings *found = PG_ARGISNULL(0) ? &nothing : &((FindingsState *) PG_GETARG_POINTER(0))->found;
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfo(&out, "{\"approvals\":" INT64_FORMAT ",\"signatures\":" INT64_FORMAT ",\"valid\":" INT64_FORMAT
					 ",\"said\":" INT64_FORMAT,
					 found->approvals, found->signatures, found->valid, (int64) found->said);
	append_finding(&out, "inconsistent", &found->inconsistent);
	append_finding(&out, "altered", &found->altered);
	append_finding(&out, "not_separate", &found->not_separate);
	append_finding(&out, "overdue", &found->overdue);
	append_finding(&out, "against_policy", &found->against_policy);
	append_unruled(&out, &found->unruled);
	appendStringInfoChar(&out, '}');
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}

/* (approval_id, ttl_state, valid_until): the hash of what a view says of it. */
Datum
admin_ttl_hash(PG_FUNCTION_ARGS)
{
	PolicyText	id = policy_text_of(PG_GETARG_DATUM(0), PG_ARGISNULL(0));
	PolicyText	ttl = policy_text_of(PG_GETARG_DATUM(1), PG_ARGISNULL(1));

	PG_RETURN_INT64((int64) hash_of(id, ttl, PG_ARGISNULL(2) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(2)));
}
