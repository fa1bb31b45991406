/*
 * divergence.h
 *	  A sink holds rows that this database has lost: an asynchronous failover, an older backup.
 */
#ifndef ADMIN_EXT_DIVERGENCE_H
#define ADMIN_EXT_DIVERGENCE_H

#include "delivery/worker_types.h"

/*
 * Handles a sink that holds rows, up to highest_sent, that the database has lost.  STEP_STOP: an
 * operator has to decide.  STEP_REOPEN: the setting has decided, and the store has a new id.
 */
extern StepResult worker_diverged(Worker *worker, int64 highest_sent);

/* May this worker continue as another store: is it allowed, and can commits have been lost? */
extern bool worker_may_fork(const Worker *worker);

/* After a promotion, checks whether rows were lost if the sink cannot tell.  STEP_MORE: no. */
extern StepResult worker_check_promotion(Worker *worker);

/* The highest row that another fork of the data has sent; 0: there is no fork. */
extern void worker_set_highest_sent(Worker *worker, int64 audit_id);

#endif							/* ADMIN_EXT_DIVERGENCE_H */
