/*
 * policy_oracle.c
 *	  See policy_oracle.h.
 *
 * Nested the other way round than policy.c: each good answer opens the next
 * question, and the innermost place is the only one that says valid.
 */
#include "policy_oracle.h"

#include <string.h>

#include "approval_id_oracle.h"

/* Wide enough for the distance of any two instants. */
__extension__ typedef __int128 Microseconds;

/* An infinity lies far beyond every finite instant, and nowhere from itself. */
static Microseconds
on_the_wide_line(int64_t instant)
{
	if (instant == INT64_MAX)
		return (Microseconds) 1 << 100;
	if (instant == INT64_MIN)
		return -((Microseconds) 1 << 100);
	return instant;
}

static bool
is_closed(const ApprovalFacts *facts)
{
	return facts->closed || facts->state == STATE_WITHDRAWN;
}

static const char *
oracle_ttl(const PolicyRequest *request, const ApprovalFacts *facts)
{
	Microseconds age = on_the_wide_line(request->at) - on_the_wide_line(facts->deadline);
	Microseconds day = (Microseconds) 24 * 60 * 60 * 1000 * 1000;

	if (!is_closed(facts))
	{
		if (age >= 0)
		{
			if (age <= day)
				return "expired";
			return "stale";
		}
		if (facts->state == STATE_SIGNED_FULL)
			return "valid";
	}
	return "not-applicable";
}

static bool
state_fits_rows(const ApprovalFacts *facts)
{
	int			rows = facts->signature_count;
	int			required = facts->required_signer_count;

	switch (facts->state)
	{
		case STATE_PENDING:
			return rows == 0;
		case STATE_SIGNED_PARTIAL:
			return rows >= 1 && rows < required;
		case STATE_SIGNED_FULL:
			return rows == required;
		case STATE_WITHDRAWN:
			return true;		/* it was withdrawn at whatever count it had */
		default:
			return false;		/* a state nobody knows */
	}
}

/* Everything the invariants promise of what a check reads. */
static bool
is_consistent(const ApprovalFacts *facts)
{
	bool		finite = facts->deadline != INT64_MIN && facts->deadline != INT64_MAX;
	bool		countable = facts->required_signer_count >= 1 &&
		facts->required_signer_count <= 8;

	return facts->readable && facts->signatures_sound && finite && countable &&
		facts->action.data != NULL && state_fits_rows(facts);
}

static bool
same_text(PolicyText a, PolicyText b)
{
	if (a.length != b.length)
		return false;
	for (size_t i = 0; i < a.length; i++)
	{
		if (a.data[i] != b.data[i])
			return false;
	}
	return true;
}

static bool
action_fits(const PolicyRequest *request, const ApprovalFacts *facts)
{
	if (request->action.data == NULL)
		return true;
	return facts->action.data != NULL && same_text(request->action, facts->action);
}

static bool
resource_fits(const PolicyRequest *request, const ApprovalFacts *facts)
{
	if (request->resource.data == NULL || facts->resource.data == NULL)
		return true;
	return same_text(request->resource, facts->resource);
}

static OracleAnswer
deny(int precedence, const char *reason)
{
	OracleAnswer answer = {
		.precedence = precedence,
		.decision = "deny",
		.reason = reason,
		.operator_alert = false,
		.requestable = false,
	};

	return answer;
}

static OracleAnswer
deny_and_alert(int precedence, const char *reason)
{
	OracleAnswer answer = deny(precedence, reason);

	answer.operator_alert = true;
	return answer;
}

/* Precedence 7 to 10: an approval that is open, consistent and the one that is meant. */
static OracleAnswer
answer_by_clock(const PolicyRequest *request, const ApprovalFacts *facts)
{
	const char *ttl = oracle_ttl(request, facts);
	OracleAnswer answer = {.precedence = 10, .decision = "valid"};

	if (strcmp(ttl, "stale") != 0)
	{
		if (strcmp(ttl, "expired") != 0)
		{
			if (facts->state == STATE_SIGNED_FULL)
				return answer;
			if (facts->required_signer_count == 1)
				answer = deny(9, "signature_required");
			else
				answer = deny(9, "dual_signers_required");
			answer.requestable = true;
			return answer;
		}
		return deny(8, "approval_expired");
	}
	return deny_and_alert(7, "approval_expired");
}

static OracleAnswer
answer(const PolicyRequest *request, const ApprovalFacts *facts)
{
	if (approval_id_oracle(request->approval_id.data, request->approval_id.length))
	{
		if (facts->found)
		{
			if (!is_closed(facts))
			{
				if (is_consistent(facts))
				{
					if (action_fits(request, facts))
					{
						if (resource_fits(request, facts))
							return answer_by_clock(request, facts);
						return deny(6, "resource_mismatch");
					}
					return deny(5, "action_mismatch");
				}
				return deny_and_alert(4, "approval_inconsistent");
			}
			return deny(3, "approval_withdrawn");
		}
		return deny(2, "approval_not_found");
	}
	return deny(1, "approval_id_invalid");
}

OracleAnswer
policy_oracle(const PolicyRequest *request, const ApprovalFacts *facts)
{
	OracleAnswer result = answer(request, facts);

	result.ttl_state = facts->found ? oracle_ttl(request, facts) : NULL;
	return result;
}

bool
policy_oracle_rule_holds(int precedence, const PolicyRequest *request,
						 const ApprovalFacts *facts)
{
	if (precedence == 1)
		return !approval_id_oracle(request->approval_id.data, request->approval_id.length);
	if (precedence == 2)
		return !facts->found;
	if (!facts->found)
		return false;
	switch (precedence)
	{
		case 3:
			return is_closed(facts);
		case 4:
			return !is_consistent(facts);
		case 5:
			return !action_fits(request, facts);
		case 6:
			return !resource_fits(request, facts);
		case 7:
			return strcmp(oracle_ttl(request, facts), "stale") == 0;
		case 8:
			return strcmp(oracle_ttl(request, facts), "expired") == 0;
		case 9:
			return facts->state != STATE_SIGNED_FULL;
		default:
			return true;
	}
}

static bool
same_word(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

const char *
policy_oracle_difference(const PolicyRequest *request, const ApprovalFacts *facts)
{
	OracleAnswer expected = policy_oracle(request, facts);
	PolicyDecision got;

	/* What policy_decide() forgets to set must not look set. */
	memset(&got, 0x55, sizeof(got));
	policy_decide(request, facts, &got);
	if (got.precedence != expected.precedence)
		return "precedence";
	if (got.valid != (strcmp(expected.decision, "valid") == 0))
		return "decision";
	if (!same_word(policy_reason_name(got.reason), expected.reason))
		return "reason";
	if (facts->found && !same_word(ttl_state_name(got.ttl), expected.ttl_state))
		return "ttl_state";
	if (got.operator_alert != expected.operator_alert)
		return "operator_alert";
	if (got.requestable != expected.requestable)
		return "requestable";
	for (int precedence = 1; precedence <= POLICY_RULES; precedence++)
	{
		if (policy_rule_holds(precedence, request, facts) !=
			policy_oracle_rule_holds(precedence, request, facts))
			return "policy_rule_holds";
	}
	return NULL;
}

static void
describe_text(FILE *out, const char *label, PolicyText text)
{
	fprintf(out, "#   %s: ", label);
	if (text.data == NULL)
		fprintf(out, "null");
	for (size_t i = 0; text.data != NULL && i < text.length; i++)
	{
		unsigned char byte = (unsigned char) text.data[i];

		if (byte > ' ' && byte < 127 && byte != '\\')
			fputc(byte, out);
		else
			fprintf(out, "\\x%02x", byte);
	}
	fprintf(out, "\n");
}

typedef bool (*RuleHolds) (int precedence, const PolicyRequest *request,
						   const ApprovalFacts *facts);

static void
describe_holding_rules(FILE *out, const char *whose, RuleHolds rule_holds,
					   const PolicyRequest *request, const ApprovalFacts *facts)
{
	fprintf(out, "#   rules that hold by %s:", whose);
	for (int precedence = 1; precedence <= POLICY_RULES; precedence++)
	{
		if (rule_holds(precedence, request, facts))
			fprintf(out, " %d", precedence);
	}
	fprintf(out, "\n");
}

void
policy_oracle_describe(FILE *out, const PolicyRequest *request, const ApprovalFacts *facts)
{
	OracleAnswer expected = policy_oracle(request, facts);
	PolicyDecision got;

	policy_decide(request, facts, &got);
	describe_text(out, "approval_id", request->approval_id);
	describe_text(out, "action asked", request->action);
	describe_text(out, "action held", facts->action);
	describe_text(out, "resource asked", request->resource);
	describe_text(out, "resource held", facts->resource);
	fprintf(out, "#   found %d, readable %d, state %d, closed %d, sound %d, %d of %d signatures\n",
			facts->found, facts->readable, (int) facts->state, facts->closed,
			facts->signatures_sound, facts->signature_count, facts->required_signer_count);
	fprintf(out, "#   deadline %lld, at %lld\n", (long long) facts->deadline,
			(long long) request->at);
	fprintf(out, "#   policy.c: precedence %d, valid %d, reason %d, ttl %d, alert %d, "
			"requestable %d\n", got.precedence, got.valid, (int) got.reason, (int) got.ttl,
			got.operator_alert, got.requestable);
	fprintf(out, "#   oracle: precedence %d, %s, reason %s, ttl %s, alert %d, requestable %d\n",
			expected.precedence, expected.decision, expected.reason ? expected.reason : "null",
			expected.ttl_state ? expected.ttl_state : "null", expected.operator_alert,
			expected.requestable);
	describe_holding_rules(out, "policy.c", policy_rule_holds, request, facts);
	describe_holding_rules(out, "the oracle", policy_oracle_rule_holds, request, facts);
}
