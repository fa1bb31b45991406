/*
 * deliver.h
 *	  What others call of deliver.c.
 */
#ifndef ADMIN_EXT_DELIVER_H
#define ADMIN_EXT_DELIVER_H

#include "delivery/worker_types.h"

extern StepResult worker_step(Worker *worker);

#endif							/* ADMIN_EXT_DELIVER_H */
