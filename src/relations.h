/*
 * relations.h
 *	  The extension's own relations by oid, looked up once and again after any change.
 */
#ifndef ADMIN_EXT_RELATIONS_H
#define ADMIN_EXT_RELATIONS_H

#include "storage/lockdefs.h"
#include "utils/relcache.h"

/* Oids only: relations.c goes through them as an array. */
typedef struct AdminRelations
{
	Oid			approval;
	Oid			approval_by_id; /* primary key */
	Oid			signature;
	Oid			signature_by_approval;	/* unique (approval_id, signer_role) */
	Oid			audit;
	Oid			audit_sequence; /* of audit_id */
	Oid			audit_attributes;
	Oid			audit_attributes_by_id; /* primary key */
	Oid			jwt_issuer;
	Oid			jwt_issuer_by_name; /* primary key */
	Oid			jwt_one_use;
	Oid			jwt_one_use_by_issuer;	/* primary key */
	Oid			jwt_key;
	Oid			jwt_key_by_id;	/* primary key */
	Oid			action_policy;
	Oid			action_policy_by_action;	/* primary key */
} AdminRelations;

extern void relations_init(void);

/* Raises 55000 where the extension is not installed in this database. */
extern const AdminRelations *admin_relations(void);

/* Another number, never 0, when any relation of the database has changed since. */
extern uint64 relations_generation(void);

/* Would admin_relations() find them all? */
extern bool admin_relations_exist(void);

/* A function without arguments, of schema admin or admin_internal, visible to the caller or not; InvalidOid where there is none. */
extern Oid	admin_function(const char *schema_name, const char *name);

/*
 * Locks or opens a table: `table` points to its member of what admin_relations() returns.  An
 * index of the table may get another oid at any time until then, by REINDEX CONCURRENTLY.  So
 * ask admin_relations() for the index afterwards.  The lock lasts to the end of the transaction.
 */
extern Oid	admin_relation_lock(const Oid *table, LOCKMODE mode);
extern Relation admin_relation_open(const Oid *table, LOCKMODE mode);

#endif							/* ADMIN_EXT_RELATIONS_H */
