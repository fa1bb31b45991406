/*
 * signature_judge.h
 *	  Are an approval's signatures what they have to be?
 */
#ifndef ADMIN_EXT_SIGNATURE_JUDGE_H
#define ADMIN_EXT_SIGNATURE_JUDGE_H

#include "store/digest.h"

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

#endif							/* ADMIN_EXT_SIGNATURE_JUDGE_H */
