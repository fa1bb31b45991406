/*
 * opening.h
 *	  The functions of opening.c that other files call.
 */
#ifndef ADMIN_EXT_OPENING_H
#define ADMIN_EXT_OPENING_H

#include "delivery/worker_types.h"

extern StepResult worker_open(Worker *worker);

/* Forgets the position where it is not the newest any more: an operator may have answered. */
extern void worker_look_at_position(Worker *worker);

/* Shows whether the sink has lost rows that were delivered to it. */
extern void worker_show_loss(Worker *worker);

/* The sink alone: the position, the window and its keys stay. */
extern void worker_close_sink(Worker *worker);
extern void worker_close(Worker *worker);

#endif							/* ADMIN_EXT_OPENING_H */
