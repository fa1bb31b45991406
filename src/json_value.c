/*
 * json_value.c
 *	  See json_value.h.
 *
 * The server has parsed the text when it became a json value, so its tokens are only told apart
 * here: no recursion, and one look at each byte.  Bounds are kept for any text: a superuser's cast
 * can make a json value of a text that is not JSON.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "json_number.h"
#include "json_value.h"

#define FEW_MEMBERS		16		/* compared each with each */

/* A member's name without its escapes. */
typedef struct MemberName
{
	const char *bytes;
	Size		length;
	uint64		hash;
} MemberName;

typedef struct JsonScan
{
	StringInfo	out;
	const char *at;
	const char *end;
	const char *copied;			/* what is before it has been appended */
	int			depth;
	bool		is_object[JSON_MAX_DEPTH + 1];
	Size		first_name[JSON_MAX_DEPTH + 1]; /* of the object, in names */
	bool		expects_name;	/* the next string is one */
	MemberName *names;			/* of the objects that are open */
	Size		name_count;
	Size		name_capacity;
	char	   *unescaped;		/* room for the names that had escapes; NULL before the first */
} JsonScan;

static void
scan_copy(JsonScan *scan, const char *until)
{
	/* appendBinaryStringInfo() takes an int. */
	while (scan->copied < until)
	{
		int			bytes = (int) Min(until - scan->copied, MaxAllocSize / 2);

		appendBinaryStringInfo(scan->out, scan->copied, bytes);
		scan->copied += bytes;
	}
}

/* The four hex digits behind \u; -1: there are none. */
static int
scan_hex(const char *at, const char *end)
{
	int			code = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		unsigned char c = at[i];

		if (c >= '0' && c <= '9')
			code = code * 16 + c - '0';
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			code = code * 16 + (c | 0x20) - 'a' + 10;
		else
			return -1;
	}
	return code;
}

/*
 * The character of an escape.  `at` is behind the backslash, and is moved behind the escape.
 * Returns 0 for U+0000 and for half a surrogate pair.
 */
static pg_wchar
scan_escape(const char **at, const char *end)
{
	static const char plain[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	const char *found;
	int			code;
	int			low;

	if (*at >= end)
		return 0;
	if (**at != 'u')
	{
		found = strchr(plain, *(*at)++);
		return found != NULL && *found != '\0' ? (unsigned char) meant[found - plain] : 0;
	}
	code = scan_hex(*at + 1, end);
	*at = Min(*at + 5, end);
	if (code <= 0 || !is_utf16_surrogate_first(code))
		return code > 0 && !is_utf16_surrogate_second(code) ? code : 0;
	if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return 0;
	low = scan_hex(*at + 2, end);
	*at += 6;
	return low > 0 && is_utf16_surrogate_second(low) ? surrogate_pair_to_codepoint(code, low) : 0;
}

static int
utf8_bytes(pg_wchar c)
{
	return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

/* Names without escapes stay where they are. */
static void
scan_unescape(JsonScan *scan, MemberName *name)
{
	const char *at = name->bytes;
	const char *end = name->bytes + name->length;
	char	   *to;

	if (scan->unescaped == NULL)
		scan->unescaped = MemoryContextAllocHuge(CurrentMemoryContext, scan->end - at);
	to = scan->unescaped;
	name->bytes = to;
	while (at < end)
	{
		if (*at != '\\')
			*to++ = *at++;
		else
		{
			pg_wchar	c;

			at++;
			c = scan_escape(&at, end);
			unicode_to_utf8(c, (unsigned char *) to);
			to += utf8_bytes(c);
		}
	}
	name->length = to - name->bytes;
	scan->unescaped = to;
}

static void
scan_add_name(JsonScan *scan, const char *bytes, Size length, bool has_escapes)
{
	MemberName	name = {bytes, length, 0};

	if (has_escapes)
		scan_unescape(scan, &name);
	if (scan->name_count == scan->name_capacity)
	{
		Size		capacity = Max(FEW_MEMBERS, scan->name_capacity * 2);

		if (scan->names == NULL)
			scan->names = MemoryContextAllocHuge(CurrentMemoryContext, capacity * sizeof(MemberName));
		else
			scan->names = repalloc_huge(scan->names, capacity * sizeof(MemberName));
		scan->name_capacity = capacity;
	}
	scan->names[scan->name_count++] = name;
}

/* False: the string holds what text cannot. */
static bool
scan_string(JsonScan *scan)
{
	const char *begin = ++scan->at;
	bool		has_escapes = false;

	while (scan->at < scan->end && *scan->at != '"')
	{
		if (*scan->at++ != '\\')
			continue;
		has_escapes = true;
		if (scan_escape(&scan->at, scan->end) == 0)
			return false;
	}
	/* In another encoding, names with and without escapes cannot be compared byte by byte. */
	if (scan->expects_name && has_escapes && GetDatabaseEncoding() != PG_UTF8)
		return false;
	if (scan->expects_name)
		scan_add_name(scan, begin, scan->at - begin, has_escapes);
	scan->expects_name = false;
	scan->at = Min(scan->at + 1, scan->end);
	return true;
}

/* False: it has too many digits. */
static bool
scan_number(JsonScan *scan)
{
	const char *begin = scan->at;
	JsonNumber	judged;

	while (scan->at < scan->end && *scan->at != '\0' && strchr("0123456789+-.eE", *scan->at) != NULL)
		scan->at++;
	judged = json_number_judge(begin, scan->at - begin);
	if (judged == JSON_NUMBER_LONG)
	{
		scan_copy(scan, begin);
		appendStringInfoChar(scan->out, '"');
		scan_copy(scan, scan->at);
		appendStringInfoChar(scan->out, '"');
	}
	return judged != JSON_NUMBER_TOO_LONG;
}

static int
name_compare(const void *a, const void *b)
{
	const MemberName *x = a;
	const MemberName *y = b;

	if (x->hash != y->hash)
		return x->hash < y->hash ? -1 : 1;
	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return memcmp(x->bytes, y->bytes, x->length);
}

/* Sorts by a seeded hash, so that a client cannot choose names that take long to sort. */
static bool
names_differ(MemberName *names, Size count)
{
	static uint64 seed = 0;

	if (count <= FEW_MEMBERS)
	{
		for (Size i = 1; i < count; i++)
			for (Size j = 0; j < i; j++)
				if (name_compare(&names[i], &names[j]) == 0)
					return false;
		return true;
	}
	if (seed == 0 && !pg_strong_random(&seed, sizeof(seed)))
		seed = (uint64) MyProcPid << 32 | (uint32) MyStartTime;
	for (Size i = 0; i < count; i++)
		names[i].hash = hash_bytes_extended((const unsigned char *) names[i].bytes, (int) names[i].length, seed);
	qsort(names, count, sizeof(MemberName), name_compare);
	for (Size i = 1; i < count; i++)
		if (name_compare(&names[i], &names[i - 1]) == 0)
			return false;
	return true;
}

/* False: it is nested too deep, or an object that ends has a member twice. */
static bool
scan_structure(JsonScan *scan, char c)
{
	scan->at++;
	switch (c)
	{
		case '{':
		case '[':
			if (++scan->depth > JSON_MAX_DEPTH)
				return false;
			scan->is_object[scan->depth] = scan->expects_name = c == '{';
			scan->first_name[scan->depth] = scan->name_count;
			return true;
		case '}':
		case ']':
			scan->expects_name = false;
			if (scan->depth == 0)
				return false;
			CHECK_FOR_INTERRUPTS();
			if (!names_differ(scan->names + scan->first_name[scan->depth], scan->name_count - scan->first_name[scan->depth]))
				return false;
			scan->name_count = scan->first_name[scan->depth--];
			return true;
		case ',':
			CHECK_FOR_INTERRUPTS();
			scan->expects_name = scan->is_object[scan->depth];
			return true;
		default:
			return true;
	}
}

static bool
scan_token(JsonScan *scan)
{
	char		c = *scan->at;

	if (c == '"')
		return scan_string(scan);
	if (c == '-' || (c >= '0' && c <= '9'))
		return scan_number(scan);
	return scan_structure(scan, c);
}

bool
json_value_append(StringInfo out, const char *json, Size length)
{
	JsonScan	scan = {.out = out, .at = json, .end = json + length, .copied = json};
	int			begin = out->len;
	bool		is_readable = GetDatabaseEncoding() != PG_SQL_ASCII || pg_verify_mbstr(PG_UTF8, json, length, true);

	while (is_readable && scan.at < scan.end)
		is_readable = scan_token(&scan);
	if (is_readable)
		scan_copy(&scan, scan.end);
	else
	{
		out->len = begin;
		out->data[begin] = '\0';
	}
	if (scan.names != NULL)
		pfree(scan.names);
	return is_readable;
}
