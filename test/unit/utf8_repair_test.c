/*
 * utf8_repair_test.c
 *	  Bytes that are not UTF-8 are replaced one by one, with work that grows with their number.
 */
#include <stdint.h>
#include <string.h>

static uint64_t looked_at = 0;

#define UTF8_LOOK(bytes)	(looked_at += (bytes))

#include "../../src/utf8_repair.c"
#include "exact_copy.h"
#include "tap.h"

#define FFFD		UTF8_REPLACEMENT
#define MEGABYTES	(8 * 1024 * 1024)

typedef struct Case
{
	const char *source;
	const char *repaired;
} Case;

static const Case cases[] = {
	{"", ""},
	{"abc", "abc"},
	{"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
	{"a\xe2" "b", "a" FFFD "b"},
	{"\xe2\x82", FFFD FFFD},	/* cut short */
	{"\xf0\x9f\x98", FFFD FFFD FFFD},
	{"\xc0\x80", FFFD FFFD},	/* overlong */
	{"\xe0\x80\x80", FFFD FFFD FFFD},
	{"\xf0\x80\x80\x80", FFFD FFFD FFFD FFFD},
	{"\xed\xa0\x80", FFFD FFFD FFFD},	/* a surrogate */
	{"\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD},	/* above U+10FFFF */
	{"\xf5\xff\xfe", FFFD FFFD FFFD},
	{"\x80\xbf", FFFD FFFD},
	{"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf"},
};

/* Pieces of every size give the same result. */
static bool
repairs(const char *source, const char *expected, size_t piece)
{
	size_t		length = strlen(source);
	char	   *copy = exact_copy(source, length);
	char		out[64];
	Utf8Repair	repair = {.source = copy, .length = length, .out = out};

	while (repair.done < repair.length)
		utf8_repair_piece(&repair, piece);
	free(copy);
	return repair.written == strlen(expected) && memcmp(out, expected, repair.written) == 0;
}

static void
test_cases(void)
{
	for (size_t i = 0; i < LENGTH_OF(cases); i++)
	{
		bool		fits = true;

		for (size_t piece = 1; piece < 8; piece++)
			fits = fits && repairs(cases[i].source, cases[i].repaired, piece);
		ok(fits, "case %zu is repaired", i);
	}
}

/* How many bytes are looked at for each byte of a source that repeats a pattern. */
static double
looks_per_byte(const char *pattern)
{
	char	   *source = malloc(MEGABYTES);
	Utf8Repair	repair = {.source = source, .length = MEGABYTES};
	size_t		length = strlen(pattern);

	for (size_t i = 0; i < MEGABYTES; i++)
		source[i] = pattern[i % length];
	looked_at = 0;
	while (repair.done < repair.length)
		utf8_repair_piece(&repair, 4096);
	free(source);
	return (double) looked_at / MEGABYTES;
}

static void
test_work(void)
{
	static const char *const patterns[] = {"\xe2", "\xff", "\xf0", "\xf0\x9f\x98", "\xe2\x82", "a", "\xe2\x82\xac", "a\xff", "\x80"};

	for (size_t i = 0; i < LENGTH_OF(patterns); i++)
	{
		double		looks = looks_per_byte(patterns[i]);

		ok(looks <= 4, "pattern %zu: at most 4 looks at a byte, counted over megabytes", i);
		diag("%.2f", looks);
	}
}

int
main(void)
{
	test_cases();
	test_work();
	return tap_done();
}
