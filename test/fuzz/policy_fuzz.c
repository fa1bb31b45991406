/*
 * policy_fuzz.c
 *	  Any request on any facts: policy.c and the oracle of the unit tests agree.
 *
 * An input is, in this order (what is missing at its end counts as zero bytes):
 *
 *		1 byte	what is true: FOUND ..., below
 *		1 byte	how texts are had: ID_NULL ..., below
 *		1 byte	the state: -1 to 6, of which 0 to 4 are in the enum
 *		1 byte	signatures, -127 to 126; the ends stand for those of int
 *		1 byte	required signers, likewise
 *		1 byte	the clock's distance from the deadline, one of ages[]
 *		8 bytes	the deadline, little-endian, if DEADLINE_GIVEN
 *		8 bytes	the clock, little-endian, if CLOCK_GIVEN
 *		then	id, action asked and held, resource asked and held: a byte of
 *				length, and as many bytes; the id only if ID_GIVEN
 *
 * Most inputs would end at the first rules; that is why a good id, an ordinary
 * deadline, a clock near it and equal texts each cost one bit.
 *
 * Links: src/decision/policy.c src/decision/ttl.c src/decision/approval_id.c
 * Links: test/unit/policy_oracle.c test/unit/approval_id_oracle.c
 */
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "exact_copy.h"
#include "policy_oracle.h"

#define DAY				INT64_C(86400000000)
#define ORDINARY		INT64_C(817243200000000)
#define GOOD_ID			"APP-000001-a"

#define FOUND			0x01
#define READABLE		0x02
#define SOUND			0x04
#define CLOSED			0x08
#define DEADLINE_GIVEN	0x10
#define CLOCK_GIVEN		0x20
#define ID_GIVEN		0x40

#define ID_NULL					0x01
#define ACTION_ASKED_NULL		0x02
#define ACTION_HELD_NULL		0x04
#define ACTION_HELD_AS_ASKED	0x08
#define RESOURCE_ASKED_NULL		0x10
#define RESOURCE_HELD_NULL		0x20
#define RESOURCE_HELD_AS_ASKED	0x40

static const int64_t ages[] = {-DAY, -1, 0, 1, DAY - 1, DAY, DAY + 1, 365 * DAY};

typedef struct Input
{
	const uint8_t *next;
	size_t		left;
} Input;

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t
take_byte(Input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->next++;
}

static int64_t
take_instant(Input *input)
{
	uint64_t	bits = 0;

	for (int i = 0; i < 8; i++)
		bits |= (uint64_t) take_byte(input) << (8 * i);
	return (int64_t) bits;
}

static int
take_count(Input *input)
{
	int8_t		count = (int8_t) take_byte(input);

	if (count == INT8_MIN)
		return INT_MIN;
	if (count == INT8_MAX)
		return INT_MAX;
	return count;
}

/* Each text in a buffer of its own, which release() frees. */
static PolicyText
copy_text(const char *data, size_t length)
{
	PolicyText	text = {exact_copy(data, length), length};

	return text;
}

static PolicyText
take_text(Input *input, bool is_null)
{
	PolicyText	text = {NULL, 0};
	size_t		length = take_byte(input);

	if (length > input->left)
		length = input->left;
	if (!is_null)
		text = copy_text((const char *) input->next, length);
	input->next += length;
	input->left -= length;
	return text;
}

static void
release(PolicyText text)
{
	free((void *) (uintptr_t) text.data);
}

/* The next text, or the one asked for once more. */
static PolicyText
take_held_text(Input *input, bool is_null, bool as_asked, PolicyText asked)
{
	if (as_asked && asked.data != NULL && !is_null)
		return copy_text(asked.data, asked.length);
	return take_text(input, is_null);
}

static void
take_instants(Input *input, uint8_t truths, PolicyRequest *request, ApprovalFacts *facts)
{
	int64_t		age = ages[take_byte(input) % (sizeof(ages) / sizeof(ages[0]))];

	facts->deadline = truths & DEADLINE_GIVEN ? take_instant(input) : ORDINARY;
	if (truths & CLOCK_GIVEN)
		request->at = take_instant(input);
	else if (__builtin_add_overflow(facts->deadline, age, &request->at))
		request->at = age < 0 ? INT64_MIN : INT64_MAX;
}

static void
take_texts(Input *input, uint8_t truths, uint8_t how, PolicyRequest *request,
		   ApprovalFacts *facts)
{
	if (truths & ID_GIVEN)
		request->approval_id = take_text(input, how & ID_NULL);
	else
		request->approval_id = copy_text(GOOD_ID, sizeof(GOOD_ID) - 1);
	request->action = take_text(input, how & ACTION_ASKED_NULL);
	facts->action = take_held_text(input, how & ACTION_HELD_NULL, how & ACTION_HELD_AS_ASKED,
								   request->action);
	request->resource = take_text(input, how & RESOURCE_ASKED_NULL);
	facts->resource = take_held_text(input, how & RESOURCE_HELD_NULL,
									 how & RESOURCE_HELD_AS_ASKED, request->resource);
}

static void
decode(Input *input, PolicyRequest *request, ApprovalFacts *facts)
{
	uint8_t		truths = take_byte(input);
	uint8_t		how = take_byte(input);

	facts->found = truths & FOUND;
	facts->readable = truths & READABLE;
	facts->signatures_sound = truths & SOUND;
	facts->closed = truths & CLOSED;
	facts->state = (ApprovalState) (take_byte(input) % 8 - 1);
	facts->signature_count = take_count(input);
	facts->required_signer_count = take_count(input);
	take_instants(input, truths, request, facts);
	take_texts(input, truths, how, request, facts);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Input		input = {data, size};
	PolicyRequest request;
	ApprovalFacts facts;
	const char *difference;

	decode(&input, &request, &facts);
	difference = policy_oracle_difference(&request, &facts);
	if (difference != NULL)
	{
		fprintf(stderr, "%s differs\n", difference);
		policy_oracle_describe(stderr, &request, &facts);
		abort();
	}
	release(request.approval_id);
	release(request.action);
	release(request.resource);
	release(facts.action);
	release(facts.resource);
	return 0;
}
