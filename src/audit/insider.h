/*
 * insider.h
 *	  Events in the trail about what operators and superusers do to it and to the objects that guard
 *	  it.
 *
 * Events are collected while a transaction runs and written just before it commits.  They are part
 * of the transaction, so a rollback removes them.  The server's log gets a line in any case, even
 * if the trail cannot take a row.
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

/* May the transaction write, and can the trail take a row? */
extern bool insider_trail_can_take(void);

/* Has the trail never held a row?  This is so before the partitions of a dump are attached. */
extern bool insider_trail_is_fresh(void);

/* Within insider_*.c; audit_number.c notes lasting acts, too. */

/*
 * Lasting acts: a rollback does not undo them.  insider_lasting_object() returns what a command
 * loads, runs or writes to, or NULL.  insider_note_lasting() notes a payload of guard.changed,
 * which is written at the next commit that can write; false if it repeats the previous one.
 * insider_has_lasting() tells whether a payload waits, and insider_collect_lasting() collects the
 * payloads.  insider_lasting_end() is for the end of the transaction.
 */
extern const char *insider_lasting_object(Node *statement);
extern bool insider_is_untrusted(Oid language);
extern bool insider_note_lasting(const char *payload);
extern bool insider_has_lasting(void);
extern void insider_collect_lasting(void);
extern void insider_lasting_end(bool is_commit);

/* Notes the call of a function that does a lasting act. */
extern void insider_note_call(Oid function);

/* Is EXPLAIN initializing a plan that it will not run? */
extern bool insider_is_explained(void);

/* Appends an event at once.  Requires that insider_trail_can_take() has returned true. */
extern void insider_append_now(const char *event_type, const char *payload);
extern void insider_ddl_init(void);
extern void insider_catalog_init(void);

/*
 * The first is for a commit at which the trail can take no event: it raises 55000 if the
 * transaction has changed rows of the trail.  The second is for the end of the transaction.
 */
extern void insider_catalog_check(void);
extern void insider_catalog_reset(void);

/* Writes a line to the server's log and collects guard.changed: what ran, on what, and its text. */
extern void insider_collect_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query);

/* The same, but appends the event at once, because after the command the trail may not be found. */
extern void insider_record_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query);
extern bool insider_owns_relation(Oid relation);
extern bool insider_owns(Oid class, Oid object);

/* The schema of an object; InvalidOid where it has none, or is not visible. */
extern Oid	insider_schema_of(Oid class, Oid object);

/* Do the extension's functions depend on an object that is not its own?  Is it in pg_catalog? */
extern bool insider_serves_ours(Oid class, Oid object);
extern bool insider_is_in_catalog(Oid class, Oid object);
extern bool insider_role_has_ours(Oid role);

/*
 * Has the role, or a role that it is a member of, access to our objects, or to every table or file?
 */
extern bool insider_role_reaches_ours(Oid role);

/* Did a partition that is not one of ours get the trigger from its parent? */
extern bool insider_is_cloned_trigger(Oid trigger);

/* Does the table have a trigger that calls one of our functions? */
extern bool insider_is_audited(Oid relation);
extern bool insider_find_target(Node *statement, Oid *class, Oid *object);
extern void insider_record_setting_command(Node *statement);

#endif							/* ADMIN_EXT_INSIDER_H */
