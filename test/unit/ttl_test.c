/*
 * ttl_test.c
 *	  States by name and by count, and the ttl of an approval around its deadline.
 *
 * Links: src/decision/ttl.c
 */
#include <limits.h>
#include <string.h>

#include "decision/ttl.h"
#include "exact_copy.h"
#include "tap.h"

#define DAY			INT64_C(86400000000)
#define DEADLINE	INT64_C(817243200000000)	/* an ordinary instant */
#define FIRST		(INT64_MIN + 1) /* the ends of finite time */
#define LAST		(INT64_MAX - 1)
#define NEVER		INT64_MAX
#define BEFORE_ALL	INT64_MIN
#define NO_STATE	((ApprovalState) 99)

typedef struct TtlCase
{
	const char *name;
	ApprovalState state;
	int64_t		deadline;
	int64_t		at;
	const char *expected;
} TtlCase;

/* None of these is closed or withdrawn. */
static const TtlCase ttl_cases[] = {
	{"a year before", STATE_SIGNED_FULL, DEADLINE, DEADLINE - 365 * DAY, "valid"},
	{"a day before", STATE_SIGNED_FULL, DEADLINE, DEADLINE - DAY, "valid"},
	{"1 us before", STATE_SIGNED_FULL, DEADLINE, DEADLINE - 1, "valid"},
	{"at the deadline", STATE_SIGNED_FULL, DEADLINE, DEADLINE, "expired"},
	{"1 us after", STATE_SIGNED_FULL, DEADLINE, DEADLINE + 1, "expired"},
	{"24 h after less 1 us", STATE_SIGNED_FULL, DEADLINE, DEADLINE + DAY - 1, "expired"},
	{"24 h after", STATE_SIGNED_FULL, DEADLINE, DEADLINE + DAY, "expired"},
	{"24 h after and 1 us", STATE_SIGNED_FULL, DEADLINE, DEADLINE + DAY + 1, "stale"},
	{"a year after", STATE_SIGNED_FULL, DEADLINE, DEADLINE + 365 * DAY, "stale"},

	{"1 us before", STATE_PENDING, DEADLINE, DEADLINE - 1, "not-applicable"},
	{"at the deadline", STATE_PENDING, DEADLINE, DEADLINE, "expired"},
	{"24 h after", STATE_PENDING, DEADLINE, DEADLINE + DAY, "expired"},
	{"24 h after and 1 us", STATE_PENDING, DEADLINE, DEADLINE + DAY + 1, "stale"},
	{"1 us before", STATE_SIGNED_PARTIAL, DEADLINE, DEADLINE - 1, "not-applicable"},
	{"at the deadline", STATE_SIGNED_PARTIAL, DEADLINE, DEADLINE, "expired"},
	{"24 h after", STATE_SIGNED_PARTIAL, DEADLINE, DEADLINE + DAY, "expired"},
	{"24 h after and 1 us", STATE_SIGNED_PARTIAL, DEADLINE, DEADLINE + DAY + 1, "stale"},
	{"1 us before", STATE_UNKNOWN, DEADLINE, DEADLINE - 1, "not-applicable"},
	{"at the deadline", STATE_UNKNOWN, DEADLINE, DEADLINE, "expired"},
	{"24 h after and 1 us", STATE_UNKNOWN, DEADLINE, DEADLINE + DAY + 1, "stale"},
	{"outside the enum, 1 us before", NO_STATE, DEADLINE, DEADLINE - 1, "not-applicable"},
	{"outside the enum, at the deadline", NO_STATE, DEADLINE, DEADLINE, "expired"},

	{"across the epoch, 24 h", STATE_SIGNED_FULL, -DAY / 2, DAY / 2, "expired"},
	{"across the epoch, 24 h and 1 us", STATE_SIGNED_FULL, -DAY / 2, DAY / 2 + 1, "stale"},
	{"before the epoch, at the deadline", STATE_SIGNED_FULL, -DEADLINE, -DEADLINE, "expired"},
	{"before the epoch, 1 us before", STATE_SIGNED_FULL, -DEADLINE, -DEADLINE - 1, "valid"},

	{"deadline infinity, now", STATE_SIGNED_FULL, NEVER, DEADLINE, "valid"},
	{"deadline infinity, last instant", STATE_SIGNED_FULL, NEVER, LAST, "valid"},
	{"deadline infinity, pending", STATE_PENDING, NEVER, LAST, "not-applicable"},
	{"deadline -infinity, now", STATE_SIGNED_FULL, BEFORE_ALL, DEADLINE, "stale"},
	{"deadline -infinity, first instant", STATE_SIGNED_FULL, BEFORE_ALL, FIRST, "stale"},
	{"asked at infinity", STATE_SIGNED_FULL, DEADLINE, NEVER, "stale"},
	{"asked at infinity, last deadline", STATE_SIGNED_FULL, LAST, NEVER, "stale"},
	{"asked at -infinity", STATE_SIGNED_FULL, DEADLINE, BEFORE_ALL, "valid"},
	{"asked at -infinity, first deadline", STATE_SIGNED_FULL, FIRST, BEFORE_ALL, "valid"},
	{"infinity at infinity", STATE_SIGNED_FULL, NEVER, NEVER, "expired"},
	{"-infinity at -infinity", STATE_SIGNED_FULL, BEFORE_ALL, BEFORE_ALL, "expired"},
	{"infinity at -infinity", STATE_SIGNED_FULL, NEVER, BEFORE_ALL, "valid"},
	{"-infinity at infinity", STATE_SIGNED_FULL, BEFORE_ALL, NEVER, "stale"},

	{"first deadline, last instant", STATE_SIGNED_FULL, FIRST, LAST, "stale"},
	{"last deadline, first instant", STATE_SIGNED_FULL, LAST, FIRST, "valid"},
	{"first deadline, first instant", STATE_SIGNED_FULL, FIRST, FIRST, "expired"},
	{"first deadline, 24 h later", STATE_SIGNED_FULL, FIRST, FIRST + DAY, "expired"},
	{"first deadline, 24 h and 1 us later", STATE_SIGNED_FULL, FIRST, FIRST + DAY + 1, "stale"},
	{"last deadline, last instant", STATE_SIGNED_FULL, LAST, LAST, "expired"},
	{"last deadline, 1 us before", STATE_SIGNED_FULL, LAST, LAST - 1, "valid"},
	{"24 h to the last instant", STATE_SIGNED_FULL, LAST - DAY, LAST, "expired"},
	{"24 h and 1 us to the last instant", STATE_SIGNED_FULL, LAST - DAY - 1, LAST, "stale"},
};

static void
test_deadline_edges(void)
{
	for (size_t i = 0; i < LENGTH_OF(ttl_cases); i++)
	{
		const TtlCase *c = &ttl_cases[i];
		const char *got = ttl_state_name(ttl_state(c->state, false, c->deadline, c->at));
		const char *state = c->state == NO_STATE ? "no state" : approval_state_name(c->state);

		if (!ok(strcmp(got, c->expected) == 0, "%s, %s: %s", state, c->name, c->expected))
			diag("got %s", got);
	}
}

/* Withdrawn, or closed in whatever state: no instant has a say. */
static void
test_closed_has_no_ttl(void)
{
	for (size_t i = 0; i < LENGTH_OF(ttl_cases); i++)
	{
		const TtlCase *c = &ttl_cases[i];
		bool		applies =
			ttl_state(c->state, true, c->deadline, c->at) != TTL_NOT_APPLICABLE ||
			ttl_state(STATE_WITHDRAWN, true, c->deadline, c->at) != TTL_NOT_APPLICABLE ||
			ttl_state(STATE_WITHDRAWN, false, c->deadline, c->at) != TTL_NOT_APPLICABLE;

		ok(!applies, "withdrawn or closed, %s: not-applicable", c->name);
	}
}

/* The ttl follows the clock, also backwards: nothing is remembered. */
static void
test_clock_stepped_back(void)
{
	static const struct
	{
		int64_t		age;
		TtlState	expected;
	}			steps[] = {
		{-1, TTL_VALID}, {0, TTL_EXPIRED}, {-1, TTL_VALID}, {DAY + 1, TTL_STALE},
		{DAY, TTL_EXPIRED}, {DAY + 1, TTL_STALE}, {-DAY, TTL_VALID}, {0, TTL_EXPIRED},
	};

	for (size_t i = 0; i < LENGTH_OF(steps); i++)
		ok(ttl_state(STATE_SIGNED_FULL, false, DEADLINE, DEADLINE + steps[i].age) ==
		   steps[i].expected, "clock step %zu, %lld us past the deadline: %s", i + 1,
		   (long long) steps[i].age, ttl_state_name(steps[i].expected));
}

#define NAME(literal)	literal, (int) sizeof(literal) - 1

static void
test_states_are_parsed_to_the_byte(void)
{
	static const struct
	{
		const char *label;
		const char *name;
		int			length;
		ApprovalState expected;
	}			cases[] = {
		{"pending", NAME("pending"), STATE_PENDING},
		{"signed_partial", NAME("signed_partial"), STATE_SIGNED_PARTIAL},
		{"signed_full", NAME("signed_full"), STATE_SIGNED_FULL},
		{"withdrawn", NAME("withdrawn"), STATE_WITHDRAWN},
		{"unknown", NAME("unknown"), STATE_UNKNOWN},
		{"empty", NAME(""), STATE_UNKNOWN},
		{"wrong case", NAME("Signed_full"), STATE_UNKNOWN},
		{"all capitals", NAME("WITHDRAWN"), STATE_UNKNOWN},
		{"trailing blank", NAME("signed_full "), STATE_UNKNOWN},
		{"leading blank", NAME(" signed_full"), STATE_UNKNOWN},
		{"trailing newline", NAME("signed_full\n"), STATE_UNKNOWN},
		{"trailing NUL", NAME("signed_full\0"), STATE_UNKNOWN},
		{"embedded NUL", NAME("signed\0full"), STATE_UNKNOWN},
		{"a proper prefix", NAME("signed_ful"), STATE_UNKNOWN},
		{"a common prefix", NAME("signed_"), STATE_UNKNOWN},
		{"a proper suffix", NAME("igned_full"), STATE_UNKNOWN},
		{"same length as pending", NAME("pendinG"), STATE_UNKNOWN},
		{"a state of another system", NAME("revoked"), STATE_UNKNOWN},
		{"non-ASCII", NAME("signed_f\303\274ll"), STATE_UNKNOWN},
		{"negative length", "pending", -1, STATE_UNKNOWN},
		{"least length", "pending", INT_MIN, STATE_UNKNOWN},
	};

	for (size_t i = 0; i < LENGTH_OF(cases); i++)
	{
		int			length = cases[i].length;
		char	   *name = exact_copy(cases[i].name, length < 0 ? 0 : (size_t) length);
		ApprovalState got = approval_state_parse(name, length);

		ok(got == cases[i].expected, "state text, %s: %s", cases[i].label,
		   approval_state_name(cases[i].expected));
		free(name);
	}
}

static void
test_states_follow_from_counts(void)
{
	static const struct
	{
		int			signatures;
		int			required;
		ApprovalState expected;
	}			cases[] = {
		{0, 1, STATE_PENDING}, {1, 1, STATE_SIGNED_FULL}, {2, 1, STATE_UNKNOWN},
		{0, 2, STATE_PENDING}, {1, 2, STATE_SIGNED_PARTIAL}, {2, 2, STATE_SIGNED_FULL},
		{3, 2, STATE_UNKNOWN}, {-1, 2, STATE_UNKNOWN}, {INT_MIN, 2, STATE_UNKNOWN},
		{INT_MAX, 2, STATE_UNKNOWN}, {0, 8, STATE_PENDING}, {1, 8, STATE_SIGNED_PARTIAL},
		{7, 8, STATE_SIGNED_PARTIAL}, {8, 8, STATE_SIGNED_FULL}, {9, 8, STATE_UNKNOWN},
		{1, 0, STATE_UNKNOWN}, {0, -1, STATE_UNKNOWN}, {-1, -1, STATE_UNKNOWN},
		{INT_MIN, INT_MIN, STATE_UNKNOWN}, {INT_MAX, INT_MIN, STATE_UNKNOWN},
	};

	for (size_t i = 0; i < LENGTH_OF(cases); i++)
		ok(approval_state_from_signatures(cases[i].signatures, cases[i].required) ==
		   cases[i].expected, "%d of %d signatures: %s", cases[i].signatures,
		   cases[i].required, approval_state_name(cases[i].expected));
}

int
main(void)
{
	ok(TTL_STALE_AFTER_US == DAY, "24 hours are 86400000000 us");
	test_deadline_edges();
	test_closed_has_no_ttl();
	test_clock_stepped_back();
	test_states_are_parsed_to_the_byte();
	test_states_follow_from_counts();
	return tap_done();
}
