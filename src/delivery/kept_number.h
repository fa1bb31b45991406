/*
 * kept_number.h
 *	  Finds the delivery number from which a sink that keeps positions continues after a resync.
 */
#ifndef ADMIN_EXT_KEPT_NUMBER_H
#define ADMIN_EXT_KEPT_NUMBER_H

#include "delivery/worker_types.h"

/* After an operator's resync, continues number and chain from what the sink holds. */
extern void worker_take_kept_number(Worker *worker, const AdminSinkPosition *found);

#endif							/* ADMIN_EXT_KEPT_NUMBER_H */
