/*
 * deliver.h
 *	  The functions of deliver.c that other files call.
 */
#ifndef ADMIN_EXT_DELIVER_H
#define ADMIN_EXT_DELIVER_H

#include "delivery/worker_types.h"

extern StepResult worker_step(Worker *worker);

#endif							/* ADMIN_EXT_DELIVER_H */
