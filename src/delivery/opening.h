/*
 * opening.h
 *	  Finds out where a sink stands, and opens it.
 */
#ifndef ADMIN_EXT_OPENING_H
#define ADMIN_EXT_OPENING_H

#include "delivery/worker_types.h"

extern StepResult worker_open(Worker *worker);

/* Forgets the position if it is no longer the newest: an operator may have recorded another one. */
extern void worker_look_at_position(Worker *worker);

/* Shows whether the sink has lost rows that were delivered to it. */
extern void worker_show_loss(Worker *worker);

/* Closes only the sink; the position, the window and its keys are kept. */
extern void worker_close_sink(Worker *worker);
extern void worker_close(Worker *worker);

#endif							/* ADMIN_EXT_OPENING_H */
