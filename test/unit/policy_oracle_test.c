/*
 * policy_oracle_test.c
 *	  policy.c and the oracle agree on every combination of a grid of facts.
 *
 * A grid is walked by one running number, from which each axis takes its digit.
 * Every precedence must have been reached in the end: a grid that never gets
 * past the early rules proves nothing about the late ones.
 *
 * Links: src/decision/policy.c src/decision/ttl.c src/decision/approval_id.c
 * Links: test/unit/policy_oracle.c test/unit/approval_id_oracle.c
 */
#include <limits.h>

#include "policy_oracle.h"
#include "tap.h"

#define DAY			INT64_C(86400000000)
#define DEADLINE	INT64_C(817243200000000)	/* an ordinary instant */
#define FIRST		(INT64_MIN + 1) /* the ends of finite time */
#define LAST		(INT64_MAX - 1)
#define TEXT(literal)	{literal, sizeof(literal) - 1}
#define NO_TEXT		{NULL, 0}
#define ID_64		"APP-000001-aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd0123456789xyz"
#define SHOWN		3			/* differences described per group */

/* The next digit of a running number: an element of the array. */
#define PICK(number, array)	((array)[next_digit(&(number), LENGTH_OF(array))])

typedef struct TextPair
{
	PolicyText	asked;
	PolicyText	held;
} TextPair;

typedef struct InstantPair
{
	int64_t		deadline;
	int64_t		at;
} InstantPair;

static const ApprovalState states[] = {
	STATE_UNKNOWN, STATE_PENDING, STATE_SIGNED_PARTIAL, STATE_SIGNED_FULL, STATE_WITHDRAWN,
	(ApprovalState) 99, (ApprovalState) -1,
};
static const bool booleans[] = {false, true};
static const int signature_counts[] = {INT_MIN, -1, 0, 1, 2, 3, 7, 8, 9, INT_MAX};
static const int required_counts[] = {INT_MIN, -1, 0, 1, 2, 3, 8, 9, INT_MAX};
static const InstantPair instant_pairs[] = {
	{DEADLINE, DEADLINE - 1}, {DEADLINE, DEADLINE}, {DEADLINE, DEADLINE + DAY - 1},
	{DEADLINE, DEADLINE + DAY}, {DEADLINE, DEADLINE + DAY + 1}, {INT64_MAX, DEADLINE},
	{INT64_MIN, DEADLINE}, {FIRST, LAST}, {LAST, FIRST},
};
static const TextPair action_pairs[] = {
	{TEXT("payout"), TEXT("payout")}, {TEXT("refund"), TEXT("payout")},
	{NO_TEXT, TEXT("payout")}, {TEXT("payout"), NO_TEXT}, {NO_TEXT, NO_TEXT},
};
static const TextPair resource_pairs[] = {
	{TEXT("invoice/7"), TEXT("invoice/7")}, {TEXT("invoice/8"), TEXT("invoice/7")},
	{NO_TEXT, TEXT("invoice/7")}, {TEXT("invoice/7"), NO_TEXT}, {NO_TEXT, NO_TEXT},
};
static const PolicyText approval_ids[] = {
	NO_TEXT, TEXT(""), TEXT("APP-000001-a"), TEXT("APP-100003-partial"), TEXT(ID_64),
	TEXT(ID_64 "0"), TEXT("APP-000001-"), TEXT("app-000001-a"), TEXT("APP-000001-A"),
	TEXT("APP-000001-a\n"), TEXT("APP-000001-a\0"), TEXT("APP-000001-a\nb"),
	TEXT("APP-000001-\303\244"), TEXT("APP-00001-ab"), TEXT("APP-0000001-a"),
};
static const PolicyText texts[] = {
	NO_TEXT, TEXT(""), TEXT("a"), TEXT("A"), TEXT("ab"), TEXT("a\0b"), TEXT("a\0c"),
	TEXT("a "), TEXT("\303\244"),
};
static const int64_t instants[] = {
	INT64_MIN, FIRST, FIRST + 1, FIRST + DAY - 1, FIRST + DAY, FIRST + DAY + 1,
	FIRST + DAY + 2, -DAY - 1, -DAY, -DAY + 1, -DAY / 2 - 1, -DAY / 2, -1, 0, 1, DAY / 2,
	DAY / 2 + 1, DAY - 1, DAY, DAY + 1, DEADLINE - DAY - 1, DEADLINE - DAY,
	DEADLINE - DAY + 1, DEADLINE - 1, DEADLINE, DEADLINE + 1, DEADLINE + DAY - 1,
	DEADLINE + DAY, DEADLINE + DAY + 1, LAST - DAY - 2, LAST - DAY - 1, LAST - DAY,
	LAST - DAY + 1, LAST - 1, LAST, INT64_MAX,
};

static unsigned long reached[POLICY_RULES + 1];
static unsigned long compared_in_all;

/* The group under way. */
static unsigned long compared;
static unsigned long differing;

static size_t
next_digit(size_t *number, size_t base)
{
	size_t		digit = *number % base;

	*number /= base;
	return digit;
}

static void
compare(const PolicyRequest *request, const ApprovalFacts *facts)
{
	const char *difference = policy_oracle_difference(request, facts);

	compared++;
	reached[policy_oracle(request, facts).precedence]++;
	if (difference == NULL)
		return;
	if (differing++ < SHOWN)
	{
		diag("%s differs", difference);
		policy_oracle_describe(stdout, request, facts);
	}
}

static void
finish_group(const char *group)
{
	ok(differing == 0 && compared > 0, "%s: the oracle agrees in %lu combinations", group, compared);
	if (differing > 0)
		diag("%lu differ", differing);
	compared_in_all += compared;
	compared = differing = 0;
}

/* What a group does not vary: an approval that is valid for a day to come. */
static void
start_from_valid(PolicyRequest *request, ApprovalFacts *facts)
{
	*request = (PolicyRequest) {
		TEXT("APP-000001-a"), TEXT("payout"), TEXT("invoice/7"), DEADLINE - DAY
	};
	*facts = (ApprovalFacts) {
		.found = true,
		.readable = true,
		.state = STATE_SIGNED_FULL,
		.deadline = DEADLINE,
		.required_signer_count = 2,
		.signature_count = 2,
		.signatures_sound = true,
		.action = TEXT("payout"),
		.resource = TEXT("invoice/7"),
	};
}

static void
set_instants(InstantPair pair, PolicyRequest *request, ApprovalFacts *facts)
{
	facts->deadline = pair.deadline;
	request->at = pair.at;
}

/* Everything the store can say of a found approval, in one state. */
static void
compare_all_facts(ApprovalState state, bool closed)
{
	size_t		total = LENGTH_OF(booleans) * LENGTH_OF(booleans) *
		LENGTH_OF(signature_counts) * LENGTH_OF(required_counts) * LENGTH_OF(instant_pairs) *
		LENGTH_OF(action_pairs) * LENGTH_OF(resource_pairs);

	for (size_t i = 0; i < total; i++)
	{
		size_t		number = i;
		PolicyRequest request;
		ApprovalFacts facts;
		TextPair	action;
		TextPair	resource;

		start_from_valid(&request, &facts);
		facts.state = state;
		facts.closed = closed;
		facts.readable = PICK(number, booleans);
		facts.signatures_sound = PICK(number, booleans);
		facts.signature_count = PICK(number, signature_counts);
		facts.required_signer_count = PICK(number, required_counts);
		set_instants(PICK(number, instant_pairs), &request, &facts);
		action = PICK(number, action_pairs);
		resource = PICK(number, resource_pairs);
		request.action = action.asked;
		facts.action = action.held;
		request.resource = resource.asked;
		facts.resource = resource.held;
		compare(&request, &facts);
	}
}

static void
test_facts_in_every_state(void)
{
	for (size_t i = 0; i < LENGTH_OF(states); i++)
	{
		for (size_t j = 0; j < LENGTH_OF(booleans); j++)
		{
			char		group[100];
			bool		known = states[i] >= STATE_UNKNOWN && states[i] <= STATE_WITHDRAWN;

			compare_all_facts(states[i], booleans[j]);
			snprintf(group, sizeof(group), "all facts, state %s (%d), %s",
					 known ? approval_state_name(states[i]) : "outside the enum",
					 (int) states[i], booleans[j] ? "closed" : "not closed");
			finish_group(group);
		}
	}
}

/* Found or not, whatever the id: the facts of a missing approval are noise. */
static void
test_ids_found_or_not(void)
{
	size_t		total = LENGTH_OF(approval_ids) * LENGTH_OF(states) * LENGTH_OF(instant_pairs) *
		LENGTH_OF(action_pairs) * LENGTH_OF(resource_pairs) * 16;

	for (size_t i = 0; i < total; i++)
	{
		size_t		number = i;
		PolicyRequest request;
		ApprovalFacts facts;

		start_from_valid(&request, &facts);
		request.approval_id = PICK(number, approval_ids);
		facts.found = PICK(number, booleans);
		facts.closed = PICK(number, booleans);
		facts.readable = PICK(number, booleans);
		facts.signatures_sound = PICK(number, booleans);
		facts.state = PICK(number, states);
		set_instants(PICK(number, instant_pairs), &request, &facts);
		request.action = PICK(number, action_pairs).asked;
		request.resource = PICK(number, resource_pairs).asked;
		compare(&request, &facts);
	}
	finish_group("ids, found and not found");
}

/* Each state at counts that fit it, so that the clock has its say. */
static void
test_every_deadline_at_every_instant(void)
{
	static const int rows[] = {0, 1, 2};
	size_t		total = LENGTH_OF(instants) * LENGTH_OF(instants) * LENGTH_OF(states) *
		LENGTH_OF(booleans) * LENGTH_OF(rows);

	for (size_t i = 0; i < total; i++)
	{
		size_t		number = i;
		PolicyRequest request;
		ApprovalFacts facts;

		start_from_valid(&request, &facts);
		facts.deadline = PICK(number, instants);
		request.at = PICK(number, instants);
		facts.state = PICK(number, states);
		facts.closed = PICK(number, booleans);
		facts.signature_count = PICK(number, rows);
		compare(&request, &facts);
	}
	finish_group("every deadline at every instant");
}

static void
test_every_text_against_every_text(void)
{
	size_t		total = LENGTH_OF(texts) * LENGTH_OF(texts) * LENGTH_OF(texts) *
		LENGTH_OF(texts) * LENGTH_OF(booleans);

	for (size_t i = 0; i < total; i++)
	{
		size_t		number = i;
		PolicyRequest request;
		ApprovalFacts facts;

		start_from_valid(&request, &facts);
		request.action = PICK(number, texts);
		facts.action = PICK(number, texts);
		request.resource = PICK(number, texts);
		facts.resource = PICK(number, texts);
		facts.found = PICK(number, booleans);
		compare(&request, &facts);
	}
	finish_group("every text against every text");
}

/* -1 to 10 signatures of -1 to 10 required, in every state. */
static void
test_every_count(void)
{
	size_t		total = 12 * 12 * LENGTH_OF(states) * LENGTH_OF(booleans) *
		LENGTH_OF(instant_pairs);

	for (size_t i = 0; i < total; i++)
	{
		size_t		number = i;
		PolicyRequest request;
		ApprovalFacts facts;

		start_from_valid(&request, &facts);
		facts.signature_count = (int) next_digit(&number, 12) - 1;
		facts.required_signer_count = (int) next_digit(&number, 12) - 1;
		facts.state = PICK(number, states);
		facts.closed = PICK(number, booleans);
		set_instants(PICK(number, instant_pairs), &request, &facts);
		compare(&request, &facts);
	}
	finish_group("every count of every count");
}

static void
test_grid_reached_every_rule(void)
{
	for (int precedence = 1; precedence <= POLICY_RULES; precedence++)
		ok(reached[precedence] > 0, "the grid reached precedence %d: %lu times", precedence,
		   reached[precedence]);
	ok(compared_in_all > 500000, "the grid is large: %lu combinations", compared_in_all);
}

int
main(void)
{
	test_facts_in_every_state();
	test_ids_found_or_not();
	test_every_deadline_at_every_instant();
	test_every_text_against_every_text();
	test_every_count();
	test_grid_reached_every_rule();
	return tap_done();
}
