/*
 * row_json.h
 *	  Rows as JSON text that does not depend on any session setting.
 *
 * Booleans and texts as JSON has them.  int8 as a string, smaller integers as numbers.  float4,
 * float8 and numeric as numbers where every reader takes them for the same (json_number.h), else as
 * strings.  json and jsonb as values, numbers in them likewise; as a string what readers refuse
 * (json_value.h); a number of more than JSON_MAX_DIGITS with an exponent.  timestamptz as RFC 3339 in UTC.  bytea as "\\x" and hex digits.  One-dimensional
 * arrays as arrays.  A domain as its base type.  Everything else as the string its output function
 * gives under the settings of row_pins.h.
 */
#ifndef ADMIN_EXT_ROW_JSON_H
#define ADMIN_EXT_ROW_JSON_H

#include "access/tupdesc.h"
#include "lib/stringinfo.h"

/*
 * How long the text may become; 54000 otherwise.  The server writes a value of at most 1 GB, also
 * in a dump, where COPY doubles each backslash and a conversion to UTF-8 may double each byte.
 */
#define ROW_JSON_MAX_BYTES	(240 * 1024 * 1024)

/* Object of all columns that are not dropped. */
extern void append_row_json(StringInfo out, TupleDesc desc, const Datum *values, const bool *nulls);

/* Object of the columns that differ, each as [old, new]; returns how many. */
extern int	append_changed_json(StringInfo out, TupleDesc desc,
								const Datum *old_values, const bool *old_nulls,
								const Datum *new_values, const bool *new_nulls);

#endif							/* ADMIN_EXT_ROW_JSON_H */
