/*
 * worker_state.h
 *	  What all parts of a worker use: its transactions, the state that it shows, and whether the
 *	  known position is still valid.
 */
#ifndef ADMIN_EXT_WORKER_STATE_H
#define ADMIN_EXT_WORKER_STATE_H

#include "delivery/worker_types.h"

extern void worker_state_init(void);

/* Frees what the previous step has allocated. */
extern void worker_begin_step(void);

/* A transaction of the worker's own, with a snapshot. */
extern void worker_begin(const char *activity);
extern void worker_commit(void);

/* Ends the transaction after an ERROR, and returns the error. */
extern ErrorData *worker_give_up(void);

/* Is the known position still the newest, and the store unchanged?  Needs a transaction. */
extern bool worker_still_holds(Worker *worker);
extern StepResult worker_step_result(AdminSinkResult result);

/* Sets state and last_error, with one line in the log per change of state. */
extern void worker_set_state(Worker *worker, DeliveryState state, const char *error);
extern void worker_set_lag(Worker *worker, int64 rows, TimestampTz pending_since);

#endif							/* ADMIN_EXT_WORKER_STATE_H */
