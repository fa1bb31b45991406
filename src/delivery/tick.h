/*
 * tick.h
 *	  Snapshots as delivery uses them: what is visible, by 64-bit transaction ids.
 */
#ifndef ADMIN_EXT_TICK_H
#define ADMIN_EXT_TICK_H

#include "lib/stringinfo.h"

typedef struct TickSnapshot
{
	uint64		xmin;			/* everything before it has ended */
	uint64		xmax;			/* nothing from it on had begun to be visible */
	int			count;
	uint64		in_progress[FLEXIBLE_ARRAY_MEMBER]; /* ascending, distinct, in [xmin, xmax) */
} TickSnapshot;

/* What is committed now, seen by this backend; its own transaction counts as in progress. */
extern TickSnapshot *tick_snapshot_now(void);

/* Replaces *copy, which may be NULL, by a copy that lives in context. */
extern void tick_snapshot_keep(TickSnapshot **copy, const TickSnapshot *snapshot, MemoryContext context);

/* From and to the text form of type pg_snapshot. */
extern TickSnapshot *tick_snapshot_parse(const char *text);
extern void tick_snapshot_append(StringInfo out, const TickSnapshot *snapshot);

/* Had this transaction ended by then? */
extern bool tick_sees(const TickSnapshot *snapshot, uint64 xid);

#endif							/* ADMIN_EXT_TICK_H */
