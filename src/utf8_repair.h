/*
 * utf8_repair.h
 *	  Replaces bytes that are not UTF-8, a piece at a time.  PURE: no server.
 *
 * Each byte is looked at four times at most, whatever the bytes are.
 */
#ifndef ADMIN_EXT_UTF8_REPAIR_H
#define ADMIN_EXT_UTF8_REPAIR_H

#include <stddef.h>

#define UTF8_REPLACEMENT		"\xef\xbf\xbd"	/* U+FFFD */
#define UTF8_REPLACEMENT_BYTES	3	/* the most that one byte of the source becomes */

typedef struct Utf8Repair
{
	const char *source;
	size_t		length;
	size_t		done;			/* bytes of the source that are behind us */
	char	   *out;			/* room for UTF8_REPLACEMENT_BYTES per byte of the source; NULL:
								 * only validate */
	size_t		written;
	size_t		replaced;		/* bytes of the source that were not UTF-8 */
} Utf8Repair;

/* Bytes of the character that the source begins with (RFC 3629); 0: it is not UTF-8, or a NUL. */
extern size_t utf8_character_bytes(const char *source, size_t length);

/* Takes at least so many bytes of the source, or what is left of it. */
extern void utf8_repair_piece(Utf8Repair *repair, size_t bytes);

#endif							/* ADMIN_EXT_UTF8_REPAIR_H */
