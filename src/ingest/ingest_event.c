/*
 * ingest_event.c
 *	  See ingest_event.h.
 *
 * Attributes that the trail has columns for are taken out; all others are kept as they came,
 * so that the event that is delivered is the one that was sent.  Names and types of
 * attributes: CloudEvents 1.0, sections 3.1 and 3.2.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/json.h"

#include "audit/audit_append.h"
#include "decision/approval_id.h"
#include "ingest/ingest_data.h"
#include "ingest/ingest_event.h"
#include "ingest/ingest_source.h"
#include "rfc3339.h"
#include "text_limits.h"
#include "uri.h"
#include "utf8.h"

#define SPECVERSION			"1.0"
#define CONTENT_TYPE		"application/json"
#define NAME_MAX_BYTES		64

/* What is being read. */
typedef struct Reading
{
	IngestEvent *event;
	bool		has_specversion;
	StringInfoData attributes;	/* the inside of an object */
} Reading;

/* Only the first fault is reported. */
static void
pg_attribute_printf(2, 3)
refuse(Reading *reading, const char *format,...)
{
	StringInfoData text;
	int			needed;

	if (reading->event->error != NULL)
		return;
	initStringInfo(&text);
	for (;;)
	{
		va_list		arguments;

		va_start(arguments, format);
		needed = appendStringInfoVA(&text, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	reading->event->error = text.data;
}

static char *
show_value(const JsonbValue *value)
{
	int			bytes = pg_mbcharcliplen(value->val.string.val, value->val.string.len, SHOWN_CHARACTERS);

	return psprintf("%.*s%s", bytes, value->val.string.val, bytes < value->val.string.len ? "..." : "");
}

static bool
is_text(const JsonbValue *value, const char *text)
{
	return value->val.string.len == strlen(text) && memcmp(value->val.string.val, text, value->val.string.len) == 0;
}

/* Invalid UTF-8 would be delivered as another text.  The rest is CloudEvents' type String. */
static bool
check_characters(Reading *reading, const char *name, const JsonbValue *value)
{
	if (!ingest_is_text(value))
		refuse(reading, "\"%s\" is not UTF-8", name);
	else if (utf8_is_forbidden(value->val.string.val, value->val.string.len))
		refuse(reading, "\"%s\" has a control character or a noncharacter", name);
	else
		return true;
	return false;
}

/* Refuses the event and returns NULL unless the value is a string of 1 to max_bytes bytes. */
static text *
read_text(Reading *reading, const char *name, const JsonbValue *value, int max_bytes)
{
	if (value->type != jbvString)
		refuse(reading, "\"%s\" is not a string", name);
	else if (value->val.string.len == 0)
		refuse(reading, "\"%s\" is empty", name);
	else if (value->val.string.len > max_bytes)
		refuse(reading, "\"%s\" is too long: \"%s\" has %d bytes, the limit is %d", name, show_value(value),
			   value->val.string.len, max_bytes);
	else if (check_characters(reading, name, value))
		return cstring_to_text_with_len(value->val.string.val, value->val.string.len);
	return NULL;
}

static void
begin_attribute(Reading *reading, const char *name)
{
	if (reading->attributes.len > 0)
		appendStringInfoChar(&reading->attributes, ',');
	appendStringInfo(&reading->attributes, "\"%s\":", name);
}

static void
keep_string(Reading *reading, const char *name, const char *value)
{
	begin_attribute(reading, name);
	escape_json(&reading->attributes, value);
}

static void
read_id(Reading *reading, const JsonbValue *value)
{
	if (value->type == jbvString)
		reading->event->shown_id = value->val.string.len > INGEST_ID_MAX_BYTES ? show_value(value) :
			pnstrdup(value->val.string.val, value->val.string.len);
	reading->event->id = read_text(reading, "id", value, INGEST_ID_MAX_BYTES);
}

static void
read_source(Reading *reading, const JsonbValue *value)
{
	text	   *source = read_text(reading, "source", value, INGEST_SOURCE_MAX_BYTES);

	reading->event->source = source;
	if (source == NULL)
		return;
	/* Readers distinguish the extension's own events from ingested ones by the source. */
	if (ingest_source_is_own(value->val.string.val, value->val.string.len))
		refuse(reading, "\"source\" is reserved for what happens here: \"%s\"", show_value(value));
	/* Readers that parse the source would stop at the event. */
	else if (!uri_is_reference(value->val.string.val, value->val.string.len))
		refuse(reading, "\"source\" is not a URI reference (RFC 3986): \"%s\"", show_value(value));
}

/* Returns NULL with a refusal unless it is a string.  Other attributes may have other types. */
static text *
read_kept_text(Reading *reading, const char *name, const JsonbValue *value)
{
	return read_text(reading, name, value, INGEST_ATTRIBUTES_MAX_BYTES);
}

static void
read_event_schema(Reading *reading, const JsonbValue *value)
{
	text	   *schema = read_kept_text(reading, "dataschema", value);

	if (schema != NULL && !uri_is_absolute(value->val.string.val, value->val.string.len))
		refuse(reading, "\"dataschema\" is not an absolute URI (RFC 3986): \"%s\"", show_value(value));
	else if (schema != NULL)
		keep_string(reading, "dataschema", text_to_cstring(schema));
}

static void
read_partition_key(Reading *reading, const JsonbValue *value)
{
	text	   *key = read_kept_text(reading, "partitionkey", value);

	if (key != NULL)
		keep_string(reading, "partitionkey", text_to_cstring(key));
}

static void
read_specversion(Reading *reading, const JsonbValue *value)
{
	reading->has_specversion = true;
	if (value->type != jbvString || !is_text(value, SPECVERSION))
		refuse(reading, "\"specversion\" is not \"" SPECVERSION "\"");
}

/* An event about an approval gets its approval_id, and so goes with the approval's own events. */
static void
read_subject(Reading *reading, const JsonbValue *value)
{
	text	   *subject = read_text(reading, "subject", value, INGEST_ATTRIBUTES_MAX_BYTES);

	if (subject == NULL)
		return;
	if (approval_id_is_valid(value->val.string.val, value->val.string.len))
		reading->event->approval_id = subject;
	else
		keep_string(reading, "subject", text_to_cstring(subject));
}

static void
read_time(Reading *reading, const JsonbValue *value)
{
	if (value->type != jbvString)
		refuse(reading, "\"time\" is not a string");
	else if (!rfc3339_parse(value->val.string.val, value->val.string.len, &reading->event->time))
		refuse(reading, "\"time\" is not a timestamp of RFC 3339: \"%s\"", show_value(value));
	else
		reading->event->has_time = true;
}

static void
read_content_type(Reading *reading, const JsonbValue *value)
{
	if (value->type != jbvString || !is_text(value, CONTENT_TYPE))
		refuse(reading, "\"datacontenttype\" is not \"" CONTENT_TYPE "\"");
}

static void
read_data(Reading *reading, const JsonbValue *value)
{
	StringInfoData json;
	const char *error;

	initStringInfo(&json);
	error = ingest_append_json(&json, value, INGEST_DATA_MAX_BYTES);
	if (error != NULL)
		refuse(reading, "\"data\" cannot be kept: %s", error);
	else
		reading->event->data = cstring_to_text_with_len(json.data, json.len);
	pfree(json.data);
}

static void
refuse_base64(Reading *reading, const JsonbValue *value)
{
	refuse(reading, "\"data_base64\" is not taken; \"data\" is, as JSON");
}

static void
refuse_own(Reading *reading, const JsonbValue *value)
{
	refuse(reading, "\"auditid\" and \"recordedtime\" are set by the trail that records an event");
}

/*
 * The number of a string of digits, also with leading zeros; INGEST_NO_SEQUENCE for other strings.
 */
static int64
parse_sequence(const char *digits)
{
	int64		number = 0;

	if (digits[0] == '\0')
		return INGEST_NO_SEQUENCE;
	for (; *digits != '\0'; digits++)
	{
		int			digit = *digits - '0';

		if (digit < 0 || digit > 9 || number > (INGEST_SEQUENCE_MAX - digit) / 10)
			return INGEST_NO_SEQUENCE;
		number = number * 10 + digit;
	}
	return number;
}

static void
read_sequence(Reading *reading, const JsonbValue *value)
{
	text	   *sequence = NULL;
	char	   *digits = NULL;

	if (value->type == jbvNumeric)
		digits = ingest_number_text(value->val.numeric);
	else if ((sequence = read_text(reading, "sequence", value, NAME_MAX_BYTES)) != NULL)
		digits = text_to_cstring(sequence);
	else
		return;
	if (digits != NULL)
		reading->event->sequence = parse_sequence(digits);
	if (reading->event->sequence == INGEST_NO_SEQUENCE)
		refuse(reading, "\"sequence\" is not a number from 0 to " INT64_FORMAT "%s%.*s", INGEST_SEQUENCE_MAX,
			   digits ? ": " : "", SHOWN_CHARACTERS, digits ? digits : "");
	else
		keep_string(reading, "sequence", digits);
}

static bool
is_attribute_name(const char *name)
{
	return name[0] != '\0' && strlen(name) <= NAME_MAX_BYTES &&
		strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == strlen(name);
}

/* An Integer of CloudEvents has 32 bits. */
static bool
is_integer(const char *digits)
{
	char	   *end;
	long		number;

	errno = 0;
	number = strtol(digits, &end, 10);
	return errno == 0 && *end == '\0' && number >= PG_INT32_MIN && number <= PG_INT32_MAX;
}

static void
read_extension(Reading *reading, const char *name, const JsonbValue *value)
{
	char	   *text = NULL;

	if (!is_attribute_name(name))
		refuse(reading, "\"%.*s\" is not the name of an attribute: 1 to %d lower-case letters and digits",
			   pg_mbcliplen(name, strlen(name), SHOWN_CHARACTERS), name, NAME_MAX_BYTES);
	else if (value->type == jbvString && value->val.string.len > INGEST_ATTRIBUTES_MAX_BYTES)
		refuse(reading, "\"%s\" is too long: it has %d bytes, the limit is %d", name, value->val.string.len, INGEST_ATTRIBUTES_MAX_BYTES);
	else if (value->type == jbvString)
	{
		if (check_characters(reading, name, value))
			keep_string(reading, name, pnstrdup(value->val.string.val, value->val.string.len));
	}
	else if (value->type == jbvBool)
		text = value->val.boolean ? "true" : "false";
	else if (value->type == jbvNumeric)
		text = ingest_number_text(value->val.numeric);
	if (reading->event->error != NULL || value->type == jbvString || value->type == jbvNull)
		return;
	if (text == NULL || (value->type == jbvNumeric && !is_integer(text)))
	{
		refuse(reading, "\"%s\" is neither a string nor a boolean nor an integer of 32 bits", name);
		return;
	}
	begin_attribute(reading, name);
	appendStringInfoString(&reading->attributes, text);
}

static const struct
{
	const char *name;
	void		(*read) (Reading *reading, const JsonbValue *value);
}			members[] = {
	{"id", read_id},
	{"source", read_source},
	{"specversion", read_specversion},
	{"subject", read_subject},
	{"time", read_time},
	{"sequence", read_sequence},
	{"datacontenttype", read_content_type},
	{"dataschema", read_event_schema},
	{"partitionkey", read_partition_key},
	{"data", read_data},
	{"data_base64", refuse_base64},
	{"auditid", refuse_own},
	{"recordedtime", refuse_own},
};

/* Strings with a column of their own. */
static const struct
{
	const char *name;
	Size		place;			/* in IngestEvent */
	int			max_bytes;
}			texts[] = {
	{"type", offsetof(IngestEvent, type), INGEST_TYPE_MAX_BYTES},
	{"actor", offsetof(IngestEvent, actor), PERSON_MAX_BYTES},
	{"requestid", offsetof(IngestEvent, request_id), REQUEST_ID_MAX_BYTES},
	{"traceparent", offsetof(IngestEvent, traceparent), TRACEPARENT_MAX_BYTES},
};

static bool
is_text_member(Reading *reading, const JsonbValue *key, const JsonbValue *value)
{
	for (int i = 0; i < lengthof(texts); i++)
	{
		if (!is_text(key, texts[i].name))
			continue;
		if (value->type != jbvNull)
			*(text **) ((char *) reading->event + texts[i].place) = read_text(reading, texts[i].name, value, texts[i].max_bytes);
		return true;
	}
	return false;
}

static void
read_member(Reading *reading, const JsonbValue *key, const JsonbValue *value)
{
	if (is_text_member(reading, key, value))
		return;
	for (int i = 0; i < lengthof(members); i++)
	{
		if (!is_text(key, members[i].name))
			continue;
		/* A null attribute counts as absent. */
		if (value->type != jbvNull || members[i].read == read_data)
			members[i].read(reading, value);
		return;
	}
	read_extension(reading, pnstrdup(key->val.string.val, key->val.string.len), value);
}

static void
require_attribute(Reading *reading, bool is_there, const char *name)
{
	if (!is_there)
		refuse(reading, "\"%s\" is missing", name);
}

static void
finish_event(Reading *reading)
{
	IngestEvent *event = reading->event;

	require_attribute(reading, reading->has_specversion, "specversion");
	require_attribute(reading, event->id != NULL, "id");
	require_attribute(reading, event->source != NULL, "source");
	require_attribute(reading, event->type != NULL, "type");
	if (reading->attributes.len > INGEST_ATTRIBUTES_MAX_BYTES)
		refuse(reading, "the attributes are too long: those without a column of their own have %d bytes, the limit is %d",
			   reading->attributes.len, INGEST_ATTRIBUTES_MAX_BYTES);
	if (event->data == NULL)
		event->data = cstring_to_text("null");
	if (reading->attributes.len > 0)
		event->attributes = cstring_to_text(psprintf("{%s}", reading->attributes.data));
}

void
ingest_event_read(JsonbValue *element, int index, IngestEvent *event)
{
	Reading		reading = {.event = event};
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	key;
	JsonbValue	value;

	memset(event, 0, sizeof(*event));
	event->index = index;
	event->sequence = INGEST_NO_SEQUENCE;
	if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
	{
		refuse(&reading, "not an object");
		return;
	}
	initStringInfo(&reading.attributes);
	iterator = JsonbIteratorInit(element->val.binary.data);
	(void) JsonbIteratorNext(&iterator, &key, false);
	while ((token = JsonbIteratorNext(&iterator, &key, true)) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&iterator, &value, true);
		read_member(&reading, &key, &value);
		CHECK_FOR_INTERRUPTS();
	}
	finish_event(&reading);
}
