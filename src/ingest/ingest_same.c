/*
 * ingest_same.c
 *	  See ingest_same.h.
 *
 * The texts of payload and attributes are built from jsonb, whose members have one order, so
 * the same event has the same bytes each time it comes.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "audit/attributes.h"
#include "audit/audit_append.h"
#include "ingest/ingest_same.h"

static bool
ingest_same_bytes(const text *a, const text *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return VARSIZE_ANY_EXHDR(a) == VARSIZE_ANY_EXHDR(b) &&
		memcmp(VARDATA_ANY(a), VARDATA_ANY(b), VARSIZE_ANY_EXHDR(a)) == 0;
}

/* NULL for a null. */
static text *
ingest_recorded_text(TupleTableSlot *recorded, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(recorded, column, &isnull);

	return isnull ? NULL : DatumGetTextPP(value);
}

static TimestampTz
ingest_recorded_time(TupleTableSlot *recorded, int column)
{
	bool		isnull;

	return DatumGetTimestampTz(slot_getattr(recorded, column, &isnull));
}

/* An event without a time was given the instant at which it was recorded. */
static bool
ingest_same_time(TupleTableSlot *recorded, const IngestEvent *event)
{
	TimestampTz occurred_at = ingest_recorded_time(recorded, AUDIT_OCCURRED_AT);

	return occurred_at == (event->has_time ? event->time : ingest_recorded_time(recorded, AUDIT_RECORDED_AT));
}

static bool
ingest_same_type(TupleTableSlot *recorded, const IngestEvent *event)
{
	char	   *type = psprintf(AUDIT_INGESTED_PREFIX "%s", text_to_cstring(event->type));

	return ingest_same_bytes(ingest_recorded_text(recorded, AUDIT_EVENT_TYPE), cstring_to_text(type));
}

/* Values of attributes are strings, booleans and numbers. */
static bool
ingest_same_value(const JsonbValue *a, const JsonbValue *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type)
	{
		case jbvString:
			return a->val.string.len == b->val.string.len &&
				memcmp(a->val.string.val, b->val.string.val, a->val.string.len) == 0;
		case jbvBool:
			return a->val.boolean == b->val.boolean;
		case jbvNumeric:
			return DatumGetBool(DirectFunctionCall2(numeric_eq, NumericGetDatum(a->val.numeric),
													NumericGetDatum(b->val.numeric)));
		default:
			return true;
	}
}

/*
 * The first member of an object that another object lacks or has with another value; NULL if there
 * is no such member.
 */
static const char *
ingest_find_member(Jsonb *object, Jsonb *other)
{
	JsonbIterator *iterator = JsonbIteratorInit(&object->root);
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	(void) JsonbIteratorNext(&iterator, &key, false);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) == WJB_KEY)
	{
		JsonbValue *found = findJsonbValueFromContainer(&other->root, JB_FOBJECT, &key);

		(void) JsonbIteratorNext(&iterator, &value, true);
		if (found == NULL || !ingest_same_value(&value, found))
			return pnstrdup(key.val.string.val, key.val.string.len);
	}
	return NULL;
}

static Jsonb *
ingest_attributes_jsonb(const text *attributes)
{
	char	   *object = attributes ? text_to_cstring(attributes) : pstrdup("{}");

	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(object)));
}

/*
 * The name of an attribute without a column that differs.  This command's own rows count, and those
 * committed since it began: the source is locked, so no session adds any now.
 */
static const char *
ingest_differing_attribute(TupleTableSlot *recorded, const IngestEvent *event)
{
	bool		isnull;
	int64		audit_id = DatumGetInt64(slot_getattr(recorded, AUDIT_ID, &isnull));
	text	   *known = audit_attributes(audit_id);
	Jsonb	   *before;
	Jsonb	   *now;
	const char *name;

	if (ingest_same_bytes(known, event->attributes))
		return NULL;
	before = ingest_attributes_jsonb(known);
	now = ingest_attributes_jsonb(event->attributes);
	name = ingest_find_member(before, now);
	return name ? name : ingest_find_member(now, before);
}

const char *
ingest_difference(TupleTableSlot *recorded, const IngestEvent *event)
{
	const struct
	{
		const char *name;
		int			column;
		const text *value;
	}			texts[] = {
		{"subject", AUDIT_APPROVAL_ID, event->approval_id},
		{"actor", AUDIT_ACTOR, event->actor},
		{"requestid", AUDIT_REQUEST_ID, event->request_id},
		{"traceparent", AUDIT_TRACEPARENT, event->traceparent},
		{"data", AUDIT_PAYLOAD, event->data},
	};

	if (!ingest_same_type(recorded, event))
		return "type";
	if (!ingest_same_time(recorded, event))
		return "time";
	for (int i = 0; i < lengthof(texts); i++)
	{
		if (!ingest_same_bytes(ingest_recorded_text(recorded, texts[i].column), texts[i].value))
			return texts[i].name;
	}
	return ingest_differing_attribute(recorded, event);
}
