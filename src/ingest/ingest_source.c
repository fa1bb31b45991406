/*
 * ingest_source.c
 *	  See ingest_source.h.
 */
#include "postgres.h"

#include "fmgr.h"

#include "audit/audit_append.h"
#include "compat.h"
#include "ingest/ingest_source.h"

PG_FUNCTION_INFO_V1(admin_is_own_source);

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = pg_ascii_tolower((unsigned char) c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The character at hand in lower case; moves on behind it. */
static char
next_character(const char *source, int length, int *at)
{
	char		c = source[(*at)++];

	if (c == '%' && *at + 1 < length && hex_value(source[*at]) >= 0 && hex_value(source[*at + 1]) >= 0)
	{
		c = (char) (hex_value(source[*at]) * 16 + hex_value(source[*at + 1]));
		*at += 2;
	}
	return c == '\\' ? '/' : (char) pg_ascii_tolower((unsigned char) c);
}

static void
drop_segment(char *path, int *length, int begin)
{
	int			bytes = *length - begin;

	if (bytes == 1 && path[begin] == '.')
		*length = begin;
	else if (bytes == 2 && memcmp(path + begin, "..", 2) == 0)
	{
		*length = Max(begin - 1, 0);
		while (*length > 0 && path[*length - 1] != '/')
			(*length)--;
	}
}

bool
ingest_source_is_own(const char *source, int length)
{
	const int	own = strlen(AUDIT_OWN_SOURCE);
	char	   *path = palloc(length + 1);
	int			bytes = 0;
	int			begin = 0;		/* of the segment at hand */
	bool		result;

	/* Without the slashes at its beginning, and with one between segments. */
	for (int at = 0; at < length;)
	{
		char		c = next_character(source, length, &at);

		if (c != '/')
		{
			path[bytes++] = c;
			continue;
		}
		drop_segment(path, &bytes, begin);
		if (bytes > 0 && path[bytes - 1] != '/')
			path[bytes++] = '/';
		begin = bytes;
	}
	drop_segment(path, &bytes, begin);
	result = bytes >= own && memcmp(path, AUDIT_OWN_SOURCE, own) == 0 && (bytes == own || path[own] == '/');
	pfree(path);
	return result;
}

/* (source) */
Datum
admin_is_own_source(PG_FUNCTION_ARGS)
{
	text	   *source = PG_GETARG_TEXT_PP(0);

	PG_RETURN_BOOL(ingest_source_is_own(VARDATA_ANY(source), VARSIZE_ANY_EXHDR(source)));
}
