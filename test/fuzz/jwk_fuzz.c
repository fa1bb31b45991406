/*
 * jwk_fuzz.c
 *	  Any bytes as a key: one that is taken is a public key of a known algorithm, strong
 *	  enough, and does not accept a signature that it did not make.
 *
 * Links: -DFRONTEND -Wno-unused-parameter -Wno-sign-compare test/fuzz/memory.c src/identity/base64url.c src/identity/json_members.c src/identity/jwk.c
 * Links: src/identity/jws_algorithm.c -lpgcommon -lpgport -lcrypto
 */
#include "identity/jwk.h"

#include "memory.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_rejects(const JwsAlgorithm *algorithm, EVP_PKEY *key)
{
	static const uint8 signature[1024] = {1, 2, 3};
	size_t		length = algorithm->curve != NULL ? 2 * (size_t) algorithm->coordinate_bytes : (size_t) EVP_PKEY_get_size(key);
	JwsVerifier verifier;

	if (!jws_verifier_make(&verifier, algorithm, key))
		return;
	if (length > sizeof(signature) || jws_verifier_accepts(&verifier, (const uint8 *) "x", 1, signature, length))
		abort();
	jws_verifier_free(&verifier);
}

static void
test(const uint8_t *data, size_t size)
{
	JsonMembers members;
	Jwk			jwk;

	if (size > 8192 || json_members_parse((const char *) data, size, &members) != NULL)
		return;
	if (jwk_read(&members, &jwk) != NULL)
		return;
	if (jwk.key == NULL || (jwk.algorithm == NULL && strcmp(jwk.key_type, "RSA") != 0) ||
		(strcmp(jwk.key_type, "RSA") == 0 && EVP_PKEY_get_bits(jwk.key) < RSA_MIN_BITS))
		abort();
	check_rejects(jwk.algorithm != NULL ? jwk.algorithm : jws_algorithm("RS256"), jwk.key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	test(data, size);
	memory_reset();
	return 0;
}
