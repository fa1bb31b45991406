/*
 * audit_event.c
 *	  See audit_event.h.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "audit/audit_actor.h"
#include "audit/audit_append.h"
#include "audit/audit_event.h"
#include "audit/insider_own.h"
#include "audit/insider_restoring.h"
#include "json_text.h"

PG_FUNCTION_INFO_V1(admin_append_event);

int64
audit_append_event_of(const char *actor, const char *event_type, const text *approval_id, const text *payload)
{
	AuditEvent	event = {0};

	event.audit_id = audit_draw_id();
	event.recorded_at = GetCurrentTimestamp();
	event.occurred_at = event.recorded_at;
	event.event_type = event_type;
	event.approval_id = approval_id;
	event.actor = cstring_to_text(actor);
	event.payload = payload;
	audit_append(&event);
	return event.audit_id;
}

int64
audit_append_event(const char *event_type, const text *approval_id, const text *payload)
{
	return audit_append_event_of(audit_actor(), event_type, approval_id,
								 cstring_to_text(audit_payload_with_login(text_to_cstring(payload))));
}

static bool
event_has_prefix(const char *event_type, const char *const *prefixes, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (strncmp(event_type, prefixes[i], strlen(prefixes[i])) == 0)
			return true;
	}
	return false;
}

/* Events of these kinds report acts of others.  Only code that observes such an act writes them. */
static void
refuse_other_types(const char *event_type)
{
	static const char *const others[] = {"approval.", "signature.", "sensitive.check", "row.", AUDIT_INGESTED_PREFIX};

	if (event_has_prefix(event_type, others, lengthof(others)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("event type \"%s\" is not about the audit trail itself", event_type),
				 errdetail("The extension itself appends events of this type when they happen.")));
}

/*
 * Events of these kinds report acts of the extension's functions, so a superuser's direct call
 * would forge them.  Rows of type shadow.settled stay in the trail after the extension that writes
 * them has been dropped.
 */
static void
refuse_by_hand(const char *event_type)
{
	static const char *const acts[] = {
		"access.", "archive.", "dead_letter.", "gap.", "guard.", "partition.", "setting.", "shadow.", "sink."
	};

	if (insider_is_by_hand() && event_has_prefix(event_type, acts, lengthof(acts)))
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("an event of type \"%s\" by hand is refused", event_type),
				 errdetail("A function of admin_ext appends it after it has done what the event says.")));
}

/*
 * append_event(event_type text, payload json, approval_id text).  A superuser can call it to append
 * events of types that the extension does not use.  The superuser is then the actor.
 */
Datum
admin_append_event(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is null", PG_ARGISNULL(0) ? "event_type" : "payload")));
	insider_refuse_while_restoring("a function of admin_ext that leaves an event");
	refuse_other_types(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	refuse_by_hand(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_INT64(audit_append_event(text_to_cstring(PG_GETARG_TEXT_PP(0)),
									   PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2),
									   PG_GETARG_TEXT_PP(1)));
}
