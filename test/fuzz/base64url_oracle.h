/*
 * base64url_oracle.h
 *	  An encoder (RFC 4648, section 5, without padding), for fuzzers to check the decoder by.
 */
#ifndef BASE64URL_ORACLE_H
#define BASE64URL_ORACLE_H

#include <stddef.h>
#include <stdint.h>

static const char base64url_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Returns the number of characters; `out` has room for 2 * bytes + 4. */
static inline size_t
base64url_encode(const uint8_t *data, size_t bytes, char *out)
{
	size_t		length = (bytes * 8 + 5) / 6;

	for (size_t n = 0; n < length; n++)
	{
		int			value = 0;

		for (size_t bit = 6 * n; bit < 6 * n + 6; bit++)
			value = value << 1 | (bit < bytes * 8 ? (data[bit / 8] >> (7 - bit % 8)) & 1 : 0);
		out[n] = base64url_letters[value];
	}
	return length;
}

#endif							/* BASE64URL_ORACLE_H */
