/*
 * claims_fuzz.c
 *	  Any bytes as the claims of a token: what passes is for the audience, in time, and has a
 *	  subject and roles that can be read.
 *
 * Links: -DFRONTEND -Wno-unused-parameter -Wno-sign-compare test/fuzz/memory.c src/identity/json_members.c src/identity/claims.c src/identity/identifier.c src/identity/invisible.c src/utf8_repair.c -lpgcommon -lpgport -lm
 */
#include "identity/claims.h"

#include "memory.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
test(const uint8_t *data, size_t size)
{
	ClaimsExpected expected = {"a", "sub", "roles", INT64CONST(1000000000), INT64CONST(30000000), INT64CONST(86400000000)};
	const char *const *roles;
	Claims		claims;

	if (size > 12288 || claims_read((const char *) data, size, &claims) != NULL)
		return;
	if (claims.issuer == NULL || claims.expires_at < 0 || claims.members.count > JSON_MAX_MEMBERS)
		abort();
	if (claims_check(&claims, &expected) != NULL)
		return;
	if (claims_subject(&claims, &expected) == NULL || claims.expires_at <= expected.now ||
		claims.not_before > expected.now + expected.leeway || claims.issued_at > expected.now + expected.leeway ||
		claims.expires_at - Max(claims.issued_at, 0) > Max(expected.max_life, claims.expires_at * (claims.issued_at < 0)))
		abort();
	for (int i = 0, count = claims_roles(&claims, &expected, &roles); i < count; i++)
	{
		if (strlen(roles[i]) > size)
			abort();
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	test(data, size);
	memory_reset();
	return 0;
}
