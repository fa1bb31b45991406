/*
 * approval_store.c
 *	  Reads an approval and its signatures by direct index scans.
 *
 * This is the hot path of a check: two index scans with the caller's snapshot, no
 * planner, no executor.  Locks: AccessShareLock on both tables and their indexes,
 * kept to the end of the transaction as a query's would be.  Texts it returns live
 * in the current memory context.
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
#include "relations.h"
#include "store/approval_store.h"

typedef void (*TupleVisitor) (TupleTableSlot *slot, void *arg);

/* Calls visit for each row whose first index column equals the approval id. */
static void
scan_by_approval(Oid table, Oid index_oid, Datum approval_id, Snapshot snapshot,
				 TupleVisitor visit, void *arg)
{
	Relation	heap = table_open(table, AccessShareLock);
	Relation	index = index_open(index_oid, AccessShareLock);
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	IndexScanDesc scan;
	ScanKeyData key;

	ScanKeyEntryInitialize(&key, 0, 1, BTEqualStrategyNumber, TEXTOID,
						   index->rd_indcollation[0], F_TEXTEQ, approval_id);
	scan = compat_index_beginscan(heap, index, snapshot, 1);
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
		visit(slot, arg);
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(heap, NoLock);
}

static PolicyText
text_of(Datum value, bool isnull)
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
read_roles(Datum value, bool isnull, ApprovalRow *row)
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
		row->roles[i] = text_of(elements[i], false);
	}
	row->role_count = count;
	return true;
}

void
approval_row_from_tuple(HeapTuple tuple, TupleDesc desc, ApprovalRow *row)
{
	Datum		values[MaxHeapAttributeNumber];
	bool		nulls[MaxHeapAttributeNumber];
	PolicyText	state;

#define COLUMN(n) values[(n) - 1], nulls[(n) - 1]
	heap_deform_tuple(tuple, desc, values, nulls);
	row->id = text_of(COLUMN(APPROVAL_ID));
	row->action = text_of(COLUMN(APPROVAL_ACTION));
	row->resource = text_of(COLUMN(APPROVAL_RESOURCE));
	row->requested_by = text_of(COLUMN(APPROVAL_REQUESTED_BY));
	row->readable = read_roles(COLUMN(APPROVAL_REQUIRED_ROLES), row);
	row->required_signer_count = nulls[APPROVAL_REQUIRED_SIGNER_COUNT - 1] ? 0 :
		DatumGetInt16(values[APPROVAL_REQUIRED_SIGNER_COUNT - 1]);
	state = text_of(COLUMN(APPROVAL_STATE));
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

typedef struct ReadApproval
{
	ApprovalRow *row;
	bool		found;
} ReadApproval;

static void
read_approval(TupleTableSlot *slot, void *arg)
{
	ReadApproval *read = (ReadApproval *) arg;

	/* The texts outlive the slot, so they point into a copy. */
	approval_row_from_tuple(ExecCopySlotHeapTuple(slot), slot->tts_tupleDescriptor, read->row);
	read->found = true;
}

bool
approval_store_read(Datum approval_id, Snapshot snapshot, ApprovalRow *row)
{
	const AdminRelations *relations = admin_relations();
	ReadApproval read = {row, false};

	scan_by_approval(relations->approval, relations->approval_by_id, approval_id, snapshot,
					 read_approval, &read);
	return read.found;
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
read_signature(TupleTableSlot *slot, void *arg)
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
	slot_getsomeattrs(slot, SIGNATURE_APPROVAL_DIGEST);
#define COLUMN(c) slot->tts_values[(c) - 1], slot->tts_isnull[(c) - 1]
	role = text_of(COLUMN(SIGNATURE_SIGNER_ROLE));
	signer = text_of(COLUMN(SIGNATURE_SIGNER));
	read->sound = is_among(role, approval->roles, approval->role_count) &&
		!is_among(role, read->roles, n) &&
		signer.data != NULL &&
		!is_among(signer, read->signers, n) &&
		!policy_texts_equal(signer, approval->requested_by) &&
		digest_fits(read, COLUMN(SIGNATURE_APPROVAL_DIGEST));
#undef COLUMN
	read->roles[n] = copy_of(role);
	read->signers[n] = copy_of(signer);
}

void
approval_store_facts(Datum approval_id, Snapshot snapshot, ApprovalFacts *facts)
{
	const AdminRelations *relations = admin_relations();
	ApprovalRow row;
	ReadSignatures read = {.approval = &row, .sound = true};

	memset(facts, 0, sizeof(*facts));
	facts->found = approval_store_read(approval_id, snapshot, &row);
	if (!facts->found)
		return;
	/* A row that cannot be digested is refused as it is; its signatures are only counted. */
	read.sound = row.readable;
	scan_by_approval(relations->signature, relations->signature_by_approval, approval_id,
					 snapshot, read_signature, &read);
	facts->readable = row.readable;
	facts->state = row.state;
	facts->closed = row.closed;
	facts->deadline = row.sla_deadline;
	facts->required_signer_count = row.required_signer_count;
	facts->signature_count = read.count;
	facts->signatures_sound = read.sound;
	facts->action = row.action;
	facts->resource = row.resource;
}

typedef struct CountSignatures
{
	int64		up_to;
	int			count;
} CountSignatures;

static void
count_signature(TupleTableSlot *slot, void *arg)
{
	CountSignatures *counting = (CountSignatures *) arg;
	bool		isnull;

	if (DatumGetInt64(slot_getattr(slot, SIGNATURE_ID, &isnull)) <= counting->up_to)
		counting->count++;
}

int
approval_store_count_signatures(Datum approval_id, int64 up_to, Snapshot snapshot)
{
	const AdminRelations *relations = admin_relations();
	CountSignatures counting = {up_to, 0};

	scan_by_approval(relations->signature, relations->signature_by_approval, approval_id,
					 snapshot, count_signature, &counting);
	return counting.count;
}
