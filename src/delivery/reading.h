/*
 * reading.h
 *	  The rows of the next batch: which window, its keys, their documents.
 */
#ifndef ADMIN_EXT_READING_H
#define ADMIN_EXT_READING_H

#include "delivery/worker_types.h"

/* Reads the next batch.  False: the known position is no longer valid. */
extern bool worker_read_batch(Worker *worker);

/* The next contiguous range of a backfill above this row; false: no row is left. */
extern bool worker_next_backfill(const Worker *worker, int64 above, AdminSinkRange *range);

/* Reads the batch after it, if its keys are known. */
extern void worker_read_ahead(Worker *worker);

#endif							/* ADMIN_EXT_READING_H */
