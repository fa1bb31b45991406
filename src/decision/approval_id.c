/*
 * approval_id.c
 *	  Checks an approval id byte by byte: no locale, no regular expression.
 */
#include "decision/approval_id.h"

#include <string.h>

#define PREFIX			"APP-"
#define PREFIX_BYTES	4
#define DIGITS			6
#define TAIL_AT			(PREFIX_BYTES + DIGITS + 1)

static bool
is_id_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_id_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

bool
approval_id_is_valid(const char *id, size_t length)
{
	if (length <= TAIL_AT || length > APPROVAL_ID_MAX_BYTES)
		return false;
	if (memcmp(id, PREFIX, PREFIX_BYTES) != 0)
		return false;
	for (size_t i = PREFIX_BYTES; i < PREFIX_BYTES + DIGITS; i++)
	{
		if (!is_id_digit(id[i]))
			return false;
	}
	if (id[TAIL_AT - 1] != '-')
		return false;
	for (size_t i = TAIL_AT; i < length; i++)
	{
		if (!is_id_digit(id[i]) && !is_id_lower(id[i]))
			return false;
	}
	return true;
}
