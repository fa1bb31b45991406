/*
 * utf8.c
 *	  See utf8.h.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "utf8.h"

#define REPLACEMENT			"\xef\xbf\xbd"
#define REPLACEMENT_BYTES	3
/* What is converted at a time: its result has to be counted in an int. */
#define CHUNK_BYTES			(16 * 1024 * 1024)

/* Appends as much of the source as is good UTF-8 to out; returns how much that was. */
static int
copy_valid(const char *source, int length, char *out, Size *written)
{
	int			valid = pg_encoding_verifymbstr(PG_UTF8, source, length);

	memcpy(out, source, valid);
	*written = valid;
	return valid;
}

static int
convert(Oid proc, const char *source, int length, char *out, Size *written)
{
	int			converted = pg_do_encoding_conversion_buf(proc, GetDatabaseEncoding(), PG_UTF8,
														  unconstify(unsigned char *, (const unsigned char *) source), length,
														  (unsigned char *) out,
														  length * MAX_CONVERSION_GROWTH + 1, true);

	*written = strlen(out);
	return converted;
}

const char *
utf8_of(const char *data, Size length, Size *utf8_length)
{
	int			encoding = GetDatabaseEncoding();
	bool		has_none = encoding == PG_SQL_ASCII;
	Oid			proc = InvalidOid;
	char	   *out;
	Size		used = 0;
	Size		done = 0;

	*utf8_length = length;
	if (encoding == PG_UTF8 ||
		(has_none && pg_encoding_verifymbstr(PG_UTF8, data, length) == (int) length))
		return data;
	if (!has_none)
		proc = FindDefaultConversionProc(encoding, PG_UTF8);
	out = MemoryContextAllocHuge(CurrentMemoryContext, length * MAX_CONVERSION_GROWTH + 1);
	while (done < length)
	{
		int			chunk = Min(length - done, CHUNK_BYTES);
		Size		written;

		done += has_none ? copy_valid(data + done, chunk, out + used, &written) :
			convert(proc, data + done, chunk, out + used, &written);
		used += written;
		/* A chunk may end within a character: then it is the next one's first. */
		if (done < length && written == 0)
		{
			memcpy(out + used, REPLACEMENT, REPLACEMENT_BYTES);
			used += REPLACEMENT_BYTES;
			done += has_none ? 1 : Min(pg_encoding_mblen(encoding, data + done), (int) (length - done));
		}
	}
	*utf8_length = used;
	return out;
}
