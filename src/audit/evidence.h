/*
 * evidence.h
 *	  Whether the person behind a step of the workflow was verified, and by which token.
 *
 * While a step is under way the row-change trigger adds this to the events of approval and
 * signature.  The token itself is never stored: a reader of the trail could act by it.
 */
#ifndef ADMIN_EXT_EVIDENCE_H
#define ADMIN_EXT_EVIDENCE_H

#include "lib/stringinfo.h"

#define EVIDENCE_SHA256_BYTES	32

typedef struct AuditEvidence
{
	bool		is_verified;	/* false: taken from a plain argument; the rest is not set */
	const char *issuer;			/* iss */
	const char *key_id;			/* kid */
	const char *token_id;		/* jti, or NULL */
	uint8		token_sha256[EVIDENCE_SHA256_BYTES];
} AuditEvidence;

/* NULL outside a step.  The function that sets it must also reset it, even after an error. */
extern const AuditEvidence *audit_evidence;

/* {"issuer", "key_id", "token_id", "sha256"}: the token that verified a person, never the token itself. */
extern void append_token_json(StringInfo out, const AuditEvidence *evidence);

/* ,"verified":...,"token":{...}: members to be added to an object. */
extern void append_evidence_json(StringInfo out, const AuditEvidence *evidence);

#endif							/* ADMIN_EXT_EVIDENCE_H */
