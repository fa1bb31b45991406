/*
 * ingest_data.h
 *	  JSON values of an ingested event as text.
 */
#ifndef ADMIN_EXT_INGEST_DATA_H
#define ADMIN_EXT_INGEST_DATA_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"

/*
 * Appends the value as compact JSON, numbers that not every reader takes for the same as strings
 * (json_number.h); NULL, or why it cannot be kept: it would be longer than max_bytes, nested deeper
 * than JSON_MAX_DEPTH or with numbers of more than JSON_MAX_DIGITS digits.  What jsonb holds in few
 * bytes (1e131000) is not written out to find that.
 */
extern const char *ingest_append_json(StringInfo out, const JsonbValue *value, int max_bytes);

/* Is the string text?  A database without an encoding takes any bytes. */
extern bool ingest_is_text(const JsonbValue *value);

/* The digits of a number; NULL when it has more than the limit. */
extern char *ingest_number_text(Numeric number);

#endif							/* ADMIN_EXT_INGEST_DATA_H */
