/*
 * audit_index.h
 *	  The indexes that partitions of the trail are read by.
 */
#ifndef ADMIN_EXT_AUDIT_INDEX_H
#define ADMIN_EXT_AUDIT_INDEX_H

#include "postgres.h"

#include "access/sdir.h"
#include "datatype/timestamp.h"
#include "utils/relcache.h"

/*
 * Locks a relation in AccessShareLock and opens it.  Returns NULL if it does not exist, or if the
 * lock is not free by `until`.  A wait with a time limit does not enter the lock queue, so no
 * session waits behind it.  DT_NOEND waits as any statement does.
 */
extern Relation audit_try_open(Oid oid, TimestampTz until);

/*
 * Opens, in the same way, a btree index of the partition that begins with these columns and covers
 * all rows.  Returns NULL if there is no such index.  The columns may be descending: see
 * audit_index_direction().
 */
extern Relation audit_index_open(Relation partition, const AttrNumber *columns, int count, TimestampTz until);

/* The direction of a scan in which the index's first column ascends, or descends. */
extern ScanDirection audit_index_direction(Relation index, bool ascends);

#endif							/* ADMIN_EXT_AUDIT_INDEX_H */
