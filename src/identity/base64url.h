/*
 * base64url.h
 *	  Base64 with the URL and file name safe alphabet, without padding (RFC 4648, section 5;
 *	  RFC 7515, section 2).
 *
 * Canonical only: one sequence of bytes has one spelling.  Padding, blanks, other
 * characters and bits that are set behind the last byte are refused (RFC 4648, 3.5), so
 * that a token cannot be altered without altering what is hashed.
 */
#ifndef ADMIN_EXT_BASE64URL_H
#define ADMIN_EXT_BASE64URL_H

#include <stddef.h>
#include <stdint.h>

#define BASE64URL_DECODED_BYTES(length) ((length) / 4 * 3 + 3)

/* Returns the number of bytes, or -1.  `out` has BASE64URL_DECODED_BYTES(length) of them. */
extern int	base64url_decode(const char *in, size_t length, uint8_t *out);

#endif							/* ADMIN_EXT_BASE64URL_H */
