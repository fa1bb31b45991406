/*
 * relations.c
 *	  Cache of oids.  A name is looked up once; any invalidation of one of the
 *	  relations (DROP EXTENSION, REINDEX CONCURRENTLY) or of everything empties it.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"

#include "relations.h"

static AdminRelations cached;
static bool cache_is_good = false;

static void
forget(Datum arg, Oid relid)
{
	if (relid == InvalidOid || relid == cached.approval || relid == cached.signature ||
		relid == cached.audit || relid == cached.audit_sequence ||
		relid == cached.approval_by_id || relid == cached.signature_by_approval)
		cache_is_good = false;
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

const AdminRelations *
admin_relations(void)
{
	if (!cache_is_good)
	{
		cached.approval = lookup("approval");
		cached.approval_by_id = lookup("approval_pkey");
		cached.signature = lookup("signature");
		cached.signature_by_approval = lookup("signature_one_per_role");
		cached.audit = lookup("audit");
		cached.audit_sequence = lookup("audit_audit_id_seq");
		cache_is_good = true;
	}
	return &cached;
}
