/*
 * policy.c
 *	  The ten rules, in one table.  First match wins.
 *
 * Every path denies by default.  A case that the rules do not foresee (a state the code does not
 * know, a column it could not read) is an inconsistency, which precedence 4 denies.  So a decision
 * reaches precedence 10 only if all conditions are proved.
 */
#include "decision/policy.h"

#include <string.h>

#include "decision/approval_id.h"

typedef bool (*RuleCondition) (const PolicyRequest *request, const ApprovalFacts *facts);

typedef struct PolicyRule
{
	RuleCondition holds;
	const char *text;
	PolicyReason reason;
	bool		needs_approval; /* the condition looks at the approval */
	bool		operator_alert;
	bool		requestable;
} PolicyRule;

static bool
texts_differ(PolicyText a, PolicyText b)
{
	return a.length != b.length || memcmp(a.data, b.data, a.length) != 0;
}

static TtlState
facts_ttl(const PolicyRequest *request, const ApprovalFacts *facts)
{
	return ttl_state(facts->state, facts->closed, facts->deadline, request->at);
}

static bool
id_is_invalid(const PolicyRequest *request, const ApprovalFacts *facts)
{
	(void) facts;
	return request->approval_id.data == NULL ||
		!approval_id_is_valid(request->approval_id.data, request->approval_id.length);
}

static bool
is_not_found(const PolicyRequest *request, const ApprovalFacts *facts)
{
	(void) request;
	return !facts->found;
}

static bool
is_withdrawn(const PolicyRequest *request, const ApprovalFacts *facts)
{
	(void) request;
	return facts->state == STATE_WITHDRAWN || facts->closed;
}

static bool
is_inconsistent(const PolicyRequest *request, const ApprovalFacts *facts)
{
	(void) request;
	if (!facts->readable || !facts->signatures_sound || facts->state == STATE_UNKNOWN)
		return true;
	if (facts->required_signer_count < 1 || facts->required_signer_count > MAX_REQUIRED_SIGNERS)
		return true;
	if (facts->deadline == TTL_INFINITY || facts->deadline == TTL_MINUS_INFINITY)
		return true;
	if (facts->action.data == NULL)
		return true;
	/* A withdrawn approval may stand at any count; rule 3 has dealt with it. */
	return facts->state != STATE_WITHDRAWN &&
		facts->state != approval_state_from_signatures(facts->signature_count,
													   facts->required_signer_count);
}

static bool
action_differs(const PolicyRequest *request, const ApprovalFacts *facts)
{
	return request->action.data != NULL &&
		(facts->action.data == NULL || texts_differ(request->action, facts->action));
}

static bool
resource_differs(const PolicyRequest *request, const ApprovalFacts *facts)
{
	return request->resource.data != NULL && facts->resource.data != NULL &&
		texts_differ(request->resource, facts->resource);
}

static bool
approval_is_stale(const PolicyRequest *request, const ApprovalFacts *facts)
{
	return facts_ttl(request, facts) == TTL_STALE;
}

static bool
is_expired(const PolicyRequest *request, const ApprovalFacts *facts)
{
	return facts_ttl(request, facts) == TTL_EXPIRED;
}

static bool
lacks_signatures(const PolicyRequest *request, const ApprovalFacts *facts)
{
	(void) request;
	return facts->state != STATE_SIGNED_FULL;
}

static bool
always_applies(const PolicyRequest *request, const ApprovalFacts *facts)
{
	(void) request;
	(void) facts;
	return true;
}

/* Rule n is rules[n - 1]. */
static const PolicyRule rules[POLICY_RULES] = {
	{id_is_invalid, "approval_id is null or against the grammar",
	REASON_APPROVAL_ID_INVALID, false, false, false},
	{is_not_found, "no such approval",
	REASON_APPROVAL_NOT_FOUND, false, false, false},
	{is_withdrawn, "state is withdrawn, or closed_at is set",
	REASON_APPROVAL_WITHDRAWN, true, false, false},
	{is_inconsistent, "state and signatures disagree, or a signature is not this approval's",
	REASON_APPROVAL_INCONSISTENT, true, true, false},
	{action_differs, "the action named is not the approval's",
	REASON_ACTION_MISMATCH, true, false, false},
	{resource_differs, "the resource named is not the approval's",
	REASON_RESOURCE_MISMATCH, true, false, false},
	{approval_is_stale, "more than 24 hours past the deadline",
	REASON_APPROVAL_EXPIRED, true, true, false},
	{is_expired, "at or past the deadline",
	REASON_APPROVAL_EXPIRED, true, false, false},
	{lacks_signatures, "not every required signature is there",
	REASON_DUAL_SIGNERS_REQUIRED, true, false, true},
	{always_applies, "otherwise valid",
	REASON_NONE, true, false, false},
};

static const char *const reason_names[] = {
	[REASON_NONE] = NULL,
	[REASON_APPROVAL_ID_INVALID] = "approval_id_invalid",
	[REASON_APPROVAL_NOT_FOUND] = "approval_not_found",
	[REASON_APPROVAL_WITHDRAWN] = "approval_withdrawn",
	[REASON_APPROVAL_INCONSISTENT] = "approval_inconsistent",
	[REASON_ACTION_MISMATCH] = "action_mismatch",
	[REASON_RESOURCE_MISMATCH] = "resource_mismatch",
	[REASON_APPROVAL_EXPIRED] = "approval_expired",
	[REASON_DUAL_SIGNERS_REQUIRED] = "dual_signers_required",
	[REASON_SIGNATURE_REQUIRED] = "signature_required",
};

bool
policy_rule_holds(int precedence, const PolicyRequest *request, const ApprovalFacts *facts)
{
	const PolicyRule *rule = &rules[precedence - 1];

	if (rule->needs_approval && !facts->found)
		return false;
	return rule->holds(request, facts);
}

const char *
policy_rule_text(int precedence)
{
	return rules[precedence - 1].text;
}

const char *
policy_reason_name(PolicyReason reason)
{
	return reason_names[reason];
}

void
policy_decide(const PolicyRequest *request, const ApprovalFacts *facts, PolicyDecision *decision)
{
	int			precedence = 1;
	const PolicyRule *rule;

	/* Rule 2 holds whenever a later rule has no approval to look at, so this ends. */
	while (!policy_rule_holds(precedence, request, facts))
		precedence++;
	rule = &rules[precedence - 1];

	decision->precedence = precedence;
	decision->reason = rule->reason;
	decision->valid = rule->reason == REASON_NONE;
	decision->operator_alert = rule->operator_alert;
	decision->requestable = rule->requestable;
	decision->ttl = facts->found ? facts_ttl(request, facts) : TTL_NOT_APPLICABLE;

	if (decision->reason == REASON_DUAL_SIGNERS_REQUIRED && facts->required_signer_count < 2)
		decision->reason = REASON_SIGNATURE_REQUIRED;
}
