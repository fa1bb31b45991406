/*
 * audit_highest.h
 *	  The highest audit_id in the trail.
 */
#ifndef ADMIN_EXT_AUDIT_HIGHEST_H
#define ADMIN_EXT_AUDIT_HIGHEST_H

/*
 * Returns the highest audit_id of any row, committed or not; 0 if there is no row.  Waits for
 * AUDIT_HIGHEST_WAIT_MS at most.  Skips a partition that stays locked for longer or has no index on
 * audit_id, and then sets *is_certain to false.  The transaction keeps a lock on the trail, but not
 * on its partitions.
 */
extern int64 audit_highest(bool *is_certain);

/*
 * For all partitions together.  Longer than create_audit_partitions() keeps its locks, shorter than
 * the second that a check has.
 */
#define AUDIT_HIGHEST_WAIT_MS	250

#endif							/* ADMIN_EXT_AUDIT_HIGHEST_H */
