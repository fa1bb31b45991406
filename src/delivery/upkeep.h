/*
 * upkeep.h
 *	  Maintenance that a worker does for its database: it creates partitions for the months to come,
 *	  removes what belonged to dropped months, and announces passed deadlines if pg_cron does not.
 *	  It also reports weakened settings, and changes of who can reach the trail.
 */
#ifndef ADMIN_EXT_UPKEEP_H
#define ADMIN_EXT_UPKEEP_H

#include "delivery/worker_types.h"

/* Runs the chores that are due; raises no error. */
extern void worker_upkeep(Worker *worker);

#endif							/* ADMIN_EXT_UPKEEP_H */
