/*
 * row_jsonb.c
 *	  See row_jsonb.h.
 *
 * The server's own function writes each number with all of its zeros: a value of a few kilobytes
 * becomes more than a string can hold, and the user's statement would fail.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "audit/row_jsonb.h"
#include "json_number.h"

#define PIECE_BYTES	65536

/* Digits without the zeros on both sides, and the exponent of the first of them. */
static char *
with_exponent(const char *text)
{
	bool		is_negative = text[0] == '-';
	const char *digits = text + is_negative;
	const char *point = strchr(digits, '.');
	long		integer_digits = point != NULL ? point - digits : (long) strlen(digits);
	char	   *kept = palloc(strlen(digits) + 1);
	long		count = 0;
	long		leading = 0;
	StringInfoData out;

	for (const char *at = digits; *at != '\0'; at++)
	{
		if (*at == '.')
			continue;
		if (count == 0 && *at == '0')
			leading++;
		else
			kept[count++] = *at;
	}
	while (count > 0 && kept[count - 1] == '0')
		count--;
	if (count == 0)
		return pstrdup("0");
	initStringInfo(&out);
	appendStringInfo(&out, "%s%c", is_negative ? "-" : "", kept[0]);
	if (count > 1)
	{
		appendStringInfoChar(&out, '.');
		appendBinaryStringInfo(&out, kept + 1, count - 1);
	}
	appendStringInfo(&out, "e%ld", integer_digits - leading - 1);
	pfree(kept);
	return out.data;
}

char *
numeric_text(Numeric number)
{
	char	   *text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(number)));
	Size		length = strlen(text);
	char	   *shorter;

	if (length <= JSON_MAX_DIGITS + 2 || numeric_is_nan(number) || numeric_is_inf(number))
		return text;
	shorter = with_exponent(text);
	if (strlen(shorter) >= length)
	{
		pfree(shorter);
		return text;
	}
	pfree(text);
	return shorter;
}

/* A long string goes in pieces: escapes may make it six times as long. */
static bool
append_jsonb_string(StringInfo out, const char *bytes, Size length, Size most)
{
	StringInfoData piece;
	char		copy[PIECE_BYTES + 1];

	initStringInfo(&piece);
	appendStringInfoChar(out, '"');
	for (Size done = 0; done < length && out->len <= most; done += PIECE_BYTES)
	{
		Size		part = Min(length - done, PIECE_BYTES);

		memcpy(copy, bytes + done, part);
		copy[part] = '\0';
		resetStringInfo(&piece);
		escape_json(&piece, copy);
		/* Without the quotation marks around it. */
		appendBinaryStringInfo(out, piece.data + 1, piece.len - 2);
	}
	appendStringInfoChar(out, '"');
	pfree(piece.data);
	return out->len <= most;
}

static bool
append_jsonb_scalar(StringInfo out, const JsonbValue *value, Size most)
{
	char	   *number;

	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(out, "null");
			break;
		case jbvBool:
			appendStringInfoString(out, value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			number = numeric_text(value->val.numeric);
			appendStringInfoString(out, number);
			pfree(number);
			break;
		case jbvString:
			return append_jsonb_string(out, value->val.string.val, value->val.string.len, most);
		default:
			elog(ERROR, "unexpected type of a jsonb scalar: %d", (int) value->type);
	}
	return out->len <= most;
}

bool
jsonb_text(StringInfo out, Jsonb *jsonb, Size most)
{
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	bool		is_scalar = JB_ROOT_IS_SCALAR(jsonb);
	bool		is_first = true;	/* no comma comes before the next one */
	bool		is_short = true;
	JsonbValue	value;
	JsonbIteratorToken token;

	while (is_short && (token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		bool		ends = token == WJB_END_ARRAY || token == WJB_END_OBJECT;

		if (!ends && !is_first)
			appendStringInfoString(out, ", ");
		is_first = token == WJB_BEGIN_ARRAY || token == WJB_BEGIN_OBJECT || token == WJB_KEY;
		if (token == WJB_KEY || token == WJB_VALUE || token == WJB_ELEM)
			is_short = append_jsonb_scalar(out, &value, most);
		else if (!is_scalar)
			appendStringInfoChar(out, token == WJB_BEGIN_ARRAY ? '[' : token == WJB_END_ARRAY ? ']' :
								 token == WJB_BEGIN_OBJECT ? '{' : '}');
		if (token == WJB_KEY)
			appendStringInfoString(out, ": ");
		CHECK_FOR_INTERRUPTS();
	}
	return is_short && out->len <= most;
}
