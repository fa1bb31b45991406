/*
 * one_line.c
 *	  See one_line.h.
 */
#include "postgres.h"

#include "fmgr.h"
#include "mb/pg_wchar.h"

#include "compat.h"
#include "one_line.h"

PG_FUNCTION_INFO_V1(admin_has_control_character);

/* Does one of U+0080 to U+009F, U+2028 or U+2029 begin here? */
static bool
utf8_breaks_line(const unsigned char *at, Size left)
{
	if (left >= 2 && at[0] == 0xc2)
		return at[1] < 0xa0;
	return left >= 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] == 0xa8 || at[2] == 0xa9);
}

/* In other encodings than UTF8 the bytes 80 to 9F can be letters, or parts of them. */
bool
one_line_is_broken(const text *value)
{
	const unsigned char *at = (const unsigned char *) VARDATA_ANY(value);
	bool		is_utf8 = GetDatabaseEncoding() == PG_UTF8;

	for (Size left = VARSIZE_ANY_EXHDR(value); left > 0; at++, left--)
	{
		if (*at < 0x20 || *at == 0x7f || (is_utf8 && utf8_breaks_line(at, left)))
			return true;
	}
	return false;
}

void
check_argument_line(const char *name, const text *value)
{
	if (value != NULL && one_line_is_broken(value))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" has a control character", name),
				 errdetail(ONE_LINE_DETAIL)));
}

Datum
admin_has_control_character(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(one_line_is_broken(PG_GETARG_TEXT_PP(0)));
}
