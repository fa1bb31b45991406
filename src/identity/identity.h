/*
 * identity.h
 *	  Identifies a person by a JSON Web Token that a trusted issuer has signed (RFC 7519, RFC 8725).
 */
#ifndef ADMIN_EXT_IDENTITY_H
#define ADMIN_EXT_IDENTITY_H

#include "datatype/timestamp.h"

#include "audit/evidence.h"

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

/*
 * The same, but raises 22023 if a plain argument names another person than the token proves.
 * `claimed` is NULL when there is no such argument.
 */
extern void identity_verify_as(const text *token, const text *claimed, const char *argument,
							   Identity *identity);

/* Raises 28000 when what was verified a while ago has expired, or its key been revoked, since. */
extern void identity_recheck(const Identity *identity, TimestampTz now);

extern bool identity_has_role(const Identity *identity, const char *role);

/* What the trail keeps of a token that was verified: its names and its SHA-256, never the token. */
extern void identity_evidence(const text *token, const Identity *identity, AuditEvidence *evidence);

#endif							/* ADMIN_EXT_IDENTITY_H */
