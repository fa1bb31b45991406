/*
 * hashing.h
 *	  SHA-256 of much data, computed by a thread of its own while the caller does something else.
 *
 * The thread starts with the first data that are long enough, and calls only OpenSSL.  If it cannot
 * be started, the caller computes the digest.  All functions must be called from one thread, the
 * caller's.  Free of PostgreSQL.
 */
#ifndef ADMIN_EXT_HASHING_H
#define ADMIN_EXT_HASHING_H

#include <stdbool.h>
#include <stddef.h>

#define HASHING_BYTES	32

/* One digest in the making. */
typedef struct Hashing Hashing;

/* NULL: there is no memory. */
extern Hashing *hashing_new(void);

/* Begins a digest; what was given before is forgotten. */
extern void hashing_begin(Hashing *hashing);

/*
 * Adds data.  The caller must not move or change them until hashing_settle() or another function
 * below has returned for this digest, or until it has added data that do not directly follow them
 * in memory.
 */
extern void hashing_add(Hashing *hashing, const void *data, size_t length);

/* When it returns, what was added is not read any more.  NULL: there is nothing to wait for. */
extern void hashing_settle(Hashing *hashing);

/* The digest of all that was added, once.  False: it could not be computed. */
extern bool hashing_take(Hashing *hashing, unsigned char digest[HASHING_BYTES]);

/* NULL is let pass. */
extern void hashing_free(Hashing *hashing);

/* Ends the thread, before the process does: OpenSSL cleans up after itself then. */
extern void hashing_end(void);

#endif							/* ADMIN_EXT_HASHING_H */
