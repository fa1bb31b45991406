/*
 * attributes.c
 *	  See attributes.h.  By a direct index scan: delivery asks for each ingested row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit/attributes.h"
#include "compat.h"
#include "relations.h"

#define ATTRIBUTES_ATTRIBUTES	2	/* column of admin.audit_attributes */

text *
audit_attributes(int64 audit_id)
{
	const AdminRelations *relations = admin_relations();
	Relation	heap = table_open(relations->audit_attributes, AccessShareLock);
	Relation	index = index_open(relations->audit_attributes_by_id, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc scan = compat_index_beginscan(heap, index, GetActiveSnapshot(), 1);
	ScanKeyData key;
	text	   *attributes = NULL;
	bool		isnull;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, INT8OID, InvalidOid, F_INT8EQ, Int64GetDatum(audit_id));
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		attributes = DatumGetTextPCopy(slot_getattr(slot, ATTRIBUTES_ATTRIBUTES, &isnull));
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(heap, NoLock);
	return attributes;
}
