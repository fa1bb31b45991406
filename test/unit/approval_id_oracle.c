/*
 * approval_id_oracle.c
 *	  See approval_id_oracle.h.
 *
 * No locale is ever set, so ranges are ranges of bytes; without REG_NEWLINE the
 * anchors mean the ends of the whole text.  REG_STARTEND takes the length from
 * us, so that a zero byte is a byte like others; the text ends in one all the
 * same, because clang's address sanitizer measures every text given to regexec().
 */
#include "approval_id_oracle.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES	64

static const char *const grammar = "^APP-[0-9]{6}-[a-z0-9]+$";

static const regex_t *
compiled_grammar(void)
{
	static regex_t compiled;
	static bool is_compiled = false;

	if (!is_compiled)
	{
		if (regcomp(&compiled, grammar, REG_EXTENDED) != 0)
			abort();
		is_compiled = true;
	}
	return &compiled;
}

bool
approval_id_oracle(const char *id, size_t length)
{
	regmatch_t	span = {.rm_so = 0, .rm_eo = (regoff_t) length};
	char		text[MAX_BYTES + 1] = {0};

	if (id == NULL || length > MAX_BYTES)
		return false;
	memcpy(text, id, length);
	if (regexec(compiled_grammar(), text, 1, &span, REG_STARTEND) != 0)
		return false;
	return span.rm_so == 0 && span.rm_eo == (regoff_t) length;
}
