/*
 * utf8_repair.c
 *	  See utf8_repair.h.
 */
#include <string.h>

#include "utf8_repair.h"

/* A test counts the bytes that are looked at. */
#ifndef UTF8_LOOK
#define UTF8_LOOK(bytes)	((void) 0)
#endif

/* The second byte of a character has narrower limits after some first bytes: RFC 3629, section 4. */
static int
second_byte_fits(unsigned char first, unsigned char second)
{
	switch (first)
	{
		case 0xE0:
			return second >= 0xA0 && second <= 0xBF;
		case 0xED:
			return second >= 0x80 && second <= 0x9F;
		case 0xF0:
			return second >= 0x90 && second <= 0xBF;
		case 0xF4:
			return second >= 0x80 && second <= 0x8F;
		default:
			return (second & 0xC0) == 0x80;
	}
}

size_t
utf8_character_bytes(const char *source, size_t length)
{
	const unsigned char *at = (const unsigned char *) source;
	size_t		bytes;

	UTF8_LOOK(1);
	if (length == 0 || at[0] == 0)
		return 0;
	if (at[0] < 0x80)
		return 1;
	if (at[0] < 0xC2 || at[0] > 0xF4)
		return 0;
	bytes = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
	if (length < bytes)
		return 0;
	UTF8_LOOK(bytes - 1);
	if (!second_byte_fits(at[0], at[1]))
		return 0;
	for (size_t i = 2; i < bytes; i++)
	{
		if ((at[i] & 0xC0) != 0x80)
			return 0;
	}
	return bytes;
}

static void
put_repaired(Utf8Repair *repair, const char *bytes, size_t count)
{
	if (repair->out != NULL)
		memcpy(repair->out + repair->written, bytes, count);
	repair->written += count;
}

void
utf8_repair_piece(Utf8Repair *repair, size_t bytes)
{
	size_t		left = repair->length - repair->done;
	size_t		end = repair->done + (bytes < left ? bytes : left);

	while (repair->done < end)
	{
		const char *at = repair->source + repair->done;
		size_t		count = utf8_character_bytes(at, repair->length - repair->done);

		if (count > 0)
			put_repaired(repair, at, count);
		else
		{
			put_repaired(repair, UTF8_REPLACEMENT, UTF8_REPLACEMENT_BYTES);
			repair->replaced++;
			count = 1;
		}
		repair->done += count;
	}
}
