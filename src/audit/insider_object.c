/*
 * insider_object.c
 *	  Which objects of a database belong to the extension's guards.
 *
 * The members of the extension and the partitions of the trail, with what stands on them:
 * triggers, rules, policies, constraints, indexes, statistics; and whatever is in the schemas of the extension
 * and found by its name.  Reads catalogs; takes no lock on the objects.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit/insider.h"
#include "audit/insider_own.h"
#include "catalog_row.h"
#include "relations.h"

bool
insider_owns_relation(Oid relation)
{
	Oid			parent;

	switch (get_rel_relkind(relation))
	{
		case '\0':
			return false;
		case RELKIND_INDEX:
		case RELKIND_PARTITIONED_INDEX:
			parent = IndexGetRelation(relation, true);
			return OidIsValid(parent) && insider_owns_relation(parent);
		default:
			break;
	}
	/* Partitions are not members of the extension.  A detached partition is still in the schema. */
	if (insider_is_our_schema(get_rel_namespace(relation)) ||
		insider_is_our_extension(getExtensionOfObject(RelationRelationId, relation)))
		return true;
	return get_rel_relispartition(relation) && OidIsValid(parent = get_partition_parent(relation, true)) &&
		insider_owns_relation(parent);
}

/* PostgreSQL 14 marks a partition's triggers as internal. */
static const CatalogColumn trigger_function = {TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgfoid};

/*
 * Objects that belong to a table, and the catalog column that names the table.  Triggers that the
 * server creates for its own use do not count.
 */
static const CatalogColumn on_table[] = {
	{TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid, Anum_pg_trigger_tgisinternal},
	{RewriteRelationId, RewriteOidIndexId, Anum_pg_rewrite_oid, Anum_pg_rewrite_ev_class},
	{PolicyRelationId, PolicyOidIndexId, Anum_pg_policy_oid, Anum_pg_policy_polrelid},
	{ConstraintRelationId, ConstraintOidIndexId, Anum_pg_constraint_oid, Anum_pg_constraint_conrelid},
	{AttrDefaultRelationId, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, Anum_pg_attrdef_adrelid},
	{StatisticExtRelationId, StatisticExtOidIndexId, Anum_pg_statistic_ext_oid, Anum_pg_statistic_ext_stxrelid},
};

/* Is it a trigger on a user's table that calls one of our functions? */
static bool
owns_trigger_function(Oid trigger)
{
	Oid			function = catalog_row_oid(&trigger_function, trigger);

	return OidIsValid(function) && insider_owns(ProcedureRelationId, function);
}

bool
insider_is_cloned_trigger(Oid trigger)
{
	static const CatalogColumn parent = {TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgparentid};

	return OidIsValid(catalog_row_oid(&parent, trigger)) && !insider_owns_relation(catalog_table_of_trigger(trigger));
}

static bool
owns_on_table(Oid class, Oid object)
{
	Oid			table = InvalidOid;

	if (class == TriggerRelationId && owns_trigger_function(object))
		return true;
	for (int i = 0; i < lengthof(on_table); i++)
	{
		if (on_table[i].catalog == class)
			table = catalog_row_oid(&on_table[i], object);
	}
	return OidIsValid(table) && insider_owns_relation(table);
}

Oid
insider_schema_of(Oid class, Oid object)
{
	ObjectAddress address;
	int			cache;

	if (!is_objectclass_supported(class) || get_object_attnum_namespace(class) == InvalidAttrNumber)
		return InvalidOid;
	cache = get_object_catcache_oid(class);
	if (cache < 0 || !SearchSysCacheExists1(cache, ObjectIdGetDatum(object)))
		return InvalidOid;
	ObjectAddressSet(address, class, object);
	return get_object_namespace(&address);
}

bool
insider_owns(Oid class, Oid object)
{
	switch (class)
	{
		case RelationRelationId:
			return insider_owns_relation(object);
		case TriggerRelationId:
		case RewriteRelationId:
		case PolicyRelationId:
		case ConstraintRelationId:
		case AttrDefaultRelationId:
			return owns_on_table(class, object);
		case StatisticExtRelationId:
			return owns_on_table(class, object) || insider_is_our_schema(insider_schema_of(class, object));
		case NamespaceRelationId:
			return insider_is_our_schema(object);
		case ExtensionRelationId:
			return insider_is_our_extension(object);
		default:
			return insider_is_our_schema(insider_schema_of(class, object)) ||
				insider_is_our_extension(getExtensionOfObject(class, object));
	}
}

bool
insider_is_audited(Oid relation)
{
	Relation	catalog = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		is_audited = false;

	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
	scan = systable_beginscan(catalog, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (!is_audited && HeapTupleIsValid(tuple = systable_getnext(scan)))
		is_audited = insider_owns(ProcedureRelationId, ((Form_pg_trigger) GETSTRUCT(tuple))->tgfoid);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return is_audited;
}
