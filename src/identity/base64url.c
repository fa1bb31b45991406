/*
 * base64url.c
 *	  See base64url.h.  Pure C: no server headers, no allocation.
 */
#include "identity/base64url.h"

#include <limits.h>

static int
value_of(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

int
base64url_decode(const char *in, size_t length, uint8_t *out)
{
	uint32_t	bits = 0;
	int			pending = 0;	/* bits that no byte has been made of yet */
	int			bytes = 0;

	if (length > INT_MAX || length % 4 == 1)
		return -1;
	for (size_t i = 0; i < length; i++)
	{
		int			value = value_of((unsigned char) in[i]);

		if (value < 0)
			return -1;
		bits = (bits << 6 | (uint32_t) value) & 0xffff;
		pending += 6;
		if (pending >= 8)
		{
			pending -= 8;
			out[bytes++] = (uint8_t) (bits >> pending);
		}
	}
	return (bits & ((1u << pending) - 1)) == 0 ? bytes : -1;
}
