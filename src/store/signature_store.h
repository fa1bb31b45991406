/*
 * signature_store.h
 *	  Finds an approval's signatures.
 */
#ifndef ADMIN_EXT_SIGNATURE_STORE_H
#define ADMIN_EXT_SIGNATURE_STORE_H

#include "utils/snapshot.h"

#include "store/approval.h"
#include "store/signature_judge.h"

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

/* The types of its columns, for layout.h. */
extern const Oid signature_types[SIGNATURE_COLUMNS];

/* Counts an approval's signatures; *sound: digests, roles and people all fit the approval. */
extern int	signature_store_read(Datum approval_id, Snapshot snapshot, const ApprovalRow *approval,
								 bool *sound);

/*
 * The same for many approvals, one after the other.  If they come in ascending order, their
 * signatures are one walk along the index.  Any other order is correct, too, but slower.  The walk
 * lives in the memory context it was begun in, and the snapshot must stay active.
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

#endif							/* ADMIN_EXT_SIGNATURE_STORE_H */
