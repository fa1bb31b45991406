/*
 * catalog_row.c
 *	  See catalog_row.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_trigger.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "catalog_row.h"

static Datum
catalog_row_value(HeapTuple row, Relation catalog, AttrNumber column)
{
	bool		isnull;

	return heap_getattr(row, column, RelationGetDescr(catalog), &isnull);
}

Oid
catalog_row_oid(const CatalogColumn *column, Oid object)
{
	Relation	catalog = table_open(column->catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			result = InvalidOid;

	ScanKeyInit(&key, column->oid_column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object));
	scan = systable_beginscan(catalog, column->by_oid, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple) &&
		(column->false_column == 0 || !DatumGetBool(catalog_row_value(tuple, catalog, column->false_column))))
		result = DatumGetObjectId(catalog_row_value(tuple, catalog, column->wanted));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return result;
}

Oid
catalog_table_of_trigger(Oid trigger)
{
	static const CatalogColumn table = {TriggerRelationId, TriggerOidIndexId, Anum_pg_trigger_oid, Anum_pg_trigger_tgrelid};

	return catalog_row_oid(&table, trigger);
}
