/*
 * insider_object.c
 *	  Which objects of a database belong to the extension's guards.
 *
 * The members of the extension and the partitions of the trail, with what stands on them:
 * triggers, rules, policies, constraints, indexes; and whatever is in the schemas of the extension
 * and found by its name.  Reads catalogs; takes no lock on the objects.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/index.h"
#include "catalog/indexing.h"
#include "catalog/partition.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit/insider.h"
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
	/* Months are no members of the extension; one that is detached is still in the schema. */
	if (insider_is_our_schema(get_rel_namespace(relation)) ||
		insider_is_our_extension(getExtensionOfObject(RelationRelationId, relation)))
		return true;
	return get_rel_relispartition(relation) && OidIsValid(parent = get_partition_parent(relation, true)) &&
		insider_owns_relation(parent);
}

/* What a row of a catalog is about, by the column that says so; none where the server made the row for itself. */
static Oid
table_of(Oid catalog, Oid by_oid, AttrNumber oid_column, Oid object, AttrNumber table_column)
{
	Relation	relation = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			table = InvalidOid;

	ScanKeyInit(&key, oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(relation, by_oid, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		!(catalog == TriggerRelationId && ((Form_pg_trigger) GETSTRUCT(tuple))->tgisinternal))
	{
		bool		isnull;

		table = DatumGetObjectId(heap_getattr(tuple, table_column, RelationGetDescr(relation), &isnull));
	}
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
	return table;
}

/* On a table of somebody's, a trigger with a function of ours. */
static bool
owns_trigger_function(Oid trigger)
{
	Oid			function = table_of(TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, trigger, Anum_pg_trigger_tgfoid);

	return OidIsValid(function) && insider_owns(ProcedureRelationId, function);
}

static bool
owns_on_table(Oid class, Oid object)
{
	Oid			table;

	switch (class)
	{
		case TriggerRelationId:
			if (owns_trigger_function(object))
				return true;
			table = table_of(class, TriggerOidIndexId, Anum_pg_trigger_oid, object, Anum_pg_trigger_tgrelid);
			break;
		case RewriteRelationId:
			table = table_of(class, RewriteOidIndexId, Anum_pg_rewrite_oid, object, Anum_pg_rewrite_ev_class);
			break;
		case PolicyRelationId:
			table = table_of(class, PolicyOidIndexId, Anum_pg_policy_oid, object, Anum_pg_policy_polrelid);
			break;
		case ConstraintRelationId:
			table = table_of(class, ConstraintOidIndexId, Anum_pg_constraint_oid, object, Anum_pg_constraint_conrelid);
			break;
		default:
			table = table_of(class, AttrDefaultOidIndexId, Anum_pg_attrdef_oid, object, Anum_pg_attrdef_adrelid);
			break;
	}
	return OidIsValid(table) && insider_owns_relation(table);
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
		case ProcedureRelationId:
			return insider_is_our_schema(get_func_namespace(object)) ||
				insider_is_our_extension(getExtensionOfObject(class, object));
		case NamespaceRelationId:
			return insider_is_our_schema(object);
		case ExtensionRelationId:
			return insider_is_our_extension(object);
		default:
			return insider_is_our_extension(getExtensionOfObject(class, object));
	}
}

bool
insider_is_trail(Oid relation)
{
	Oid			trail = admin_relations_exist() ? admin_relations()->audit : InvalidOid;

	return OidIsValid(trail) &&
		(relation == trail || (get_rel_relispartition(relation) && get_partition_parent(relation, true) == trail));
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
