/*
 * row_json.h
 *	  Rows as JSON text that does not depend on any session setting.
 *
 * Strings, numbers and booleans as JSON has them; 64-bit integers as strings;
 * timestamptz as RFC 3339 in UTC; bytea as "\\x" and hex digits; one-dimensional
 * arrays as arrays; json and jsonb as they are; everything else as the string its
 * output function gives under ISO dates and UTC.
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
