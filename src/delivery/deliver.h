/*
 * deliver.h
 *	  One step of a worker: tick, window, batch, position.  ticking.c makes the ticks, reading.c
 *	  reads the rows, and batch.c delivers the batch.
 */
#ifndef ADMIN_EXT_DELIVER_H
#define ADMIN_EXT_DELIVER_H

#include "delivery/worker_types.h"

extern StepResult worker_step(Worker *worker);

#endif							/* ADMIN_EXT_DELIVER_H */
