/*
 * content.h
 *	  The functions of content.c that other files call.
 */
#ifndef ADMIN_EXT_CONTENT_H
#define ADMIN_EXT_CONTENT_H

#include "delivery/worker_types.h"

/*
 * The SHA-256 of the documents of a batch, computed in the background while they are
 * made.  To be begun before the first, updated after each, and taken once when they are complete.
 */
extern void worker_content_begin(Envelopes *envelopes);
extern void worker_content_grown(Envelopes *envelopes);
extern void worker_content_of(Envelopes *envelopes, unsigned char content[CHAIN_BYTES]);

/* Afterwards the documents of both batches may be let go of. */
extern void worker_content_settle(Worker *worker);

#endif							/* ADMIN_EXT_CONTENT_H */
