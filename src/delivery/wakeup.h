/*
 * wakeup.h
 *	  A commit that added to the audit trail wakes the workers of its database.
 */
#ifndef ADMIN_EXT_WAKEUP_H
#define ADMIN_EXT_WAKEUP_H

extern void wakeup_init(void);

#endif							/* ADMIN_EXT_WAKEUP_H */
