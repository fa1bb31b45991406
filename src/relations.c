/*
 * relations.c
 *	  Cache of oids.  A name is looked up once; any invalidation of one of the
 *	  relations (DROP EXTENSION, REINDEX CONCURRENTLY) or of everything empties it.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "relations.h"

static AdminRelations cached;
static bool cache_is_good = false;
static uint64 invalidations = 1;

static void
forget_relations(Datum arg, Oid relid)
{
	const Oid  *oids = (const Oid *) &cached;

	invalidations++;
	if (relid == InvalidOid)
		cache_is_good = false;
	for (int i = 0; cache_is_good && i < sizeof(cached) / sizeof(Oid); i++)
		cache_is_good = oids[i] != relid;
}

uint64
relations_generation(void)
{
	return invalidations;
}

void
relations_init(void)
{
	CacheRegisterRelcacheCallback(forget_relations, (Datum) 0);
}

/* In the order of the members of AdminRelations. */
static const char *const relation_names[] = {
	"approval", "approval_pkey", "signature", "signature_one_per_role", "audit", "audit_audit_id_seq",
	"audit_attributes", "audit_attributes_pkey", "jwt_issuer", "jwt_issuer_pkey", "jwt_one_use",
	"jwt_one_use_pkey", "jwt_key", "jwt_key_pkey", "action_policy", "action_policy_pkey"
};

StaticAssertDecl(sizeof(relation_names) / sizeof(relation_names[0]) == sizeof(AdminRelations) / sizeof(Oid),
				 "each member has a name");

static Oid
lookup_relation(const char *name)
{
	Oid			schema = get_namespace_oid("admin", true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

bool
admin_relations_exist(void)
{
	for (int i = 0; i < lengthof(relation_names); i++)
	{
		if (!OidIsValid(lookup_relation(relation_names[i])))
			return false;
	}
	return true;
}

/*
 * Any user's commit may write events, and LookupFuncName() would check the privileges of that user.
 */
Oid
admin_function(const char *schema_name, const char *name)
{
	Oid			schema = get_namespace_oid(schema_name, true);

	return !OidIsValid(schema) ? InvalidOid :
		GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid, CStringGetDatum(name),
						PointerGetDatum(buildoidvector(NULL, 0)), ObjectIdGetDatum(schema));
}

static void
look_up_all(void)
{
	Oid		   *oids = (Oid *) &cached;

	for (int i = 0; i < lengthof(relation_names); i++)
	{
		oids[i] = lookup_relation(relation_names[i]);
		if (!OidIsValid(oids[i]))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("relation \"admin.%s\" does not exist", relation_names[i]),
					 errhint("Run CREATE EXTENSION admin_ext in this database.")));
	}
}

static void
refill_cache(void)
{
	while (!cache_is_good)
	{
		uint64		before = invalidations;

		look_up_all();
		cache_is_good = before == invalidations;
	}
}

const AdminRelations *
admin_relations(void)
{
	/* An open transaction learns of another session's DDL when it takes a lock, or here. */
	AcceptInvalidationMessages();
	refill_cache();
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

		/*
		 * Reads the invalidations, unless this transaction has the lock already and nothing can
		 * have changed.
		 */
		LockRelationOid(locked, mode);
		refill_cache();
	}
	return locked;
}

Relation
admin_relation_open(const Oid *table, LOCKMODE mode)
{
	return table_open(admin_relation_lock(table, mode), NoLock);
}
