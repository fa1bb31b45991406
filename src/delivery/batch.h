/*
 * batch.h
 *	  Delivers a batch: hands it to the sink, waits for confirmation, records its position.
 */
#ifndef ADMIN_EXT_BATCH_H
#define ADMIN_EXT_BATCH_H

#include "delivery/worker_types.h"

/*
 * Delivers worker->batch; next is the position that holds afterwards.  tick_id and nonce are those
 * of the newest tick whose rows are in the batch (0: no tick).  STEP_MORE: one record was rejected,
 * and the others have to be read again without it.
 */
extern StepResult worker_deliver_batch(Worker *worker, Position *next, int64 tick_id, const char *nonce);
extern bool worker_position_is_due(const Worker *worker);
extern StepResult worker_record_position(Worker *worker);

#endif							/* ADMIN_EXT_BATCH_H */
