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

/* Columns of admin.audit_attributes. */
enum AttributesColumn
{
	ATTRIBUTES_AUDIT_ID = 1,
	ATTRIBUTES_ATTRIBUTES
};

void
audit_attributes_open(RowWriter *writer)
{
	row_writer_open(writer, table_open(admin_relations()->audit_attributes, RowExclusiveLock));
}

void
audit_attributes_add(RowWriter *writer, int64 audit_id, text *attributes)
{
	TupleTableSlot *slot = writer->slot;

	slot->tts_values[ATTRIBUTES_AUDIT_ID - 1] = Int64GetDatum(audit_id);
	slot->tts_values[ATTRIBUTES_ATTRIBUTES - 1] = PointerGetDatum(attributes);
	slot->tts_isnull[ATTRIBUTES_AUDIT_ID - 1] = slot->tts_isnull[ATTRIBUTES_ATTRIBUTES - 1] = false;
	row_writer_insert(writer);
}

void
audit_attributes_close(RowWriter *writer)
{
	Relation	table = writer->table;

	row_writer_close(writer);
	table_close(table, NoLock);
}

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
