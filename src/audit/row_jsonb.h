/*
 * row_jsonb.h
 *	  jsonb as text whose length the value bounds.
 */
#ifndef ADMIN_EXT_ROW_JSONB_H
#define ADMIN_EXT_ROW_JSONB_H

#include "lib/stringinfo.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/*
 * The digits of a number, in the current context.  One of more than JSON_MAX_DIGITS is written
 * with an exponent where that is shorter: 1e131000 has a few bytes in a row, and 131001 as digits.
 */
extern char *numeric_text(Numeric number);

/*
 * As jsonb_out() writes it, numbers by numeric_text().  False: it has more than `most` bytes, and
 * only the beginning was appended.
 */
extern bool jsonb_text(StringInfo out, Jsonb *jsonb, Size most);

#endif							/* ADMIN_EXT_ROW_JSONB_H */
