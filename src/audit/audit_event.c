/*
 * audit_event.c
 *	  See audit_event.h.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit/audit_append.h"
#include "audit/audit_event.h"
#include "audit/insider.h"

PG_FUNCTION_INFO_V1(admin_append_event);

int64
audit_append_event(const char *event_type, const text *approval_id, const text *payload)
{
	AuditEvent	event = {0};

	event.audit_id = audit_draw_id();
	event.recorded_at = GetCurrentTimestamp();
	event.occurred_at = event.recorded_at;
	event.event_type = event_type;
	event.approval_id = approval_id;
	event.actor = cstring_to_text(GetUserNameFromId(GetSessionUserId(), false));
	event.payload = payload;
	audit_append(&event);
	return event.audit_id;
}

/* Events of these kinds say what somebody else did; only the code that sees it done writes them. */
static void
refuse_other_types(const char *event_type)
{
	static const char *const others[] = {"approval.", "signature.", "sensitive.check", "row.", AUDIT_INGESTED_PREFIX};

	for (int i = 0; i < lengthof(others); i++)
	{
		if (strncmp(event_type, others[i], strlen(others[i])) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("event type \"%s\" is not one about the trail itself", event_type)));
	}
}

/* append_event(event_type text, payload json, approval_id text): no caller but our own functions. */
Datum
admin_append_event(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is null", PG_ARGISNULL(0) ? "event_type" : "payload")));
	insider_refuse_while_restoring("a function of admin_ext that leaves an event");
	refuse_other_types(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_INT64(audit_append_event(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									   PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2),
									   PG_GETARG_TEXT_PP(1)));
}
