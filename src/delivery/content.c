/*
 * content.c
 *	  The SHA-256 of a batch's documents, of which the delivery chain is made.
 *
 * A second thread computes it while documents are built, and while the sink works on the previous
 * batch.  After building the documents, hashing is the largest cost of a row.
 */
#include "postgres.h"

#include "storage/ipc.h"

#include "delivery/content.h"
#include "delivery/worker_types.h"

/* How many bytes are handed to the thread at once. */
#define PIECE_BYTES		(256 * 1024)

static void
end_at_exit(int code, Datum arg)
{
	hashing_end();
}

void
worker_content_begin(Envelopes *envelopes)
{
	static bool is_registered = false;

	if (!is_registered)
		on_proc_exit(end_at_exit, (Datum) 0);
	is_registered = true;
	if (envelopes->hashing == NULL)
		envelopes->hashing = hashing_new();
	if (envelopes->hashing == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	hashing_begin(envelopes->hashing);
	envelopes->hashed = 0;
}

static void
give_rest(Envelopes *envelopes)
{
	hashing_add(envelopes->hashing, envelopes->data + envelopes->hashed, envelopes->length - envelopes->hashed);
	envelopes->hashed = envelopes->length;
}

void
worker_content_grown(Envelopes *envelopes)
{
	if (envelopes->length - envelopes->hashed >= PIECE_BYTES)
		give_rest(envelopes);
}

void
worker_content_of(Envelopes *envelopes, unsigned char content[CHAIN_BYTES])
{
	give_rest(envelopes);
	if (!hashing_take(envelopes->hashing, content))
		elog(ERROR, "could not compute SHA-256 digest");
}

void
worker_content_settle(Worker *worker)
{
	hashing_settle(worker->batch.envelopes.hashing);
	hashing_settle(worker->ahead.envelopes.hashing);
}
