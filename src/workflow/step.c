/*
 * step.c
 *	  See step.h.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/insider_restoring.h"
#include "compat.h"
#include "identity/trust.h"
#include "json_text.h"
#include "one_line.h"
#include "owner.h"
#include "relations.h"
#include "settings.h"
#include "store/approval_store.h"
#include "workflow/step.h"

text *
optional_argument(FunctionCallInfo fcinfo, int n, const char *name, int max_bytes)
{
	text	   *value;

	if (PG_ARGISNULL(n))
		return NULL;
	value = PG_GETARG_TEXT_PP(n);
	check_argument_length(name, value, max_bytes);
	if (VARSIZE_ANY_EXHDR(value) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is empty", name),
				 errdetail("It has 1 to %d bytes.", max_bytes)));
	return value;
}

text *
required_argument(FunctionCallInfo fcinfo, int n, const char *name, int max_bytes)
{
	text	   *value = optional_argument(fcinfo, n, name, max_bytes);

	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is null", name),
				 errdetail("It has 1 to %d bytes.", max_bytes)));
	return value;
}

/* Takes the person and the evidence from the token. */
static void
verify_token(Step *step, const text *token, const text *plain, const char *plain_name)
{
	identity_verify_as(token, plain, plain_name, &step->identity);
	step->person = cstring_to_text(step->identity.subject);
	identity_evidence(token, &step->identity, &step->evidence);
}

void
step_begin(Step *step, FunctionCallInfo fcinfo, const char *command, int person_argument,
		   const char *person_name, int token_argument)
{
	text	   *plain = optional_argument(fcinfo, person_argument, person_name, PERSON_MAX_BYTES);

	check_argument_line(person_name, plain);
	PreventCommandIfReadOnly(command);
	PreventCommandDuringRecovery(command);
	insider_refuse_while_restoring(command);
	memset(step, 0, sizeof(*step));
	step->now = GetCurrentTimestamp();
	if (!PG_ARGISNULL(token_argument))
	{
		verify_token(step, PG_GETARG_TEXT_PP(token_argument), plain, person_name);
		return;
	}
	if (admin_require_verified_jwt)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("token is missing"),
				 errdetail("The setting admin_ext.require_verified_jwt is on: a token has to prove who acts."),
				 errhint("Pass a JSON Web Token of an issuer that was added with admin.add_jwt_issuer().")));
	step->person = required_argument(fcinfo, person_argument, person_name, PERSON_MAX_BYTES);
}

Datum
step_run(Step *step, void (*body) (Step *step, StringInfo answer))
{
	const AuditEvidence *outer = audit_evidence;
	StringInfoData answer;
	OwnerScope	scope;

	initStringInfo(&answer);
	owner_enter(&scope, admin_relations()->approval);
	audit_evidence = &step->evidence;
	PG_TRY();
	{
		body(step, &answer);
	}
	PG_FINALLY();
	{
		audit_evidence = outer;
	}
	PG_END_TRY();
	owner_leave(&scope);
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(answer.data));
}

/* Removes tokens that expired an hour ago: they are refused anyway.  The hour allows for clocks. */
static void
purge_used(const Step *step)
{
	static OwnerQuery query = {
		.text =
		"delete from admin.jwt_used where ctid operator(pg_catalog.=) any (array("
		"select ctid from admin.jwt_used where expires_at operator(pg_catalog.<) $1 "
		"order by expires_at limit 16 for update skip locked))",
		.nargs = 1,
		.types = {TIMESTAMPTZOID},
		.result = SPI_OK_DELETE
	};
	Datum		values[] = {TimestampTzGetDatum(step->now - USECS_PER_HOUR)};

	owner_run(&query, values, NULL, 0);
}

void
step_use_token(const Step *step)
{
	static OwnerQuery query = {
		.text =
		"insert into admin.jwt_used (issuer, token_id, expires_at) "
		"values ($1, $2, $3) on conflict do nothing",
		.nargs = 3,
		.types = {TEXTOID, TEXTOID, TIMESTAMPTZOID},
		.result = SPI_OK_INSERT
	};
	Datum		values[3];

	if (!step->evidence.is_verified || !trust_is_for_one_use(step->identity.issuer))
		return;
	if (step->identity.token_id == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("token is refused: claim jti is missing, and tokens of its issuer are for one use"),
				 errhint("Have its issuer add a jti to its tokens.")));
	/* With an older snapshot it would fail if another session has purged the same rows. */
	if (!IsolationUsesXactSnapshot())
		purge_used(step);
	values[0] = CStringGetTextDatum(step->identity.issuer);
	values[1] = CStringGetTextDatum(step->identity.token_id);
	values[2] = TimestampTzGetDatum(step->identity.expires_at);
	if (owner_run(&query, values, NULL, 0) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("token is refused: it has been used"),
				 errdetail("Tokens of its issuer are good for one step each."),
				 errhint("Obtain another token.")));
}

void
step_append_state(const Step *step, StringInfo answer, Datum approval_id)
{
	Snapshot	snapshot = approval_store_snapshot();
	ApprovalFacts facts;
	TtlState	ttl;

	approval_store_facts(approval_id, snapshot, &facts);
	UnregisterSnapshot(snapshot);
	ttl = ttl_state(facts.state, facts.closed, facts.deadline, step->now);
	appendStringInfo(answer, ",\"state\":\"%s\",\"signature_count\":%d,\"required_signer_count\":%d,\"ttl_state\":\"%s\",\"valid_until\":",
					 approval_state_name(facts.state), facts.signature_count,
					 facts.required_signer_count, ttl_state_name(ttl));
	if (ttl != TTL_VALID)
	{
		appendStringInfoString(answer, "null");
		return;
	}
	appendStringInfoChar(answer, '"');
	append_timestamp(answer, facts.deadline);
	appendStringInfoChar(answer, '"');
}

void
step_end_answer(StringInfo answer, bool was_verified, bool is_repeated)
{
	appendStringInfo(answer, ",\"verified\":%s,\"already\":%s}",
					 was_verified ? "true" : "false", is_repeated ? "true" : "false");
}

bool
step_was_verified(Datum approval_id, const char *event_type)
{
	static OwnerQuery query = {
		.text =
		"select from admin.audit where approval_id operator(pg_catalog.=) $1 "
		"and event_type operator(pg_catalog.=) $2 "
		"and payload operator(pg_catalog.->>) 'verified' operator(pg_catalog.=) 'true'",
		.nargs = 2,
		.types = {TEXTOID, TEXTOID},
		.result = SPI_OK_SELECT
	};
	Datum		values[] = {approval_id, CStringGetTextDatum(event_type)};

	return owner_run(&query, values, NULL, 1) == 1;
}

void
step_look_again(Step *step)
{
	step->now = GetCurrentTimestamp();
	if (step->evidence.is_verified)
		identity_recheck(&step->identity, step->now);
}

void
step_lock(Step *step, Datum approval_id, ApprovalRow *approval)
{
	approval_store_lock(approval_id, approval);
	step_look_again(step);
}

void
step_refuse_withdrawn(const ApprovalRow *approval)
{
	if (approval->state != STATE_WITHDRAWN && !approval->closed)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("approval \"%.*s\" is withdrawn", (int) approval->id.length, approval->id.data),
			 errdetail("A withdrawn approval is final."),
			 errhint("Issue another approval.")));
}
