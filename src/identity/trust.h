/*
 * trust.h
 *	  Whose tokens are believed: admin.jwt_issuer and admin.jwt_key.
 *
 * Both are read at each token, by what is committed at that moment: a revocation takes
 * effect in every session at once.  What a key was parsed into is kept per backend.
 */
#ifndef ADMIN_EXT_TRUST_H
#define ADMIN_EXT_TRUST_H

#include "utils/jsonb.h"

#include "identity/jwk.h"

/* Texts are of the current memory context. */
typedef struct TrustedIssuer
{
	const char *audience;
	const char *roles_claim;
	const char *subject_claim;
	int64		max_token_life; /* microseconds */
} TrustedIssuer;

extern bool trust_find_issuer(const char *issuer, TrustedIssuer *found);

/* Does each jti of the issuer take one step only? */
extern bool trust_is_for_one_use(const char *issuer);

/* Returns NULL and the verifier, good until the next call; or why there is none. */
extern const char *trust_find_key(const char *issuer, const char *key_id, const JwsVerifier **verifier);

/* Returns NULL, and the caller owns key->key; or why the key cannot be used. */
extern const char *trust_read_jwk(Jsonb *jwk, Jwk *key);

#endif							/* ADMIN_EXT_TRUST_H */
