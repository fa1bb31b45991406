/*
 * json_number.c
 *	  See json_number.h.  Each byte is looked at once.
 */
#include "json_number.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SURE_INTEGER_DIGITS	18	/* any integer of so many digits has 64 bits */
#define INT64_DIGITS		19
#define DOUBLE_DIGITS		15	/* any decimal of so many survives a double */
#define DOUBLE_SURE_EXPONENT 307	/* below -307 a double has fewer digits, above 307 it may be
									 * too large */
#define FLOAT_SURE_EXPONENT	37	/* above that a number may be too large for 32 bits */
#define PLAIN_MAX_BYTES		400 /* 1e-307 of 15 digits, written without an exponent, has 324 */

/* The parts of a number, by the grammar of RFC 8259, section 6. */
typedef struct Parts
{
	bool		is_negative;
	bool		is_integer;		/* no point, no exponent */
	const char *digits;			/* of the integer part */
	long		integer_digits;
	long		fraction_digits;
	long		leading_zeros;	/* before the first digit that is not zero */
	bool		is_zero;
	long		exponent;		/* held at JSON_MAX_DIGITS + 1 */
} Parts;

static bool
is_number_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits from `at` on; returns how many. */
static long
read_number_digits(Parts *parts, const char *at, const char *end)
{
	const char *begin = at;

	for (; at < end && is_number_digit(*at); at++)
	{
		if (!parts->is_zero)
			continue;
		if (*at == '0')
			parts->leading_zeros++;
		else
			parts->is_zero = false;
	}
	return at - begin;
}

static const char *
read_exponent(Parts *parts, const char *at, const char *end)
{
	bool		is_negative = at < end && *at == '-';
	const char *begin;

	if (at < end && (*at == '-' || *at == '+'))
		at++;
	for (begin = at; at < end && is_number_digit(*at); at++)
	{
		if (parts->exponent <= JSON_MAX_DIGITS)
			parts->exponent = parts->exponent * 10 + (*at - '0');
	}
	if (parts->exponent > JSON_MAX_DIGITS)
		parts->exponent = JSON_MAX_DIGITS + 1;
	if (is_negative)
		parts->exponent = -parts->exponent;
	return at == begin ? NULL : at;
}

/* False: it is no JSON number. */
static bool
read_parts(Parts *parts, const char *at, const char *end)
{
	memset(parts, 0, sizeof(*parts));
	parts->is_zero = parts->is_integer = true;
	parts->is_negative = at < end && *at == '-';
	if (parts->is_negative)
		at++;
	parts->digits = at;
	parts->integer_digits = read_number_digits(parts, at, end);
	at += parts->integer_digits;
	if (parts->integer_digits == 0 || (parts->integer_digits > 1 && parts->digits[0] == '0'))
		return false;
	if (at < end && *at == '.')
	{
		parts->is_integer = false;
		parts->fraction_digits = read_number_digits(parts, at + 1, end);
		if (parts->fraction_digits == 0)
			return false;
		at += 1 + parts->fraction_digits;
	}
	if (at < end && (*at == 'e' || *at == 'E'))
	{
		parts->is_integer = false;
		at = read_exponent(parts, at + 1, end);
	}
	return at == end;
}

static bool
has_64_bits(const Parts *parts)
{
	const char *limit = parts->is_negative ? "9223372036854775808" : "9223372036854775807";

	return parts->integer_digits < INT64_DIGITS ||
		(parts->integer_digits == INT64_DIGITS && memcmp(parts->digits, limit, INT64_DIGITS) <= 0);
}

/* The exponent of the first digit that is not zero. */
static long
magnitude_of(const Parts *parts)
{
	return parts->integer_digits - 1 - parts->leading_zeros + parts->exponent;
}

/* What is near the upper end of a double's range is converted to see. */
static bool
is_double(const Parts *parts, const char *number, size_t length)
{
	char		text[PLAIN_MAX_BYTES + 1];

	if (parts->is_zero || labs(magnitude_of(parts)) <= DOUBLE_SURE_EXPONENT)
		return true;
	if (magnitude_of(parts) < 0)
		return false;
	memcpy(text, number, length);
	text[length] = '\0';
	return isfinite(strtod(text, NULL));
}

/* The CloudEvents SDK of Go passes over a number that begins with 0 by reading it as a float of 32 bits. */
static bool
is_refused_in_go(const Parts *parts)
{
	return !parts->is_negative && !parts->is_zero && parts->digits[0] == '0' && magnitude_of(parts) > FLOAT_SURE_EXPONENT;
}

JsonNumber
json_number_judge(const char *number, size_t length)
{
	Parts		parts;

	if (!read_parts(&parts, number, number + length))
		return JSON_NUMBER_LONG;
	if (parts.is_integer && parts.integer_digits <= SURE_INTEGER_DIGITS)
		return JSON_NUMBER_PLAIN;
	if (labs(parts.exponent) > JSON_MAX_DIGITS || (!parts.is_zero && magnitude_of(&parts) >= JSON_MAX_DIGITS) ||
		parts.fraction_digits - parts.exponent > JSON_MAX_DIGITS)
		return JSON_NUMBER_TOO_LONG;
	if (length > PLAIN_MAX_BYTES)
		return JSON_NUMBER_LONG;
	if (parts.is_integer)
		return has_64_bits(&parts) ? JSON_NUMBER_PLAIN : JSON_NUMBER_LONG;
	return parts.integer_digits + parts.fraction_digits - parts.leading_zeros <= DOUBLE_DIGITS &&
		is_double(&parts, number, length) && !is_refused_in_go(&parts) ? JSON_NUMBER_PLAIN : JSON_NUMBER_LONG;
}
