/*
 * approval_store.c
 *	  Reads an approval by a direct index scan.
 *
 * With signature_store.c the hot path of a check: two index scans with the caller's
 * snapshot, no planner, no executor.  Locks: AccessShareLock on the table and its
 * index, kept to the end of the transaction as a query's would be.  Texts it returns
 * live in the current memory context.  To sign or withdraw, a query locks it.
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

#include "compat.h"
#include "layout.h"
#include "owner.h"
#include "relations.h"
#include "store/approval_store.h"
#include "store/signature_store.h"

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

void
approval_store_lock(Datum approval_id, ApprovalRow *row)
{
	static OwnerQuery query = {
		.text =
		"select * from admin.approval "
		"where approval_id operator(pg_catalog.=) $1 for no key update",
		.nargs = 1,
		.types = {TEXTOID},
		.result = SPI_OK_SELECT
	};

	if (owner_run(&query, &approval_id, NULL, 1) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("approval \"%s\" does not exist", TextDatumGetCString(approval_id)),
				 errdetail("Only an approval that has been issued can be signed or withdrawn."),
				 errhint("Issue it with admin.issue_approval().")));
	approval_row_from_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, row);
}
