/*
 * audit_actor.h
 *	  The actor of an event: the session user, and the user who logged in.
 */
#ifndef ADMIN_EXT_AUDIT_ACTOR_H
#define ADMIN_EXT_AUDIT_ACTOR_H

#include "postgres.h"

#include "lib/stringinfo.h"

/* The session user.  SET ROLE and SECURITY DEFINER functions do not change it. */
extern char *audit_actor(void);

/* A copy of the text of a JSON object, with the member "authenticated" where SET SESSION AUTHORIZATION has changed the user. */
extern char *audit_payload_with_login(const char *payload);

/* Appends the member "authenticated" where SET SESSION AUTHORIZATION has changed the session's user. */
extern void audit_append_login(StringInfo out, const char *separator);

#endif							/* ADMIN_EXT_AUDIT_ACTOR_H */
