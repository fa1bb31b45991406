/*
 * rfc3339_fuzz.c
 *	  Any bytes: what is taken for a timestamp has its form, is in its years, and reads the
 *	  same when it is written out in UTC and read again.
 *
 * libFuzzer's buffer ends where the input ends, so a byte read too far is noticed.
 *
 * Links: src/rfc3339.c
 */
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "rfc3339.h"

#define EPOCH_2000	INT64_C(946684800)
#define FORM "^[0-9]{4}-[01][0-9]-[0-3][0-9][Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9]([.][0-9]+)?([Zz]|[+-][0-2][0-9]:[0-5][0-9])$"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void
check_form(const uint8_t *data, size_t size)
{
	static regex_t form;
	static bool compiled = false;
	char	   *text = strndup((const char *) data, size);

	if (!compiled && regcomp(&form, FORM, REG_EXTENDED | REG_NOSUB) != 0)
		fail("the form does not compile");
	compiled = true;
	if (strlen(text) != size || regexec(&form, text, 0, NULL, 0) != 0)
		fail("taken, but not of the form of a timestamp");
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t		at;
	int64_t		again;
	int64_t		microseconds;
	time_t		seconds;
	struct tm	tm;
	char		text[64];
	size_t		length;

	if (!rfc3339_parse((const char *) data, size, &at))
		return 0;
	check_form(data, size);
	microseconds = ((at % 1000000) + 1000000) % 1000000;
	seconds = (at - microseconds) / 1000000 + EPOCH_2000;
	gmtime_r(&seconds, &tm);
	if (tm.tm_year + 1900 < 1 || tm.tm_year + 1900 > 9999)
		fail("taken, but outside the years 1 to 9999");
	length = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year + 1900, tm.tm_mon + 1,
					  tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) microseconds);
	if (!rfc3339_parse(text, length, &again) || again != at)
		fail("not the same once more");
	return 0;
}
