/*
 * policy_test.c
 *	  The ten rules: each alone, every two that overlap, all of them in order.
 *
 * A case starts sound (precedence 10) and is broken in one field or in several;
 * a break says which rule it makes hold.  Breaks of different fields overlap,
 * and then the earlier rule has to win.
 *
 * Links: src/decision/policy.c src/decision/ttl.c src/decision/approval_id.c
 */
#include <limits.h>
#include <string.h>

#include "decision/policy.h"
#include "exact_copy.h"
#include "tap.h"

#define DAY			INT64_C(86400000000)
#define DEADLINE	INT64_C(817243200000000)	/* an ordinary instant */
#define TEXT(literal)	{literal, sizeof(literal) - 1}
#define NO_TEXT		{NULL, 0}
#define ID_64		"APP-000001-aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd0123456789xyz"

/* The fields of a case that breaks are about; those of one kind cannot be had at once. */
typedef enum Field
{
	FIELD_ID,
	FIELD_FOUND,
	FIELD_READABLE,
	FIELD_SOUND,
	FIELD_STANDING,				/* state, signatures, required signers */
	FIELD_CLOSED,
	FIELD_INSTANT,				/* deadline and clock */
	FIELD_ACTION_ASKED,
	FIELD_ACTION_HELD,
	FIELD_RESOURCE_ASKED
} Field;

typedef struct Break
{
	int			precedence;
	const char *name;
	Field		field;
	PolicyText	text;
	ApprovalState state;
	int			signatures;
	int			required;
	int64_t		deadline;
	int64_t		at;
} Break;

typedef struct Case
{
	PolicyRequest request;
	ApprovalFacts facts;
} Case;

#define STANDING(s, n, of)	FIELD_STANDING, .state = s, .signatures = n, .required = of
#define INSTANT(age)		FIELD_INSTANT, .deadline = DEADLINE, .at = DEADLINE + (age)

/* The first break of a rule leaves alone the fields that the first ones of the others use. */
static const Break breaks[] = {
	{1, "id against the grammar", FIELD_ID, .text = TEXT("APP-000001-A")},
	{1, "id null", FIELD_ID, .text = NO_TEXT},
	{1, "id null, with a length left over", FIELD_ID, .text = {NULL, 12}},
	{1, "id empty", FIELD_ID, .text = TEXT("")},
	{1, "id with a trailing newline", FIELD_ID, .text = TEXT("APP-000001-a\n")},
	{1, "id with an embedded NUL", FIELD_ID, .text = TEXT("APP-000001-a\0a")},
	{1, "id of 65 bytes", FIELD_ID, .text = TEXT(ID_64 "0")},
	{2, "not found", FIELD_FOUND, .text = NO_TEXT},
	{3, "closed_at set", FIELD_CLOSED, .text = NO_TEXT},
	{3, "withdrawn, all signed", STANDING(STATE_WITHDRAWN, 2, 2)},
	{3, "withdrawn, none signed", STANDING(STATE_WITHDRAWN, 0, 2)},
	{3, "withdrawn, impossible counts", STANDING(STATE_WITHDRAWN, 9, 0)},
	{4, "signature not sound", FIELD_SOUND, .text = NO_TEXT},
	{4, "column not readable", FIELD_READABLE, .text = NO_TEXT},
	{4, "action held is null", FIELD_ACTION_HELD, .text = NO_TEXT},
	{4, "deadline infinity", FIELD_INSTANT, .deadline = INT64_MAX, .at = DEADLINE},
	{4, "deadline -infinity", FIELD_INSTANT, .deadline = INT64_MIN, .at = DEADLINE},
	{4, "unknown state, all signed", STANDING(STATE_UNKNOWN, 2, 2)},
	{4, "unknown state, none signed", STANDING(STATE_UNKNOWN, 0, 2)},
	{4, "unknown state, too many signed", STANDING(STATE_UNKNOWN, 3, 2)},
	{4, "state above the enum", STANDING((ApprovalState) 99, 2, 2)},
	{4, "state below the enum", STANDING((ApprovalState) -1, 2, 2)},
	{4, "signed_full, no row", STANDING(STATE_SIGNED_FULL, 0, 2)},
	{4, "signed_full, one row of two", STANDING(STATE_SIGNED_FULL, 1, 2)},
	{4, "signed_full, a row too many", STANDING(STATE_SIGNED_FULL, 3, 2)},
	{4, "signed_full, count unread", STANDING(STATE_SIGNED_FULL, -1, 2)},
	{4, "signed_full, most rows", STANDING(STATE_SIGNED_FULL, INT_MAX, 2)},
	{4, "signed_full, least rows", STANDING(STATE_SIGNED_FULL, INT_MIN, 2)},
	{4, "signed_partial, no row", STANDING(STATE_SIGNED_PARTIAL, 0, 2)},
	{4, "signed_partial, all rows", STANDING(STATE_SIGNED_PARTIAL, 2, 2)},
	{4, "signed_partial of one", STANDING(STATE_SIGNED_PARTIAL, 1, 1)},
	{4, "pending, one row", STANDING(STATE_PENDING, 1, 2)},
	{4, "pending, all rows", STANDING(STATE_PENDING, 2, 2)},
	{4, "required 0, none signed", STANDING(STATE_SIGNED_FULL, 0, 0)},
	{4, "required 0, pending", STANDING(STATE_PENDING, 0, 0)},
	{4, "required -1", STANDING(STATE_SIGNED_FULL, -1, -1)},
	{4, "required 9, all signed", STANDING(STATE_SIGNED_FULL, 9, 9)},
	{4, "required 9, one signed", STANDING(STATE_SIGNED_PARTIAL, 1, 9)},
	{4, "required most", STANDING(STATE_SIGNED_FULL, INT_MAX, INT_MAX)},
	{4, "required least", STANDING(STATE_SIGNED_FULL, INT_MIN, INT_MIN)},
	{5, "another action", FIELD_ACTION_ASKED, .text = TEXT("refund")},
	{5, "empty action", FIELD_ACTION_ASKED, .text = TEXT("")},
	{5, "action in another case", FIELD_ACTION_ASKED, .text = TEXT("Payout")},
	{6, "another resource", FIELD_RESOURCE_ASKED, .text = TEXT("invoice/8")},
	{6, "empty resource", FIELD_RESOURCE_ASKED, .text = TEXT("")},
	{7, "24 h and 1 us past", INSTANT(DAY + 1)},
	{7, "a year past", INSTANT(365 * DAY)},
	{7, "asked at infinity", FIELD_INSTANT, .deadline = DEADLINE, .at = INT64_MAX},
	{7, "all of finite time past", FIELD_INSTANT, .deadline = INT64_MIN + 1, .at = INT64_MAX - 1},
	{8, "at the deadline", INSTANT(0)},
	{8, "24 h past less 1 us", INSTANT(DAY - 1)},
	{8, "24 h past", INSTANT(DAY)},
	{9, "pending of two", STANDING(STATE_PENDING, 0, 2)},
	{9, "pending of one", STANDING(STATE_PENDING, 0, 1)},
	{9, "pending of eight", STANDING(STATE_PENDING, 0, 8)},
	{9, "one of two", STANDING(STATE_SIGNED_PARTIAL, 1, 2)},
	{9, "seven of eight", STANDING(STATE_SIGNED_PARTIAL, 7, 8)},
	{10, "one of one", STANDING(STATE_SIGNED_FULL, 1, 1)},
	{10, "eight of eight", STANDING(STATE_SIGNED_FULL, 8, 8)},
	{10, "id of 64 bytes", FIELD_ID, .text = TEXT(ID_64)},
	{10, "1 us before the deadline", INSTANT(-1)},
	{10, "a deadline at the end of time", FIELD_INSTANT, .deadline = INT64_MAX - 1, .at = DEADLINE},
	{10, "no action asked", FIELD_ACTION_ASKED, .text = NO_TEXT},
	{10, "no resource asked", FIELD_RESOURCE_ASKED, .text = NO_TEXT},
};

static Case
sound_case(void)
{
	Case		sound = {
		.request = {TEXT("APP-000001-a"), TEXT("payout"), TEXT("invoice/7"), DEADLINE - DAY},
		.facts = {
			.found = true,
			.readable = true,
			.state = STATE_SIGNED_FULL,
			.deadline = DEADLINE,
			.required_signer_count = 2,
			.signature_count = 2,
			.signatures_sound = true,
			.action = TEXT("payout"),
			.resource = TEXT("invoice/7"),
		},
	};

	return sound;
}

static void
apply(const Break *broken, Case *c)
{
	switch (broken->field)
	{
		case FIELD_ID:
			c->request.approval_id = broken->text;
			break;
		case FIELD_FOUND:
			c->facts.found = false;
			break;
		case FIELD_READABLE:
			c->facts.readable = false;
			break;
		case FIELD_SOUND:
			c->facts.signatures_sound = false;
			break;
		case FIELD_STANDING:
			c->facts.state = broken->state;
			c->facts.signature_count = broken->signatures;
			c->facts.required_signer_count = broken->required;
			break;
		case FIELD_CLOSED:
			c->facts.closed = true;
			break;
		case FIELD_INSTANT:
			c->facts.deadline = broken->deadline;
			c->request.at = broken->at;
			break;
		case FIELD_ACTION_ASKED:
			c->request.action = broken->text;
			break;
		case FIELD_ACTION_HELD:
			c->facts.action = broken->text;
			break;
		case FIELD_RESOURCE_ASKED:
			c->request.resource = broken->text;
			break;
	}
}

static PolicyDecision
decide(const Case *c)
{
	PolicyDecision decision;

	/* What policy_decide() forgets to set must not look set. */
	memset(&decision, 0x55, sizeof(decision));
	policy_decide(&c->request, &c->facts, &decision);
	return decision;
}

static bool
same_word(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return strcmp(a, b) == 0;
}

/* The contract's table, but for precedence 9, which depends on the signers required. */
static const char *
reason_expected(int precedence, const Case *c)
{
	static const char *const reasons[] = {
		NULL, "approval_id_invalid", "approval_not_found", "approval_withdrawn",
		"approval_inconsistent", "action_mismatch", "resource_mismatch", "approval_expired",
		"approval_expired", NULL, NULL,
	};

	if (precedence == 9)
		return c->facts.required_signer_count >= 2 ? "dual_signers_required" :
			"signature_required";
	return reasons[precedence];
}

static bool
decides_as_the_contract_says(int precedence, const Case *c)
{
	PolicyDecision got = decide(c);
	const char *reason = policy_reason_name(got.reason);

	if (got.precedence == precedence &&
		got.valid == (precedence == 10) &&
		same_word(reason, reason_expected(precedence, c)) &&
		got.operator_alert == (precedence == 4 || precedence == 7) &&
		got.requestable == (precedence == 9))
		return true;
	diag("expected precedence %d; got %d, valid %d, reason %s, alert %d, requestable %d",
		 precedence, got.precedence, got.valid, reason ? reason : "null", got.operator_alert,
		 got.requestable);
	return false;
}

static const Break *
first_break_of(int precedence)
{
	for (size_t i = 0; i < LENGTH_OF(breaks); i++)
	{
		if (breaks[i].precedence == precedence)
			return &breaks[i];
	}
	abort();
}

static void
test_each_rule_alone(void)
{
	Case		sound = sound_case();

	ok(decides_as_the_contract_says(10, &sound), "precedence 10: nothing broken");
	for (size_t i = 0; i < LENGTH_OF(breaks); i++)
	{
		Case		c = sound_case();

		apply(&breaks[i], &c);
		ok(decides_as_the_contract_says(breaks[i].precedence, &c), "precedence %d: %s",
		   breaks[i].precedence, breaks[i].name);
	}
}

/* All breaks of two rules, wherever they can be had at once; counts those, -1 on failure. */
static int
compare_rules(int earlier, int later)
{
	int			compared = 0;

	for (size_t i = 0; i < LENGTH_OF(breaks); i++)
	{
		for (size_t j = 0; j < LENGTH_OF(breaks); j++)
		{
			Case		c = sound_case();

			if (breaks[i].precedence != earlier || breaks[j].precedence != later ||
				breaks[i].field == breaks[j].field)
				continue;
			apply(&breaks[j], &c);
			apply(&breaks[i], &c);
			compared++;
			if (!decides_as_the_contract_says(earlier, &c))
			{
				diag("%s, and %s", breaks[i].name, breaks[j].name);
				return -1;
			}
		}
	}
	return compared;
}

/* Stale and expired (7 and 8) exclude each other. */
static void
test_earlier_rule_wins(void)
{
	for (int earlier = 1; earlier <= 8; earlier++)
	{
		for (int later = earlier + 1; later <= 9; later++)
		{
			if (earlier == 7 && later == 8)
				continue;
			ok(compare_rules(earlier, later) > 0, "precedence %d comes before %d", earlier, later);
		}
	}
}

/* From 10 down to 1 one more thing is broken at each step, and nothing is ever mended. */
static void
test_ten_rules_in_order(void)
{
	Case		c = sound_case();

	ok(decides_as_the_contract_says(10, &c), "in order: 10, nothing broken");
	for (int precedence = 9; precedence >= 1; precedence--)
	{
		apply(first_break_of(precedence), &c);
		ok(decides_as_the_contract_says(precedence, &c), "in order: %d, %s, and all below",
		   precedence, first_break_of(precedence)->name);
	}
}

static void
test_signers_and_reason(void)
{
	for (int required = 1; required <= 8; required++)
	{
		for (int signatures = 0; signatures <= required; signatures++)
		{
			Case		c = sound_case();
			int			expected = signatures == required ? 10 : 9;

			c.facts.required_signer_count = required;
			c.facts.signature_count = signatures;
			c.facts.state = signatures == 0 ? STATE_PENDING :
				signatures == required ? STATE_SIGNED_FULL : STATE_SIGNED_PARTIAL;
			ok(decides_as_the_contract_says(expected, &c), "%d of %d signatures: %s", signatures,
			   required, expected == 10 ? "valid" : reason_expected(9, &c));
		}
	}
}

static void
test_clock_stepped_back(void)
{
	static const struct
	{
		int64_t		age;
		int			expected;
		const char *ttl;
	}			steps[] = {
		{-1, 10, "valid"}, {0, 8, "expired"}, {-1, 10, "valid"}, {DAY, 8, "expired"},
		{DAY + 1, 7, "stale"}, {DAY, 8, "expired"}, {-DAY, 10, "valid"},
	};

	for (size_t i = 0; i < LENGTH_OF(steps); i++)
	{
		Case		c = sound_case();

		c.request.at = DEADLINE + steps[i].age;
		ok(decides_as_the_contract_says(steps[i].expected, &c) &&
		   strcmp(ttl_state_name(decide(&c).ttl), steps[i].ttl) == 0,
		   "clock step %zu, %lld us past the deadline: precedence %d, %s", i + 1,
		   (long long) steps[i].age, steps[i].expected, steps[i].ttl);
	}
}

typedef struct TextCase
{
	const char *label;
	PolicyText	asked;
	PolicyText	held;
	bool		differ;
} TextCase;

static const TextCase text_cases[] = {
	{"equal", TEXT("payout"), TEXT("payout"), false},
	{"both empty", TEXT(""), TEXT(""), false},
	{"not asked", NO_TEXT, TEXT("payout"), false},
	{"empty is not null", TEXT(""), TEXT("payout"), true},
	{"empty held", TEXT("payout"), TEXT(""), true},
	{"one byte longer", TEXT("payouts"), TEXT("payout"), true},
	{"one byte shorter", TEXT("payou"), TEXT("payout"), true},
	{"another case", TEXT("PAYOUT"), TEXT("payout"), true},
	{"trailing blank", TEXT("payout "), TEXT("payout"), true},
	{"trailing newline", TEXT("payout\n"), TEXT("payout"), true},
	{"trailing NUL", TEXT("payout\0"), TEXT("payout"), true},
	{"different after a NUL", TEXT("pay\0out"), TEXT("pay\0off"), true},
	{"equal with a NUL", TEXT("pay\0out"), TEXT("pay\0out"), false},
	{"equal, non-ASCII", TEXT("zahl\303\274ng"), TEXT("zahl\303\274ng"), false},
	{"composed and decomposed", TEXT("\303\274"), TEXT("u\314\210"), true},
};

/* Each text in a buffer of its own that ends where the text ends. */
static int
precedence_with_texts(PolicyText action_asked, PolicyText action_held,
					  PolicyText resource_asked, PolicyText resource_held)
{
	Case		c = sound_case();
	PolicyText *places[] = {
		&c.request.action, &c.facts.action, &c.request.resource, &c.facts.resource,
	};
	PolicyText	texts[] = {action_asked, action_held, resource_asked, resource_held};
	char	   *copies[LENGTH_OF(texts)] = {NULL};
	int			precedence;

	for (size_t i = 0; i < LENGTH_OF(texts); i++)
	{
		if (texts[i].data != NULL)
			copies[i] = exact_copy(texts[i].data, texts[i].length);
		places[i]->data = copies[i];
		places[i]->length = texts[i].length;
	}
	precedence = decide(&c).precedence;
	for (size_t i = 0; i < LENGTH_OF(copies); i++)
		free(copies[i]);
	return precedence;
}

static void
test_texts_are_compared_to_the_byte(void)
{
	PolicyText	none = NO_TEXT;
	PolicyText	held = TEXT("payout");

	for (size_t i = 0; i < LENGTH_OF(text_cases); i++)
	{
		const TextCase *c = &text_cases[i];

		ok(precedence_with_texts(c->asked, c->held, none, none) == (c->differ ? 5 : 10),
		   "action, %s: %s", c->label, c->differ ? "differs" : "fits");
		ok(precedence_with_texts(held, held, c->asked, c->held) == (c->differ ? 6 : 10),
		   "resource, %s: %s", c->label, c->differ ? "differs" : "fits");
	}
	ok(precedence_with_texts(held, none, none, none) == 4, "action asked, null held: denied");
	ok(precedence_with_texts(none, none, none, none) == 4, "no action asked, null held: denied");
	ok(precedence_with_texts(held, held, held, none) == 10, "resource asked, none held: fits");
	ok(precedence_with_texts(held, held, none, none) == 10, "no resource on either side: fits");
}

static void
test_rules_hold_by_themselves(void)
{
	Case		c = sound_case();
	int			expected_with_all[] = {0, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1};

	for (int n = 1; n <= POLICY_RULES; n++)
		ok(policy_rule_holds(n, &c.request, &c.facts) == (n == 10),
		   "nothing broken: rule %d %s", n, n == 10 ? "holds" : "does not hold");
	for (int n = 9; n >= 1; n--)
	{
		if (n != 2 && n != 3 && n != 8)
			apply(first_break_of(n), &c);
	}
	for (int n = 1; n <= POLICY_RULES; n++)
		ok(policy_rule_holds(n, &c.request, &c.facts) == expected_with_all[n],
		   "1, 4, 5, 6, 7 and 9 broken: rule %d %s", n,
		   expected_with_all[n] ? "holds" : "does not hold");
	apply(first_break_of(3), &c);
	ok(policy_rule_holds(3, &c.request, &c.facts), "1, 3, 4, 5, 6, 7 and 9 broken: rule 3 holds");
	ok(!policy_rule_holds(7, &c.request, &c.facts), "1, 3, 4, 5, 6, 7 and 9 broken: rule 7 has no ttl to look at");
	apply(first_break_of(2), &c);
	for (int n = 1; n <= POLICY_RULES; n++)
		ok(policy_rule_holds(n, &c.request, &c.facts) == (n <= 2),
		   "not found: rule %d %s", n, n <= 2 ? "holds" : "has nothing to look at");
}

static void
test_rules_have_words(void)
{
	ok(POLICY_RULES == 10, "there are ten rules");
	ok(MAX_REQUIRED_SIGNERS == 8, "an approval has at most 8 signers");
	for (int n = 1; n <= POLICY_RULES; n++)
		ok(policy_rule_text(n) != NULL && policy_rule_text(n)[0] != '\0', "rule %d has a text", n);
	ok(policy_reason_name(REASON_NONE) == NULL, "a valid decision's reason is null");
}

int
main(void)
{
	test_each_rule_alone();
	test_earlier_rule_wins();
	test_ten_rules_in_order();
	test_signers_and_reason();
	test_clock_stepped_back();
	test_texts_are_compared_to_the_byte();
	test_rules_hold_by_themselves();
	test_rules_have_words();
	return tap_done();
}
