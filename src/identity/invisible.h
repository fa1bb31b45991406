/*
 * invisible.h
 *	  Characters that a reader does not see, or sees as others.  PURE: no server.
 */
#ifndef ADMIN_EXT_INVISIBLE_H
#define ADMIN_EXT_INVISIBLE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Does the UTF-8 text hold a control or format character, a blank other than U+0020, a character
 * that has no glyph, or a full-width form of an ASCII character?  True for what is not UTF-8.
 */
extern bool has_invisible(const char *utf8, size_t length);

#endif							/* ADMIN_EXT_INVISIBLE_H */
