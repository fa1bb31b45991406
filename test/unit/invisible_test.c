/*
 * invisible_test.c
 *	  Characters that a reader does not see, or takes for others, are found; letters are not.
 *
 * Links: src/identity/invisible.c src/utf8_repair.c
 */
#include <string.h>

#include "identity/invisible.h"
#include "tap.h"

static const char *const hidden[] = {
	"ann\xc2\xa0lee",			/* U+00A0 no-break space */
	"ann\xe2\x80\x8b",			/* U+200B zero-width space */
	"ann\xef\xbb\xbf",			/* U+FEFF byte order mark */
	"ann\xe2\x80\xae",			/* U+202E right-to-left override */
	"ann\xc2\x85",				/* U+0085 next line */
	"\xef\xbd\x81nn",			/* U+FF41 full-width a */
	"ann\xef\xbc\xa0x",			/* U+FF20 full-width @ */
	"ann\xc2\xad",				/* U+00AD soft hyphen */
	"ann\xcd\x8f",				/* U+034F combining grapheme joiner */
	"ann\xe3\x80\x80",			/* U+3000 ideographic space */
	"ann\xe2\x81\xa6",			/* U+2066 isolate */
	"ann\xe3\x85\xa4",			/* U+3164 Hangul filler */
	"ann\xef\xb8\x8f",			/* U+FE0F variation selector */
	"ann\xf3\xa0\x81\xa1",		/* U+E0061 tag */
	"ann\xf3\xa0\x84\x80",		/* U+E0100 variation selector */
	"ann\xe2\xa0\x80",			/* U+2800 blank of Braille */
	"ann\xef\xbf\xbe",			/* U+FFFE */
	"ann\xf0\x9f\xbf\xbf",		/* U+1FFFF */
	"a\tnn", "ann\n", "ann\x7f", "ann\xff",
};

static const char *const seen[] = {
	"ann", "Ann Lee", "ann@example.com", "auth0|5f7c8ec7", "\xc3\x84nne", "\xe5\xae\x89", "\xd0\xb0nn",
	"\xd7\x90\xd7\xa0", "\xf0\x9f\x98\x80", "e\xcc\x81", "\xef\xbf\xbd", "\xef\xbd\xb1",
};

int
main(void)
{
	for (size_t i = 0; i < LENGTH_OF(hidden); i++)
		ok(has_invisible(hidden[i], strlen(hidden[i])), "text %zu has a character that cannot be seen", i);
	ok(has_invisible("a\0b", 3), "a NUL cannot be seen");
	for (size_t i = 0; i < LENGTH_OF(seen); i++)
		ok(!has_invisible(seen[i], strlen(seen[i])), "\"%s\" can be seen", seen[i]);
	return tap_done();
}
