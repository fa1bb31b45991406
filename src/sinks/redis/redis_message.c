/*
 * redis_message.c
 *	  Builds the message that a subscriber gets for a change of an approval.  It is made only of the
 *	  change's own document, its store and its database.
 *
 * So a message is the same bytes whenever it is sent: its ttl_state is the one at the time
 * of the change, not of the sending.  Only PostgreSQL's memory is touched, no table.
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "decision/ttl.h"
#include "sinks/redis/redis_message.h"
#include "sinks/redis/redis_types.h"

/* What a message is made of, as the document has it. */
typedef struct Change
{
	JsonbValue	approval_id;
	JsonbValue	state;
	JsonbValue	deadline;
	JsonbValue	closed_at;		/* JSON null while the approval is open */
	JsonbValue	type;
	JsonbValue	audit_id;
	JsonbValue	occurred_at;
} Change;

/* Steps over the text if it comes next. */
static bool
skip_text(const char **at, const char *end, const char *text)
{
	Size		length = strlen(text);

	if ((Size) (end - *at) < length || memcmp(*at, text, length) != 0)
		return false;
	*at += length;
	return true;
}

/*
 * Is it one of our own approval events?  Attributes come in the order of the contract, so any other
 * document is recognised without parsing it.  An event from elsewhere may have any type, but has
 * another source.  If it names our source all the same, its id differs from the row's.
 */
static bool
is_ours(const char *document, Size length, const char *store_id, int64 audit_id)
{
	const char *at = document;
	const char *end = document + length;
	uint64		id = 0;

	if (!skip_text(&at, end, "{\"specversion\":\"1.0\",\"id\":\""))
		return false;
	for (; at < end && isdigit((unsigned char) *at); at++)
		id = id * 10 + (*at - '0');
	return id == (uint64) audit_id && skip_text(&at, end, "\",\"source\":\"" ADMIN_SINK_SOURCE_PREFIX) && skip_text(&at, end, store_id) &&
		skip_text(&at, end, "\",\"type\":\"" ADMIN_SINK_TYPE_PREFIX "approval.");
}

static bool
get_member(JsonbContainer *object, const char *name, enum jbvType type, JsonbValue *value)
{
	return getKeyJsonValueFromContainer(object, name, strlen(name), value) != NULL && value->type == type;
}

/* One of the objects inside; NULL: there is none of the name. */
static JsonbContainer *
get_object(JsonbContainer *object, const char *name)
{
	JsonbValue	value;

	return get_member(object, name, jbvBinary, &value) && JsonContainerIsObject(value.val.binary.data) ?
		value.val.binary.data : NULL;
}

/* False: something is not there, or is no string. */
static bool
take_apart(Jsonb *document, Change *change)
{
	JsonbContainer *root = &document->root;
	JsonbContainer *data = get_object(root, "data");
	JsonbContainer *row = data ? get_object(data, "row") : NULL;

	return row != NULL && get_member(root, "subject", jbvString, &change->approval_id) &&
		get_member(row, "state", jbvString, &change->state) &&
		get_member(row, "sla_deadline", jbvString, &change->deadline) &&
		(get_member(row, "closed_at", jbvNull, &change->closed_at) || get_member(row, "closed_at", jbvString, &change->closed_at)) &&
		get_member(root, "type", jbvString, &change->type) &&
		get_member(root, "auditid", jbvString, &change->audit_id) &&
		get_member(root, "time", jbvString, &change->occurred_at);
}

/* Reads digits and the character after them; -1: the text has another form. */
static int
read_time_digits(const char **at, int least, int most, char after)
{
	int			value = 0;
	int			digits = 0;

	for (; digits < most && isdigit((unsigned char) **at); digits++)
		value = value * 10 + *(*at)++ - '0';
	if (digits < least || **at != after)
		return -1;
	(*at)++;
	return value;
}

/*
 * Reads an instant as documents have it: UTC, six digits of fraction, and a sign before a year that
 * does not have four digits.
 */
static bool
read_instant(const JsonbValue *value, Timestamp *instant)
{
	char	   *text = pnstrdup(value->val.string.val, value->val.string.len);
	const char *at = text;
	bool		is_signed = *at == '+' || *at == '-';
	int			sign = *at == '-' ? -1 : 1;
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;
	int			second;
	int			fraction;

	at += is_signed;
	year = read_time_digits(&at, 4, is_signed ? 6 : 4, '-');
	month = year < 0 ? -1 : read_time_digits(&at, 2, 2, '-');
	day = month < 1 ? -1 : read_time_digits(&at, 2, 2, 'T');
	hour = day < 1 ? -1 : read_time_digits(&at, 2, 2, ':');
	minute = hour < 0 ? -1 : read_time_digits(&at, 2, 2, ':');
	second = minute < 0 ? -1 : read_time_digits(&at, 2, 2, '.');
	fraction = second < 0 ? -1 : read_time_digits(&at, 6, 6, 'Z');
	if (fraction < 0 || *at != '\0' || !IS_VALID_JULIAN(sign * year, month, day))
		return false;
	*instant = (int64) (date2j(sign * year, month, day) - POSTGRES_EPOCH_JDATE) * USECS_PER_DAY +
		((hour * 60 + minute) * 60 + second) * USECS_PER_SEC + fraction;
	return true;
}

static void
append_message_string(StringInfo message, const char *name, const JsonbValue *value, int from)
{
	appendStringInfoString(message, name);
	escape_json(message, pnstrdup(value->val.string.val + from, value->val.string.len - from));
}

/* A database's name has no known encoding: bytes that are not UTF-8 become '?'. */
static void
append_source(StringInfo message, const AdminSink *sink)
{
	char	   *database = pstrdup(sink->database);
	char	   *at = database;
	int			left = strlen(at);

	while (left > 0)
	{
		int			good = pg_encoding_verifymbstr(PG_UTF8, at, left);

		if (good < left)
			at[good++] = '?';
		at += good;
		left -= good;
	}
	appendStringInfo(message, "{\"store\":\"%s\",\"database\":", sink->store_id);
	escape_json(message, database);
}

static bool
append_change(StringInfo message, const AdminSink *sink, const Change *change)
{
	ApprovalState state = approval_state_parse(change->state.val.string.val, change->state.val.string.len);
	Timestamp	deadline;
	Timestamp	occurred_at;
	TtlState	ttl;

	if (!read_instant(&change->deadline, &deadline) || !read_instant(&change->occurred_at, &occurred_at))
		return false;
	ttl = ttl_state(state, change->closed_at.type != jbvNull, deadline, occurred_at);
	append_source(message, sink);
	append_message_string(message, ",\"approval_id\":", &change->approval_id, 0);
	append_message_string(message, ",\"state\":", &change->state, 0);
	appendStringInfo(message, ",\"ttl_state\":\"%s\"", ttl_state_name(ttl));
	if (ttl == TTL_VALID)
		append_message_string(message, ",\"valid_until\":", &change->deadline, 0);
	else
		appendStringInfoString(message, ",\"valid_until\":null");
	append_message_string(message, ",\"event_type\":", &change->type, strlen(ADMIN_SINK_TYPE_PREFIX));
	append_message_string(message, ",\"audit_id\":", &change->audit_id, 0);
	append_message_string(message, ",\"occurred_at\":", &change->occurred_at, 0);
	appendStringInfoChar(message, '}');
	return true;
}

/* Valid JSON may be more than jsonb takes: numbers without end, \u0000. */
static Jsonb *
parse_document(const char *document, Size length, char *error, Size size)
{
	MemoryContext context = CurrentMemoryContext;
	Jsonb	   *volatile parsed = NULL;

	PG_TRY();
	{
		parsed = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(pnstrdup(document, length))));
	}
	PG_CATCH();
	{
		ErrorData  *caught;

		MemoryContextSwitchTo(context);
		caught = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(caught->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
			ERRCODE_TO_CATEGORY(caught->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
			PG_RE_THROW();
		FlushErrorState();
		snprintf(error, size, "the document cannot be read: %s", caught->message);
	}
	PG_END_TRY();
	return parsed;
}

RedisMessage
redis_message(const AdminSink *sink, int64 audit_id, const char *document, Size length, StringInfo message,
			  char *error, Size size)
{
	Change		change;
	Jsonb	   *parsed;

	if (!is_ours(document, length, sink->store_id, audit_id))
		return REDIS_MESSAGE_NONE;
	parsed = parse_document(document, length, error, size);
	if (parsed == NULL)
		return REDIS_MESSAGE_IMPOSSIBLE;
	if (take_apart(parsed, &change) && append_change(message, sink, &change))
		return REDIS_MESSAGE_MADE;
	snprintf(error, size, "the event carries no row of admin.approval: state, sla_deadline or closed_at is missing or malformed");
	return REDIS_MESSAGE_IMPOSSIBLE;
}
