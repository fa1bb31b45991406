/*
 * content.h
 *	  The SHA-256 of a batch's documents, of which the delivery chain is made.
 */
#ifndef ADMIN_EXT_CONTENT_H
#define ADMIN_EXT_CONTENT_H

#include "delivery/worker_types.h"

/*
 * The SHA-256 of the documents of a batch, computed in the background while they are built.  Call
 * the first function before the first document, the second after each, the third when all are
 * complete.
 */
extern void worker_content_begin(Envelopes *envelopes);
extern void worker_content_grown(Envelopes *envelopes);
extern void worker_content_of(Envelopes *envelopes, unsigned char content[CHAIN_BYTES]);

/* After this call the documents of both batches may be freed. */
extern void worker_content_settle(Worker *worker);

#endif							/* ADMIN_EXT_CONTENT_H */
