/*
 * position_seal.c
 *	  Proof that a position which a sink has kept was written by this store.
 *
 * A user who may write to the sink can copy a position, but cannot make one.  The seal covers the
 * sink, the store and the number of the position.  So a copy under another sink, store or number is
 * not accepted.
 */
#include "postgres.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "lib/stringinfo.h"

#include "delivery/position_seal.h"

#define SHA256_BYTES	32

void
position_seal(const PositionKey *key, const char *store_id, int64 position_id, const char *text, Size length,
			  char seal[POSITION_SEAL_BYTES])
{
	StringInfoData sealed;
	unsigned char digest[SHA256_BYTES];
	unsigned int digest_length = sizeof(digest);

	initStringInfo(&sealed);
	appendStringInfo(&sealed, "%s %s " INT64_FORMAT " ", key->sink, store_id, position_id);
	appendBinaryStringInfo(&sealed, text, length);
	if (HMAC(EVP_sha256(), key->secret, sizeof(key->secret), (const unsigned char *) sealed.data, sealed.len,
			 digest, &digest_length) == NULL || digest_length != sizeof(digest))
		elog(ERROR, "could not authenticate a position");
	pfree(sealed.data);
	for (int i = 0; i < SHA256_BYTES; i++)
		snprintf(seal + 2 * i, 3, "%02x", digest[i]);
}

bool
position_seal_holds(const PositionKey *key, const char *store_id, int64 position_id, const char *text, Size length,
					const char *seal)
{
	char		expected[POSITION_SEAL_BYTES];

	position_seal(key, store_id, position_id, text, length, expected);
	return strlen(seal) == POSITION_SEAL_BYTES - 1 && CRYPTO_memcmp(expected, seal, POSITION_SEAL_BYTES - 1) == 0;
}
