/*
 * jws_fuzz.c
 *	  Any bytes as a token: jws_read() takes nothing that encoding its parts would not give
 *	  again, and any bytes as a header: made into a token of their own.
 *
 * The first byte says which of the two.
 *
 * Links: -DFRONTEND -Wno-unused-parameter -Wno-sign-compare test/fuzz/memory.c src/identity/base64url.c src/identity/json_members.c src/identity/jws.c
 * Links: src/identity/jwk.c src/identity/jws_algorithm.c -lpgcommon -lpgport -lcrypto
 */
#include "identity/jws.h"

#include "base64url_oracle.h"
#include "memory.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(const char *token, size_t length)
{
	Jws			jws;
	char		encoded[2 * JWS_MAX_BYTES];
	const char *payload;

	if (jws_read(token, length, &jws) != NULL)
		return;
	payload = memchr(token, '.', length);
	if (payload == NULL || jws.algorithm == NULL || jws.signing_input_bytes >= length ||
		base64url_encode(jws.payload, jws.payload_bytes, encoded) != (size_t) (token + jws.signing_input_bytes - payload - 1) ||
		memcmp(encoded, payload + 1, token + jws.signing_input_bytes - payload - 1) != 0 ||
		base64url_encode(jws.signature, jws.signature_bytes, encoded) != length - jws.signing_input_bytes - 1)
		abort();
}

static void
test(const uint8_t *data, size_t size)
{
	char		token[JWS_MAX_BYTES + 16];
	size_t		length;

	if (size == 0 || size > JWS_MAX_BYTES / 2)
		return;
	if (data[0] & 1)
		check((const char *) data + 1, size - 1);
	else
	{
		length = base64url_encode(data + 1, size - 1, token);
		memcpy(token + length, ".e30.AAAA", 9);
		check(token, length + 9);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	test(data, size);
	memory_reset();
	return 0;
}
