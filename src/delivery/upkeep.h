/*
 * upkeep.h
 *	  The functions of upkeep.c that other files call.
 */
#ifndef ADMIN_EXT_UPKEEP_H
#define ADMIN_EXT_UPKEEP_H

#include "delivery/worker_types.h"

/* Runs the chores that are due; raises no error. */
extern void worker_upkeep(Worker *worker);

#endif							/* ADMIN_EXT_UPKEEP_H */
