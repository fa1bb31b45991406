/*
 * position_seal.h
 *	  Proof that a position which a sink has kept was written by this store.
 */
#ifndef ADMIN_EXT_POSITION_SEAL_H
#define ADMIN_EXT_POSITION_SEAL_H

#define POSITION_SEAL_BYTES	65	/* hexadecimal digits and the end */

/* What proves that a position is of this store, and of that sink. */
typedef struct PositionKey
{
	char		sink[NAMEDATALEN];
	unsigned char secret[32];
} PositionKey;

/*
 * The seal of a position: HMAC-SHA-256 by the store's key over sink, store id, position_id and
 * text, which is the position as position_write() has put it.
 */
extern void position_seal(const PositionKey *key, const char *store_id, int64 position_id, const char *text, Size length,
						  char seal[POSITION_SEAL_BYTES]);

/* Compares in the same time wherever the two differ. */
extern bool position_seal_holds(const PositionKey *key, const char *store_id, int64 position_id, const char *text, Size length,
								const char *seal);

#endif							/* ADMIN_EXT_POSITION_SEAL_H */
