/*
 * approval_guard.c
 *	  Trigger of admin.approval: what an approval may look like, and become.
 *
 * BEFORE, for each row; an UPDATE holds the row's lock by the time it comes here,
 * and adding a signature takes that lock first, so what is counted here stays true.
 * Writes nothing itself.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/insider_restoring.h"
#include "one_line.h"
#include "relations.h"
#include "store/action_policy.h"
#include "store/approval.h"
#include "store/approval_store.h"
#include "store/guard.h"
#include "store/signature_guard.h"
#include "store/signature_store.h"
#include "text_limits.h"


PG_FUNCTION_INFO_V1(admin_approval_guard);

/* One tuple, taken apart. */
typedef struct Version
{
	HeapTuple	tuple;
	Datum		values[APPROVAL_COLUMNS];
	bool		nulls[APPROVAL_COLUMNS];
} Version;

static void
deform_version(HeapTuple tuple, TupleDesc desc, Version *version)
{
	version->tuple = tuple;
	heap_deform_tuple(tuple, desc, version->values, version->nulls);
}

static ApprovalState
state_of(const Version *version)
{
	text	   *state;

	if (version->nulls[APPROVAL_STATE - 1])
		return STATE_UNKNOWN;
	state = DatumGetTextPP(version->values[APPROVAL_STATE - 1]);
	return approval_state_parse(VARDATA_ANY(state), VARSIZE_ANY_EXHDR(state));
}

static char *
version_approval_id(const Version *version)
{
	return version->nulls[0] ? "(null)" : TextDatumGetCString(version->values[0]);
}

static bool
column_changed(TupleDesc desc, const Version *old, const Version *new, int column)
{
	Form_pg_attribute attribute = TupleDescAttr(desc, column - 1);

	if (old->nulls[column - 1] || new->nulls[column - 1])
		return old->nulls[column - 1] != new->nulls[column - 1];
	return !datum_image_eq(old->values[column - 1], new->values[column - 1],
						   attribute->attbyval, attribute->attlen);
}

static void
malformed_roles(const Version *version, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("required_roles of approval \"%s\" is malformed", version_approval_id(version)),
			 errdetail_internal("%s", detail)));
}

/* 1 to 8 distinct roles of 1 to 128 bytes; NOT NULL and the number are the table's own constraints. */
static void
check_roles(const Version *version)
{
	ArrayType  *array;
	Datum	   *roles;
	bool	   *nulls;
	int			count;

	if (version->nulls[APPROVAL_REQUIRED_ROLES - 1])
		return;
	array = DatumGetArrayTypeP(version->values[APPROVAL_REQUIRED_ROLES - 1]);
	if (ARR_NDIM(array) > 1)
		malformed_roles(version, "It has more than one dimension.");
	if (ARR_NDIM(array) == 1 && ARR_LBOUND(array)[0] != 1)
		malformed_roles(version, "It is not numbered from 1.");
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &roles, &nulls, &count);
	if (count > MAX_REQUIRED_SIGNERS)
		return;
	for (int i = 0; i < count; i++)
	{
		int			bytes = nulls[i] ? 0 : VARSIZE_ANY_EXHDR(DatumGetPointer(roles[i]));

		if (bytes < 1 || bytes > ROLE_MAX_BYTES)
			malformed_roles(version, "Each role has 1 to 128 bytes.");
		if (one_line_is_broken(DatumGetTextPP(roles[i])))
			malformed_roles(version, "A role has a control character.");
		for (int j = 0; j < i; j++)
		{
			if (datum_image_eq(roles[i], roles[j], false, -1))
				malformed_roles(version, "A role is named twice.");
		}
	}
}

/*
 * Names must fit on one line.  For an UPDATE (old is not NULL) only changed columns are checked, so
 * that a row that was loaded with such a text can still be signed and withdrawn.
 */
static void
check_lines(TupleDesc desc, const Version *old, const Version *new)
{
	static const int columns[] = {APPROVAL_ACTION, APPROVAL_RESOURCE, APPROVAL_REQUESTED_BY, APPROVAL_CLOSED_BY};

	for (int i = 0; i < lengthof(columns); i++)
	{
		if (new->nulls[columns[i] - 1] || (old != NULL && !column_changed(desc, old, new, columns[i])) ||
			!one_line_is_broken(DatumGetTextPP(new->values[columns[i] - 1])))
			continue;
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s of approval \"%s\" has a control character",
						NameStr(TupleDescAttr(desc, columns[i] - 1)->attname), version_approval_id(new)),
				 errdetail(ONE_LINE_DETAIL)));
	}
}

static void
refuse_immutable(TupleDesc desc, const Version *old, int column, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_RESTRICT_VIOLATION),
			 errmsg("column \"%s\" of approval \"%s\" cannot change",
					NameStr(TupleDescAttr(desc, column - 1)->attname), version_approval_id(old)),
			 errdetail_internal("%s", why)));
}

/* A withdrawn approval is final.  A change of closed_at has an error code of its own. */
static void
check_closed(TupleDesc desc, const Version *old, const Version *new)
{
	if (column_changed(desc, old, new, APPROVAL_CLOSED_AT))
		refuse_immutable(desc, old, APPROVAL_CLOSED_AT, "It never changes once it is set.");
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("approval \"%s\" is withdrawn", version_approval_id(old)),
			 errdetail("A withdrawn approval is final.")));
}

static void
check_transition(const Version *old, const Version *new)
{
	ApprovalState from = state_of(old);
	ApprovalState to = state_of(new);
	int			required = old->nulls[APPROVAL_REQUIRED_SIGNER_COUNT - 1] ? 0 :
	DatumGetInt16(old->values[APPROVAL_REQUIRED_SIGNER_COUNT - 1]);
	bool		forward = (from == STATE_PENDING && to == STATE_SIGNED_PARTIAL && required > 1) ||
	(from == STATE_PENDING && to == STATE_SIGNED_FULL && required == 1) ||
	(from == STATE_SIGNED_PARTIAL && to == STATE_SIGNED_FULL);

	/* The table's own constraint reports a state that does not exist. */
	if (to == STATE_UNKNOWN || to == STATE_WITHDRAWN)
		return;
	if (forward && approval_guard_signer() != NULL)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("approval \"%s\" cannot go from %s to %s", version_approval_id(old),
					approval_state_name(from), approval_state_name(to)),
			 errdetail(forward ? "The state follows from the signatures; nobody sets it by hand." :
					   "The states are pending, signed_partial, signed_full, in this order, and from each of them withdrawn."),
			 errhint("Sign with admin.sign_approval(), withdraw with admin.withdraw_approval().")));
}

/* The columns that signers have signed cannot change after the first signature. */
static void
check_signed_columns(TupleDesc desc, const Version *old, const Version *new)
{
	static const int signed_columns[] = {
		APPROVAL_ACTION, APPROVAL_RESOURCE, APPROVAL_REQUIRED_ROLES,
		APPROVAL_REQUIRED_SIGNER_COUNT, APPROVAL_REQUESTED_BY, APPROVAL_SLA_DEADLINE
	};
	int			changed = 0;
	Snapshot	snapshot;

	for (int i = 0; i < lengthof(signed_columns) && changed == 0; i++)
	{
		if (column_changed(desc, old, new, signed_columns[i]))
			changed = signed_columns[i];
	}
	if (changed == 0)
		return;
	snapshot = approval_store_snapshot();
	if (signature_store_count(old->values[0], snapshot, NULL, 0) > 0)
		refuse_immutable(desc, old, changed, "The approval has been signed.");
	UnregisterSnapshot(snapshot);
}

/* Checks the policy of the action, on every path by which an approval is requested. */
static void
check_policy(const Version *version)
{
	ApprovalRow row;

	if (version->nulls[APPROVAL_CREATED_AT - 1])
		return;
	approval_row_from_values(version->values, version->nulls, &row);
	action_policy_check(&row, DatumGetTimestampTz(version->values[APPROVAL_CREATED_AT - 1]));
}

/* A request may change until its first signature, but not into one that its policy refuses. */
static bool
changes_request(TupleDesc desc, const Version *old, const Version *new)
{
	return column_changed(desc, old, new, APPROVAL_ACTION) ||
		column_changed(desc, old, new, APPROVAL_RESOURCE) ||
		column_changed(desc, old, new, APPROVAL_REQUIRED_ROLES) ||
		column_changed(desc, old, new, APPROVAL_SLA_DEADLINE);
}

static HeapTuple
guard_update(TupleDesc desc, HeapTuple old_tuple, HeapTuple new_tuple)
{
	Version		old;
	Version		new;
	bool		changed = false;
	int			updated_at = APPROVAL_UPDATED_AT;
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	bool		isnull = false;

	deform_version(old_tuple, desc, &old);
	deform_version(new_tuple, desc, &new);
	for (int column = 1; column <= APPROVAL_COLUMNS && !changed; column++)
		changed = column_changed(desc, &old, &new, column);
	if (!changed)
		return new_tuple;

	if (column_changed(desc, &old, &new, APPROVAL_ID))
		refuse_immutable(desc, &old, APPROVAL_ID, "An approval keeps its id.");
	if (column_changed(desc, &old, &new, APPROVAL_CREATED_AT))
		refuse_immutable(desc, &old, APPROVAL_CREATED_AT, "An approval is issued once.");
	if (state_of(&old) == STATE_WITHDRAWN || !old.nulls[APPROVAL_CLOSED_AT - 1])
		check_closed(desc, &old, &new);
	if (column_changed(desc, &old, &new, APPROVAL_STATE))
		check_transition(&old, &new);
	check_signed_columns(desc, &old, &new);
	if (column_changed(desc, &old, &new, APPROVAL_REQUIRED_ROLES))
		check_roles(&new);
	check_lines(desc, &old, &new);
	if (changes_request(desc, &old, &new))
		check_policy(&new);
	return heap_modify_tuple_by_cols(new_tuple, desc, 1, &updated_at, &now, &isnull);
}

Datum
admin_approval_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	Version		version;

	guard_check_call(fcinfo, "admin.approval_guard()", admin_relations()->approval, approval_types, APPROVAL_COLUMNS);
	if (guard_is_copying(trigger))
	{
		insider_note_loaded(trigger->tg_relation);
		return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple);
	}
	if (TRIGGER_FIRED_BY_TRUNCATE(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_RESTRICT_VIOLATION),
				 errmsg("an approval is never deleted"),
				 errdetail("DELETE and TRUNCATE of \"%s\" are refused for everybody.",
						   RelationGetRelationName(trigger->tg_relation)),
				 errhint("Withdraw it with admin.withdraw_approval().")));

	desc = RelationGetDescr(trigger->tg_relation);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return PointerGetDatum(guard_update(desc, trigger->tg_trigtuple, trigger->tg_newtuple));

	deform_version(trigger->tg_trigtuple, desc, &version);
	check_roles(&version);
	check_lines(desc, NULL, &version);
	check_policy(&version);
	return PointerGetDatum(trigger->tg_trigtuple);
}
