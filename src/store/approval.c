/*
 * approval.c
 *	  See approval.h.  Texts live where the row that they were read from does.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "layout.h"
#include "store/approval.h"

const Oid	approval_types[APPROVAL_COLUMNS] = {
	TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT2OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	TIMESTAMPTZOID, TEXTOID, TEXTOID
};

PolicyText
policy_text_of(Datum value, bool isnull)
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
read_required_roles(Datum value, bool isnull, ApprovalRow *row)
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
		row->roles[i] = policy_text_of(elements[i], false);
	}
	row->role_count = count;
	return true;
}

void
approval_row_from_values(const Datum *values, const bool *nulls, ApprovalRow *row)
{
	PolicyText	state;

#define COLUMN(n) values[(n) - 1], nulls[(n) - 1]
	row->id = policy_text_of(COLUMN(APPROVAL_ID));
	row->action = policy_text_of(COLUMN(APPROVAL_ACTION));
	row->resource = policy_text_of(COLUMN(APPROVAL_RESOURCE));
	row->requested_by = policy_text_of(COLUMN(APPROVAL_REQUESTED_BY));
	row->readable = read_required_roles(COLUMN(APPROVAL_REQUIRED_ROLES), row);
	row->required_signer_count = nulls[APPROVAL_REQUIRED_SIGNER_COUNT - 1] ? 0 :
		DatumGetInt16(values[APPROVAL_REQUIRED_SIGNER_COUNT - 1]);
	state = policy_text_of(COLUMN(APPROVAL_STATE));
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

void
approval_row_from_tuple(HeapTuple tuple, TupleDesc desc, ApprovalRow *row)
{
	Datum		values[MaxHeapAttributeNumber];
	bool		nulls[MaxHeapAttributeNumber];

	layout_check_row(desc, "approval", approval_types, APPROVAL_COLUMNS);
	heap_deform_tuple(tuple, desc, values, nulls);
	approval_row_from_values(values, nulls, row);
}

void
approval_facts(const ApprovalRow *row, int signature_count, bool signatures_sound, ApprovalFacts *facts)
{
	memset(facts, 0, sizeof(*facts));
	facts->found = true;
	facts->signature_count = signature_count;
	facts->signatures_sound = signatures_sound;
	facts->readable = row->readable;
	facts->state = row->state;
	facts->closed = row->closed;
	facts->deadline = row->sla_deadline;
	facts->required_signer_count = row->required_signer_count;
	facts->action = row->action;
	facts->resource = row->resource;
}
