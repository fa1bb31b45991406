/*
 * row_json.c
 *	  See row_json.h.  The types of approval and signature are written by hand,
 *	  the rest goes through output functions with the settings pinned.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "miscadmin.h"
#include "parser/parse_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "audit/row_json.h"
#include "audit/row_jsonb.h"
#include "audit/row_pins.h"
#include "json_number.h"
#include "json_text.h"
#include "json_value.h"

#define PIECE_BYTES	65536

static void append_value(StringInfo out, TupleDesc desc, Datum value, bool isnull, Oid type);

/* Raises an error if so many more bytes would exceed the limit of the text. */
static void
check_room(StringInfo out, TupleDesc desc, Size more)
{
	const char *table;

	if (more <= ROW_JSON_MAX_BYTES && out->len + more <= ROW_JSON_MAX_BYTES)
		return;
	table = get_rel_name(typeidTypeRelid(desc->tdtypeid));
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("row of \"%s\" is too large for the audit trail", table != NULL ? table : "?"),
			 errdetail("Its values before and after the change have more than %d bytes as JSON.", ROW_JSON_MAX_BYTES),
			 errhint("Store large values in a table that is not given to admin.attach_audit().")));
}

/* Appends a JSON string; a long text in pieces, as escapes may make it six times as long. */
static void
append_row_string(StringInfo out, TupleDesc desc, const char *text, Size length)
{
	StringInfoData piece;
	char		copy[PIECE_BYTES + 1];

	check_room(out, desc, length + 2);
	if (length <= PIECE_BYTES)
	{
		append_json_string(out, text, length);
		return;
	}
	initStringInfo(&piece);
	appendStringInfoChar(out, '"');
	for (Size done = 0; done < length; done += PIECE_BYTES)
	{
		Size		bytes = Min(length - done, PIECE_BYTES);

		memcpy(copy, text + done, bytes);
		copy[bytes] = '\0';
		resetStringInfo(&piece);
		escape_json(&piece, copy);
		check_room(out, desc, piece.len);
		/* Without the quotation marks around it. */
		appendBinaryStringInfo(out, piece.data + 1, piece.len - 2);
		CHECK_FOR_INTERRUPTS();
	}
	appendStringInfoChar(out, '"');
	pfree(piece.data);
}

/* Refuses a long value early: detoasting it and writing it as text may each take a gigabyte. */
static void
check_varlena(StringInfo out, TupleDesc desc, Datum value)
{
	check_room(out, desc, toast_raw_datum_size(value));
}

static void
append_text(StringInfo out, TupleDesc desc, Datum value)
{
	const text *unpacked;

	check_varlena(out, desc, value);
	unpacked = DatumGetTextPP(value);
	append_row_string(out, desc, VARDATA_ANY(unpacked), VARSIZE_ANY_EXHDR(unpacked));
}

/* The same as check_varlena(), for a type whose values need not be varlena. */
static void
check_value(StringInfo out, TupleDesc desc, Datum value, Oid type)
{
	if (type == BYTEAOID)
		check_room(out, desc, toast_raw_datum_size(value) * 2);
	else if (get_typlen(type) == -1)
		check_varlena(out, desc, value);
}

/* A number that not every reader accepts becomes a string, as do NaN and the infinities. */
static void
append_number(StringInfo out, const char *number)
{
	if (json_number_judge(number, strlen(number)) == JSON_NUMBER_PLAIN)
		appendStringInfoString(out, number);
	else
		escape_json(out, number);
}

/* The shortest decimal that is this number, whatever extra_float_digits says. */
static void
append_float(StringInfo out, Datum value, Oid type)
{
	char		text[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (type == FLOAT4OID)
		float_to_shortest_decimal_buf(DatumGetFloat4(value), text);
	else
		double_to_shortest_decimal_buf(DatumGetFloat8(value), text);
	append_number(out, text);
}

/* A value that audit_ingest() would refuse becomes a string that holds its text. */
static void
append_json(StringInfo out, TupleDesc desc, Datum value, Oid type)
{
	StringInfoData buffer;
	char	   *json;
	Size		length;

	check_varlena(out, desc, value);
	if (type == JSONBOID)
	{
		initStringInfo(&buffer);
		if (!jsonb_text(&buffer, DatumGetJsonbP(value), ROW_JSON_MAX_BYTES))
			check_room(out, desc, buffer.len);
		json = buffer.data;
	}
	else
		json = TextDatumGetCString(value);
	length = strlen(json);
	check_room(out, desc, length);
	if (!json_value_append(out, json, length))
		append_row_string(out, desc, json, length);
}

static void
append_by_output_function(StringInfo out, TupleDesc desc, Datum value, Oid type)
{
	Oid			output;
	bool		is_varlena;
	int			level = row_pin_settings(type);
	char	   *text;

	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, value);
	AtEOXact_GUC(false, level);
	append_row_string(out, desc, text, strlen(text));
}

typedef struct ArrayElement
{
	Oid			type;
	int16		length;
	bool		by_value;
	char		align;
} ArrayElement;

/* Saves a catalog lookup per change of an approval: each approval has an array of roles. */
static const ArrayElement text_element = {TEXTOID, -1, false, TYPALIGN_INT};

/* False for an array of more than one dimension, which goes out as PostgreSQL writes it. */
static bool
append_array(StringInfo out, TupleDesc desc, Datum value, const ArrayElement *element)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Datum	   *values;
	bool	   *nulls;
	int			count;

	if (ARR_NDIM(array) > 1)
		return false;
	deconstruct_array(array, element->type, element->length, element->by_value, element->align,
					  &values, &nulls, &count);
	appendStringInfoChar(out, '[');
	for (int i = 0; i < count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		append_value(out, desc, values[i], nulls[i], element->type);
		check_room(out, desc, 0);
		CHECK_FOR_INTERRUPTS();
	}
	appendStringInfoChar(out, ']');
	return true;
}

/* Domains are written as their base type, arrays element by element, the rest by output functions. */
static void
append_other(StringInfo out, TupleDesc desc, Datum value, Oid type)
{
	/* The types that initdb begins with are no domains. */
	Oid			base = type < FirstGenbkiObjectId ? type : getBaseType(type);
	ArrayElement element = {0};

	if (base != type)
	{
		append_value(out, desc, value, false, base);
		return;
	}
	check_value(out, desc, value, type);
	element.type = get_element_type(type);
	if (OidIsValid(element.type))
		get_typlenbyvalalign(element.type, &element.length, &element.by_value, &element.align);
	if (!OidIsValid(element.type) || !append_array(out, desc, value, &element))
		append_by_output_function(out, desc, value, type);
}

static void
append_value(StringInfo out, TupleDesc desc, Datum value, bool isnull, Oid type)
{
	if (isnull)
	{
		appendStringInfoString(out, "null");
		return;
	}
	switch (type)
	{
		case BOOLOID:
			appendStringInfoString(out, DatumGetBool(value) ? "true" : "false");
			return;
		case INT2OID:
			append_int(out, DatumGetInt16(value));
			return;
		case INT4OID:
			append_int(out, DatumGetInt32(value));
			return;
		case INT8OID:
			appendStringInfoChar(out, '"');
			append_int(out, DatumGetInt64(value));
			appendStringInfoChar(out, '"');
			return;
		case TEXTOID:
		case VARCHAROID:
			append_text(out, desc, value);
			return;
		case TEXTARRAYOID:
			check_varlena(out, desc, value);
			if (append_array(out, desc, value, &text_element))
				return;
			break;
		case TIMESTAMPTZOID:
			appendStringInfoChar(out, '"');
			append_timestamp(out, DatumGetTimestampTz(value));
			appendStringInfoChar(out, '"');
			return;
		case FLOAT4OID:
		case FLOAT8OID:
			append_float(out, value, type);
			return;
		case NUMERICOID:
			append_number(out, numeric_text(DatumGetNumeric(value)));
			return;
		case JSONOID:
		case JSONBOID:
			append_json(out, desc, value, type);
			return;
	}
	append_other(out, desc, value, type);
}

static void
append_key(StringInfo out, TupleDesc desc, int i, bool first)
{
	if (!first)
		appendStringInfoChar(out, ',');
	append_json_cstring(out, NameStr(TupleDescAttr(desc, i)->attname));
	appendStringInfoChar(out, ':');
}

void
append_row_json(StringInfo out, TupleDesc desc, const Datum *values, const bool *nulls)
{
	bool		first = true;

	appendStringInfoChar(out, '{');
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			continue;
		append_key(out, desc, i, first);
		append_value(out, desc, values[i], nulls[i], TupleDescAttr(desc, i)->atttypid);
		first = false;
	}
	appendStringInfoChar(out, '}');
}

int
append_changed_json(StringInfo out, TupleDesc desc,
					const Datum *old_values, const bool *old_nulls,
					const Datum *new_values, const bool *new_nulls)
{
	int			changed = 0;

	appendStringInfoChar(out, '{');
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Oid			type = attribute->atttypid;

		if (attribute->attisdropped)
			continue;
		if (old_nulls[i] == new_nulls[i] &&
			(old_nulls[i] || datum_image_eq(old_values[i], new_values[i],
											attribute->attbyval, attribute->attlen)))
			continue;
		append_key(out, desc, i, changed == 0);
		appendStringInfoChar(out, '[');
		append_value(out, desc, old_values[i], old_nulls[i], type);
		appendStringInfoChar(out, ',');
		append_value(out, desc, new_values[i], new_nulls[i], type);
		appendStringInfoChar(out, ']');
		changed++;
	}
	appendStringInfoChar(out, '}');
	return changed;
}
