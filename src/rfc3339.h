/*
 * rfc3339.h
 *	  Reads a timestamp of RFC 3339, section 5.6.
 *
 * Pure C: no server headers, no allocation, no clock, no locale.
 */
#ifndef ADMIN_EXT_RFC3339_H
#define ADMIN_EXT_RFC3339_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The years 1 to 9999 in UTC: the first microsecond, and the one behind the last. */
#define RFC3339_BEGIN	(INT64_C(-730119) * 86400 * 1000000)
#define RFC3339_END		(INT64_C(2921940) * 86400 * 1000000)

/*
 * Microseconds since 2000-01-01 00:00 UTC, as TimestampTz counts them; digits beyond the
 * sixth of a second are dropped, second 60 is the first of the next minute.  False for what
 * is no date-time, or not in the years 1 to 9999 UTC.
 */
extern bool rfc3339_parse(const char *text, size_t length, int64_t *at);

#endif							/* ADMIN_EXT_RFC3339_H */
