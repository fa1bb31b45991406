/*
 * identifier.c
 *	  See identifier.h.
 */
#include "identity/identifier.h"

#include "common/unicode_norm.h"
#include "identity/invisible.h"
#include "mb/pg_wchar.h"

#define IDENTIFIER_MAX_BYTES	256

/* unicode_normalize() allocates by malloc() in a program. */
#ifdef FRONTEND
#define identifier_utf8(text, length) (text)
#define identifier_free free
#else
#define identifier_utf8(text, length) pg_server_to_any(text, length, PG_UTF8)
#define identifier_free pfree
#endif

static bool
is_ascii_text(const char *text)
{
	for (; *text != '\0'; text++)
	{
		if (IS_HIGHBIT_SET(*text))
			return false;
	}
	return true;
}

/* The text is UTF-8. */
static bool
is_its_own_nfkc(const char *utf8)
{
	pg_wchar	points[IDENTIFIER_MAX_BYTES * 4 + 1];
	pg_wchar   *normal;
	int			count = 0;
	bool		same = true;

	for (const unsigned char *at = (const unsigned char *) utf8; *at != '\0'; at += pg_utf_mblen(at))
	{
		if (count == lengthof(points) - 1)
			return false;
		points[count++] = utf8_to_unicode(at);
	}
	points[count] = 0;
	normal = unicode_normalize(UNICODE_NFKC, points);
	if (normal == NULL)
		return false;
	for (int i = 0; same && i <= count; i++)
		same = normal[i] == points[i];
	identifier_free(normal);
	return same;
}

bool
is_identifier(const char *text)
{
	size_t		length = text == NULL ? 0 : strlen(text);
	const char *utf8;

	if (length == 0 || length > IDENTIFIER_MAX_BYTES || text[0] == ' ' || text[length - 1] == ' ')
		return false;
	utf8 = identifier_utf8(text, length);
	if (has_invisible(utf8, utf8 == text ? length : strlen(utf8)))
		return false;
	return is_ascii_text(utf8) || is_its_own_nfkc(utf8);
}
