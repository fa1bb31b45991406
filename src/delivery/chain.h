/*
 * chain.h
 *	  The delivery chain: one SHA-256 that stands for every document a sink was given so far, in order.
 *
 * doc/evidence.md defines it.  This code does not use PostgreSQL.  Functions return false if
 * SHA-256 could not be computed.
 */
#ifndef ADMIN_EXT_CHAIN_H
#define ADMIN_EXT_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "hashing.h"

#define CHAIN_BYTES		HASHING_BYTES
#define CHAIN_TEXT_BYTES	(2 * CHAIN_BYTES + 1)	/* hexadecimal digits and the end */

/*
 * Computes the chain before the first document that a store delivers to a sink; store_id is
 * lower-case text.
 */
extern bool chain_start(const char *store_id, const char *sink, unsigned char chain[CHAIN_BYTES]);

/*
 * Extends the chain by one batch.  first is the delivery number of its first document.  content is
 * the SHA-256 of its documents, each followed by its line feed.
 */
extern bool chain_extend(unsigned char chain[CHAIN_BYTES], int64_t first, int64_t count,
						 const unsigned char content[CHAIN_BYTES]);

/* Convert the chain to lower-case hexadecimal digits and back; false: the text has another form. */
extern void chain_write(const unsigned char chain[CHAIN_BYTES], char text[CHAIN_TEXT_BYTES]);
extern bool chain_read(const char *text, unsigned char chain[CHAIN_BYTES]);

#endif							/* ADMIN_EXT_CHAIN_H */
