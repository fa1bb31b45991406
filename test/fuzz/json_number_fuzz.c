/*
 * json_number_fuzz.c
 *	  Any bytes: what is taken for a plain number is one of JSON, and a 64-bit integer or a
 *	  double that keeps its digits.
 *
 * libFuzzer's buffer ends where the input ends, so a byte read too far is noticed.
 *
 * Links: src/json_number.c -lm
 */
#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_number.h"

#define FORM "^-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][+-]?[0-9]+)?$"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

static void
check_form(const char *text)
{
	static regex_t form;
	static bool compiled = false;

	if (!compiled && regcomp(&form, FORM, REG_EXTENDED | REG_NOSUB) != 0)
		fail("the form does not compile");
	compiled = true;
	if (regexec(&form, text, 0, NULL, 0) != 0)
		fail("plain, but no number of JSON");
}

static void
check_value(const char *text)
{
	double		value = strtod(text, NULL);

	errno = 0;
	if (strpbrk(text, ".eE") == NULL)
	{
		(void) strtoll(text, NULL, 10);
		if (errno != 0)
			fail("plain, but no integer of 64 bits");
	}
	else if (!isfinite(value) || (value == 0 && strcspn(text, "123456789") < strcspn(text, "eE")))
		fail("plain, but no double");
	else
	{
		char		again[64];

		snprintf(again, sizeof(again), "%.15g", value);
		if (strtod(again, NULL) != value)
			fail("plain, but of more than 15 digits");
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text;

	if (json_number_judge((const char *) data, size) != JSON_NUMBER_PLAIN)
		return 0;
	text = strndup((const char *) data, size);
	if (strlen(text) != size)
		fail("plain, with a byte 0");
	check_form(text);
	check_value(text);
	free(text);
	return 0;
}
