/*
 * signature_store.c
 *	  Reads an approval's signatures by a direct index scan.
 *
 * The index on signatures includes all columns that a check reads.  So the table itself is not read
 * where its page is known to be visible to all transactions.  A page that is not in the processor's
 * cache costs more than all the rules together.  Locks: AccessShareLock on the table and its index,
 * kept to the end of the transaction as a query's would be.
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
#include "layout.h"
#include "relations.h"
#include "store/approval.h"
#include "store/signature_judge.h"
#include "store/signature_store.h"

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

static const AttrNumber key_columns[KEY_COLUMNS] = {
	SIGNATURE_APPROVAL_ID, SIGNATURE_SIGNER_ROLE, SIGNATURE_ID, SIGNATURE_SIGNER, SIGNATURE_APPROVAL_DIGEST
};

const Oid	signature_types[SIGNATURE_COLUMNS] = {
	INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BYTEAOID, TEXTOID, TEXTOID, TEXTOID, BYTEAOID, TEXTOID
};

static const TableLayout signature_layout = {signature_types, SIGNATURE_COLUMNS, key_columns, KEY_COLUMNS, 2};

/* A scan of the index, and the row it stands at: its values are good until the next one. */
typedef struct SignatureScan
{
	Relation	heap;
	Relation	index;
	TupleTableSlot *slot;		/* empty unless the table was read */
	IndexScanDesc scan;
	Buffer		visibility_map;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
} SignatureScan;

typedef void (*SignatureVisitor) (const SignatureScan *row, void *arg);

static void
begin_scan(SignatureScan *scan, Snapshot snapshot)
{
	scan->heap = admin_relation_open(&admin_relations()->signature, AccessShareLock);
	scan->index = layout_open_index(&signature_layout, scan->heap, admin_relations()->signature_by_approval);
	scan->slot = table_slot_create(scan->heap, NULL);
	scan->scan = compat_index_beginscan(scan->heap, scan->index, snapshot, 1);
	scan->scan->xs_want_itup = true;
	scan->visibility_map = InvalidBuffer;
}

static void
end_scan(SignatureScan *scan)
{
	if (BufferIsValid(scan->visibility_map))
		ReleaseBuffer(scan->visibility_map);
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	index_close(scan->index, NoLock);
	table_close(scan->heap, NoLock);
}

/* Starts a scan of the rows whose approval_id equals this one, or of all rows from it on. */
static void
scan_seek(SignatureScan *scan, StrategyNumber strategy, RegProcedure compares, Datum approval_id)
{
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, 0, 1, strategy, TEXTOID, scan->index->rd_indcollation[0], compares, approval_id);
	index_rescan(scan->scan, &key, 1, NULL, 0);
}

/* Is the row the scan stands at visible to its snapshot? */
static bool
signature_is_visible(SignatureScan *scan, ItemPointer tid)
{
	ExecClearTuple(scan->slot);
	if (VM_ALL_VISIBLE(scan->heap, ItemPointerGetBlockNumber(tid), &scan->visibility_map))
	{
		PredicateLockPage(scan->heap, ItemPointerGetBlockNumber(tid), scan->scan->xs_snapshot);
		return true;
	}
	return index_fetch_heap(scan->scan, scan->slot);
}

/* Moves to the next visible row.  False at the end. */
static bool
next_row(SignatureScan *scan)
{
	ItemPointer tid;

	while ((tid = index_getnext_tid(scan->scan, ForwardScanDirection)) != NULL)
	{
		if (!signature_is_visible(scan, tid))
			continue;
		index_deform_tuple(scan->scan->xs_itup, scan->scan->xs_itupdesc, scan->values, scan->nulls);
		return true;
	}
	return false;
}

static void
scan_signatures(Datum approval_id, Snapshot snapshot, SignatureVisitor visit, void *arg)
{
	SignatureScan scan;

	begin_scan(&scan, snapshot);
	scan_seek(&scan, BTEqualStrategyNumber, F_TEXTEQ, approval_id);
	while (next_row(&scan))
		visit(&scan, arg);
	end_scan(&scan);
}

static PolicyText
text_at(const SignatureScan *row, enum IndexColumn column)
{
	return policy_text_of(row->values[column], row->nulls[column]);
}

static void
read_signature(const SignatureScan *row, void *arg)
{
	signature_judge((SignatureJudge *) arg, text_at(row, KEY_SIGNER_ROLE), text_at(row, KEY_SIGNER), text_at(row, KEY_DIGEST));
}

int
signature_store_read(Datum approval_id, Snapshot snapshot, const ApprovalRow *approval, bool *sound)
{
	SignatureJudge judge;

	signature_judge_begin(&judge, approval);
	scan_signatures(approval_id, snapshot, read_signature, &judge);
	*sound = signatures_are_sound(&judge);
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
count_signature(const SignatureScan *row, void *arg)
{
	CountSignatures *counting = (CountSignatures *) arg;

	/* The rows that this transaction has added were read from the table, so the slot has them. */
	if (counting->signature != NULL && !TTS_EMPTY(row->slot) &&
		DatumGetInt64(row->values[KEY_SIGNATURE_ID]) > counting->signature_id &&
		is_of_same_command(counting->signature, ExecFetchSlotHeapTuple(row->slot, false, NULL)))
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

/* The most rows that a walk steps over to reach an approval, before it looks the approval up. */
#define WALK_STEPS	32

struct SignatureWalk
{
	SignatureScan scan;
	MemoryContext context;
	bool		has_row;		/* the scan stands at a row that has not been judged */
	text	   *from;			/* the scan's key, which each page is compared with; NULL: none yet */
	StringInfoData at;			/* last approval asked for; no row lies between it and the scan's */
};

SignatureWalk *
signature_walk_begin(Snapshot snapshot)
{
	SignatureWalk *walk = palloc0(sizeof(*walk));

	walk->context = CurrentMemoryContext;
	initStringInfo(&walk->at);
	begin_scan(&walk->scan, snapshot);
	return walk;
}

void
signature_walk_end(SignatureWalk *walk)
{
	end_scan(&walk->scan);
}

/* In the order of the index, whose collation is C. */
static int
compare_policy_texts(PolicyText a, PolicyText b)
{
	int			order = memcmp(a.data, b.data, Min(a.length, b.length));

	return order != 0 ? order : (a.length > b.length) - (a.length < b.length);
}

/* Where the scan stands: before (< 0), at (0) or past (> 0) the rows of the approval. */
static int
place_of(const SignatureWalk *walk, PolicyText approval_id)
{
	return walk->has_row ? compare_policy_texts(text_at(&walk->scan, KEY_APPROVAL_ID), approval_id) : 1;
}

static void
walk_step(SignatureWalk *walk)
{
	walk->has_row = next_row(&walk->scan);
}

static void
walk_look_up(SignatureWalk *walk, PolicyText approval_id)
{
	text	   *before = walk->from;

	walk->from = cstring_to_text_with_len(approval_id.data, approval_id.length);
	scan_seek(&walk->scan, BTGreaterEqualStrategyNumber, F_TEXT_GE, PointerGetDatum(walk->from));
	if (before != NULL)
		pfree(before);
	walk_step(walk);
}

/* Moves the scan to the first row that is not before the approval; returns as place_of(). */
static int
walk_to(SignatureWalk *walk, PolicyText approval_id)
{
	PolicyText	at = {walk->at.data, walk->at.len};
	bool		is_ahead = at.length > 0 && compare_policy_texts(approval_id, at) > 0;
	int			place = is_ahead ? place_of(walk, approval_id) : -1;

	for (int steps = 0; is_ahead && place < 0 && steps < WALK_STEPS; steps++)
	{
		walk_step(walk);
		place = place_of(walk, approval_id);
	}
	if (place < 0)
	{
		walk_look_up(walk, approval_id);
		place = place_of(walk, approval_id);
	}
	resetStringInfo(&walk->at);
	appendBinaryStringInfo(&walk->at, approval_id.data, approval_id.length);
	return place;
}

void
signature_walk_judge(SignatureWalk *walk, PolicyText approval_id, SignatureJudge *judge)
{
	/* The scan keeps what it allocates. */
	MemoryContext caller = MemoryContextSwitchTo(walk->context);

	for (int place = walk_to(walk, approval_id); place == 0; place = place_of(walk, approval_id))
	{
		MemoryContextSwitchTo(caller);
		read_signature(&walk->scan, judge);
		MemoryContextSwitchTo(walk->context);
		walk_step(walk);
	}
	MemoryContextSwitchTo(caller);
}
