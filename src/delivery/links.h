/*
 * links.h
 *	  The links of the delivery chain, as admin_internal.delivery_link records them.
 */
#ifndef ADMIN_EXT_LINKS_H
#define ADMIN_EXT_LINKS_H

#include "delivery/position.h"

/* Batches delivered since the position was recorded last: as many are recorded with it at the latest. */
#define MOST_LINKS	4096

typedef struct Link
{
	int64		first_number;
	int64		last_number;
	unsigned char chain[CHAIN_BYTES];
} Link;

typedef struct Links
{
	Link	   *links;			/* MOST_LINKS; NULL: none is needed yet */
	int			count;
} Links;

/* Notes the newest batch of a position, in a buffer that lives in context. */
extern void links_add(Links *links, const Position *position, MemoryContext context);

/*
 * Records them, and with the last one what the position that was recorded just now covers.  Removes
 * old ones, at most twice as many as it records.  In the transaction of position_record().
 */
extern void links_record(Links *links, const char *sink);

/*
 * How many documents each batch from one delivery number to another had, in order, in the current
 * context; returns how many batches those are, 0 where not all of them are known.
 */
extern int	links_counts(const char *sink, const char *store_id, int64 first, int64 last, int64 **counts);

#endif							/* ADMIN_EXT_LINKS_H */
