/*
 * audit_actor.c
 *	  See audit_actor.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "audit/audit_actor.h"
#include "json_text.h"

char *
audit_actor(void)
{
	return GetUserNameFromId(GetSessionUserId(), false);
}

/* SET SESSION AUTHORIZATION changes a superuser's name, but not the authenticated user. */
char *
audit_payload_with_login(const char *payload)
{
	int			length = strlen(payload);
	StringInfoData out;

	if (GetAuthenticatedUserId() == GetSessionUserId() || length < 2 || payload[0] != '{' || payload[length - 1] != '}')
		return pstrdup(payload);
	initStringInfo(&out);
	appendBinaryStringInfo(&out, payload, length - 1);
	audit_append_login(&out, length > 2 ? "," : "");
	appendStringInfoChar(&out, '}');
	return out.data;
}

void
audit_append_login(StringInfo out, const char *separator)
{
	if (GetAuthenticatedUserId() == GetSessionUserId())
		return;
	appendStringInfo(out, "%s\"authenticated\":", separator);
	append_json_cstring(out, GetUserNameFromId(GetAuthenticatedUserId(), false));
}
