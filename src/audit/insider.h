/*
 * insider.h
 *	  What operators and superusers do to the trail and to what guards it leaves events in it.
 *
 * Events are collected while a transaction runs and written when it commits, before anything is
 * made permanent: they are part of the transaction, and what is rolled back leaves no event.  Where
 * the trail cannot take a row the server's log has the line that is written in any case.
 */
#ifndef ADMIN_EXT_INSIDER_H
#define ADMIN_EXT_INSIDER_H

#include "postgres.h"

#include "catalog/objectaddress.h"
#include "lib/stringinfo.h"
#include "nodes/nodes.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "utils/guc.h"
#include "utils/relcache.h"

extern void insider_init(void);

/* May the transaction write, and has the trail the shape that a row needs? */
extern bool insider_trail_can_take(void);

/* Has the trail never held a row?  Months of a dump have not been attached then. */
extern bool insider_trail_is_fresh(void);

/* Within insider_*.c; audit_number.c notes lasting acts, too. */

/*
 * Acts that a rollback does not undo.  What a command loads, runs or writes to, or NULL.  What is noted, the payload
 * of guard.changed, is written at the next commit that can; false: it repeats the one before.  Is there something to
 * write?  Collects it; and the transaction has ended.
 */
extern const char *insider_lasting_object(Node *statement);
extern bool insider_is_untrusted(Oid language);
extern bool insider_note_lasting(const char *payload);
extern bool insider_has_lasting(void);
extern void insider_collect_lasting(void);
extern void insider_lasting_end(bool is_commit);

/* Notes that a function is called that acts in this way. */
extern void insider_note_call(Oid function);

/* Is a plan initialized that EXPLAIN shows and does not run? */
extern bool insider_is_explained(void);

/* Appends an event at once; insider_trail_can_take() has said that it can. */
extern void insider_append_now(const char *event_type, const char *payload);
extern void insider_ddl_init(void);
extern void insider_catalog_init(void);

/* At a commit where the trail can take no event: raises 55000 if the transaction has changed rows of it.  And at its end. */
extern void insider_catalog_check(void);
extern void insider_catalog_reset(void);

/* Writes a line to the server's log and collects guard.changed: what ran, on what, and its text. */
extern void insider_collect_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query);

/* The same, and appends the event at once: after the command the trail may not be found. */
extern void insider_record_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query);
extern bool insider_owns_relation(Oid relation);
extern bool insider_owns(Oid class, Oid object);

/* The schema of an object; InvalidOid where it has none, or is not visible. */
extern Oid	insider_schema_of(Oid class, Oid object);

/* Do the extension's functions run on an object that is not the extension's?  And is it in pg_catalog? */
extern bool insider_serves_ours(Oid class, Oid object);
extern bool insider_is_in_catalog(Oid class, Oid object);
extern bool insider_role_has_ours(Oid role);

/* The same of the roles that it is a member of, and of those that reach every table or file. */
extern bool insider_role_reaches_ours(Oid role);

/* Did a partition that is not one of ours get the trigger from its parent? */
extern bool insider_is_cloned_trigger(Oid trigger);

/* Has the table a trigger that calls a function of ours? */
extern bool insider_is_audited(Oid relation);
extern bool insider_find_target(Node *statement, Oid *class, Oid *object);
extern void insider_record_setting_command(Node *statement);

#endif							/* ADMIN_EXT_INSIDER_H */
