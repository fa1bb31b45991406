/*
 * signature_guard.c
 *	  Trigger of admin.signature: who may sign what, and what a signature moves.
 *
 * BEFORE INSERT locks the approval's row, which serialises signers of one approval
 * with each other and with a withdrawal, and compares the signature with it.  AFTER
 * INSERT moves the state of the approval forward.  Both reach the approval as the
 * owner of the table, as the server's own foreign key triggers do.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "audit/insider_restoring.h"
#include "one_line.h"
#include "owner.h"
#include "relations.h"
#include "store/approval.h"
#include "store/approval_store.h"
#include "store/digest.h"
#include "store/guard.h"
#include "store/signature_guard.h"
#include "store/signature_store.h"

PG_FUNCTION_INFO_V1(admin_signature_guard);

static const char *current_signer = NULL;

const char *
approval_guard_signer(void)
{
	return current_signer;
}

static void
check_open(const ApprovalRow *approval)
{
	if (approval->state == STATE_WITHDRAWN || approval->closed)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("approval \"%.*s\" is withdrawn",
						(int) approval->id.length, approval->id.data),
				 errdetail("A withdrawn approval cannot be signed."),
				 errhint("To load a dump into a copy of the database, set admin_ext.restoring to on.")));
}

void
signature_check_signer(const ApprovalRow *approval, Datum role_value, Datum signer_value)
{
	PolicyText	role = policy_text_of(role_value, false);
	bool		required = false;

	for (int i = 0; i < approval->role_count; i++)
		required = required || policy_texts_equal(role, approval->roles[i]);
	if (!required)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("role \"%s\" is not required by approval \"%.*s\"",
						TextDatumGetCString(role_value),
						(int) approval->id.length, approval->id.data),
				 errdetail("It requires %d signatures in other roles.", approval->role_count),
				 errhint("Sign in one of its required_roles.")));
	if (policy_texts_equal(policy_text_of(signer_value, false), approval->requested_by))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("\"%s\" requested approval \"%.*s\" and cannot sign it",
						TextDatumGetCString(signer_value),
						(int) approval->id.length, approval->id.data),
				 errdetail("Nobody approves a request of their own."),
				 errhint("Another person has to sign.")));
}

/* The signer's name must not have a control character. */
static void
check_signer_line(const ApprovalRow *approval, Datum signer)
{
	if (one_line_is_broken(DatumGetTextPP(signer)))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("signer of approval \"%.*s\" has a control character",
						(int) approval->id.length, approval->id.data),
				 errdetail(ONE_LINE_DETAIL)));
}

/* Fills in a digest that was left out, and refuses a wrong one. */
static HeapTuple
check_digest(HeapTuple tuple, TupleDesc desc, const ApprovalRow *approval, Datum value, bool isnull)
{
	bytea	   *digest = SPI_palloc(VARHDRSZ + APPROVAL_DIGEST_BYTES);
	int			column = SIGNATURE_APPROVAL_DIGEST;
	Datum		filled = PointerGetDatum(digest);

	SET_VARSIZE(digest, VARHDRSZ + APPROVAL_DIGEST_BYTES);
	approval_digest(approval, (uint8 *) VARDATA(digest));
	if (isnull)
	{
		bool		filled_is_null = false;
		HeapTuple	complete = heap_modify_tuple_by_cols(tuple, desc, 1, &column, &filled,
														 &filled_is_null);

		/* The tuple has to outlive SPI_finish(). */
		return SPI_copytuple(complete);
	}
	if (VARSIZE_ANY_EXHDR(DatumGetByteaPP(value)) != APPROVAL_DIGEST_BYTES ||
		memcmp(VARDATA_ANY(DatumGetByteaPP(value)), VARDATA(digest), APPROVAL_DIGEST_BYTES) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("approval_digest is not that of approval \"%.*s\"",
						(int) approval->id.length, approval->id.data),
				 errdetail("It is the SHA-256 of something else, or of an earlier form of the approval."),
				 errhint("Sign the digest that admin.approval_digest() returns for the approval as it is now.")));
	return tuple;
}

static HeapTuple
guard_insert(HeapTuple tuple, TupleDesc desc)
{
	Datum		values[SIGNATURE_COLUMNS];
	bool		nulls[SIGNATURE_COLUMNS];
	ApprovalRow approval;

	heap_deform_tuple(tuple, desc, values, nulls);
	/* NOT NULL constraints come after this trigger and name the column. */
	if (nulls[SIGNATURE_APPROVAL_ID - 1] || nulls[SIGNATURE_SIGNER_ROLE - 1] ||
		nulls[SIGNATURE_SIGNER - 1])
		return tuple;
	approval_store_lock(values[SIGNATURE_APPROVAL_ID - 1], &approval);
	check_open(&approval);
	signature_check_signer(&approval, values[SIGNATURE_SIGNER_ROLE - 1], values[SIGNATURE_SIGNER - 1]);
	check_signer_line(&approval, values[SIGNATURE_SIGNER - 1]);
	return check_digest(tuple, desc, &approval, values[SIGNATURE_APPROVAL_DIGEST - 1],
						nulls[SIGNATURE_APPROVAL_DIGEST - 1]);
}

static void
set_state(Datum approval_id, ApprovalState state)
{
	static OwnerQuery query = {
		.text =
		"update admin.approval set state = $2 "
		"where approval_id operator(pg_catalog.=) $1",
		.nargs = 2,
		.types = {TEXTOID, TEXTOID},
		.result = SPI_OK_UPDATE
	};
	Datum		values[] = {approval_id, CStringGetTextDatum(approval_state_name(state))};

	owner_run(&query, values, NULL, 0);
}

/* The state after this one on the way to another. */
static ApprovalState
next_state(ApprovalState state, ApprovalState goal)
{
	return state == STATE_PENDING && goal == STATE_SIGNED_FULL ? STATE_SIGNED_PARTIAL : goal;
}

/*
 * Moves the state forward, step by step, to the one that the signatures give.  Signatures that the
 * same command has added after this one wait for their own trigger call, so that each
 * signature.added comes before the state that it leads to.  An approval that was inserted in a
 * later state stays there until its signatures have caught up.
 */
static void
advance_state(HeapTuple tuple, TupleDesc desc)
{
	Datum		values[SIGNATURE_COLUMNS];
	bool		nulls[SIGNATURE_COLUMNS];
	Datum		approval_id;
	ApprovalRow approval;
	ApprovalState goal;
	Snapshot	snapshot;

	heap_deform_tuple(tuple, desc, values, nulls);
	approval_id = values[SIGNATURE_APPROVAL_ID - 1];
	/* The signature becomes visible to this transaction. */
	CommandCounterIncrement();
	snapshot = approval_store_snapshot();
	if (!approval_store_read(approval_id, snapshot, &approval))
		elog(ERROR, "approval of a signature has vanished");
	goal = approval_state_from_signatures(
										  signature_store_count(approval_id, snapshot, tuple, DatumGetInt64(values[SIGNATURE_ID - 1])),
										  approval.required_signer_count);
	UnregisterSnapshot(snapshot);
	current_signer = TextDatumGetCString(values[SIGNATURE_SIGNER - 1]);
	PG_TRY();
	{
		/* The states are numbered in the order they are passed through. */
		while (goal != STATE_UNKNOWN && approval.state < goal)
		{
			approval.state = approval.required_signer_count == 1 ? goal : next_state(approval.state, goal);
			set_state(approval_id, approval.state);
		}
	}
	PG_FINALLY();
	{
		current_signer = NULL;
	}
	PG_END_TRY();
}

/* Does the trigger's work as the owner of the table. */
static HeapTuple
as_owner(TriggerData *trigger)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	HeapTuple	result = trigger->tg_trigtuple;
	OwnerScope	scope;

	owner_enter(&scope, admin_relations()->signature);
	if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
		result = guard_insert(trigger->tg_trigtuple, desc);
	else
		advance_state(trigger->tg_trigtuple, desc);
	owner_leave(&scope);
	return result;
}

Datum
admin_signature_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	guard_check_call(fcinfo, "admin.signature_guard()", admin_relations()->signature, signature_types, SIGNATURE_COLUMNS);
	if (guard_is_restoring(trigger))
	{
		/* The AFTER trigger has nothing to do: the state of the approval is loaded, too. */
		if (TRIGGER_FIRED_BEFORE(trigger->tg_event))
			insider_note_loaded(trigger->tg_relation);
		return PointerGetDatum(trigger->tg_trigtuple);
	}
	if (!TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("a signature is never changed or removed"),
				 errdetail("UPDATE, DELETE and TRUNCATE of \"%s\" are refused for everybody.",
						   RelationGetRelationName(trigger->tg_relation)),
				 errhint("Withdraw the approval instead.")));
	return PointerGetDatum(as_owner(trigger));
}
