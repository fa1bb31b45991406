/*
 * upkeep.h
 *	  The functions of upkeep.c that other files call.
 */
#ifndef ADMIN_EXT_UPKEEP_H
#define ADMIN_EXT_UPKEEP_H

#include "delivery/worker_types.h"

/* What is to be done from time to time; raises nothing. */
extern void worker_upkeep(Worker *worker);

#endif							/* ADMIN_EXT_UPKEEP_H */
