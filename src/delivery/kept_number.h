/*
 * kept_number.h
 *	  The functions of kept_number.c that other files call.
 */
#ifndef ADMIN_EXT_KEPT_NUMBER_H
#define ADMIN_EXT_KEPT_NUMBER_H

#include "delivery/worker_types.h"

/* After an operator's resync, continues number and chain from what the sink holds. */
extern void worker_take_kept_number(Worker *worker, const AdminSinkPosition *found);

#endif							/* ADMIN_EXT_KEPT_NUMBER_H */
