/*
 * signature_judge.c
 *	  Are an approval's signatures what they have to be?  Asked of the table by a check, and
 *	  of the trail when a check is replayed.
 */
#include "postgres.h"

#include "store/approval_store.h"

SignatureJudge
signature_judge_of(const ApprovalRow *approval)
{
	/* A row that cannot be digested is refused as it is; its signatures are only counted. */
	SignatureJudge judge = {.approval = approval, .sound = approval->readable};

	return judge;
}

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

	if (!judge->sound || n >= MAX_REQUIRED_SIGNERS)
	{
		judge->sound = false;
		return;
	}
	judge->sound = is_among(role, approval->roles, approval->role_count) &&
		!is_among(role, judge->roles, n) &&
		signer.data != NULL &&
		!is_among(signer, judge->signers, n) &&
		!policy_texts_equal(signer, approval->requested_by) &&
		digest_fits(judge, digest);
	judge->roles[n] = copy_of(role);
	judge->signers[n] = copy_of(signer);
}
