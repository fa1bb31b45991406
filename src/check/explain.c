/*
 * explain.c
 *	  All ten rules in order, and which of them decided: of a check now, or of a recorded one.
 */
#include "postgres.h"

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/tuplestore.h"

#include "check/sensitive_check.h"
#include "compat.h"
#include "replay/replay.h"

PG_FUNCTION_INFO_V1(admin_explain_check);
PG_FUNCTION_INFO_V1(admin_explain_replay);

static char *
name_request_member(const char *what, PolicyText asked, const Check *check)
{
	if (check->is_guessed)
		return psprintf("the trail %s", asked.data != NULL ? psprintf("says that another %s was named", what) :
						psprintf("does not say whether the %s was named", what));
	return psprintf("%s %s", what, asked.data != NULL ? "named" : "not named");
}

/* What a rule looked at, in words. */
static char *
explain_rule(int precedence, const Check *check)
{
	const ApprovalFacts *facts = &check->facts;
	int			decided = check->decision.precedence;
	const char *note = "";

	if (precedence > 2 && !facts->found)
		return pstrdup("not looked at: there is no approval");
	if (precedence > decided && policy_rule_holds(precedence, &check->request, facts))
		note = psprintf("; holds too, but precedence %d comes first", decided);
	switch (precedence)
	{
		case 1:
			return psprintf("approval_id is %s", check->approval_id ? "given" : "null");
		case 2:
			return psprintf("approval %s%s", facts->found ? "found" : "not found", note);
		case 3:
			return psprintf("state %s, closed_at %s%s", approval_state_name(facts->state),
							facts->closed ? "set" : "not set", note);
		case 4:
			return psprintf("state %s, %d of %d signatures, signatures %s%s",
							approval_state_name(facts->state), facts->signature_count,
							facts->required_signer_count,
							facts->signatures_sound ? "sound" : "not sound", note);
		case 5:
			return psprintf("%s%s", name_request_member("action", check->request.action, check), note);
		case 6:
			return psprintf("%s%s", name_request_member("resource", check->request.resource, check), note);
		case 7:
		case 8:
			return psprintf("ttl_state %s%s", ttl_state_name(check->decision.ttl), note);
		case 9:
			return psprintf("state %s%s", approval_state_name(facts->state), note);
		default:
			return pstrdup(decided == precedence ? "nothing speaks against it" :
						   psprintf("precedence %d comes first", decided));
	}
}

static void
put_rules(FunctionCallInfo fcinfo, const Check *check)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const char *as_of = check->in_flight == 0 ? "" :
	psprintf("; audit_id " INT64_FORMAT " was in flight, and not seen", check->in_flight);

	for (int precedence = 1; precedence <= POLICY_RULES; precedence++)
	{
		Datum		values[4] = {
			Int32GetDatum(precedence),
			CStringGetTextDatum(policy_rule_text(precedence)),
			BoolGetDatum(precedence == check->decision.precedence),
			CStringGetTextDatum(psprintf("%s%s", explain_rule(precedence, check),
										 precedence == check->decision.precedence ? as_of : ""))
		};
		bool		nulls[4] = {false};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

Datum
admin_explain_check(PG_FUNCTION_ARGS)
{
	Check		check = {0};

	InitMaterializedSRF(fcinfo, 0);
	check_read_request(fcinfo, &check, check_instant_argument(fcinfo, 3));
	check_decide(&check, GetActiveSnapshot());
	put_rules(fcinfo, &check);
	return (Datum) 0;
}

/* The same for a recorded check, by what the trail says about that moment. */
Datum
admin_explain_replay(PG_FUNCTION_ARGS)
{
	Replay		replay;

	InitMaterializedSRF(fcinfo, 0);
	replay_recorded(PG_GETARG_INT64(0), &replay);
	put_rules(fcinfo, &replay.check);
	return (Datum) 0;
}
