/*
 * divergence.h
 *	  The functions of divergence.c that other files call.
 */
#ifndef ADMIN_EXT_DIVERGENCE_H
#define ADMIN_EXT_DIVERGENCE_H

#include "delivery/worker_types.h"

/*
 * The sink holds rows up to this one that the database has lost.  STEP_STOP: an
 * operator has to decide; STEP_REOPEN: he has, and the store has a new id.
 */
extern StepResult worker_diverged(Worker *worker, int64 highest_sent);

/* Has an operator said that it is to go on as another store where commits were lost, and can they have been? */
extern bool worker_may_fork(const Worker *worker);

/* After a promotion, where the sink cannot tell: were rows lost?  STEP_MORE: no. */
extern StepResult worker_check_promotion(Worker *worker);

/* The highest row that another fork of the data has sent; 0: there is no fork. */
extern void worker_set_highest_sent(Worker *worker, int64 audit_id);

#endif							/* ADMIN_EXT_DIVERGENCE_H */
