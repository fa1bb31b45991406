/*
 * json_number.h
 *	  Which numbers every reader of JSON reads as the same number.  PURE: no server.
 *
 * Readers differ in what they do with long numbers: they lose digits, make an infinity of one,
 * or refuse the whole document.  RFC 8259, section 6, names the range that all agree on.
 */
#ifndef ADMIN_EXT_JSON_NUMBER_H
#define ADMIN_EXT_JSON_NUMBER_H

#include <stddef.h>

#define JSON_MAX_DIGITS		1000	/* that audit_ingest takes, before the decimal point and behind
									 * it */

typedef enum JsonNumber
{
	JSON_NUMBER_PLAIN,			/* a 64-bit integer, or a double of at most 15 significant digits */
	JSON_NUMBER_LONG,			/* any other, or no JSON number: it travels as a string */
	JSON_NUMBER_TOO_LONG		/* a number that audit_ingest refuses */
} JsonNumber;

/*
 * Digits count as they are written, from the first that is not zero: 1.500 has four.  An integer
 * is a number without point and exponent.  A double is zero or at least 1e-307, as what is smaller
 * has fewer digits.  A number that is written with a zero before the point is smaller than 1e38.
 */
extern JsonNumber json_number_judge(const char *number, size_t length);

#endif							/* ADMIN_EXT_JSON_NUMBER_H */
