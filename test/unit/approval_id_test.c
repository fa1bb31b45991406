/*
 * approval_id_test.c
 *	  The grammar of an approval id, case by case and byte by byte.
 *
 * Links: src/decision/approval_id.c test/unit/approval_id_oracle.c
 */
#include <string.h>

#include "approval_id_oracle.h"
#include "decision/approval_id.h"
#include "exact_copy.h"
#include "tap.h"

#define ID(literal)		literal, sizeof(literal) - 1
#define SHORTEST		"APP-000001-a"
#define TAIL_50			"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd0123456789"

/* "APP-000001-" is 11 bytes long, so a tail of 53 makes 64. */
static const struct
{
	const char *label;
	const char *id;
	size_t		length;
	bool		expected;
}			cases[] = {
	{"shortest", ID(SHORTEST), true},
	{"ordinary", ID("APP-100003-partial"), true},
	{"digit tail", ID("APP-999999-0"), true},
	{"mixed tail", ID("APP-000000-0a9z"), true},
	{"64 bytes", ID("APP-000001-" TAIL_50 "xyz"), true},
	{"65 bytes", ID("APP-000001-" TAIL_50 "wxyz"), false},
	{"null", NULL, 0, false},
	{"empty", ID(""), false},
	{"prefix only", ID("APP-"), false},
	{"no tail", ID("APP-000001-"), false},
	{"no second dash", ID("APP-000001"), false},
	{"lower-case prefix", ID("app-000001-a"), false},
	{"mixed-case prefix", ID("App-000001-a"), false},
	{"upper-case tail", ID("APP-000001-A"), false},
	{"upper-case letter last", ID("APP-100003-partiaL"), false},
	{"another prefix", ID("APQ-000001-a"), false},
	{"five digits", ID("APP-00001-ab"), false},
	{"seven digits", ID("APP-0000001-a"), false},
	{"letter among the digits", ID("APP-00000a-a"), false},
	{"hexadecimal", ID("APP-0x0001-a"), false},
	{"sign among the digits", ID("APP-+00001-a"), false},
	{"underscore for dash", ID("APP_000001_a"), false},
	{"en dash", ID("APP\342\200\223000001-a"), false},
	{"dash in the tail", ID("APP-000001-a-b"), false},
	{"underscore in the tail", ID("APP-000001-a_b"), false},
	{"leading blank", ID(" APP-000001-a"), false},
	{"trailing blank", ID("APP-000001-a "), false},
	{"leading newline", ID("\nAPP-000001-a"), false},
	{"trailing newline", ID("APP-000001-a\n"), false},
	{"trailing CR LF", ID("APP-000001-a\r\n"), false},
	{"embedded newline", ID("APP-000001-a\nb"), false},
	{"newline between two ids", ID(SHORTEST "\n" SHORTEST), false},
	{"trailing NUL", ID("APP-000001-a\0"), false},
	{"embedded NUL", ID("APP-000001-a\0b"), false},
	{"leading NUL", ID("\0APP-000001-a"), false},
	{"NUL for a digit", ID("APP-0000\0001-a"), false},
	{"non-ASCII letter, UTF-8", ID("APP-000001-\303\244"), false},
	{"non-ASCII letter, Latin-1", ID("APP-000001-\344"), false},
	{"full-width digits", ID("APP-\357\274\220\357\274\2210001-a"), false},
	{"Cyrillic a", ID("APP-000001-\320\260"), false},
	{"byte order mark", ID("\357\273\277APP-000001-a"), false},
	{"byte 255", ID("APP-000001-a\377"), false},
	{"SQL", ID("APP-000001-a' or 1=1"), false},
};

static bool
is_valid_copy(const char *id, size_t length)
{
	char	   *copy = exact_copy(id, length);
	bool		valid = approval_id_is_valid(copy, length);

	free(copy);
	return valid;
}

static void
test_grammar(void)
{
	for (size_t i = 0; i < LENGTH_OF(cases); i++)
	{
		bool		got = cases[i].id == NULL ? approval_id_is_valid(NULL, 0) :
			is_valid_copy(cases[i].id, cases[i].length);

		ok(got == cases[i].expected, "%s: %s", cases[i].label,
		   cases[i].expected ? "an id" : "not an id");
		ok(approval_id_oracle(cases[i].id, cases[i].length) == cases[i].expected,
		   "%s: the oracle decides as expected", cases[i].label);
	}
}

/* May this byte stand at this place of SHORTEST, or in place of its tail? */
static bool
may_stand(unsigned char byte, size_t place)
{
	bool		digit = strchr("0123456789", byte) != NULL && byte != '\0';
	bool		lower = strchr("abcdefghijklmnopqrstuvwxyz", byte) != NULL && byte != '\0';

	switch (place)
	{
		case 0:
			return byte == 'A';
		case 1:
		case 2:
			return byte == 'P';
		case 3:
		case 10:
			return byte == '-';
		case 11:
			return digit || lower;
		default:
			return digit;
	}
}

static void
test_every_byte_at_every_place(void)
{
	for (size_t place = 0; place < strlen(SHORTEST); place++)
	{
		int			wrong = 0;

		for (int byte = 0; byte < 256; byte++)
		{
			char		id[] = SHORTEST;

			id[place] = (char) byte;
			if (is_valid_copy(id, strlen(SHORTEST)) != may_stand((unsigned char) byte, place))
			{
				diag("byte %d", byte);
				wrong++;
			}
		}
		ok(wrong == 0, "place %zu takes the bytes of the grammar, and no other of 256", place);
	}
}

static void
test_every_length(void)
{
	char		id[300];

	memset(id, 'z', sizeof(id));
	memcpy(id, "APP-000001-", 11);
	for (size_t length = 0; length <= sizeof(id); length += length < 70 ? 1 : 46)
		ok(is_valid_copy(id, length) == (length >= 12 && length <= 64),
		   "%zu bytes: %s", length, length >= 12 && length <= 64 ? "an id" : "not an id");
}

int
main(void)
{
	ok(APPROVAL_ID_MAX_BYTES == 64, "an id has at most 64 bytes");
	test_grammar();
	test_every_byte_at_every_place();
	test_every_length();
	return tap_done();
}
