/*
 * envelope.c
 *	  Builds the documents of a batch in one reused buffer, around the payload as it was stored.
 *	  Building JSON is the main cost of delivery, so the text is written once and by hand; most of
 *	  it is copied in runs.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/attributes.h"
#include "audit/audit_append.h"
#include "delivery/envelope.h"
#include "json_text.h"
#include "rfc3339.h"
#include "utf8.h"
#include "utf8_repair.h"

#define FIXED_BYTES 1024		/* names, quotes, numbers and timestamps of one document */
#define ESCAPED_BYTES 6			/* \u00xx */
#define SEQUENCE_DIGITS 19

/* A text in the database's encoding made UTF-8, as bytes. */
typedef struct Bytes
{
	const char *data;			/* NULL: SQL null */
	Size		length;
} Bytes;

void
envelopes_init(Envelopes *envelopes, MemoryContext context, const char *store_id)
{
	Hashing    *hashing = envelopes->hashing;

	memset(envelopes, 0, sizeof(*envelopes));
	envelopes->hashing = hashing;
	envelopes->context = context;
	snprintf(envelopes->source, sizeof(envelopes->source), ADMIN_SINK_SOURCE_PREFIX "%s", store_id);
}

void
envelopes_reset(Envelopes *envelopes, Size keep)
{
	envelopes->length = 0;
	envelopes->keys_length = 0;
	envelopes->count = 0;
	if (envelopes->capacity > keep)
	{
		pfree(envelopes->data);
		envelopes->data = NULL;
		envelopes->capacity = 0;
	}
}

static void
reserve_buffer(MemoryContext context, char **buffer, Size *capacity, Size needed)
{
	Size		size = Max(*capacity, 64 * 1024);

	if (needed <= *capacity)
		return;
	while (size < needed)
		size *= 2;
	if (*buffer == NULL)
		*buffer = MemoryContextAllocHuge(context, size);
	else
		*buffer = repalloc_huge(*buffer, size);
	*capacity = size;
}

static Bytes
bytes_of(const text *value)
{
	Bytes		bytes = {NULL, 0};

	if (value != NULL)
		bytes.data = utf8_of(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &bytes.length);
	return bytes;
}

static Bytes
text_bytes(TupleTableSlot *row, int column)
{
	return bytes_of(row->tts_isnull[column - 1] ? NULL : DatumGetTextPP(row->tts_values[column - 1]));
}

static inline char *
put_bytes(char *at, const char *data, Size length)
{
	memcpy(at, data, length);
	return at + length;
}

#define PUT(at, literal) put_bytes(at, literal, sizeof(literal) - 1)

/* What RFC 8259 section 7 requires to be escaped, and nothing else. */
static inline char *
put_escaped_byte(char *at, unsigned char c)
{
	static const char hex[] = "0123456789abcdef";

	if (c >= 0x20 && c != '"' && c != '\\')
		*at++ = c;
	else if (c == '"' || c == '\\')
	{
		*at++ = '\\';
		*at++ = c;
	}
	else if (c == '\n')
		at = PUT(at, "\\n");
	else if (c == '\t')
		at = PUT(at, "\\t");
	else
	{
		at = PUT(at, "\\u00");
		*at++ = hex[c >> 4];
		*at++ = hex[c & 15];
	}
	return at;
}

static char *
put_escaped(char *at, Bytes bytes)
{
	for (Size i = 0; i < bytes.length; i++)
		at = put_escaped_byte(at, bytes.data[i]);
	return at;
}

/*
 * Writes the value of an attribute.  Characters that CloudEvents 1.0 (section 3.2) does not allow
 * become U+FFFD: a caller of sensitive_check() chooses some of these texts, and some readers stop
 * at such an event.  audit_ingest() refuses texts with such characters, so an ingested event keeps
 * its values.
 */
static char *
put_attribute(char *at, Bytes bytes)
{
	for (Size i = 0; i < bytes.length;)
	{
		unsigned char c = bytes.data[i];
		Size		width;

		if (c >= 0x20 && c < 0x7f)
		{
			at = put_escaped_byte(at, c);
			i++;
			continue;
		}
		width = Max(utf8_character_bytes(bytes.data + i, bytes.length - i), 1);
		if (utf8_is_forbidden_character(bytes.data + i, width))
			at = PUT(at, UTF8_REPLACEMENT);
		else
			at = put_bytes(at, bytes.data + i, width);
		i += width;
	}
	return at;
}

/* ,"name":"value" unless the value is null. */
static char *
put_member(char *at, const char *name, Size name_length, Bytes value)
{
	if (value.data == NULL)
		return at;
	at = put_bytes(at, name, name_length);
	at = put_escaped(at, value);
	*at++ = '"';
	return at;
}

/* The same for a text of the caller's, unless it is null or empty. */
static char *
put_told(char *at, const char *name, Size name_length, Bytes value)
{
	if (value.length == 0)
		return at;
	at = put_bytes(at, name, name_length);
	at = put_attribute(at, value);
	*at++ = '"';
	return at;
}

#define PUT_MEMBER(at, name, value) \
	put_member(at, ",\"" name "\":\"", sizeof(",\"" name "\":\"") - 1, value)
#define PUT_TOLD(at, name, value) \
	put_told(at, ",\"" name "\":\"", sizeof(",\"" name "\":\"") - 1, value)

static char *
put_int64(char *at, int64 value)
{
	return at + pg_lltoa(value, at);
}

/* The CloudEvents extension wants numbers that order as strings: with leading zeros, as many digits as a bigint has. */
static char *
put_sequence(char *at, int64 value)
{
	for (int i = SEQUENCE_DIGITS - 1; i >= 0; i--)
	{
		at[i] = '0' + value % 10;
		value /= 10;
	}
	return at + SEQUENCE_DIGITS;
}

/*
 * CloudEvents requires RFC 3339.  An instant outside its range (a deadline that a superuser wrote
 * by hand, for example) becomes the nearest instant in the range; the payload keeps the true one.
 */
static char *
put_instant(char *at, Datum instant)
{
	TimestampTz time = DatumGetTimestampTz(instant);

	return at + format_timestamp(at, Max(RFC3339_BEGIN, Min(time, RFC3339_END - 1)));
}

/* Replaces line breaks by spaces: in valid JSON text they stand only between tokens. */
static char *
put_payload(char *at, Bytes payload)
{
	char	   *end = put_bytes(at, payload.data, payload.length);

	for (char *c = at; (c = memchr(c, '\n', end - c)) != NULL;)
		*c = ' ';
	for (char *c = at; (c = memchr(c, '\r', end - c)) != NULL;)
		*c = ' ';
	return end;
}

/* The members of a JSON object without its braces; data is NULL if there are none. */
static Bytes
members_of(Bytes object)
{
	Bytes		none = {NULL, 0};

	if (object.data == NULL || object.length <= 2 || object.data[0] != '{' || object.data[object.length - 1] != '}')
		return none;
	object.data++;
	object.length -= 2;
	return object;
}

/* In compact JSON text of ours, where no string can hold an unescaped quote. */
static bool
has_member(Bytes members, const char *name)
{
	return members.data != NULL && memmem(members.data, members.length, name, strlen(name)) != NULL;
}

static char *
put_type(char *at, Bytes event_type, bool own)
{
	at = PUT(at, ",\"type\":\"");
	if (own)
		at = PUT(at, ADMIN_SINK_TYPE_PREFIX);
	else if (event_type.length >= strlen(AUDIT_INGESTED_PREFIX) &&
			 memcmp(event_type.data, AUDIT_INGESTED_PREFIX, strlen(AUDIT_INGESTED_PREFIX)) == 0)
	{
		event_type.data += strlen(AUDIT_INGESTED_PREFIX);
		event_type.length -= strlen(AUDIT_INGESTED_PREFIX);
	}
	at = put_escaped(at, event_type);
	*at++ = '"';
	return at;
}

/*
 * Attributes in the order of the contract.  An event from elsewhere keeps its own, those
 * without a column behind the others.
 */
static char *
put_document(char *at, TupleTableSlot *row, const Bytes *texts, Bytes members)
{
	Datum	   *values = row->tts_values;
	int64		audit_id = DatumGetInt64(values[AUDIT_ID - 1]);
	bool		own = texts[AUDIT_SOURCE_EVENT_ID].data == NULL;

	at = PUT(at, "{\"specversion\":\"1.0\",\"id\":\"");
	at = own ? put_int64(at, audit_id) : put_escaped(at, texts[AUDIT_SOURCE_EVENT_ID]);
	*at++ = '"';
	at = PUT_MEMBER(at, "source", texts[AUDIT_SOURCE]);
	at = put_type(at, texts[AUDIT_EVENT_TYPE], own);
	at = PUT_MEMBER(at, "subject", texts[AUDIT_APPROVAL_ID]);
	at = PUT(at, ",\"time\":\"");
	at = put_instant(at, values[AUDIT_OCCURRED_AT - 1]);
	at = PUT(at, "\",\"datacontenttype\":\"application/json\"");
	if (own)
	{
		at = PUT(at, ",\"sequence\":\"");
		at = put_sequence(at, audit_id);
		*at++ = '"';
	}
	at = PUT(at, ",\"recordedtime\":\"");
	at = put_instant(at, values[AUDIT_RECORDED_AT - 1]);
	*at++ = '"';
	if (!has_member(members, "\"partitionkey\":"))
		at = PUT_MEMBER(at, "partitionkey", texts[AUDIT_APPROVAL_ID]);
	at = PUT_TOLD(at, "actor", texts[AUDIT_ACTOR]);
	at = PUT_TOLD(at, "traceparent", texts[AUDIT_TRACEPARENT]);
	at = PUT_TOLD(at, "requestid", texts[AUDIT_REQUEST_ID]);
	if (members.data != NULL)
	{
		*at++ = ',';
		at = put_bytes(at, members.data, members.length);
	}
	at = PUT(at, ",\"auditid\":\"");
	at = put_int64(at, audit_id);
	at = PUT(at, "\",\"data\":");
	at = put_payload(at, texts[AUDIT_PAYLOAD]);
	*at++ = '}';
	return at;
}

static bool
is_check(Bytes event_type)
{
	return event_type.length == strlen(CHECK_EVENT_TYPE) &&
		memcmp(event_type.data, CHECK_EVENT_TYPE, strlen(CHECK_EVENT_TYPE)) == 0;
}

/*
 * Can this text of a check be a subject?  It must have no character that an attribute may not have,
 * and at least one visible character: some readers stop at a subject that consists of Unicode
 * blanks.
 */
static bool
is_subject(Bytes text)
{
	bool		is_visible = false;

	for (Size i = 0, width; i < text.length; i += width)
	{
		width = Max(utf8_character_bytes(text.data + i, text.length - i), 1);
		if (utf8_is_forbidden_character(text.data + i, width))
			return false;
		is_visible = is_visible || (text.data[i] > ' ' && text.data[i] < 0x7f);
	}
	return is_visible;
}

static AdminSinkRecord *
new_record(Envelopes *envelopes)
{
	if (envelopes->count == envelopes->records_capacity)
	{
		int			capacity = Max(1024, envelopes->records_capacity * 2);

		if (envelopes->records == NULL)
			envelopes->records = MemoryContextAllocHuge(envelopes->context,
														capacity * sizeof(AdminSinkRecord));
		else
			envelopes->records = repalloc_huge(envelopes->records,
											   capacity * sizeof(AdminSinkRecord));
		envelopes->records_capacity = capacity;
	}
	return &envelopes->records[envelopes->count++];
}

void
envelopes_add(Envelopes *envelopes, TupleTableSlot *row)
{
	Bytes		texts[AUDIT_COLUMNS + 1];
	Bytes		key;
	Bytes		members = {NULL, 0};
	Size		bound = FIXED_BYTES;
	AdminSinkRecord *record;
	char	   *end;

	memset(texts, 0, sizeof(texts));
	for (int column = AUDIT_EVENT_TYPE; column <= AUDIT_PAYLOAD; column++)
	{
		texts[column] = text_bytes(row, column);
		/* approval_id is written twice, the payload as it is. */
		bound += texts[column].length * (column == AUDIT_PAYLOAD ? 1 : 2 * ESCAPED_BYTES);
	}
	if (texts[AUDIT_SOURCE_EVENT_ID].data != NULL)
		members = members_of(bytes_of(audit_attributes(DatumGetInt64(row->tts_values[AUDIT_ID - 1]))));
	if (envelopes->length + bound + members.length > envelopes->capacity)
		hashing_settle(envelopes->hashing);
	reserve_buffer(envelopes->context, &envelopes->data, &envelopes->capacity, envelopes->length + bound + members.length);
	if (texts[AUDIT_SOURCE_EVENT_ID].data == NULL)
	{
		texts[AUDIT_SOURCE].data = envelopes->source;
		texts[AUDIT_SOURCE].length = strlen(envelopes->source);
	}
	if (is_check(texts[AUDIT_EVENT_TYPE]) && !is_subject(texts[AUDIT_APPROVAL_ID]))
		memset(&texts[AUDIT_APPROVAL_ID], 0, sizeof(Bytes));
	key = texts[AUDIT_APPROVAL_ID].data ? texts[AUDIT_APPROVAL_ID] : texts[AUDIT_SOURCE];
	reserve_buffer(envelopes->context, &envelopes->keys, &envelopes->keys_capacity,
				   envelopes->keys_length + key.length);

	record = new_record(envelopes);
	record->audit_id = DatumGetInt64(row->tts_values[AUDIT_ID - 1]);
	record->offset = envelopes->length;
	record->key_offset = envelopes->keys_length;
	record->key_length = key.length;
	record->is_ingested = texts[AUDIT_SOURCE_EVENT_ID].data != NULL;
	put_bytes(envelopes->keys + envelopes->keys_length, key.data, key.length);
	envelopes->keys_length += key.length;
	end = put_document(envelopes->data + envelopes->length, row, texts, members);
	record->length = end - (envelopes->data + envelopes->length);
	*end = '\n';
	envelopes->length += record->length + 1;
}
