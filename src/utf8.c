/*
 * utf8.c
 *	  See utf8.h.
 *
 * A value may have a gigabyte: the work is done in pieces, and interrupts are served between
 * them, because a worker that is busy here has to end when the server stops.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "utf8.h"
#include "utf8_repair.h"

#define PIECE_BYTES			(256 * 1024)

static void
repair_all(Utf8Repair *repair)
{
	while (repair->done < repair->length)
	{
		utf8_repair_piece(repair, PIECE_BYTES);
		CHECK_FOR_INTERRUPTS();
	}
}

/* A database without an encoding: what is UTF-8 stays as it is. */
static const char *
repair_whole(const char *data, Size length, Size *utf8_length)
{
	Utf8Repair	repair = {.source = data, .length = length};

	repair_all(&repair);
	if (repair.replaced == 0)
		return data;
	*utf8_length = repair.written;
	repair.out = MemoryContextAllocHuge(CurrentMemoryContext, repair.written + 1);
	repair.done = repair.written = repair.replaced = 0;
	repair_all(&repair);
	return repair.out;
}

/* Converts up to the first character without an equivalent; returns the bytes converted. */
static int
convert_prefix(Oid proc, const char *source, int length, char *out, Size *written)
{
	int			converted = pg_do_encoding_conversion_buf(proc, GetDatabaseEncoding(), PG_UTF8,
														  unconstify(unsigned char *, (const unsigned char *) source), length,
														  (unsigned char *) out,
														  length * MAX_CONVERSION_GROWTH + 1, true);

	*written = strlen(out);
	return converted;
}

static const char *
convert_whole(const char *data, Size length, Size *utf8_length)
{
	int			encoding = GetDatabaseEncoding();
	Oid			proc = FindDefaultConversionProc(encoding, PG_UTF8);
	char	   *out = MemoryContextAllocHuge(CurrentMemoryContext, length * MAX_CONVERSION_GROWTH + 1);
	Size		used = 0;
	Size		done = 0;

	while (done < length)
	{
		Size		written;

		CHECK_FOR_INTERRUPTS();
		done += convert_prefix(proc, data + done, Min(length - done, PIECE_BYTES), out + used, &written);
		used += written;
		/* A piece may end within a character: then it is the next one's first. */
		if (done < length && written == 0)
		{
			memcpy(out + used, UTF8_REPLACEMENT, UTF8_REPLACEMENT_BYTES);
			used += UTF8_REPLACEMENT_BYTES;
			done += Min(pg_encoding_mblen(encoding, data + done), (int) (length - done));
		}
	}
	*utf8_length = used;
	return out;
}

const char *
utf8_of(const char *data, Size length, Size *utf8_length)
{
	*utf8_length = length;
	if (GetDatabaseEncoding() == PG_UTF8)
		return data;
	return GetDatabaseEncoding() == PG_SQL_ASCII ? repair_whole(data, length, utf8_length) :
		convert_whole(data, length, utf8_length);
}

bool
utf8_is_forbidden_character(const char *data, Size bytes)
{
	pg_wchar	code = utf8_to_unicode((const unsigned char *) data);

	if (bytes <= 2)
		return code < 0x20 || (code >= 0x7f && code <= 0x9f);
	return (code >= 0xfdd0 && code <= 0xfdef) || (code & 0xfffe) == 0xfffe;
}

bool
utf8_is_forbidden(const char *data, Size length)
{
	Size		bytes;
	const char *text = utf8_of(data, length, &bytes);

	for (const char *at = text; at < text + bytes;)
	{
		Size		width = utf8_character_bytes(at, text + bytes - at);

		if (width == 0 || utf8_is_forbidden_character(at, width))
			return true;
		at += width;
	}
	return false;
}
