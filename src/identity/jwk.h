/*
 * jwk.h
 *	  Public keys: JSON Web Key (RFC 7517; RFC 7518, section 6; RFC 8037) to OpenSSL's EVP_PKEY,
 *	  and signatures against them.
 *
 * Asymmetric algorithms only: there is no "none" and no HMAC to be talked into (RFC 8725,
 * sections 3.1 and 3.2).
 */
#ifndef ADMIN_EXT_JWK_H
#define ADMIN_EXT_JWK_H

#include "identity/either.h"

#include <openssl/evp.h>

#include "identity/json_members.h"

#define RSA_MIN_BITS	2048	/* RFC 7518, sections 3.3 and 3.5 */
#define RSA_MAX_BITS	8192

/* One of RFC 7518, section 3.1, and RFC 8037, section 3.1. */
typedef struct JwsAlgorithm JwsAlgorithm;

typedef struct Jwk
{
	EVP_PKEY   *key;
	const JwsAlgorithm *algorithm;	/* of member alg,
			or the one its curve allows; NULL: RSA without alg */
	const char *key_type;
	bool		is_private;		/* the JWK holds private parts, which have not been looked at */
} Jwk;

/* NULL when it is none that we know. */
extern const JwsAlgorithm *jws_algorithm(const char *name);
extern const char *jws_algorithm_name(const JwsAlgorithm *algorithm);

/*
 * Returns NULL, or why the key cannot be used; nothing is to be freed then.
 * Else the caller owns jwk->key.
 */
extern const char *jwk_read(const JsonMembers *members, Jwk *jwk);

/* May signatures of this algorithm be checked with that key? */
extern bool jws_algorithm_fits(const JwsAlgorithm *algorithm, const Jwk *jwk);

/* A key made ready for one algorithm, to be used again and again. */
typedef struct JwsVerifier
{
	const JwsAlgorithm *algorithm;
	EVP_PKEY   *key;
	EVP_PKEY_CTX *context;		/* NULL for Ed25519, which signs messages, not digests */
} JwsVerifier;

/* Takes the key; false when OpenSSL refuses the algorithm, the key is freed then. */
extern bool jws_verifier_make(JwsVerifier *verifier, const JwsAlgorithm *algorithm, EVP_PKEY *key);
extern void jws_verifier_free(JwsVerifier *verifier);

extern bool jws_verifier_accepts(const JwsVerifier *verifier, const uint8 *message, size_t length,
								 const uint8 *signature, size_t signature_length);

#endif							/* ADMIN_EXT_JWK_H */
