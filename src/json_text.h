/*
 * json_text.h
 *	  Pieces of JSON text that do not depend on any session setting, and the
 *	  limits of text arguments.
 */
#ifndef ADMIN_EXT_JSON_TEXT_H
#define ADMIN_EXT_JSON_TEXT_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#define TIMESTAMP_TEXT_BYTES	40

/* RFC 3339, UTC, six fraction digits, Z; without quotes.  Returns its length; no byte follows. */
extern int	format_timestamp(char out[TIMESTAMP_TEXT_BYTES], TimestampTz at);
extern void append_timestamp(StringInfo out, TimestampTz at);

/* In decimal. */
extern void append_int(StringInfo out, int64 value);

/* A quoted and escaped JSON string. */
extern void append_json_string(StringInfo out, const char *value, Size length);

/* The same; null for NULL. */
extern void append_json_text(StringInfo out, const text *value);
extern void append_json_cstring(StringInfo out, const char *value);

/* Raises 22023, naming the argument, its value (cut) and the limit, when it has too many bytes. */
extern void check_argument_length(const char *name, const text *value, int max_bytes);

#endif							/* ADMIN_EXT_JSON_TEXT_H */
