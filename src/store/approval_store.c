/*
 * approval_store.c
 *	  Reads an approval by a direct index scan.
 *
 * With signature_store.c the hot path of a check: two index scans with the caller's
 * snapshot, no planner, no executor.  Locks: AccessShareLock on the table and its
 * index, kept to the end of the transaction as a query's would be.  Texts it returns
 * live in the current memory context.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "layout.h"
#include "relations.h"
#include "store/approval_store.h"

const Oid	approval_types[APPROVAL_COLUMNS] = {
	TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT2OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, TEXTOID, TEXTOID
};

PolicyText
policy_text_of(Datum value, bool isnull)
{
	PolicyText	result = {NULL, 0};

	if (!isnull)
	{
		text	   *packed = DatumGetTextPP(value);

		result.data = VARDATA_ANY(packed);
		result.length = VARSIZE_ANY_EXHDR(packed);
	}
	return result;
}

/* False when the array is not one dimension of 1 to 8 texts. */
static bool
read_required_roles(Datum value, bool isnull, ApprovalRow *row)
{
	ArrayType  *array;
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	row->role_count = 0;
	if (isnull)
		return false;
	array = DatumGetArrayTypeP(value);
	if (ARR_NDIM(array) != 1)
		return false;
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count < 1 || count > MAX_REQUIRED_SIGNERS)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			return false;
		row->roles[i] = policy_text_of(elements[i], false);
	}
	row->role_count = count;
	return true;
}

void
approval_row_from_values(const Datum *values, const bool *nulls, ApprovalRow *row)
{
	PolicyText	state;

#define COLUMN(n) values[(n) - 1], nulls[(n) - 1]
	row->id = policy_text_of(COLUMN(APPROVAL_ID));
	row->action = policy_text_of(COLUMN(APPROVAL_ACTION));
	row->resource = policy_text_of(COLUMN(APPROVAL_RESOURCE));
	row->requested_by = policy_text_of(COLUMN(APPROVAL_REQUESTED_BY));
	row->readable = read_required_roles(COLUMN(APPROVAL_REQUIRED_ROLES), row);
	row->required_signer_count = nulls[APPROVAL_REQUIRED_SIGNER_COUNT - 1] ? 0 :
		DatumGetInt16(values[APPROVAL_REQUIRED_SIGNER_COUNT - 1]);
	state = policy_text_of(COLUMN(APPROVAL_STATE));
	row->state = state.data ? approval_state_parse(state.data, state.length) : STATE_UNKNOWN;
	row->closed = !nulls[APPROVAL_CLOSED_AT - 1];
	row->sla_deadline = nulls[APPROVAL_SLA_DEADLINE - 1] ? DT_NOEND :
		DatumGetTimestampTz(values[APPROVAL_SLA_DEADLINE - 1]);
#undef COLUMN

	if (row->action.data == NULL || row->requested_by.data == NULL ||
		row->role_count != row->required_signer_count ||
		(row->state == STATE_WITHDRAWN) != row->closed)
		row->readable = false;
}

void
approval_row_from_tuple(HeapTuple tuple, TupleDesc desc, ApprovalRow *row)
{
	Datum		values[MaxHeapAttributeNumber];
	bool		nulls[MaxHeapAttributeNumber];

	layout_check_row(desc, "approval", approval_types, APPROVAL_COLUMNS);
	heap_deform_tuple(tuple, desc, values, nulls);
	approval_row_from_values(values, nulls, row);
}

static const AttrNumber approval_key[] = {APPROVAL_ID};
static const TableLayout approval_layout = {approval_types, APPROVAL_COLUMNS, approval_key, 1, 1};

Snapshot
approval_store_snapshot(void)
{
	(void) admin_relation_lock(&admin_relations()->approval, AccessShareLock);
	(void) admin_relation_lock(&admin_relations()->signature, AccessShareLock);
	return RegisterSnapshot(GetLatestSnapshot());
}

bool
approval_store_read(Datum approval_id, Snapshot snapshot, ApprovalRow *row)
{
	Relation	heap = admin_relation_open(&admin_relations()->approval, AccessShareLock);
	Relation	index = layout_open_index(&approval_layout, heap, admin_relations()->approval_by_id);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc scan = compat_index_beginscan(heap, index, snapshot, 1);
	ScanKeyData key;
	bool		found;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, TEXTOID,
						   index->rd_indcollation[0], F_TEXTEQ, approval_id);
	index_rescan(scan, &key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	/* The texts outlive the slot, so they point into a copy. */
	if (found)
		approval_row_from_tuple(ExecCopySlotHeapTuple(slot), slot->tts_tupleDescriptor, row);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(heap, NoLock);
	return found;
}

void
approval_facts(const ApprovalRow *row, int signature_count, bool signatures_sound, ApprovalFacts *facts)
{
	memset(facts, 0, sizeof(*facts));
	facts->found = true;
	facts->signature_count = signature_count;
	facts->signatures_sound = signatures_sound;
	facts->readable = row->readable;
	facts->state = row->state;
	facts->closed = row->closed;
	facts->deadline = row->sla_deadline;
	facts->required_signer_count = row->required_signer_count;
	facts->action = row->action;
	facts->resource = row->resource;
}

void
approval_store_facts(Datum approval_id, Snapshot snapshot, ApprovalFacts *facts)
{
	ApprovalRow row;
	bool		sound;
	int			count;

	if (!approval_store_read(approval_id, snapshot, &row))
	{
		memset(facts, 0, sizeof(*facts));
		return;
	}
	count = signature_store_read(approval_id, snapshot, &row, &sound);
	approval_facts(&row, count, sound, facts);
}
