/*
 * ticking.h
 *	  When a worker makes a tick.
 */
#ifndef ADMIN_EXT_TICKING_H
#define ADMIN_EXT_TICKING_H

#include "delivery/worker_types.h"

/* Sees to it that there is a tick whose window comes next, and that it is durable. */
extern StepResult worker_ensure_tick(Worker *worker);
extern void worker_tick_while_down(Worker *worker);

/* Counts the rows that became visible since the last count; returns whether there were any. */
extern bool worker_count_new(Worker *worker);
extern void worker_make_tick(Worker *worker);

#endif							/* ADMIN_EXT_TICKING_H */
