/*
 * detached.c
 *	  See detached.h.
 *
 * The list of tables is cached until the server reports that a relation has changed.  A worker asks
 * for it with each window, and building it means looking at a trigger of each partition.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "catalog_row.h"
#include "delivery/detached.h"
#include "relations.h"

static List *known = NIL;
static uint64 known_at = 0;		/* relations_generation() */

/* Tables with a trigger that calls the function. */
static List *
guarded_tables(Oid function)
{
	Relation	depends = table_open(DependRelationId, AccessShareLock);
	List	   *tables = NIL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(function));
	scan = systable_beginscan(depends, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_depend form = (Form_pg_depend) GETSTRUCT(tuple);
		Oid			table = form->classid == TriggerRelationId ? catalog_table_of_trigger(form->objid) : InvalidOid;

		if (OidIsValid(table))
			tables = list_append_unique_oid(tables, table);
	}
	systable_endscan(scan);
	table_close(depends, AccessShareLock);
	return tables;
}

const List *
detached_months(const List *partitions)
{
	/* Read first: a later change makes the next call search again. */
	uint64		generation = relations_generation();
	MemoryContext old;
	List	   *found;

	if (known_at == generation)
		return known;
	found = guarded_tables(admin_function("admin", "audit_append_only"));
	found = list_delete_oid(found, admin_relations()->audit);
	/* The other table of the trail has the same guard. */
	found = list_delete_oid(found, admin_relations()->audit_attributes);
	list_free(known);
	known = NIL;
	old = MemoryContextSwitchTo(TopMemoryContext);
	known = list_difference_oid(found, partitions);
	MemoryContextSwitchTo(old);
	known_at = generation;
	return known;
}
