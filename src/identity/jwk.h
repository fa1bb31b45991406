/*
 * jwk.h
 *	  Public keys: JSON Web Key (RFC 7517; RFC 7518, section 6; RFC 8037) to OpenSSL's EVP_PKEY.
 */
#ifndef ADMIN_EXT_JWK_H
#define ADMIN_EXT_JWK_H

#include "identity/either.h"

#include <openssl/evp.h>

#include "identity/json_members.h"
#include "identity/jws_algorithm.h"

#define RSA_MIN_BITS	2048	/* RFC 7518, sections 3.3 and 3.5 */
#define RSA_MAX_BITS	8192

typedef struct Jwk
{
	EVP_PKEY   *key;
	const JwsAlgorithm *algorithm;	/* of member alg, or the one its curve allows; NULL: RSA
									 * without alg */
	const char *key_type;
	bool		is_private;		/* the JWK holds private parts, which have not been looked at */
} Jwk;

/*
 * Returns NULL, or why the key cannot be used; nothing is to be freed then.
 * Else the caller owns jwk->key.
 */
extern const char *jwk_read(const JsonMembers *members, Jwk *jwk);

/* May signatures of this algorithm be checked with that key? */
extern bool jwk_takes(const Jwk *jwk, const JwsAlgorithm *algorithm);

#endif							/* ADMIN_EXT_JWK_H */
