/*
 * identity.h
 *	  Who somebody is, by a JSON Web Token that a trusted issuer has signed (RFC 7519, RFC 8725).
 */
#ifndef ADMIN_EXT_IDENTITY_H
#define ADMIN_EXT_IDENTITY_H

#include "datatype/timestamp.h"

#define TOKEN_SHA256_BYTES	32

/* Strings are of the database's encoding and the current memory context. */
typedef struct Identity
{
	const char *subject;
	const char *const *roles;
	int			role_count;
	const char *issuer;			/* iss */
	const char *key_id;			/* kid */
	const char *token_id;		/* jti, or NULL */
	TimestampTz expires_at;
	const char *claims;			/* as JSON */
} Identity;

/* Raises 28000, with the reason, unless the token proves an identity at this moment. */
extern void identity_verify(const text *token, Identity *identity);

extern bool identity_has_role(const Identity *identity, const char *role);

/* The token is never stored; its SHA-256 is. */
extern void identity_digest(const text *token, uint8 digest[TOKEN_SHA256_BYTES]);

#endif							/* ADMIN_EXT_IDENTITY_H */
