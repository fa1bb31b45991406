/*
 * approval.h
 *	  An approval as a row of its table, and as the decision wants it.
 */
#ifndef ADMIN_EXT_APPROVAL_H
#define ADMIN_EXT_APPROVAL_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "datatype/timestamp.h"

#include "compat.h"
#include "decision/policy.h"

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

/* The types of its columns, for layout.h. */
extern const Oid approval_types[APPROVAL_COLUMNS];

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

/* What the decision wants to know of an approval that was found, and its signatures. */
extern void approval_facts(const ApprovalRow *row, int signature_count, bool signatures_sound, ApprovalFacts *facts);

/* A text of a tuple, where it is; data is NULL for null. */
extern PolicyText policy_text_of(Datum value, bool isnull);

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

#endif							/* ADMIN_EXT_APPROVAL_H */
