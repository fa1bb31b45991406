/*
 * jwk.c
 *	  JSON Web Keys to EVP_PKEY; see jwk.h.
 */
#include "identity/jwk.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "identity/base64url.h"

#define COORDINATE_MAX_BYTES	66	/* of P-521 */
#define EXPONENT_MAX_BYTES		8
#define ED25519_BYTES			32

/* Length of the bytes, or -1. */
static int
member_bytes(const JsonMembers *members, const char *name, uint8 **bytes)
{
	const char *text = json_member_string(members, name);
	size_t		length;

	if (text == NULL)
		return -1;
	length = strlen(text);
	*bytes = palloc(BASE64URL_DECODED_BYTES(length));
	return base64url_decode(text, length, *bytes);
}

/* NULL when OpenSSL refuses the parameters. */
static EVP_PKEY *
key_from(const char *type, OSSL_PARAM_BLD *builder)
{
	OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY   *key = NULL;

	if (parameters == NULL || context == NULL ||
		EVP_PKEY_fromdata_init(context) != 1 ||
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	OSSL_PARAM_free(parameters);
	return key;
}

static const char *
read_rsa(const JsonMembers *members, Jwk *jwk)
{
	uint8	   *modulus;
	uint8	   *exponent;
	int			modulus_bytes = member_bytes(members, "n", &modulus);
	int			exponent_bytes = member_bytes(members, "e", &exponent);
	OSSL_PARAM_BLD *builder;
	BIGNUM	   *n;
	BIGNUM	   *e;

	if (modulus_bytes < 1 || exponent_bytes < 1)
		return "member n or e is missing, or is not base64url";
	if (modulus_bytes > RSA_MAX_BITS / 8 + 1 || exponent_bytes > EXPONENT_MAX_BYTES)
		return "the RSA key is too large";
	n = BN_bin2bn(modulus, modulus_bytes, NULL);
	e = BN_bin2bn(exponent, exponent_bytes, NULL);
	builder = OSSL_PARAM_BLD_new();
	if (n != NULL && e != NULL && builder != NULL &&
		BN_num_bits(n) >= RSA_MIN_BITS && BN_num_bits(n) <= RSA_MAX_BITS &&
		BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e) &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		jwk->key = key_from("RSA", builder);
	OSSL_PARAM_BLD_free(builder);
	BN_free(n);
	BN_free(e);
	return jwk->key == NULL ? "the RSA key is weak or malformed: 2048 to 8192 bits and an odd exponent above 1 are needed" : NULL;
}

/* A point must be on its curve, and its coordinates as long as the curve's (RFC 7518, 6.2.1.2). */
static const char *
read_ec(const JsonMembers *members, Jwk *jwk)
{
	const char *curve = json_member_string(members, "crv");
	const JwsAlgorithm *algorithm = curve == NULL ? NULL : jws_algorithm_of_curve("EC", curve);
	uint8		point[1 + 2 * COORDINATE_MAX_BYTES] = {POINT_CONVERSION_UNCOMPRESSED};
	uint8	   *x;
	uint8	   *y;
	OSSL_PARAM_BLD *builder;
	EVP_PKEY_CTX *check;

	if (algorithm == NULL)
		return "its curve is none of P-256, P-384 and P-521";
	if (member_bytes(members, "x", &x) != algorithm->coordinate_bytes ||
		member_bytes(members, "y", &y) != algorithm->coordinate_bytes)
		return "member x or y is not a coordinate of its curve";
	memcpy(point + 1, x, algorithm->coordinate_bytes);
	memcpy(point + 1 + algorithm->coordinate_bytes, y, algorithm->coordinate_bytes);
	builder = OSSL_PARAM_BLD_new();
	if (builder != NULL &&
		OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, algorithm->curve, 0) == 1 &&
		OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point,
										 1 + 2 * algorithm->coordinate_bytes) == 1)
		jwk->key = key_from("EC", builder);
	OSSL_PARAM_BLD_free(builder);
	if (jwk->key == NULL)
		return "its point is not on its curve";
	check = EVP_PKEY_CTX_new(jwk->key, NULL);
	if (check == NULL || EVP_PKEY_public_check(check) != 1)
	{
		EVP_PKEY_free(jwk->key);
		jwk->key = NULL;
	}
	EVP_PKEY_CTX_free(check);
	jwk->algorithm = algorithm;
	return jwk->key == NULL ? "its point is not on its curve" : NULL;
}

/*
 * Is it a key of small order, for which anybody can sign, or one that is not encoded as in RFC
 * 8032, section 5.1.3?  The sign is the highest bit of the last byte.
 */
static bool
is_weak_ed25519(const uint8 *key)
{
	static const uint8 small[][ED25519_BYTES] = {
		{0},
		{1},
		{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
		0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
		{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
		0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
	};
	uint8		y[ED25519_BYTES];
	bool		is_top = true;

	memcpy(y, key, ED25519_BYTES);
	y[ED25519_BYTES - 1] &= 0x7f;
	for (int i = 0; i < lengthof(small); i++)
	{
		if (memcmp(y, small[i], ED25519_BYTES) == 0)
			return true;
	}
	/* From 2^255 - 20 on: minus one, and what is not below the field's prime. */
	for (int i = 1; i < ED25519_BYTES - 1; i++)
		is_top = is_top && y[i] == 0xff;
	return is_top && y[ED25519_BYTES - 1] == 0x7f && y[0] >= 0xec;
}

static const char *
read_okp(const JsonMembers *members, Jwk *jwk)
{
	const char *curve = json_member_string(members, "crv");
	const JwsAlgorithm *algorithm = curve == NULL ? NULL : jws_algorithm_of_curve("OKP", curve);
	uint8	   *x;

	if (algorithm == NULL)
		return "its curve is not Ed25519";
	if (member_bytes(members, "x", &x) != ED25519_BYTES || is_weak_ed25519(x))
		return "member x is not a key of its curve";
	jwk->key = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, x, ED25519_BYTES);
	jwk->algorithm = algorithm;
	return jwk->key == NULL ? "member x is not a key of its curve" : NULL;
}

static bool
is_for_signatures(const JsonMembers *members)
{
	const JsonMember *use = json_member(members, "use");
	const JsonMember *operations = json_member(members, "key_ops");
	bool		verifies = operations == NULL;

	if (use != NULL && (use->kind != JSON_KIND_STRING || strcmp(use->text, "sig") != 0))
		return false;
	for (int i = 0; !verifies && operations->kind == JSON_KIND_ARRAY && i < operations->count; i++)
		verifies = operations->strings[i] != NULL && strcmp(operations->strings[i], "verify") == 0;
	return verifies;
}

bool
jwk_takes(const Jwk *jwk, const JwsAlgorithm *algorithm)
{
	/* A curve has one algorithm; RSA keys without alg take any of theirs. */
	return jwk->algorithm != NULL ? algorithm == jwk->algorithm :
		strcmp(algorithm->key_type, jwk->key_type) == 0;
}

/* Member alg, which a key need not have, binds it to one algorithm. */
static const char *
bind_algorithm(const JsonMembers *members, Jwk *jwk)
{
	const JsonMember *member = json_member(members, "alg");
	const JwsAlgorithm *algorithm;

	if (member == NULL)
		return NULL;
	algorithm = member->kind == JSON_KIND_STRING ? jws_algorithm(member->text) : NULL;
	if (algorithm == NULL)
		return "its algorithm is unknown, or not one for signatures with a public key";
	if (!jwk_takes(jwk, algorithm))
		return "its algorithm is not one of its key type and curve";
	jwk->algorithm = algorithm;
	return NULL;
}

static const char *
read_jwk_key(const JsonMembers *members, Jwk *jwk)
{
	if (strcmp(jwk->key_type, "RSA") == 0)
		return read_rsa(members, jwk);
	if (strcmp(jwk->key_type, "EC") == 0)
		return read_ec(members, jwk);
	if (strcmp(jwk->key_type, "OKP") == 0)
		return read_okp(members, jwk);
	if (strcmp(jwk->key_type, "oct") == 0)
		return "it is a symmetric key, which whoever checks signatures could sign with";
	return "its key type is unknown";
}

/* RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1. */
static bool
has_private_parts(const JsonMembers *members)
{
	static const char *const parts[] = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"};

	for (int i = 0; i < lengthof(parts); i++)
	{
		if (json_member(members, parts[i]) != NULL)
			return true;
	}
	return false;
}

const char *
jwk_read(const JsonMembers *members, Jwk *jwk)
{
	const JsonMember *key_id = json_member(members, "kid");
	const char *fault;

	memset(jwk, 0, sizeof(*jwk));
	jwk->key_type = json_member_string(members, "kty");
	jwk->is_private = has_private_parts(members);
	if (jwk->key_type == NULL)
		return "member kty is missing, or is not a string";
	if (key_id != NULL && key_id->kind != JSON_KIND_STRING)
		return "member kid is not a string";
	if (!is_for_signatures(members))
		return "its use is not the checking of signatures";
	fault = read_jwk_key(members, jwk);
	if (fault == NULL)
		fault = bind_algorithm(members, jwk);
	if (fault != NULL)
	{
		EVP_PKEY_free(jwk->key);
		jwk->key = NULL;
		ERR_clear_error();
	}
	return fault;
}
