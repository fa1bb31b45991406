/*
 * jws_algorithm.h
 *	  What an algorithm is made of, for jwk.c and jws_algorithm.c alone.
 */
#ifndef ADMIN_EXT_JWS_ALGORITHM_H
#define ADMIN_EXT_JWS_ALGORITHM_H

#include "identity/jwk.h"

struct JwsAlgorithm
{
	const char *name;
	const char *key_type;		/* kty */
	const char *curve;			/* crv; NULL for RSA */
	const char *digest;			/* NULL for Ed25519 */
	bool		is_pss;
	int			coordinate_bytes;	/* of the curve */
};

/* The algorithm of keys on a curve; NULL when it is none of ours. */
extern const JwsAlgorithm *jws_algorithm_of_curve(const char *key_type, const char *curve);

#endif							/* ADMIN_EXT_JWS_ALGORITHM_H */
