/*
 * redis_ranges.h
 *	  Sets of audit_ids as a few ranges: which rows were published.
 */
#ifndef ADMIN_EXT_REDIS_RANGES_H
#define ADMIN_EXT_REDIS_RANGES_H

#include "sinks/redis/redis_types.h"

/* A set of rows gets more of them; it may come to hold others, too. */
extern void redis_ranges_add(AdminSinkRanges *set, int64 first, int64 last);
extern void redis_ranges_add_all(AdminSinkRanges *set, const AdminSinkRanges *more);

/* Drops ranges that end below this row.  The highest one stays: a set without ranges has another meaning. */
extern void redis_ranges_drop_below(AdminSinkRanges *set, int64 audit_id);

/* As text, "<first>-<last>,...", and back; they return the length, and what follows. */
extern int	redis_ranges_write(const AdminSinkRanges *set, char *text, Size size);
extern const char *redis_ranges_read(AdminSinkRanges *set, const char *text);

#endif							/* ADMIN_EXT_REDIS_RANGES_H */
