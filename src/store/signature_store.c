/*
 * signature_store.c
 *	  Reads an approval's signatures by a direct index scan.
 *
 * Their index carries what a check looks at, so that where the table's page is known
 * to be visible to everybody the table itself is not touched: a page that is not in
 * the processor's cache costs more than all the rules together.  Locks:
 * AccessShareLock on the table and its index, kept to the end of the transaction as
 * a query's would be.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/itup.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/visibilitymap.h"
#include "catalog/pg_type.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "compat.h"
#include "relations.h"
#include "store/approval_store.h"

/* Columns of the index signature_one_per_role: keys, then those it includes. */
enum IndexColumn
{
	KEY_APPROVAL_ID,
	KEY_SIGNER_ROLE,
	KEY_SIGNATURE_ID,
	KEY_SIGNER,
	KEY_DIGEST,
	KEY_COLUMNS
};

/* The values are good until the next one is visited; the slot is empty unless the table was read. */
typedef void (*SignatureVisitor) (const Datum *values, const bool *nulls, TupleTableSlot *slot,
								  void *arg);

/* Is the row the scan stands at visible to its snapshot? */
static bool
is_visible(IndexScanDesc scan, ItemPointer tid, Buffer *visibility_map, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	if (VM_ALL_VISIBLE(scan->heapRelation, ItemPointerGetBlockNumber(tid), visibility_map))
	{
		PredicateLockPage(scan->heapRelation, ItemPointerGetBlockNumber(tid), scan->xs_snapshot);
		return true;
	}
	return index_fetch_heap(scan, slot);
}

static void
scan_signatures(Datum approval_id, Snapshot snapshot, SignatureVisitor visit, void *arg)
{
	const AdminRelations *relations = admin_relations();
	Relation	heap = table_open(relations->signature, AccessShareLock);
	Relation	index = index_open(relations->signature_by_approval, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc scan = compat_index_beginscan(heap, index, snapshot, 1);
	Buffer		visibility_map = InvalidBuffer;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	ScanKeyData key;
	ItemPointer tid;

	Assert(IndexRelationGetNumberOfAttributes(index) == KEY_COLUMNS);
	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, TEXTOID,
						   index->rd_indcollation[0], F_TEXTEQ, approval_id);
	scan->xs_want_itup = true;
	index_rescan(scan, &key, 1, NULL, 0);
	while ((tid = index_getnext_tid(scan, ForwardScanDirection)) != NULL)
	{
		if (!is_visible(scan, tid, &visibility_map, slot))
			continue;
		index_deform_tuple(scan->xs_itup, scan->xs_itupdesc, values, nulls);
		visit(values, nulls, slot, arg);
	}
	if (BufferIsValid(visibility_map))
		ReleaseBuffer(visibility_map);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(heap, NoLock);
}

static void
read_signature(const Datum *values, const bool *nulls, TupleTableSlot *slot, void *arg)
{
	signature_judge((SignatureJudge *) arg,
					policy_text_of(values[KEY_SIGNER_ROLE], nulls[KEY_SIGNER_ROLE]),
					policy_text_of(values[KEY_SIGNER], nulls[KEY_SIGNER]),
					policy_text_of(values[KEY_DIGEST], nulls[KEY_DIGEST]));
}

int
signature_store_read(Datum approval_id, Snapshot snapshot, const ApprovalRow *approval, bool *sound)
{
	SignatureJudge judge = signature_judge_of(approval);

	scan_signatures(approval_id, snapshot, read_signature, &judge);
	*sound = judge.sound;
	return judge.count;
}

typedef struct CountSignatures
{
	HeapTuple	signature;
	int64		signature_id;
	int			count;
} CountSignatures;

static bool
is_of_same_command(HeapTuple a, HeapTuple b)
{
	return TransactionIdEquals(HeapTupleHeaderGetRawXmin(a->t_data), HeapTupleHeaderGetRawXmin(b->t_data)) &&
		HeapTupleHeaderGetRawCommandId(a->t_data) == HeapTupleHeaderGetRawCommandId(b->t_data);
}

static void
count_signature(const Datum *values, const bool *nulls, TupleTableSlot *slot, void *arg)
{
	CountSignatures *counting = (CountSignatures *) arg;

	/* What this transaction has added was read from the table. */
	if (counting->signature != NULL && !TTS_EMPTY(slot) &&
		DatumGetInt64(values[KEY_SIGNATURE_ID]) > counting->signature_id &&
		is_of_same_command(counting->signature, ExecFetchSlotHeapTuple(slot, false, NULL)))
		return;
	counting->count++;
}

int
signature_store_count(Datum approval_id, Snapshot snapshot, HeapTuple signature, int64 signature_id)
{
	CountSignatures counting = {signature, signature_id, 0};

	scan_signatures(approval_id, snapshot, count_signature, &counting);
	return counting.count;
}
