/*
 * durable.h
 *	  Before it sends a row, the worker waits for synchronous standbys: no failover can take the row
 *	  back.
 */
#ifndef ADMIN_EXT_DURABLE_H
#define ADMIN_EXT_DURABLE_H

#include "delivery/worker_types.h"

/* From now on, no row is sent before the WAL up to this LSN is safe from a failover. */
extern void worker_owe(Worker *worker, XLogRecPtr lsn);
extern void worker_commit_owed(Worker *worker);

/*
 * Is all WAL that worker_owe() named safe?  Waits for one slice at most; false: sink.error says
 * what it waits for.
 */
extern bool worker_is_durable(Worker *worker);

/* Is the last recorded position safe from a failover, too? */
extern bool worker_is_recorded(const Worker *worker);

#endif							/* ADMIN_EXT_DURABLE_H */
