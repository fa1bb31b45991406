/*
 * ingest_data.c
 *	  See ingest_data.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"
#include "utils/numeric.h"

#include "ingest/ingest_data.h"
#include "json_number.h"
#include "json_value.h"

/* What stands around the value at hand. */
typedef struct Writing
{
	StringInfo	out;
	int			max_bytes;
	int			depth;
	bool		is_first;		/* of its array or object: no comma before it */
} Writing;

char *
ingest_number_text(Numeric number)
{
	static Numeric limit = NULL;
	Datum		magnitude = DirectFunctionCall1(numeric_abs, NumericGetDatum(number));

	if (limit == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		limit = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf("1e%d", JSON_MAX_DIGITS)),
													ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
		MemoryContextSwitchTo(old);
	}
	if (DatumGetBool(DirectFunctionCall2(numeric_ge, magnitude, NumericGetDatum(limit))) ||
		DatumGetInt32(DirectFunctionCall1(numeric_scale, NumericGetDatum(number))) > JSON_MAX_DIGITS)
		return NULL;
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
}

bool
ingest_is_text(const JsonbValue *value)
{
	return GetDatabaseEncoding() != PG_SQL_ASCII ||
		pg_verify_mbstr(PG_UTF8, value->val.string.val, value->val.string.len, true);
}

static const char *
append_data_string(StringInfo out, const JsonbValue *value, int max_bytes)
{
	if (value->val.string.len > max_bytes)
		return psprintf("it has more than %d bytes", max_bytes);
	if (!ingest_is_text(value))
		return "it is not UTF-8";
	escape_json(out, pnstrdup(value->val.string.val, value->val.string.len));
	return NULL;
}

static const char *
append_data_scalar(StringInfo out, const JsonbValue *value, int max_bytes)
{
	char	   *digits;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			return NULL;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			return NULL;
		case jbvNumeric:
			digits = ingest_number_text(value->val.numeric);
			if (digits == NULL)
				return psprintf("it has a number of more than %d digits", JSON_MAX_DIGITS);
			if (json_number_judge(digits, strlen(digits)) == JSON_NUMBER_PLAIN)
				appendStringInfoString(out, digits);
			else
				appendStringInfo(out, "\"%s\"", digits);
			return NULL;
		default:
			return append_data_string(out, value, max_bytes);
	}
}

static void
separate_members(Writing *writing)
{
	if (!writing->is_first)
		appendStringInfoChar(writing->out, ',');
	writing->is_first = false;
}

static const char *
append_token(Writing *writing, JsonbIteratorToken token, const JsonbValue *value)
{
	const char *error;

	switch (token)
	{
		case WJB_BEGIN_ARRAY:
		case WJB_BEGIN_OBJECT:
			separate_members(writing);
			appendStringInfoChar(writing->out, token == WJB_BEGIN_ARRAY ? '[' : '{');
			writing->is_first = true;
			if (++writing->depth > JSON_MAX_DEPTH)
				return psprintf("it is nested deeper than %d", JSON_MAX_DEPTH);
			return NULL;
		case WJB_END_ARRAY:
		case WJB_END_OBJECT:
			appendStringInfoChar(writing->out, token == WJB_END_ARRAY ? ']' : '}');
			writing->is_first = false;
			writing->depth--;
			return NULL;
		case WJB_KEY:
			separate_members(writing);
			error = append_data_scalar(writing->out, value, writing->max_bytes);
			if (error != NULL)
				return error;
			appendStringInfoChar(writing->out, ':');
			writing->is_first = true;
			return NULL;
		default:
			separate_members(writing);
			return append_data_scalar(writing->out, value, writing->max_bytes);
	}
}

const char *
ingest_append_json(StringInfo out, const JsonbValue *value, int max_bytes)
{
	Writing		writing = {.out = out, .max_bytes = max_bytes, .is_first = true};
	int			end = out->len + max_bytes;
	const char *error = NULL;
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	part;

	if (value->type != jbvBinary)
		error = append_data_scalar(out, value, max_bytes);
	else
	{
		iterator = JsonbIteratorInit(value->val.binary.data);
		while (error == NULL && out->len <= end && (token = JsonbIteratorNext(&iterator, &part, false)) != WJB_DONE)
		{
			error = append_token(&writing, token, &part);
			CHECK_FOR_INTERRUPTS();
		}
	}
	if (error == NULL && out->len > end)
		error = psprintf("it has more than %d bytes", max_bytes);
	return error;
}
