/*
 * sign.c
 *	  admin.sign_approval(): one person, in one role, says yes.
 *
 * The approval is locked first; what is looked at afterwards stays as it is.  The guard
 * of admin.signature holds for this path as for any other.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "decision/approval_id.h"
#include "json_text.h"
#include "layout.h"
#include "owner.h"
#include "store/digest.h"
#include "store/signature_guard.h"
#include "workflow/step.h"

PG_FUNCTION_INFO_V1(admin_sign_approval);

typedef struct Signing
{
	Step		step;			/* first: the body is given this */
	text	   *approval_id;
	text	   *role;
	text	   *comment;
	const bytea *expected_digest;	/* of what the signer saw, or NULL */
	int64		signature_id;	/* of the signature that is there; 0: none yet */
	TimestampTz signed_at;
	bool		was_verified;
	const char *obstacle;		/* what is in its way, or NULL */
} Signing;

static PolicyText
column_text(int row, int column)
{
	bool		isnull;
	Datum		value = layout_value(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, TEXTOID, &isnull);

	return policy_text_of(value, isnull);
}

static void
take_signature(Signing *signing, int row)
{
	HeapTuple	found = SPI_tuptable->vals[row];
	TupleDesc	desc = SPI_tuptable->tupdesc;
	bool		isnull;

	signing->signature_id = DatumGetInt64(layout_value(found, desc, 1, INT8OID, &isnull));
	signing->signed_at = DatumGetTimestampTz(layout_value(found, desc, 2, TIMESTAMPTZOID, &isnull));
	signing->was_verified = DatumGetBool(layout_value(found, desc, 3, BOOLOID, &isnull));
}

/*
 * Looks for the same signature, which answers a retry whatever roles the person holds by now, and
 * for a signature that conflicts with it.
 */
static void
look_for_signatures(Signing *signing)
{
	static OwnerQuery query = {
		.text =
		"select signature_id, signed_at, token_sha256 is not null, signer_role, signer, comment "
		"from admin.signature where approval_id operator(pg_catalog.=) $1 "
		"and (signer_role operator(pg_catalog.=) $2 or signer operator(pg_catalog.=) $3)",
		.nargs = 3,
		.types = {TEXTOID, TEXTOID, TEXTOID},
		.result = SPI_OK_SELECT
	};
	Datum		values[] = {PointerGetDatum(signing->approval_id), PointerGetDatum(signing->role),
	PointerGetDatum(signing->step.person)};
	PolicyText	comment = policy_text(signing->comment);
	int			count = owner_run(&query, values, NULL, 0);

	for (int row = 0; row < count; row++)
	{
		PolicyText	had = column_text(row, 6);

		if (!policy_texts_equal(column_text(row, 5), policy_text(signing->step.person)))
			signing->obstacle = "Somebody else has signed in that role.";
		else if (!policy_texts_equal(column_text(row, 4), policy_text(signing->role)))
			signing->obstacle = "The same person has signed in another role.";
		else if ((had.data == NULL) != (comment.data == NULL) ||
				 (had.data != NULL && !policy_texts_equal(had, comment)))
			signing->obstacle = "The same person has signed in that role, with another comment.";
		else
			take_signature(signing, row);
	}
}

static void
refuse_obstacle(const Signing *signing)
{
	if (signing->obstacle == NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("approval \"%s\" cannot be signed by \"%s\" in role \"%s\"",
					text_to_cstring(signing->approval_id), text_to_cstring(signing->step.person),
					text_to_cstring(signing->role)),
			 errdetail_internal("%s", signing->obstacle),
			 errhint("Each role signs once and each person once, and a signature never changes.")));
}

static void
refuse_after_deadline(const Signing *signing, const ApprovalRow *approval)
{
	char		deadline[TIMESTAMP_TEXT_BYTES + 1];

	if (signing->step.now < approval->sla_deadline)
		return;
	deadline[format_timestamp(deadline, approval->sla_deadline)] = '\0';
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("approval \"%s\" cannot be signed after its deadline",
					text_to_cstring(signing->approval_id)),
			 errdetail("Its deadline was %s.", deadline),
			 errhint("Issue another approval.")));
}

/* What is signed is what the signer saw: without a signature yet, an approval can still change. */
static void
refuse_unexpected(const Signing *signing, const ApprovalRow *approval)
{
	uint8		digest[APPROVAL_DIGEST_BYTES];

	if (signing->expected_digest == NULL)
		return;
	approval_digest(approval, digest);
	if (VARSIZE_ANY_EXHDR(signing->expected_digest) == sizeof(digest) &&
		memcmp(VARDATA_ANY(signing->expected_digest), digest, sizeof(digest)) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"expected_digest\" is not the digest of approval \"%s\"",
					text_to_cstring(signing->approval_id)),
			 errdetail("It is the SHA-256 of something else, or of an earlier form of the approval."),
			 errhint("Look at the approval as it is now, and sign what admin.approval_digest() returns for it.")));
}

/* The guard makes the first check, too.  Here it comes before a token is used up. */
static void
check_signer(const Signing *signing, const ApprovalRow *approval)
{
	signature_check_signer(approval, PointerGetDatum(signing->role), PointerGetDatum(signing->step.person));
	if (signing->step.evidence.is_verified && !identity_has_role(&signing->step.identity,
																 text_to_cstring(signing->role)))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("\"%s\" does not hold role \"%s\"",
						text_to_cstring(signing->step.person), text_to_cstring(signing->role)),
				 errdetail("The roles claim of the token does not name the role. admin.jwt_issuer has the name of the claim."),
				 errhint("Sign in a role that the token names, or obtain a token that names this role.")));
}

static void
add_signature(Signing *signing)
{
	static OwnerQuery query = {
		.text =
		"insert into admin.signature (approval_id, signer_role, signer, comment, "
		"token_issuer, token_key_id, token_id, token_sha256, signed_at) "
		"values ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
		"returning signature_id, signed_at, token_sha256 is not null",
		.nargs = 9,
		.types = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BYTEAOID, TIMESTAMPTZOID},
		.result = SPI_OK_INSERT_RETURNING
	};
	const AuditEvidence *evidence = &signing->step.evidence;
	Datum		values[9] = {PointerGetDatum(signing->approval_id), PointerGetDatum(signing->role),
	PointerGetDatum(signing->step.person)};
	char		nulls[10] = "   nnnnn ";

	/* The instant that deadline and token were compared with. */
	values[8] = TimestampTzGetDatum(signing->step.now);
	if (signing->comment != NULL)
	{
		values[3] = PointerGetDatum(signing->comment);
		nulls[3] = ' ';
	}
	if (evidence->is_verified)
	{
		values[4] = CStringGetTextDatum(evidence->issuer);
		values[5] = CStringGetTextDatum(evidence->key_id);
		values[6] = evidence->token_id == NULL ? (Datum) 0 : CStringGetTextDatum(evidence->token_id);
		values[7] = PointerGetDatum(cstring_to_text_with_len((const char *) evidence->token_sha256,
															 EVIDENCE_SHA256_BYTES));
		nulls[4] = nulls[5] = nulls[7] = ' ';
		nulls[6] = evidence->token_id == NULL ? 'n' : ' ';
	}
	if (owner_run(&query, values, nulls, 0) != 1)
		elog(ERROR, "could not add a signature");
	take_signature(signing, 0);
}

static void
sign_step(Step *step, StringInfo answer)
{
	Signing    *signing = (Signing *) step;
	ApprovalRow approval;
	bool		is_repeated;

	step_lock(step, PointerGetDatum(signing->approval_id), &approval);
	step_refuse_withdrawn(&approval);
	refuse_unexpected(signing, &approval);
	look_for_signatures(signing);
	is_repeated = signing->signature_id != 0;
	if (!is_repeated)
	{
		check_signer(signing, &approval);
		refuse_obstacle(signing);
		step_use_token(step);
		step_look_again(step);
		refuse_after_deadline(signing, &approval);
		add_signature(signing);
	}
	appendStringInfoString(answer, "{\"approval_id\":");
	append_json_text(answer, signing->approval_id);
	appendStringInfoString(answer, ",\"signer_role\":");
	append_json_text(answer, signing->role);
	appendStringInfoString(answer, ",\"signer\":");
	append_json_text(answer, step->person);
	appendStringInfo(answer, ",\"signature_id\":\"" INT64_FORMAT "\",\"signed_at\":\"",
					 signing->signature_id);
	append_timestamp(answer, signing->signed_at);
	appendStringInfoChar(answer, '"');
	step_append_state(step, answer, PointerGetDatum(signing->approval_id));
	step_end_answer(answer, signing->was_verified, is_repeated);
}

Datum
admin_sign_approval(PG_FUNCTION_ARGS)
{
	Signing		signing = {0};

	step_begin(&signing.step, fcinfo, "sign_approval()", 2, "signer", 4);
	signing.approval_id = required_argument(fcinfo, 0, "approval_id", APPROVAL_ID_MAX_BYTES);
	signing.role = required_argument(fcinfo, 1, "signer_role", ROLE_MAX_BYTES);
	signing.comment = optional_argument(fcinfo, 3, "comment", REASON_MAX_BYTES);
	signing.expected_digest = PG_ARGISNULL(5) ? NULL : PG_GETARG_BYTEA_PP(5);
	return step_run(&signing.step, sign_step);
}
