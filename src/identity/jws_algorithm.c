/*
 * jws_algorithm.c
 *	  See jws_algorithm.h.
 *
 * Digests are fetched once per process, and a key's context is set up once: OpenSSL 3
 * looks both up by name each time otherwise, which costs as much as an RSA check.
 */
#include "identity/jws_algorithm.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#define ECDSA_DER_MAX_BYTES		160

static const JwsAlgorithm algorithms[] = {
	{"RS256", "RSA", NULL, "SHA256", false, 0},
	{"RS384", "RSA", NULL, "SHA384", false, 0},
	{"RS512", "RSA", NULL, "SHA512", false, 0},
	{"PS256", "RSA", NULL, "SHA256", true, 0},
	{"PS384", "RSA", NULL, "SHA384", true, 0},
	{"PS512", "RSA", NULL, "SHA512", true, 0},
	{"ES256", "EC", "P-256", "SHA256", false, 32},
	{"ES384", "EC", "P-384", "SHA384", false, 48},
	{"ES512", "EC", "P-521", "SHA512", false, 66},
	{"EdDSA", "OKP", "Ed25519", NULL, false, 32},
};

const JwsAlgorithm *
jws_algorithm(const char *name)
{
	/* RFC 9864 gave EdDSA with this curve a name of its own. */
	if (strcmp(name, "Ed25519") == 0)
		name = "EdDSA";
	for (int i = 0; i < lengthof(algorithms); i++)
	{
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	}
	return NULL;
}

const JwsAlgorithm *
jws_algorithm_of_curve(const char *key_type, const char *curve)
{
	for (int i = 0; i < lengthof(algorithms); i++)
	{
		if (algorithms[i].curve != NULL && strcmp(algorithms[i].key_type, key_type) == 0 &&
			strcmp(algorithms[i].curve, curve) == 0)
			return &algorithms[i];
	}
	return NULL;
}

/* NULL when OpenSSL has no such digest. */
static EVP_MD *
digest_of(const JwsAlgorithm *algorithm)
{
	static EVP_MD *fetched[lengthof(algorithms)];
	int			n = algorithm - algorithms;

	if (fetched[n] == NULL)
		fetched[n] = EVP_MD_fetch(NULL, algorithm->digest, NULL);
	return fetched[n];
}

static bool
set_up(JwsVerifier *verifier)
{
	EVP_MD	   *digest = digest_of(verifier->algorithm);

	verifier->context = EVP_PKEY_CTX_new(verifier->key, NULL);
	if (digest == NULL || verifier->context == NULL ||
		EVP_PKEY_verify_init(verifier->context) != 1 ||
		EVP_PKEY_CTX_set_signature_md(verifier->context, digest) != 1)
		return false;
	if (strcmp(verifier->algorithm->key_type, "RSA") != 0)
		return true;
	if (!verifier->algorithm->is_pss)
		return EVP_PKEY_CTX_set_rsa_padding(verifier->context, RSA_PKCS1_PADDING) == 1;
	/* RFC 7518, section 3.5: the salt is as long as the digest, MGF1 uses the same one. */
	return EVP_PKEY_CTX_set_rsa_padding(verifier->context, RSA_PKCS1_PSS_PADDING) == 1 &&
		EVP_PKEY_CTX_set_rsa_mgf1_md(verifier->context, digest) == 1 &&
		EVP_PKEY_CTX_set_rsa_pss_saltlen(verifier->context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

bool
jws_verifier_make(JwsVerifier *verifier, const JwsAlgorithm *algorithm, EVP_PKEY *key)
{
	verifier->algorithm = algorithm;
	verifier->key = key;
	verifier->context = NULL;
	if (algorithm->digest == NULL || set_up(verifier))
		return true;
	jws_verifier_free(verifier);
	ERR_clear_error();
	return false;
}

void
jws_verifier_free(JwsVerifier *verifier)
{
	EVP_PKEY_CTX_free(verifier->context);
	EVP_PKEY_free(verifier->key);
	verifier->context = NULL;
	verifier->key = NULL;
}

/* R and S, each as long as the curve's coordinates (RFC 7518, section 3.4), as DER; length, or -1. */
static int
ecdsa_der(const JwsAlgorithm *algorithm, const uint8 *signature, size_t length, uint8 *der)
{
	int			half = algorithm->coordinate_bytes;
	ECDSA_SIG  *pair = ECDSA_SIG_new();
	BIGNUM	   *r;
	BIGNUM	   *s;
	int			result = -1;

	if (pair == NULL || length != 2 * (size_t) half)
	{
		ECDSA_SIG_free(pair);
		return -1;
	}
	r = BN_bin2bn(signature, half, NULL);
	s = BN_bin2bn(signature + half, half, NULL);
	if (r != NULL && s != NULL && ECDSA_SIG_set0(pair, r, s) == 1)
		result = i2d_ECDSA_SIG(pair, NULL) <= ECDSA_DER_MAX_BYTES ? i2d_ECDSA_SIG(pair, &der) : -1;
	else
	{
		BN_free(r);
		BN_free(s);
	}
	ECDSA_SIG_free(pair);
	return result;
}

static bool
accepts_digest(const JwsVerifier *verifier, const uint8 *message, size_t length,
			   const uint8 *signature, size_t signature_length)
{
	uint8		digest[EVP_MAX_MD_SIZE];
	unsigned int digest_bytes;
	uint8		der[ECDSA_DER_MAX_BYTES];

	if (verifier->algorithm->curve != NULL)
	{
		int			der_bytes = ecdsa_der(verifier->algorithm, signature, signature_length, der);

		if (der_bytes < 0)
			return false;
		signature = der;
		signature_length = der_bytes;
	}
	return EVP_Digest(message, length, digest, &digest_bytes, digest_of(verifier->algorithm),
					  NULL) == 1 &&
		EVP_PKEY_verify(verifier->context, signature, signature_length, digest, digest_bytes) == 1;
}

static bool
accepts_message(const JwsVerifier *verifier, const uint8 *message, size_t length,
				const uint8 *signature, size_t signature_length)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		accepted = context != NULL &&
	EVP_DigestVerifyInit(context, NULL, NULL, NULL, verifier->key) == 1 &&
	EVP_DigestVerify(context, signature, signature_length, message, length) == 1;

	EVP_MD_CTX_free(context);
	return accepted;
}

bool
jws_verifier_accepts(const JwsVerifier *verifier, const uint8 *message, size_t length,
					 const uint8 *signature, size_t signature_length)
{
	bool		accepted = verifier->context != NULL ?
	accepts_digest(verifier, message, length, signature, signature_length) :
	accepts_message(verifier, message, length, signature, signature_length);

	/* Other code, the server's TLS above all, must not find our errors. */
	if (!accepted)
		ERR_clear_error();
	return accepted;
}
