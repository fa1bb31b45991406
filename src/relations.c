/*
 * relations.c
 *	  Cache of oids.  A name is looked up once; any invalidation of one of the
 *	  relations (DROP EXTENSION, REINDEX CONCURRENTLY) or of everything empties it.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "relations.h"

static AdminRelations cached;
static bool cache_is_good = false;
static uint64 invalidations = 0;

static void
forget(Datum arg, Oid relid)
{
	const Oid  *oids = (const Oid *) &cached;

	invalidations++;
	if (relid == InvalidOid)
		cache_is_good = false;
	for (int i = 0; cache_is_good && i < sizeof(cached) / sizeof(Oid); i++)
		cache_is_good = oids[i] != relid;
}

void
relations_init(void)
{
	CacheRegisterRelcacheCallback(forget, (Datum) 0);
}

static Oid
lookup(const char *name)
{
	Oid			schema = get_namespace_oid("admin", true);
	Oid			relation = OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;

	if (!OidIsValid(relation))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("relation \"admin.%s\" does not exist", name),
				 errhint("Run CREATE EXTENSION admin_ext in this database.")));
	return relation;
}

static void
look_up_all(void)
{
	cached.approval = lookup("approval");
	cached.approval_by_id = lookup("approval_pkey");
	cached.signature = lookup("signature");
	cached.signature_by_approval = lookup("signature_one_per_role");
	cached.audit = lookup("audit");
	cached.audit_sequence = lookup("audit_audit_id_seq");
	cached.audit_attributes = lookup("audit_attributes");
	cached.audit_attributes_by_id = lookup("audit_attributes_pkey");
	cached.jwt_issuer = lookup("jwt_issuer");
	cached.jwt_issuer_by_name = lookup("jwt_issuer_pkey");
	cached.jwt_one_use = lookup("jwt_one_use");
	cached.jwt_one_use_by_issuer = lookup("jwt_one_use_pkey");
	cached.jwt_key = lookup("jwt_key");
	cached.jwt_key_by_id = lookup("jwt_key_pkey");
	cached.action_policy = lookup("action_policy");
	cached.action_policy_by_action = lookup("action_policy_pkey");
}

const AdminRelations *
admin_relations(void)
{
	/* An open transaction hears of another session's DDL when it takes a lock, or here. */
	AcceptInvalidationMessages();
	while (!cache_is_good)
	{
		uint64		before = invalidations;

		look_up_all();
		cache_is_good = before == invalidations;
	}
	return &cached;
}

Oid
admin_relation_lock(const Oid *table, LOCKMODE mode)
{
	Oid			locked = InvalidOid;

	/* The table may be dropped and created again before the lock is granted. */
	while (locked != *table)
	{
		if (OidIsValid(locked))
			UnlockRelationOid(locked, mode);
		locked = *table;
		LockRelationOid(locked, mode);
		(void) admin_relations();
	}
	return locked;
}

Relation
admin_relation_open(const Oid *table, LOCKMODE mode)
{
	return table_open(admin_relation_lock(table, mode), NoLock);
}
