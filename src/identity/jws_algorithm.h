/*
 * jws_algorithm.h
 *	  The algorithms of signatures, and signatures by them against an OpenSSL key.
 *
 * Asymmetric algorithms only: a token cannot choose "none" or HMAC (RFC 8725,
 * sections 3.1 and 3.2).
 */
#ifndef ADMIN_EXT_JWS_ALGORITHM_H
#define ADMIN_EXT_JWS_ALGORITHM_H

#include "identity/either.h"

#include <openssl/evp.h>

/* One of RFC 7518, section 3.1, and RFC 8037, section 3.1. */
typedef struct JwsAlgorithm
{
	const char *name;
	const char *key_type;		/* kty */
	const char *curve;			/* crv; NULL for RSA */
	const char *digest;			/* NULL for Ed25519 */
	bool		is_pss;
	int			coordinate_bytes;	/* of the curve */
} JwsAlgorithm;

/* NULL when it is unknown. */
extern const JwsAlgorithm *jws_algorithm(const char *name);

/* The algorithm of keys on a curve; NULL when it is unknown. */
extern const JwsAlgorithm *jws_algorithm_of_curve(const char *key_type, const char *curve);

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

#endif							/* ADMIN_EXT_JWS_ALGORITHM_H */
