/*
 * base64url_fuzz.c
 *	  Any bytes: what decodes is what encoding gives again, and what does not is no canonical
 *	  base64url by an encoder that knows nothing of the decoder.
 *
 * Links: src/identity/base64url.c
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64url_oracle.h"
#include "identity/base64url.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Bytes that any decoder, however lenient, would read: characters that are none count as A. */
static size_t
lenient_decode(const uint8_t *data, size_t size, uint8_t *out)
{
	size_t		bytes = size * 6 / 8;

	memset(out, 0, bytes + 1);
	for (size_t bit = 0; bit < bytes * 8; bit++)
	{
		const char *found = data[bit / 6] == 0 ? NULL : strchr(base64url_letters, data[bit / 6]);
		int			value = found == NULL ? 0 : (int) (found - base64url_letters);

		out[bit / 8] |= ((value >> (5 - bit % 6)) & 1) << (7 - bit % 8);
	}
	return bytes;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t    *decoded = malloc(BASE64URL_DECODED_BYTES(size));
	uint8_t    *expected = malloc(size + 1);
	char	   *encoded = malloc(2 * size + 4);
	int			count = base64url_decode((const char *) data, size, decoded);
	size_t		bytes = lenient_decode(data, size, expected);
	size_t		length = base64url_encode(expected, bytes, encoded);
	int			canonical = length == size && memcmp(encoded, data, size) == 0;

	if (canonical != (count >= 0) || (canonical && ((size_t) count != bytes || memcmp(decoded, expected, bytes) != 0)))
	{
		fprintf(stderr, "base64url_decode() returns %d; canonical: %d\n", count, canonical);
		abort();
	}
	free(decoded);
	free(expected);
	free(encoded);
	return 0;
}
