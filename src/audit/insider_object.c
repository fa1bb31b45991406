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
#include "catalog/pg_shdepend.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit/insider.h"

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

/* The table that a row of a catalog is about, and whether the server made the row for itself. */
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

static bool
owns_on_table(Oid class, Oid object)
{
	Oid			table;

	switch (class)
	{
		case TriggerRelationId:
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

/* Whether a role owns one of our objects or has privileges on one. */
bool
insider_role_has_ours(Oid role)
{
	Relation	catalog = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		has_ours = false;

	ScanKeyInit(&keys[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&keys[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(catalog, SharedDependReferenceIndexId, true, NULL, 2, keys);
	while (!has_ours && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		has_ours = form->dbid == MyDatabaseId && insider_owns(form->classid, form->objid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return has_ours;
}
