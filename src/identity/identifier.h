/*
 * identifier.h
 *	  The name of somebody or something in a token.
 */
#ifndef ADMIN_EXT_IDENTIFIER_H
#define ADMIN_EXT_IDENTIFIER_H

#include "identity/either.h"

/*
 * Is it 1 to 256 bytes that can be told from every other name by sight?  False for NULL; for a name
 * with a blank at an end; for one that has_invisible(); and for one that is not its own form NFKC
 * (Unicode Standard Annex 15), as RFC 8264, 9.17, has it: such a name looks like the one it is the
 * form of.  The text is of the server's encoding.
 */
extern bool is_identifier(const char *text);

#endif							/* ADMIN_EXT_IDENTIFIER_H */
