/*
 * rfc3339_test.c
 *	  Timestamps of RFC 3339, and what is none.
 *
 * Links: src/rfc3339.c
 */
#include <string.h>
#include <time.h>

#include "exact_copy.h"
#include "rfc3339.h"
#include "tap.h"

#define EPOCH_2000	INT64_C(946684800)	/* in seconds of time_t */

typedef struct Case
{
	const char *text;
	int64_t		at;
} Case;

static const Case good[] = {
	{"2000-01-01T00:00:00Z", 0},
	{"2000-01-01T00:00:00.000001Z", 1},
	{"2000-01-01T00:00:00.1Z", 100000},
	{"2000-01-01T00:00:00.1234567899Z", 123456},
	{"1999-12-31T23:59:59.999999Z", -1},
	{"2000-01-01t01:00:00z", INT64_C(3600000000)},
	{"2000-01-01 01:00:00+01:00", 0},
	{"1999-12-31T23:30:00-00:30", 0},
	{"2000-01-01T23:59:00+23:59", 0},
	{"2000-01-01T00:00:00-00:00", 0},
	{"2016-12-31T23:59:60Z", INT64_C(536544000000000)},
	{"2000-02-29T00:00:00Z", INT64_C(59) * 86400 * 1000000},
	{"0001-01-01T00:00:00Z", INT64_C(-730119) * 86400 * 1000000},
	{"9999-12-31T23:59:59.999999Z", INT64_C(2921940) * 86400 * 1000000 - 1},
	/* The year 0 in its zone, the year 1 in UTC; likewise 10000. */
	{"0000-12-31T23:00:00-01:00", INT64_C(-730119) * 86400 * 1000000},
};

static const char *const bad[] = {
	"", "2000", "2000-01-01", "2000-01-01T00:00:00", "2000-01-01T00:00Z", "2000-1-1T00:00:00Z", "20000-01-01T00:00:00Z",
	"2000-13-01T00:00:00Z", "2000-00-01T00:00:00Z", "2000-01-00T00:00:00Z", "2000-01-32T00:00:00Z", "2001-02-29T00:00:00Z",
	"1900-02-29T00:00:00Z", "2000-04-31T00:00:00Z", "2000-01-01T24:00:00Z", "2000-01-01T00:60:00Z", "2000-01-01T00:00:61Z",
	"2000-01-01T00:00:00.Z", "2000-01-01T00:00:00,5Z", "2000-01-01T00:00:00+01", "2000-01-01T00:00:00+0100", "2000-01-01T00:00:00+24:00",
	"2000-01-01T00:00:00+01:60", "2000-01-01T00:00:00ZZ", "2000-01-01T00:00:00Z ", " 2000-01-01T00:00:00Z", "2000-01-01_00:00:00Z",
	"2000/01/01T00:00:00Z", "+2000-01-01T00:00:00Z", "-200-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01",
	"9999-12-31T23:59:59-00:01", "infinity", "now", "2000-01-01T00:00:00.1", "2000-01-01T00:00:00 UTC", "2000-01-01T00:00:0\xd9\xa0Z",
};

static bool
parse(const char *text, int64_t *at)
{
	char	   *copy = exact_copy(text, strlen(text));
	bool		parsed = rfc3339_parse(copy, strlen(text), at);

	free(copy);
	return parsed;
}

/* Every day of 500 years, against the C library. */
static void
test_every_day(void)
{
	time_t		seconds = -INT64_C(8520336000); /* 1700-01-01 */
	int			wrong = 0;

	for (int day = 0; day < 500 * 365; day++, seconds += 86400)
	{
		char		text[64];
		struct tm	tm;
		int64_t		at = 0;

		gmtime_r(&seconds, &tm);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
		wrong += !parse(text, &at) || at != (seconds - EPOCH_2000) * 1000000;
	}
	ok(wrong == 0, "every day from 1700 to 2199 is where the C library has it");
}

int
main(void)
{
	int64_t		at;

	for (size_t i = 0; i < LENGTH_OF(good); i++)
	{
		at = 42;
		if (!ok(parse(good[i].text, &at) && at == good[i].at, "\"%s\" is read", good[i].text))
			diag("got %lld", (long long) at);
	}
	for (size_t i = 0; i < LENGTH_OF(bad); i++)
		ok(!parse(bad[i], &at), "\"%s\" is refused", bad[i]);
	test_every_day();
	return tap_done();
}
