/*
 * at_commit.h
 *	  A commit that added to the audit trail wakes the workers of its database.
 */
#ifndef ADMIN_EXT_AT_COMMIT_H
#define ADMIN_EXT_AT_COMMIT_H

extern void at_commit_init(void);

#endif							/* ADMIN_EXT_AT_COMMIT_H */
