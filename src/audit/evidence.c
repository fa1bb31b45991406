/*
 * evidence.c
 *	  See evidence.h.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "audit/evidence.h"
#include "json_text.h"

const AuditEvidence *audit_evidence = NULL;

void
append_token_json(StringInfo out, const AuditEvidence *evidence)
{
	char		hex[2 * EVIDENCE_SHA256_BYTES + 1];

	hex[hex_encode((const char *) evidence->token_sha256, EVIDENCE_SHA256_BYTES, hex)] = '\0';
	appendStringInfoString(out, "{\"issuer\":");
	append_json_cstring(out, evidence->issuer);
	appendStringInfoString(out, ",\"key_id\":");
	append_json_cstring(out, evidence->key_id);
	appendStringInfoString(out, ",\"token_id\":");
	if (evidence->token_id == NULL)
		appendStringInfoString(out, "null");
	else
		append_json_cstring(out, evidence->token_id);
	appendStringInfo(out, ",\"sha256\":\"%s\"}", hex);
}

void
append_evidence_json(StringInfo out, const AuditEvidence *evidence)
{
	if (!evidence->is_verified)
	{
		appendStringInfoString(out, ",\"verified\":false");
		return;
	}
	appendStringInfoString(out, ",\"verified\":true,\"token\":");
	append_token_json(out, evidence);
}
