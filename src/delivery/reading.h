/*
 * reading.h
 *	  The functions of reading.c that other files call.
 */
#ifndef ADMIN_EXT_READING_H
#define ADMIN_EXT_READING_H

#include "delivery/worker_types.h"

/* The next batch.  False: what is known of the position holds no longer. */
extern bool worker_read_batch(Worker *worker);

/* What is left of a backfill above this row, as far as it is in one piece; false: nothing is. */
extern bool worker_next_backfill(const Worker *worker, int64 above, AdminSinkRange *range);

/* The one after it, if its keys are at hand. */
extern void worker_read_ahead(Worker *worker);

#endif							/* ADMIN_EXT_READING_H */
