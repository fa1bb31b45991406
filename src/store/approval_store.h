/*
 * approval_store.h
 *	  Finds an approval and its signatures.
 */
#ifndef ADMIN_EXT_APPROVAL_STORE_H
#define ADMIN_EXT_APPROVAL_STORE_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"
#include "utils/snapshot.h"

#include "compat.h"
#include "decision/policy.h"

#define APPROVAL_DIGEST_BYTES	32

/* Columns of admin.approval, in the order of the table. */
enum ApprovalColumn
{
	APPROVAL_ID = 1,
	APPROVAL_ACTION,
	APPROVAL_RESOURCE,
	APPROVAL_REQUIRED_ROLES,
	APPROVAL_REQUIRED_SIGNER_COUNT,
	APPROVAL_REQUESTED_BY,
	APPROVAL_STATE,
	APPROVAL_SLA_DEADLINE,
	APPROVAL_CREATED_AT,
	APPROVAL_UPDATED_AT,
	APPROVAL_CLOSED_AT,
	APPROVAL_CLOSED_BY,
	APPROVAL_CLOSE_REASON,
	APPROVAL_COLUMNS = APPROVAL_CLOSE_REASON
};

/* Columns of admin.signature. */
enum SignatureColumn
{
	SIGNATURE_ID = 1,
	SIGNATURE_APPROVAL_ID,
	SIGNATURE_SIGNER_ROLE,
	SIGNATURE_SIGNER,
	SIGNATURE_SIGNED_AT,
	SIGNATURE_APPROVAL_DIGEST,
	SIGNATURE_TOKEN_ISSUER,
	SIGNATURE_TOKEN_KEY_ID,
	SIGNATURE_TOKEN_ID,
	SIGNATURE_TOKEN_SHA256,
	SIGNATURE_COMMENT,
	SIGNATURE_COLUMNS = SIGNATURE_COMMENT
};

/* The types of their columns, for layout.h. */
extern const Oid approval_types[APPROVAL_COLUMNS];
extern const Oid signature_types[SIGNATURE_COLUMNS];

/* An approval as read: texts point into palloc'd memory of the reader's context. */
typedef struct ApprovalRow
{
	bool		readable;		/* no column that must be there is null or malformed */
	PolicyText	id;
	PolicyText	action;
	PolicyText	resource;
	PolicyText	requested_by;
	PolicyText	roles[MAX_REQUIRED_SIGNERS];
	int			role_count;
	int			required_signer_count;
	ApprovalState state;
	bool		closed;
	TimestampTz sla_deadline;
} ApprovalRow;

/* From the columns of the table, in its order: values[APPROVAL_ID - 1] and so on. */
extern void approval_row_from_values(const Datum *values, const bool *nulls, ApprovalRow *row);

/* Raises 55000 unless the row's first columns are those of an approval. */
extern void approval_row_from_tuple(HeapTuple tuple, TupleDesc desc, ApprovalRow *row);

/*
 * A registered snapshot of approvals and signatures as they are now.  Their tables are locked first, to
 * the end of the transaction: one that was taken before a lock was waited for would not see what has
 * been written again meanwhile, by pg_repack say.
 */
extern Snapshot approval_store_snapshot(void);

/* False when there is no such approval.  The snapshot must be registered or active. */
extern bool approval_store_read(Datum approval_id, Snapshot snapshot, ApprovalRow *row);

/*
 * Locks the approval to the end of the transaction and returns its newest version, in SPI's
 * memory; raises P0002 when there is none.  Signers of one approval, and a withdrawal, wait
 * for each other here.
 */
extern void approval_store_lock(Datum approval_id, ApprovalRow *row);

/* The approval and its signatures as the decision wants them. */
extern void approval_store_facts(Datum approval_id, Snapshot snapshot, ApprovalFacts *facts);

/*
 * What has been seen of an approval's signatures.  Roles and people are kept to notice one
 * that signed twice, which the unique constraints forbid and a corrupted store may hold
 * all the same.
 */
typedef struct SignatureJudge
{
	const ApprovalRow *approval;
	int			count;
	bool		are_separate;	/* one per required role, by different people who are not the
								 * requester */
	bool		are_of_this;	/* of what the approval says: their digests are its own */
	bool		digest_known;
	uint8		digest[APPROVAL_DIGEST_BYTES];
	PolicyText	roles[MAX_REQUIRED_SIGNERS];
	PolicyText	signers[MAX_REQUIRED_SIGNERS];
	Size		kept;			/* bytes of these two that are in space; what finds no room there
								 * is palloc'd */
	char		space[256];
} SignatureJudge;

/* The judge keeps its texts in itself: it stays where it is. */
extern void signature_judge_begin(SignatureJudge *judge, const ApprovalRow *approval);

/* One more signature; its texts need not stay. */
extern void signature_judge(SignatureJudge *judge, PolicyText role, PolicyText signer, PolicyText digest);

/* What the decision asks of them: all of it fits. */
static inline bool
signatures_are_sound(const SignatureJudge *judge)
{
	return judge->are_separate && judge->are_of_this;
}

/* What the decision wants to know of an approval that was found, and its signatures. */
extern void approval_facts(const ApprovalRow *row, int signature_count, bool signatures_sound, ApprovalFacts *facts);

/* Counts an approval's signatures; *sound: digests, roles and people all fit the approval. */
extern int	signature_store_read(Datum approval_id, Snapshot snapshot, const ApprovalRow *approval,
								 bool *sound);

/*
 * The same of many approvals, one after the other.  Where they come in ascending order their
 * signatures are one walk along the index; any other order is right, too, and slower.  Lives in
 * the memory context it was begun in; the snapshot must stay active.
 */
typedef struct SignatureWalk SignatureWalk;

extern SignatureWalk *signature_walk_begin(Snapshot snapshot);
extern void signature_walk_judge(SignatureWalk *walk, PolicyText approval_id, SignatureJudge *judge);
extern void signature_walk_end(SignatureWalk *walk);

/*
 * Counts the signatures of an approval; with `signature` and its id, leaves out those of a
 * greater id that the same command has added.
 */
extern int	signature_store_count(Datum approval_id, Snapshot snapshot, HeapTuple signature,
								  int64 signature_id);

/* A text of a tuple, where it is; data is NULL for null. */
extern PolicyText policy_text_of(Datum value, bool isnull);

/* SHA-256 of what a signer signs. */
extern void approval_digest(const ApprovalRow *row, uint8 digest[APPROVAL_DIGEST_BYTES]);

/*
 * Raises 22023 unless the approval requires the role, 42501 when the signer requested it; role
 * and signer are texts.
 */
extern void signature_check_signer(const ApprovalRow *approval, Datum role, Datum signer);

/* The person whose signature is moving an approval forward right now, or NULL. */
extern const char *approval_guard_signer(void);

/* A text argument, where it is; data is NULL for NULL. */
static inline PolicyText
policy_text(const text *value)
{
	PolicyText	result = {NULL, 0};

	if (value != NULL)
	{
		result.data = VARDATA_ANY(value);
		result.length = VARSIZE_ANY_EXHDR(value);
	}
	return result;
}

static inline bool
policy_texts_equal(PolicyText a, PolicyText b)
{
	return a.data != NULL && b.data != NULL && a.length == b.length &&
		memcmp(a.data, b.data, a.length) == 0;
}

#endif							/* ADMIN_EXT_APPROVAL_STORE_H */
