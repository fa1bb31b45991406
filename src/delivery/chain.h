/*
 * chain.h
 *	  The delivery chain: one SHA-256 that stands for every document a sink was given so far, in order.
 *
 * doc/evidence.md defines it.  Free of PostgreSQL.  False: SHA-256 could not be computed.
 */
#ifndef ADMIN_EXT_CHAIN_H
#define ADMIN_EXT_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "hashing.h"

#define CHAIN_BYTES		HASHING_BYTES
#define CHAIN_TEXT_BYTES	(2 * CHAIN_BYTES + 1)	/* hexadecimal digits and the end */

/* Before the first document of the store, whose id is lower-case text, at the sink. */
extern bool chain_start(const char *store_id, const char *sink, unsigned char chain[CHAIN_BYTES]);

/*
 * What the chain is after one more batch; first is the delivery number of its first document,
 * content the SHA-256 of its documents, each with its line feed behind it.
 */
extern bool chain_extend(unsigned char chain[CHAIN_BYTES], int64_t first, int64_t count,
						 const unsigned char content[CHAIN_BYTES]);

/* As lower-case hexadecimal digits, and back; false: it is something else. */
extern void chain_write(const unsigned char chain[CHAIN_BYTES], char text[CHAIN_TEXT_BYTES]);
extern bool chain_read(const char *text, unsigned char chain[CHAIN_BYTES]);

#endif							/* ADMIN_EXT_CHAIN_H */
