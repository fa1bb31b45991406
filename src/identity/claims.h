/*
 * claims.h
 *	  The claims of a JSON Web Token (RFC 7519, section 4), read and compared with what a
 *	  trusted issuer's tokens must say.
 */
#ifndef ADMIN_EXT_CLAIMS_H
#define ADMIN_EXT_CLAIMS_H

#include "identity/json_members.h"

/* Instants are microseconds since 1970. */
typedef struct Claims
{
	JsonMembers members;
	const char *issuer;			/* iss: always there */
	const char *token_id;		/* jti, or NULL */
	int64		expires_at;		/* exp: always there */
	int64		not_before;		/* nbf; INT64_MIN when absent */
	int64		issued_at;		/* iat; INT64_MIN when absent */
} Claims;

/* What an issuer's tokens are compared with. */
typedef struct ClaimsExpected
{
	const char *audience;
	const char *subject_claim;
	const char *roles_claim;
	int64		now;
	int64		leeway;			/* on nbf and iat; exp has none */
	int64		max_life;		/* from iat, or from now on without it, to exp */
} ClaimsExpected;

/* Returns NULL, or what is wrong.  What it allocates is of the current memory context. */
extern const char *claims_read(const char *json, int length, Claims *claims);
extern const char *claims_check(const Claims *claims, const ClaimsExpected *expected);

/* The subject of claims that have been checked. */
extern const char *claims_subject(const Claims *claims, const ClaimsExpected *expected);

/* Their roles: an array of strings, or one string that is one role; returns how many. */
extern int	claims_roles(const Claims *claims, const ClaimsExpected *expected,
						 const char *const **roles);

#endif							/* ADMIN_EXT_CLAIMS_H */
