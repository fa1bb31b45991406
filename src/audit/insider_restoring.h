/*
 * insider_restoring.h
 *	  Rows that are loaded while admin_ext.restoring is on.
 */
#ifndef ADMIN_EXT_INSIDER_RESTORING_H
#define ADMIN_EXT_INSIDER_RESTORING_H

#include "postgres.h"

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

/* Notes a row that is inserted while admin_ext.restoring is on, and marks the store as loaded. */
extern void insider_note_loaded(Relation table);

/* The same for a row of the trail.  Events of this transaction then get higher numbers. */
extern void insider_note_loaded_event(Relation table, int64 audit_id);

/* False for a copy that was loaded, until an operator has said where delivery goes on. */
extern bool insider_store_is_adopted(void);

/* Raises 55000 while admin_ext.restoring is on: `function` would write rows without their trail. */
extern void insider_refuse_while_restoring(const char *function);

/* Before commit: collects what this transaction has loaded; whether it has; and the highest audit_id of it. */
extern void insider_collect_loaded(void);
extern bool insider_has_loaded(void);
extern int64 insider_highest_loaded(void);

/* Before TRUNCATE of a month while a dump is loaded: collects the events in it, to append them again. */
extern void insider_keep_events(const TruncateStmt *statement);

#endif							/* ADMIN_EXT_INSIDER_RESTORING_H */
