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

/*
 * What has been seen of an approval's signatures.  Roles and people are kept to
 * notice one that signed twice, which the unique constraints forbid and a
 * corrupted store may hold all the same.
 */
typedef struct ReadSignatures
{
	const ApprovalRow *approval;
	uint8		digest[APPROVAL_DIGEST_BYTES];
	bool		digest_known;
	int			count;
	bool		sound;
	PolicyText	roles[MAX_REQUIRED_SIGNERS];
	PolicyText	signers[MAX_REQUIRED_SIGNERS];
} ReadSignatures;

static PolicyText
copy_of(PolicyText value)
{
	if (value.data != NULL)
	{
		char	   *copy = palloc(value.length + 1);

		memcpy(copy, value.data, value.length);
		value.data = copy;
	}
	return value;
}

static bool
is_among(PolicyText value, const PolicyText *values, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (policy_texts_equal(value, values[i]))
			return true;
	}
	return false;
}

static bool
digest_fits(ReadSignatures *read, Datum value, bool isnull)
{
	bytea	   *digest;

	if (isnull)
		return false;
	if (!read->digest_known)
		approval_digest(read->approval, read->digest);
	read->digest_known = true;
	digest = DatumGetByteaPP(value);
	return VARSIZE_ANY_EXHDR(digest) == APPROVAL_DIGEST_BYTES &&
		memcmp(VARDATA_ANY(digest), read->digest, APPROVAL_DIGEST_BYTES) == 0;
}

static void
read_signature(const Datum *values, const bool *nulls, TupleTableSlot *slot, void *arg)
{
	ReadSignatures *read = (ReadSignatures *) arg;
	const ApprovalRow *approval = read->approval;
	PolicyText	role;
	PolicyText	signer;
	int			n = read->count++;

	if (!read->sound || n >= MAX_REQUIRED_SIGNERS)
	{
		read->sound = false;
		return;
	}
	role = policy_text_of(values[KEY_SIGNER_ROLE], nulls[KEY_SIGNER_ROLE]);
	signer = policy_text_of(values[KEY_SIGNER], nulls[KEY_SIGNER]);
	read->sound = is_among(role, approval->roles, approval->role_count) &&
		!is_among(role, read->roles, n) &&
		signer.data != NULL &&
		!is_among(signer, read->signers, n) &&
		!policy_texts_equal(signer, approval->requested_by) &&
		digest_fits(read, values[KEY_DIGEST], nulls[KEY_DIGEST]);
	read->roles[n] = copy_of(role);
	read->signers[n] = copy_of(signer);
}

int
signature_store_read(Datum approval_id, Snapshot snapshot, const ApprovalRow *approval, bool *sound)
{
	/* A row that cannot be digested is refused as it is; its signatures are only counted. */
	ReadSignatures read = {.approval = approval, .sound = approval->readable};

	scan_signatures(approval_id, snapshot, read_signature, &read);
	*sound = read.sound;
	return read.count;
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
