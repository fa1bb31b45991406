/*
 * ingest_data.h
 *	  JSON values of an ingested event as text.
 */
#ifndef ADMIN_EXT_INGEST_DATA_H
#define ADMIN_EXT_INGEST_DATA_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

#define INGEST_MAX_DEPTH	100
#define INGEST_MAX_DIGITS	1000	/* of a number, before the decimal point and behind it */

/*
 * Appends the value as compact JSON; NULL, or why it cannot be kept: it would be longer than
 * max_bytes, nested deeper or with longer numbers than the limits.  What jsonb holds in few
 * bytes (1e131000) is not written out to find that.
 */
extern const char *ingest_append_json(StringInfo out, const JsonbValue *value, int max_bytes);

/* Is the string text?  A database without an encoding takes any bytes. */
extern bool ingest_is_text(const JsonbValue *value);

/* The digits of a number; NULL when it has more than the limit. */
extern char *ingest_number_text(Numeric number);

#endif							/* ADMIN_EXT_INGEST_DATA_H */
