/*
 * base64url.c
 *	  See base64url.h.  Pure C: no server headers, no allocation.
 */
#include "identity/base64url.h"

#include <limits.h>

/* The values of the ASCII characters; -1 if not in the alphabet. */
static const signed char values[128] = {
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
	-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1,
	52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
	-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
	15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, 63,
	-1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
	41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
};

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
		unsigned char c = (unsigned char) in[i];
		int			value = c < sizeof(values) ? values[c] : -1;

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
