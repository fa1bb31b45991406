/*
 * audit_highest.h
 *	  The highest audit_id in the trail.
 */
#ifndef ADMIN_EXT_AUDIT_HIGHEST_H
#define ADMIN_EXT_AUDIT_HIGHEST_H

/*
 * The highest audit_id of any row, committed or not; 0 where there is none.  Waits for
 * AUDIT_HIGHEST_WAIT_MS at most: a partition that is locked for longer, or that has no index of
 * audit_id, is left out, and *is_certain is false then.  The transaction keeps a lock on the trail,
 * and no lock on its partitions.
 */
extern int64 audit_highest(bool *is_certain);

/* For all partitions together: longer than create_audit_partitions() keeps its locks, and a check has a second. */
#define AUDIT_HIGHEST_WAIT_MS	250

#endif							/* ADMIN_EXT_AUDIT_HIGHEST_H */
