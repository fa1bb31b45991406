/*
 * batch.h
 *	  The functions of batch.c that other files call.
 */
#ifndef ADMIN_EXT_BATCH_H
#define ADMIN_EXT_BATCH_H

#include "delivery/worker_types.h"

/*
 * The envelopes at hand, up to the position that holds afterwards; tick_id and
 * nonce name the newest tick whose rows are among them (0: none).  STEP_MORE: one was
 * rejected, the others are to be read again without it.
 */
extern StepResult worker_deliver_batch(Worker *worker, Position *next, int64 tick_id, const char *nonce);
extern bool worker_position_is_due(const Worker *worker);
extern StepResult worker_record_position(Worker *worker);

#endif							/* ADMIN_EXT_BATCH_H */
