/*
 * sensitive_check.c
 *	  SQL entry of the decision: read, decide, record, respond.
 *
 * The audited check reads with the newest snapshot there is, whatever the isolation
 * level, so that a withdrawal is never overlooked; the preview reads with the
 * statement's.  The clock is read once.  No answer leaves without its audit row:
 * if the row cannot be written, the call raises.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/audit_append.h"
#include "check/check.h"
#include "check/response.h"
#include "check/sensitive_check.h"
#include "compat.h"
#include "decision/approval_id.h"
#include "identity/identity.h"
#include "json_text.h"
#include "metrics/latency.h"
#include "store/approval.h"
#include "store/approval_store.h"
#include "text_limits.h"

#define ID_ARGUMENT_MAX_BYTES	65536	/* of what is answered, as asked, with approval_id_invalid */

PG_FUNCTION_INFO_V1(admin_ttl_state);
PG_FUNCTION_INFO_V1(admin_sensitive_check);
PG_FUNCTION_INFO_V1(admin_sensitive_check_preview);

static text *
text_argument(FunctionCallInfo fcinfo, int n, const char *name, int max_bytes)
{
	text	   *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = PG_GETARG_TEXT_PP(n);
	check_argument_length(name, value, max_bytes);
	return value;
}

void
check_read_request(FunctionCallInfo fcinfo, Check *check, TimestampTz at)
{
	check->approval_id = text_argument(fcinfo, 0, "approval_id", ID_ARGUMENT_MAX_BYTES);
	check->request.approval_id = policy_text(check->approval_id);
	check->request.action = policy_text(text_argument(fcinfo, 1, "action", ACTION_MAX_BYTES));
	check->request.resource = policy_text(text_argument(fcinfo, 2, "resource",
														RESOURCE_MAX_BYTES));
	check->request.at = at;
}

void
check_decide(Check *check, Snapshot snapshot)
{
	/* An id that violates the grammar cannot name an approval, so the table is not read. */
	if (check->approval_id != NULL &&
		approval_id_is_valid(check->request.approval_id.data, check->request.approval_id.length))
		approval_store_facts(PointerGetDatum(check->approval_id), snapshot, &check->facts);
	else
		memset(&check->facts, 0, sizeof(check->facts));
	policy_decide(&check->request, &check->facts, &check->decision);
}

static void
refuse_read_only(void)
{
	if (!XactReadOnly && !RecoveryInProgress())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
			 errmsg("sensitive_check cannot record its answer in a read-only transaction"),
			 errdetail("No answer is given without its audit row."),
			 errhint("Ask the primary in a read-write transaction, or use sensitive_check_preview.")));
}

/* Who asks: the subject of the token where there is one, else what the caller says. */
static text *
actor_argument(FunctionCallInfo fcinfo, AuditEvidence *evidence)
{
	text	   *actor = text_argument(fcinfo, 3, "actor", PERSON_MAX_BYTES);
	Identity	identity;

	if (PG_ARGISNULL(6))
		return actor;
	identity_verify_as(PG_GETARG_TEXT_PP(6), actor, "actor", &identity);
	identity_evidence(PG_GETARG_TEXT_PP(6), &identity, evidence);
	return cstring_to_text(identity.subject);
}

Datum
admin_sensitive_check(PG_FUNCTION_ARGS)
{
	Check		check;
	AuditEvent	event = {0};
	AuditEvidence evidence = {0};
	Snapshot	snapshot;
	text	   *response;

	check_latency_begin();
	refuse_read_only();
	event.actor = actor_argument(fcinfo, &evidence);
	event.request_id = text_argument(fcinfo, 4, "request_id", REQUEST_ID_MAX_BYTES);
	event.traceparent = text_argument(fcinfo, 5, "traceparent", TRACEPARENT_MAX_BYTES);
	check_read_request(fcinfo, &check, GetCurrentTimestamp());

	snapshot = approval_store_snapshot();
	check_decide(&check, snapshot);
	UnregisterSnapshot(snapshot);

	event.audit_id = audit_draw_id();
	event.recorded_at = event.occurred_at = check.request.at;
	event.event_type = CHECK_EVENT_TYPE;

	/* Keep a text longer than any id in the payload only: approval_id must fit an index. */
	if (check.request.approval_id.length <= APPROVAL_ID_MAX_BYTES)
		event.approval_id = check.approval_id;
	response = response_build(check.approval_id, &check.request, &check.facts, &check.decision,
							  event.audit_id);
	event.payload = response_record(response, &check.request, &evidence);
	audit_append(&event);
	PG_RETURN_TEXT_P(response);
}

TimestampTz
check_instant_argument(FunctionCallInfo fcinfo, int n)
{
	TimestampTz at;

	if (PG_ARGISNULL(n))
		return GetCurrentTimestamp();
	at = PG_GETARG_TIMESTAMPTZ(n);
	if (TIMESTAMP_NOT_FINITE(at))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"at\" is not a finite timestamp"),
				 errdetail("Its value is %s.", TIMESTAMP_IS_NOBEGIN(at) ? "-infinity" : "infinity")));
	return at;
}

Datum
admin_sensitive_check_preview(PG_FUNCTION_ARGS)
{
	Check		check;

	check_read_request(fcinfo, &check, check_instant_argument(fcinfo, 3));
	check_decide(&check, GetActiveSnapshot());
	PG_RETURN_TEXT_P(response_build(check.approval_id, &check.request, &check.facts,
									&check.decision, 0));
}

/* SQL's ttl_state(): strict in what it needs, since closed_at is null most of the time. */
Datum
admin_ttl_state(PG_FUNCTION_ARGS)
{
	ApprovalState state = STATE_UNKNOWN;
	bool		closed = !PG_ARGISNULL(1);
	TtlState	ttl;

	if (!PG_ARGISNULL(0))
	{
		text	   *name = PG_GETARG_TEXT_PP(0);

		state = approval_state_parse(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	}
	if (state == STATE_WITHDRAWN || closed)
		ttl = TTL_NOT_APPLICABLE;
	else if (PG_ARGISNULL(2) || PG_ARGISNULL(3))
		PG_RETURN_NULL();
	else
		ttl = ttl_state(state, closed, PG_GETARG_TIMESTAMPTZ(2), PG_GETARG_TIMESTAMPTZ(3));
	PG_RETURN_TEXT_P(cstring_to_text(ttl_state_name(ttl)));
}
