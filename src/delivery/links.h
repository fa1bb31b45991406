/*
 * links.h
 *	  The links of the delivery chain, as admin_internal.delivery_link records them.
 */
#ifndef ADMIN_EXT_LINKS_H
#define ADMIN_EXT_LINKS_H

#include "delivery/position.h"

/* Most batches between two recorded positions: at this number, position and links are recorded. */
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
 * Records the links; the last one also records what the new position covers.  Removes old links, at
 * most twice as many as it records.  Runs in the transaction of position_record().
 */
extern void links_record(Links *links, const char *sink);

/*
 * Returns the number of batches from one delivery number to another, and in *counts the number of
 * documents of each, in order, in the current context.  Returns 0 if not all of these batches are
 * known.
 */
extern int	links_counts(const char *sink, const char *store_id, int64 first, int64 last, int64 **counts);

#endif							/* ADMIN_EXT_LINKS_H */
