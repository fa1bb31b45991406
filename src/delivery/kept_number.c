/*
 * kept_number.c
 *	  Finds the delivery number from which a sink that keeps positions continues after a resync.
 */
#include "postgres.h"

#include "delivery/kept_number.h"
#include "delivery/worker_types.h"

/*
 * A resync keeps the number that the database knew.  The sink may have received later numbers that
 * were not recorded before a crash.  Those numbers are not used again.
 */
void
worker_take_kept_number(Worker *worker, const AdminSinkPosition *found)
{
	Position	kept = worker->position;
	char		nonce[UUID_TEXT_BYTES];

	kept.position_id = found->kept_id;
	if (position_read(&worker->key, found->kept_record, &kept, nonce) != NULL ||
		kept.last_number <= worker->position.last_number)
		return;
	worker->position.last_number = kept.last_number;
	memcpy(worker->position.chain, kept.chain, CHAIN_BYTES);
	links_add(&worker->links, &kept, worker->context);
}
