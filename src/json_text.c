/*
 * json_text.c
 *	  See json_text.h.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "json_text.h"
#include "text_limits.h"


/* Digits by hand: a check writes two of these, and snprintf is half its cost. */
static char *
put_digits(char *end, uint32 value, int digits)
{
	for (int i = 1; i <= digits; i++)
	{
		end[-i] = '0' + value % 10;
		value /= 10;
	}
	return end;
}

int
format_timestamp(char out[TIMESTAMP_TEXT_BYTES], TimestampTz at)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z";
	struct pg_tm tm;
	fsec_t		fsec;
	char		text[sizeof(form)];

	if (TIMESTAMP_NOT_FINITE(at))
		return snprintf(out, TIMESTAMP_TEXT_BYTES, "%s",
						TIMESTAMP_IS_NOBEGIN(at) ? "-infinity" : "infinity");
	/* Without a zone argument the broken-down time is UTC. */
	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				 errmsg("timestamp out of range")));
	memcpy(text, form, sizeof(form));
	put_digits(text + 7, tm.tm_mon, 2);
	put_digits(text + 10, tm.tm_mday, 2);
	put_digits(text + 13, tm.tm_hour, 2);
	put_digits(text + 16, tm.tm_min, 2);
	put_digits(text + 19, tm.tm_sec, 2);
	put_digits(text + 26, fsec, 6);
	/* Outside RFC 3339: the expanded year of ISO 8601. */
	if (tm.tm_year < 0 || tm.tm_year > 9999)
		return snprintf(out, TIMESTAMP_TEXT_BYTES, "%+05d%s", tm.tm_year, text + 4);
	put_digits(text + 4, tm.tm_year, 4);
	memcpy(out, text, sizeof(form) - 1);
	return sizeof(form) - 1;
}

void
append_timestamp(StringInfo out, TimestampTz at)
{
	char		text[TIMESTAMP_TEXT_BYTES];

	appendBinaryStringInfo(out, text, format_timestamp(text, at));
}

void
append_int(StringInfo out, int64 value)
{
	char		digits[MAXINT8LEN + 1];

	appendBinaryStringInfo(out, digits, pg_lltoa(value, digits));
}

/* Is there a byte that a JSON string has to escape (RFC 8259, section 7)? */
static bool
json_needs_escape(const char *value, Size length)
{
	unsigned	found = 0;

	/* Without a branch for each byte: a row has hundreds of them and hardly ever one to escape. */
	for (Size i = 0; i < length; i++)
		found |= (unsigned char) value[i] < ' ' || value[i] == '"' || value[i] == '\\';
	return found != 0;
}

void
append_json_string(StringInfo out, const char *value, Size length)
{
	char	   *copy;

	if (!json_needs_escape(value, length))
	{
		appendStringInfoCharMacro(out, '"');
		appendBinaryStringInfo(out, value, length);
		appendStringInfoCharMacro(out, '"');
		return;
	}
	copy = pnstrdup(value, length);
	escape_json(out, copy);
	pfree(copy);
}

void
append_json_cstring(StringInfo out, const char *value)
{
	if (value == NULL)
		appendBinaryStringInfo(out, "null", 4);
	else
		append_json_string(out, value, strlen(value));
}

void
append_json_text(StringInfo out, const text *value)
{
	if (value == NULL)
		appendBinaryStringInfo(out, "null", 4);
	else
		append_json_string(out, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

void
check_argument_length(const char *name, const text *value, int max_bytes)
{
	int			bytes;
	int			shown;

	if (value == NULL)
		return;
	bytes = VARSIZE_ANY_EXHDR(value);
	if (bytes <= max_bytes)
		return;
	shown = pg_mbcharcliplen(VARDATA_ANY(value), bytes, SHOWN_CHARACTERS);
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"%s\" is too long", name),
			 errdetail("Its value \"%.*s...\" has %d bytes, the limit is %d.",
					   shown, VARDATA_ANY(value), bytes, max_bytes)));
}
