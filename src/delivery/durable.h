/*
 * durable.h
 *	  The functions of durable.c that other files call.
 */
#ifndef ADMIN_EXT_DURABLE_H
#define ADMIN_EXT_DURABLE_H

#include "delivery/worker_types.h"

/* Nothing is sent before this is where no failover can take it back. */
extern void worker_owe(Worker *worker, XLogRecPtr lsn);
extern void worker_commit_owed(Worker *worker);

/* Is all that is owed there?  Waits for a slice; false: sink.error says what it waits for. */
extern bool worker_is_durable(Worker *worker);

/* Is the position that was recorded last there, too? */
extern bool worker_is_recorded(const Worker *worker);

#endif							/* ADMIN_EXT_DURABLE_H */
