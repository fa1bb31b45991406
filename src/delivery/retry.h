/*
 * retry.h
 *	  Sends a dead letter again when an operator has asked for it.
 */
#ifndef ADMIN_EXT_RETRY_H
#define ADMIN_EXT_RETRY_H

#include "delivery/worker_types.h"

/* Sends a dead letter again where an operator has asked for it; STEP_MORE: there was none. */
extern StepResult worker_retry_dead_letter(Worker *worker);

#endif							/* ADMIN_EXT_RETRY_H */
