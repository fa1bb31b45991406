/*
 * uri_fuzz.c
 *	  Any bytes: what is taken for a URI has the characters and the form of RFC 3986.
 *
 * libFuzzer's buffer ends where the input ends, so a byte read too far is noticed.
 *
 * Links: src/uri.c
 */
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uri.h"

#define PCHAR	"([A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
#define FORM	"^([a-z][a-z0-9+.-]*:)?(//([^]/?#@[]*@)?([^]/?#@:[]*|[[][0-9A-Fa-f:.]+[]])(:[0-9]*)?(/|[?]|#|$))?(" PCHAR "|/)*([?](" PCHAR "|[/?])*)?(#(" PCHAR "|[/?])+)?$"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static regex_t form;
	static bool compiled = false;
	const char *bytes = (const char *) data;
	bool		absolute = uri_is_absolute(bytes, size);
	char	   *text;

	if (absolute && !uri_is_reference(bytes, size))
		fail("absolute, but not a reference");
	if (!uri_is_reference(bytes, size))
		return 0;
	if (!compiled && regcomp(&form, FORM, REG_EXTENDED | REG_NOSUB) != 0)
		fail("the form does not compile");
	compiled = true;
	text = strndup(bytes, size);
	if (strlen(text) != size || (size < 1000 && regexec(&form, text, 0, NULL, 0) != 0))
		fail("taken, but not of the form of a URI");
	if (absolute && strchr(text, '#') != NULL)
		fail("absolute, with a fragment");
	free(text);
	return 0;
}
