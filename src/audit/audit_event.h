/*
 * audit_event.h
 *	  Events about the trail itself: what an operator or a superuser did to it.
 *
 * The event types are those of semantics.md, "Audit events" (sink.resynced, guard.changed, ...).
 */
#ifndef ADMIN_EXT_AUDIT_EVENT_H
#define ADMIN_EXT_AUDIT_EVENT_H

#include "postgres.h"

/*
 * Appends one event in the caller's transaction and returns its audit_id.  The actor is the session
 * user, which SET ROLE and SECURITY DEFINER functions do not change.  Where SET SESSION
 * AUTHORIZATION has changed the user, the payload names who logged in ("authenticated").
 * `approval_id` may be NULL; `payload` is the text of a JSON object.  Draws an audit_id and locks
 * the trail and its partition in RowExclusiveLock until the end of the transaction.  Errors: those
 * of audit_append().
 */
extern int64 audit_append_event(const char *event_type, const text *approval_id, const text *payload);

/* The same for an event that was collected: actor and payload are of the time when it happened. */
extern int64 audit_append_event_of(const char *actor, const char *event_type, const text *approval_id, const text *payload);

#endif							/* ADMIN_EXT_AUDIT_EVENT_H */
