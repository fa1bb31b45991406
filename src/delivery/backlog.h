/*
 * backlog.h
 *	  Counts the rows that wait for a sink while the worker has no position to continue from.
 */
#ifndef ADMIN_EXT_BACKLOG_H
#define ADMIN_EXT_BACKLOG_H

#include "delivery/worker_types.h"

/* Sets the lag of a sink while the worker has no position; runs in a transaction of its own. */
extern void worker_count_backlog(Worker *worker);

#endif							/* ADMIN_EXT_BACKLOG_H */
