/*
 * insider.h
 *	  What operators and superusers do to the trail and to what guards it leaves events in it.
 *
 * Events are collected while a transaction runs and written when it commits, before anything is
 * made permanent: they are part of the transaction, and what is rolled back leaves none.  Where
 * the trail cannot take a row the server's log has the line that is written in any case.
 */
#ifndef ADMIN_EXT_INSIDER_H
#define ADMIN_EXT_INSIDER_H

#include "postgres.h"

#include "catalog/objectaddress.h"
#include "lib/stringinfo.h"
#include "nodes/nodes.h"
#include "nodes/plannodes.h"
#include "utils/guc.h"
#include "utils/relcache.h"

extern void insider_init(void);

/*
 * Collects an event for the end of the transaction.  `payload` is the text of a JSON object.
 * A savepoint that is rolled back takes its events with it.
 */
extern void insider_collect(const char *event_type, const char *payload);

/* May the transaction write, and has the trail the shape that a row needs? */
extern bool insider_trail_can_take(void);

/* Has the trail never held a row?  Months of a dump have not been attached then. */
extern bool insider_trail_is_fresh(void);

/* Notes a row that is inserted while admin_ext.restoring is on, and marks the store as loaded. */
extern void insider_note_loaded(Relation table);

/* The same of a row of the trail: events of this transaction get higher numbers. */
extern void insider_note_loaded_event(Relation table, int64 audit_id);

/* False for a copy that was loaded, until an operator has said where delivery goes on. */
extern bool insider_store_is_adopted(void);

/* Raises 55000 while admin_ext.restoring is on: `function` would write rows without their trail. */
extern void insider_refuse_while_restoring(const char *function);

/* Hooks of the settings that insider_setting.c watches. */
extern bool insider_check_switch(bool *value, void **extra, GucSource source);
extern void insider_assign_restoring(bool value, void *extra);
extern void insider_assign_require_jwt(bool value, void *extra);
extern void insider_assign_require_policy(bool value, void *extra);

/*
 * Does the extension's own code run, and not somebody else's that it has called?  A caller in C
 * brackets its queries, and puts back what insider_own_begin() has returned, after an error, too.
 */
extern bool insider_is_own(void);
extern bool insider_own_begin(void);
extern void insider_own_end(bool before);

/* The process runs nothing but the extension's code. */
extern void insider_own_worker(void);

/* For the worker: notes a reload; says whether one is still to be looked at; collects, in a transaction,
 * what it has weakened; and takes what is set now for known. */
extern void insider_reload_noticed(void);
extern bool insider_is_reloaded(void);
extern void insider_collect_reloaded(void);
extern void insider_reload_recorded(void);

/* Within insider_*.c. */

/* A line in the server's log, whatever log_min_messages is in this session. */
extern void insider_log(const char *message);

/* Appends an event at once; insider_trail_can_take() has said that it can. */
extern void insider_append_now(const char *event_type, const char *payload);
extern void insider_own_init(void);
extern void insider_own_reset(void);
extern void insider_ddl_init(void);
extern void insider_catalog_init(void);

/* Writes a line to the server's log and collects guard.changed: what ran, on what, and its text. */
extern void insider_collect_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query);
extern bool insider_is_our_extension(Oid extension);
extern bool insider_is_our_schema(Oid schema);
extern bool insider_owns_relation(Oid relation);
extern bool insider_owns(Oid class, Oid object);
extern bool insider_role_has_ours(Oid role);

/* The same of the roles that it is a member of, and of those that reach every table or file. */
extern bool insider_role_reaches_ours(Oid role);

/* The trail, one of its partitions, or a month that was detached from it. */
extern bool insider_is_trail(Oid relation);

/* Has the table a trigger that calls a function of ours? */
extern bool insider_is_audited(Oid relation);
extern bool insider_find_target(Node *statement, Oid *class, Oid *object);
extern void insider_record_setting_command(Node *statement);
extern bool insider_has_settings(void);
extern void insider_collect_settings(bool begins);
extern void insider_settings_end(bool is_commit);
extern void insider_collect_loaded(void);
extern bool insider_has_loaded(void);
extern int64 insider_highest_loaded(void);

#endif							/* ADMIN_EXT_INSIDER_H */
