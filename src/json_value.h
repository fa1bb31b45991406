/*
 * json_value.h
 *	  Values of type json as every reader can read them.
 */
#ifndef ADMIN_EXT_JSON_VALUE_H
#define ADMIN_EXT_JSON_VALUE_H

#include "lib/stringinfo.h"

#define JSON_MAX_DEPTH		100 /* of arrays and objects, as in audit_ingest() */

/*
 * Appends a value of type json, or jsonb's text, which the server has found valid: as it is, but
 * numbers that are not plain (json_number.h) as strings.  False, with nothing appended, for a
 * value that audit_ingest() refuses or changes: it holds half a surrogate pair or \u0000, an
 * object with a member twice, a number of more than JSON_MAX_DIGITS digits, is nested deeper than
 * JSON_MAX_DEPTH, or is not UTF-8 in a database without an encoding.  In a database of another
 * encoding, also for a member's name with an escape.  Linear in its length, but for the sorting of
 * members.
 */
extern bool json_value_append(StringInfo out, const char *json, Size length);

#endif							/* ADMIN_EXT_JSON_VALUE_H */
