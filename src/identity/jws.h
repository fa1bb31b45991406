/*
 * jws.h
 *	  JSON Web Signature, compact serialization (RFC 7515, sections 3.1 and 7.1), taken apart.
 *
 * The header is validated but not followed: keys come from the caller.  The parameters jwk, jku,
 * x5u and x5c are ignored (RFC 8725, section 3.10).
 */
#ifndef ADMIN_EXT_JWS_H
#define ADMIN_EXT_JWS_H

#include "identity/jwk.h"

#define JWS_MAX_BYTES	16384

typedef struct Jws
{
	const char *signing_input;	/* header, dot, payload: what is signed */
	size_t		signing_input_bytes;
	const uint8 *payload;		/* a zero byte follows it */
	int			payload_bytes;
	const uint8 *signature;
	int			signature_bytes;
	const JwsAlgorithm *algorithm;
	const char *key_id;			/* kid; NULL when absent */
	const char *type;			/* typ; NULL when absent */
	const char *content_type;	/* cty; NULL when absent */
} Jws;

/*
 * Returns NULL, or why the token is refused.  `token` need not end with a zero byte.  It must stay
 * valid as long as the result, which lives in the current memory context.
 */
extern const char *jws_read(const char *token, size_t length, Jws *jws);

#endif							/* ADMIN_EXT_JWS_H */
