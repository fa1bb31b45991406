/*
 * response.c
 *	  Writes the answer into one buffer, key by key in the order of the contract.
 *	  No text is parsed and no catalog is read on the way.
 */
#include "check/response.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "json_text.h"

#define LITERAL(out, text) appendBinaryStringInfo(out, text, sizeof(text) - 1)
#define REQUEST_MEMBER "},\"request\":{"	/* with the brace that ends the answer's last member */

/* A word of our own: quoted, nothing to escape; null for NULL. */
static void
append_word(StringInfo out, const char *word)
{
	if (word == NULL)
	{
		LITERAL(out, "null");
		return;
	}
	appendStringInfoChar(out, '"');
	appendStringInfoString(out, word);
	appendStringInfoChar(out, '"');
}

static void
append_bool(StringInfo out, bool value)
{
	if (value)
		LITERAL(out, "true");
	else
		LITERAL(out, "false");
}

static void
append_facts(StringInfo out, const ApprovalFacts *facts, const PolicyDecision *decision)
{
	if (!facts->found)
	{
		LITERAL(out, ",\"state\":null,\"ttl_state\":null,\"required_signer_count\":null"
				",\"signature_count\":null");
		return;
	}
	LITERAL(out, ",\"state\":");
	append_word(out, approval_state_name(facts->state));
	LITERAL(out, ",\"ttl_state\":");
	append_word(out, ttl_state_name(decision->ttl));
	LITERAL(out, ",\"required_signer_count\":");
	append_int(out, facts->required_signer_count);
	LITERAL(out, ",\"signature_count\":");
	append_int(out, facts->signature_count);
}

text *
response_build(const text *approval_id, const PolicyRequest *request, const ApprovalFacts *facts,
			   const PolicyDecision *decision, int64 audit_id)
{
	StringInfoData out;

	initStringInfo(&out);
	/* Written as a varlena from the start, so that it is not copied at the end. */
	appendStringInfoSpaces(&out, VARHDRSZ);
	LITERAL(&out, "{\"contract\":\"" CHECK_EVENT_TYPE "\",\"approval_id\":");
	append_json_text(&out, approval_id);
	LITERAL(&out, ",\"decision\":");
	append_word(&out, decision->valid ? "valid" : "deny");
	LITERAL(&out, ",\"reason\":");
	append_word(&out, policy_reason_name(decision->reason));
	append_facts(&out, facts, decision);
	LITERAL(&out, ",\"valid_until\":");
	if (decision->valid)
	{
		appendStringInfoChar(&out, '"');
		append_timestamp(&out, facts->deadline);
		appendStringInfoChar(&out, '"');
	}
	else
		LITERAL(&out, "null");
	LITERAL(&out, ",\"evaluated_at\":\"");
	append_timestamp(&out, request->at);
	LITERAL(&out, "\",\"meta\":{\"operator_alert\":");
	append_bool(&out, decision->operator_alert);
	LITERAL(&out, ",\"precedence\":");
	append_int(&out, decision->precedence);
	LITERAL(&out, ",\"requestable\":");
	append_bool(&out, decision->requestable);
	LITERAL(&out, "},\"audit\":{\"event_type\":\"" CHECK_EVENT_TYPE "\",\"audit_id\":");
	if (audit_id == 0)
		LITERAL(&out, "null,\"sink_status\":\"deferred\"}}");
	else
	{
		appendStringInfoChar(&out, '"');
		append_int(&out, audit_id);
		LITERAL(&out, "\",\"sink_status\":\"pending\"}}");
	}
	SET_VARSIZE(out.data, out.len);
	return (text *) out.data;
}

static void
append_policy_text(StringInfo out, PolicyText value)
{
	if (value.data == NULL)
		LITERAL(out, "null");
	else
		append_json_string(out, value.data, value.length);
}

text *
response_record(const text *response, const PolicyRequest *request, const AuditEvidence *evidence)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoSpaces(&out, VARHDRSZ);
	/* Without the brace that ends the answer. */
	appendBinaryStringInfo(&out, VARDATA_ANY(response), VARSIZE_ANY_EXHDR(response) - 1);
	LITERAL(&out, ",\"request\":{\"action\":");
	append_policy_text(&out, request->action);
	LITERAL(&out, ",\"resource\":");
	append_policy_text(&out, request->resource);
	LITERAL(&out, ",\"token\":");
	if (evidence->is_verified)
		append_token_json(&out, evidence);
	else
		LITERAL(&out, "null");
	LITERAL(&out, "}}");
	SET_VARSIZE(out.data, out.len);
	return (text *) out.data;
}

text *
response_of_record(text *record)
{
	const char *data = VARDATA_ANY(record);
	int			length = VARSIZE_ANY_EXHDR(record);
	int			member = sizeof(REQUEST_MEMBER) - 1;
	text	   *answer;

	/* This text cannot be part of a string, because quotation marks in a string are escaped. */
	for (int i = 0; i + member <= length; i++)
	{
		if (data[i] != '}' || memcmp(data + i, REQUEST_MEMBER, member) != 0)
			continue;
		answer = cstring_to_text_with_len(data, i + 2);
		VARDATA(answer)[i + 1] = '}';
		return answer;
	}
	return record;
}
