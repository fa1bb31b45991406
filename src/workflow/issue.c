/*
 * issue.c
 *	  admin.issue_approval(): an approval comes to be, pending.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "decision/approval_id.h"
#include "json_text.h"
#include "one_line.h"
#include "owner.h"
#include "rfc3339.h"
#include "workflow/step.h"

#define GENERATED_DIGITS	6
#define GENERATED_LETTERS	16	/* 82 bits: two of them are not going to be the same */
#define GENERATED_ATTEMPTS	4

PG_FUNCTION_INFO_V1(admin_issue_approval);

typedef struct Issuing
{
	Step		step;			/* first: the body is given this */
	text	   *approval_id;	/* NULL until one is generated */
	text	   *action;
	text	   *resource;		/* or NULL */
	ArrayType  *roles;
	int			role_count;
	TimestampTz deadline;
} Issuing;

static void
refuse_roles(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"required_roles\" is not 1 to %d distinct roles", MAX_REQUIRED_SIGNERS),
			 errdetail_internal("%s", detail)));
}

static void
read_roles_argument(FunctionCallInfo fcinfo, Issuing *issuing)
{
	Datum	   *roles;
	bool	   *nulls;

	if (PG_ARGISNULL(1))
		refuse_roles("It is null.");
	issuing->roles = PG_GETARG_ARRAYTYPE_P(1);
	if (ARR_NDIM(issuing->roles) != 1)
		refuse_roles(ARR_NDIM(issuing->roles) == 0 ? "It is empty." : "It has more than one dimension.");
	if (ARR_DIMS(issuing->roles)[0] > MAX_REQUIRED_SIGNERS)
		refuse_roles(psprintf("It has %d elements.", ARR_DIMS(issuing->roles)[0]));
	deconstruct_array(issuing->roles, TEXTOID, -1, false, TYPALIGN_INT, &roles, &nulls,
					  &issuing->role_count);
	for (int i = 0; i < issuing->role_count; i++)
	{
		if (nulls[i] || VARSIZE_ANY_EXHDR(DatumGetPointer(roles[i])) < 1 ||
			VARSIZE_ANY_EXHDR(DatumGetPointer(roles[i])) > ROLE_MAX_BYTES)
			refuse_roles(psprintf("Element %d does not have 1 to %d bytes.", i + 1, ROLE_MAX_BYTES));
		if (one_line_is_broken(DatumGetTextPP(roles[i])))
			refuse_roles(psprintf("Element %d has a control character.", i + 1));
		for (int j = 0; j < i; j++)
		{
			if (policy_texts_equal(policy_text_of(roles[i], false), policy_text_of(roles[j], false)))
				refuse_roles(psprintf("Elements %d and %d are the same.", j + 1, i + 1));
		}
	}
	/* Numbered from 1, whatever the caller's array was. */
	issuing->roles = construct_array(roles, issuing->role_count, TEXTOID, -1, false, TYPALIGN_INT);
}

static void
refuse_deadline(const char *value, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"sla_deadline\" is out of range"),
			 errdetail("Its value %s is not in the future and before the year 10000.", value),
			 hint != NULL ? errhint("%s", hint) : 0));
}

static void
read_deadline(FunctionCallInfo fcinfo, Issuing *issuing)
{
	if (PG_ARGISNULL(2))
		refuse_deadline("null", NULL);
	issuing->deadline = PG_GETARG_TIMESTAMPTZ(2);
	if (TIMESTAMP_NOT_FINITE(issuing->deadline) || issuing->deadline >= RFC3339_END)
		refuse_deadline(timestamptz_to_str(issuing->deadline), NULL);
}

static void
read_approval_id(FunctionCallInfo fcinfo, Issuing *issuing)
{
	issuing->approval_id = optional_argument(fcinfo, 4, "approval_id", APPROVAL_ID_MAX_BYTES);
	if (issuing->approval_id != NULL &&
		!approval_id_is_valid(VARDATA_ANY(issuing->approval_id),
							  VARSIZE_ANY_EXHDR(issuing->approval_id)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"approval_id\" is not of the form APP-nnnnnn-name"),
				 errdetail("Its value is \"%s\"; ^APP-[0-9]{6}-[a-z0-9]+$ is the grammar.",
						   text_to_cstring(issuing->approval_id)),
				 errhint("Leave it out to have one generated.")));
}

static text *
generate_id(void)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";
	uint32		random[GENERATED_DIGITS + GENERATED_LETTERS];
	char		id[APPROVAL_ID_MAX_BYTES + 1] = "APP-";
	char	   *at = id + strlen(id);

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not obtain random numbers for an approval_id")));
	for (int i = 0; i < GENERATED_DIGITS; i++)
		*at++ = '0' + random[i] % 10;
	*at++ = '-';
	for (int i = 0; i < GENERATED_LETTERS; i++)
		*at++ = letters[random[GENERATED_DIGITS + i] % (sizeof(letters) - 1)];
	*at = '\0';
	return cstring_to_text(id);
}

/* False when the id is taken. */
static bool
insert_approval(Issuing *issuing)
{
	static OwnerQuery query = {
		.text =
		"insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline) "
		"values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
		.nargs = 7,
		.types = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, INT2OID, TEXTOID, TIMESTAMPTZOID},
		.result = SPI_OK_INSERT
	};
	Datum		values[] = {
		PointerGetDatum(issuing->approval_id), PointerGetDatum(issuing->action),
		PointerGetDatum(issuing->resource),
		PointerGetDatum(issuing->roles), Int16GetDatum(issuing->role_count),
		PointerGetDatum(issuing->step.person),
		TimestampTzGetDatum(issuing->deadline)
	};

	return owner_run(&query, values, issuing->resource == NULL ? "  n    " : NULL, 0) == 1;
}

/* Is the approval that has the id the one that is to be issued? */
static bool
is_the_same(const Issuing *issuing)
{
	static OwnerQuery query = {
		.text =
		"select from admin.approval where approval_id operator(pg_catalog.=) $1 "
		"and action operator(pg_catalog.=) $2 and (resource is null) operator(pg_catalog.=) ($3 is null) "
		"and (resource is null or resource operator(pg_catalog.=) $3) and required_roles operator(pg_catalog.=) $4 "
		"and requested_by operator(pg_catalog.=) $5 and sla_deadline operator(pg_catalog.=) $6",
		.nargs = 6,
		.types = {TEXTOID, TEXTOID, TEXTOID, TEXTARRAYOID, TEXTOID, TIMESTAMPTZOID},
		.result = SPI_OK_SELECT
	};
	Datum		values[] = {
		PointerGetDatum(issuing->approval_id), PointerGetDatum(issuing->action),
		PointerGetDatum(issuing->resource),
		PointerGetDatum(issuing->roles), PointerGetDatum(issuing->step.person),
		TimestampTzGetDatum(issuing->deadline)
	};

	return owner_run(&query, values, issuing->resource == NULL ? "  n   " : NULL, 1) == 1;
}

static void
refuse_past_deadline(const Issuing *issuing)
{
	if (issuing->deadline <= issuing->step.now)
		refuse_deadline(timestamptz_to_str(issuing->deadline), "Issue it with a deadline in the future.");
}

/* Stores the approval under the id asked for, or one of our own; true: it was there already. */
static bool
store_approval(Issuing *issuing)
{
	if (issuing->approval_id == NULL)
	{
		refuse_past_deadline(issuing);
		for (int i = 0; i < GENERATED_ATTEMPTS; i++)
		{
			issuing->approval_id = generate_id();
			if (insert_approval(issuing))
				return false;
		}
		elog(ERROR, "could not find an approval_id that is free");
	}
	/* What is there already is answered, though its deadline has passed meanwhile. */
	if (is_the_same(issuing))
		return true;
	refuse_past_deadline(issuing);
	if (insert_approval(issuing))
		return false;
	if (!is_the_same(issuing))
		ereport(ERROR,
				(errcode(ERRCODE_UNIQUE_VIOLATION),
				 errmsg("approval \"%s\" exists already", text_to_cstring(issuing->approval_id)),
				 errdetail("The existing approval differs from the arguments."),
				 errhint("Omit approval_id to have one generated.")));
	return true;
}

static void
issue_step(Step *step, StringInfo answer)
{
	Issuing    *issuing = (Issuing *) step;
	bool		is_repeated = store_approval(issuing);

	if (!is_repeated)
	{
		step_use_token(step);
		step_look_again(step);
		refuse_past_deadline(issuing);
	}
	appendStringInfoString(answer, "{\"approval_id\":");
	append_json_text(answer, issuing->approval_id);
	appendStringInfoString(answer, ",\"requested_by\":");
	append_json_text(answer, step->person);
	appendStringInfoString(answer, ",\"sla_deadline\":\"");
	append_timestamp(answer, issuing->deadline);
	appendStringInfoChar(answer, '"');
	step_append_state(step, answer, PointerGetDatum(issuing->approval_id));
	step_end_answer(answer, is_repeated ?
					step_was_verified(PointerGetDatum(issuing->approval_id), "approval.issued") :
					step->evidence.is_verified, is_repeated);
}

Datum
admin_issue_approval(PG_FUNCTION_ARGS)
{
	Issuing		issuing = {0};

	step_begin(&issuing.step, fcinfo, "issue_approval()", 5, "requested_by", 6);
	issuing.action = required_argument(fcinfo, 0, "action", ACTION_MAX_BYTES);
	check_argument_line("action", issuing.action);
	read_roles_argument(fcinfo, &issuing);
	read_deadline(fcinfo, &issuing);
	issuing.resource = optional_argument(fcinfo, 3, "resource", RESOURCE_MAX_BYTES);
	check_argument_line("resource", issuing.resource);
	read_approval_id(fcinfo, &issuing);
	return step_run(&issuing.step, issue_step);
}
