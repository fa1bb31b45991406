/*
 * signature_judge.c
 *	  Are an approval's signatures what they have to be?  Asked of the table by a check, and
 *	  of the trail when a check is replayed.
 */
#include "postgres.h"

#include "store/approval.h"
#include "store/digest.h"
#include "store/signature_judge.h"

void
signature_judge_begin(SignatureJudge *judge, const ApprovalRow *approval)
{
	judge->approval = approval;
	judge->count = 0;
	/* A row that cannot be digested is refused as it is; its signatures are only counted. */
	judge->are_separate = judge->are_of_this = approval->readable;
	judge->digest_known = false;
	judge->kept = 0;
}

static PolicyText
keep_value(SignatureJudge *judge, PolicyText value)
{
	bool		fits = value.length <= sizeof(judge->space) - judge->kept;
	char	   *copy;

	if (value.data == NULL)
		return value;
	copy = fits ? judge->space + judge->kept : palloc(value.length);
	if (fits)
		judge->kept += value.length;
	memcpy(copy, value.data, value.length);
	value.data = copy;
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
digest_fits(SignatureJudge *judge, PolicyText digest)
{
	if (digest.data == NULL)
		return false;
	if (!judge->digest_known)
		approval_digest(judge->approval, judge->digest);
	judge->digest_known = true;
	return digest.length == APPROVAL_DIGEST_BYTES && memcmp(digest.data, judge->digest, APPROVAL_DIGEST_BYTES) == 0;
}

void
signature_judge(SignatureJudge *judge, PolicyText role, PolicyText signer, PolicyText digest)
{
	const ApprovalRow *approval = judge->approval;
	int			n = judge->count++;

	judge->are_of_this = judge->are_of_this && digest_fits(judge, digest);
	if (!judge->are_separate || n >= MAX_REQUIRED_SIGNERS)
	{
		judge->are_separate = false;
		return;
	}
	judge->are_separate = is_among(role, approval->roles, approval->role_count) &&
		!is_among(role, judge->roles, n) &&
		signer.data != NULL &&
		!is_among(signer, judge->signers, n) &&
		!policy_texts_equal(signer, approval->requested_by);
	judge->roles[n] = keep_value(judge, role);
	judge->signers[n] = keep_value(judge, signer);
}
