/*
 * withdraw.c
 *	  admin.withdraw_approval(): the end of an approval, by its requester, a signer of it,
 *	  or an operator.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "decision/approval_id.h"
#include "json_text.h"
#include "owner.h"
#include "workflow/step.h"

#define OPERATOR_ROLE	"operator"	/* among the roles of a token */

PG_FUNCTION_INFO_V1(admin_withdraw_approval);

typedef struct Withdrawing
{
	Step		step;			/* first: the body is given this */
	text	   *approval_id;
	text	   *reason;
} Withdrawing;

/* Has the same person withdrawn it for the same reason? */
static bool
is_withdrawn_so(const Withdrawing *withdrawing)
{
	static OwnerQuery query = {
		.text =
		"select from admin.approval where approval_id operator(pg_catalog.=) $1 "
		"and closed_at is not null and closed_by operator(pg_catalog.=) $2 "
		"and close_reason operator(pg_catalog.=) $3",
		.nargs = 3,
		.types = {TEXTOID, TEXTOID, TEXTOID},
		.result = SPI_OK_SELECT
	};
	Datum		values[] = {
		PointerGetDatum(withdrawing->approval_id), PointerGetDatum(withdrawing->step.person),
		PointerGetDatum(withdrawing->reason)
	};

	return owner_run(&query, values, NULL, 1) == 1;
}

static bool
has_signed(const Withdrawing *withdrawing)
{
	static OwnerQuery query = {
		.text =
		"select from admin.signature where approval_id operator(pg_catalog.=) $1 "
		"and signer operator(pg_catalog.=) $2",
		.nargs = 2,
		.types = {TEXTOID, TEXTOID},
		.result = SPI_OK_SELECT
	};
	Datum		values[] = {PointerGetDatum(withdrawing->approval_id),
	PointerGetDatum(withdrawing->step.person)};

	return owner_run(&query, values, NULL, 1) == 1;
}

/* Only a token can prove that a person is an operator. */
static void
check_withdrawer(const Withdrawing *withdrawing, const ApprovalRow *approval)
{
	const Step *step = &withdrawing->step;

	if (policy_texts_equal(policy_text(step->person), approval->requested_by) ||
		has_signed(withdrawing) ||
		(step->evidence.is_verified && identity_has_role(&step->identity, OPERATOR_ROLE)))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("\"%s\" cannot withdraw approval \"%s\"",
					text_to_cstring(step->person), text_to_cstring(withdrawing->approval_id)),
			 errdetail("Only its requester, its signers, and people whose token names the role \"%s\" can withdraw it.", OPERATOR_ROLE),
			 errhint("Ask one of them to withdraw it.")));
}

static void
close_approval(const Withdrawing *withdrawing)
{
	static OwnerQuery query = {
		.text =
		"update admin.approval set state = 'withdrawn', closed_at = $2, closed_by = $3, close_reason = $4 "
		"where approval_id operator(pg_catalog.=) $1",
		.nargs = 4,
		.types = {TEXTOID, TIMESTAMPTZOID, TEXTOID, TEXTOID},
		.result = SPI_OK_UPDATE
	};
	Datum		values[] = {
		PointerGetDatum(withdrawing->approval_id), TimestampTzGetDatum(withdrawing->step.now),
		PointerGetDatum(withdrawing->step.person), PointerGetDatum(withdrawing->reason)
	};

	if (owner_run(&query, values, NULL, 0) != 1)
		elog(ERROR, "could not withdraw an approval");
}

static void
withdraw_step(Step *step, StringInfo answer)
{
	Withdrawing *withdrawing = (Withdrawing *) step;
	ApprovalRow approval;
	bool		is_repeated;

	step_lock(step, PointerGetDatum(withdrawing->approval_id), &approval);
	is_repeated = is_withdrawn_so(withdrawing);
	if (!is_repeated)
	{
		step_refuse_withdrawn(&approval);
		check_withdrawer(withdrawing, &approval);
		step_use_token(step);
		step_look_again(step);
		close_approval(withdrawing);
	}
	appendStringInfoString(answer, "{\"approval_id\":");
	append_json_text(answer, withdrawing->approval_id);
	appendStringInfoString(answer, ",\"closed_by\":");
	append_json_text(answer, step->person);
	appendStringInfoString(answer, ",\"close_reason\":");
	append_json_text(answer, withdrawing->reason);
	step_append_state(step, answer, PointerGetDatum(withdrawing->approval_id));
	step_end_answer(answer, is_repeated ?
					step_was_verified(PointerGetDatum(withdrawing->approval_id), "approval.withdrawn") :
					step->evidence.is_verified, is_repeated);
}

Datum
admin_withdraw_approval(PG_FUNCTION_ARGS)
{
	Withdrawing withdrawing = {0};

	step_begin(&withdrawing.step, fcinfo, "withdraw_approval()", 2, "actor", 3);
	withdrawing.approval_id = required_argument(fcinfo, 0, "approval_id", APPROVAL_ID_MAX_BYTES);
	withdrawing.reason = required_argument(fcinfo, 1, "reason", REASON_MAX_BYTES);
	return step_run(&withdrawing.step, withdraw_step);
}
