/*
 * attributes.c
 *	  See attributes.h.  Uses a direct index scan, because delivery looks up the attributes of each
 *	  ingested row.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit/attributes.h"
#include "audit/audit_append.h"
#include "compat.h"
#include "layout.h"
#include "relations.h"

/* Columns of admin.audit_attributes. */
enum AttributesColumn
{
	ATTRIBUTES_AUDIT_ID = 1,
	ATTRIBUTES_ATTRIBUTES,
	ATTRIBUTES_COLUMNS = ATTRIBUTES_ATTRIBUTES
};

static const Oid attributes_types[] = {INT8OID, JSONOID};
static const AttrNumber attributes_key[] = {ATTRIBUTES_AUDIT_ID};
static const TableLayout attributes_layout = {attributes_types, ATTRIBUTES_COLUMNS, attributes_key, 1, 1};

static void
check_layout(Relation through, Relation table)
{
	layout_check_exact(table, attributes_types, ATTRIBUTES_COLUMNS);
}

/* json_typeof(attributes) = 'object' */
static bool
attributes_check_holds(const Node *check)
{
	const OpExpr *test = (const OpExpr *) check;
	const FuncExpr *type;
	const Const *wanted;

	if (!IsA(check, OpExpr) || test->opno != TextEqualOperator || list_length(test->args) != 2)
		return false;
	type = linitial(test->args);
	wanted = lsecond(test->args);
	return IsA(type, FuncExpr) && type->funcid == F_JSON_TYPEOF && IsA(linitial(type->args), Var) &&
		IsA(wanted, Const) && !wanted->constisnull && strcmp(TextDatumGetCString(wanted->constvalue), "object") == 0;
}

void
audit_attributes_open(RowWriter *writer)
{
	static OwnerQuery insert = {
		.text = "insert into admin.audit_attributes (audit_id, attributes) values ($1, $2) returning audit_id, attributes",
		.nargs = ATTRIBUTES_COLUMNS,
		.types = {INT8OID, JSONOID},
		.result = SPI_OK_INSERT_RETURNING
	};
	static const RowTable kind = {check_layout, attributes_check_holds, "admin_internal", "audit_attributes_insert"};
	Relation	table = admin_relation_open(&admin_relations()->audit_attributes, RowExclusiveLock);

	row_writer_open(writer, table, table, &kind, &insert);
}

void
audit_attributes_add(RowWriter *writer, int64 audit_id, text *attributes)
{
	TupleTableSlot *slot = writer->slot;

	slot->tts_values[ATTRIBUTES_AUDIT_ID - 1] = Int64GetDatum(audit_id);
	slot->tts_values[ATTRIBUTES_ATTRIBUTES - 1] = PointerGetDatum(attributes);
	slot->tts_isnull[ATTRIBUTES_AUDIT_ID - 1] = slot->tts_isnull[ATTRIBUTES_ATTRIBUTES - 1] = false;
	if (row_writer_needs_statement(writer))
		audit_insert_by_statement(writer);
	else
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
	Relation	heap = admin_relation_open(&admin_relations()->audit_attributes, AccessShareLock);
	Relation	index = layout_open_index(&attributes_layout, heap, admin_relations()->audit_attributes_by_id);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc scan = compat_index_beginscan(heap, index, SnapshotSelf, 1);
	ScanKeyData key;
	text	   *attributes = NULL;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, INT8OID, InvalidOid, F_INT8EQ, Int64GetDatum(audit_id));
	index_rescan(scan, &key, 1, NULL, 0);
	if (index_getnext_slot(scan, ForwardScanDirection, slot))
		attributes = DatumGetTextPCopy(layout_set_column(slot, ATTRIBUTES_ATTRIBUTES));
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(heap, NoLock);
	return attributes;
}
