/*
 * identity.c
 *	  Verifies tokens; SQL's jwt_verify() and jws_verify().
 *
 * The order is that of trust: form, issuer, key, signature, and only then what the token
 * says (RFC 8725, section 3).
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "identity/claims.h"
#include "identity/identity.h"
#include "identity/jws.h"
#include "identity/trust.h"
#include "settings.h"

#define UNIX_EPOCH_US	(((int64) POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(admin_jwt_verify);
PG_FUNCTION_INFO_V1(admin_jws_verify);
PG_FUNCTION_INFO_V1(admin_jwk_algorithm);
PG_FUNCTION_INFO_V1(admin_requires_tokens);

static void
refuse_input(const char *what, const char *reason)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("%s is refused: %s", what, reason),
			 errhint("doc/identity.md has every reason, and what it means.")));
}

static void
refuse_if(const char *reason)
{
	if (reason != NULL)
		refuse_input("token", reason);
}

/* These values may come from a forged token, so they are cut and quoted. */
static void
refuse_stranger(const char *reason, const char *issuer, const char *key_id, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
			 errmsg("token is refused: %s", reason),
			 errdetail("Its issuer is \"%.*s\", its key \"%.*s\".",
					   pg_mbcliplen(issuer, strlen(issuer), 128), issuer,
					   pg_mbcliplen(key_id, strlen(key_id), 128), key_id),
			 errhint("%s", hint)));
}

/* RFC 8725, 3.11: a token made for another purpose proves no identity. */
static bool
is_type_of_identity(const char *type)
{
	static const char *const types[] = {"JWT", "at+jwt", "application/jwt", "application/at+jwt"};

	if (type == NULL)
		return true;
	for (int i = 0; i < lengthof(types); i++)
	{
		if (pg_strcasecmp(type, types[i]) == 0)
			return true;
	}
	return false;
}

static void
check_header(const Jws *jws)
{
	if (!is_type_of_identity(jws->type))
		refuse_input("token", "its type is neither JWT nor at+jwt");
	if (jws->content_type != NULL)
		refuse_input("token", "there is another token inside it");
	if (jws->key_id == NULL)
		refuse_input("token", "its header names no key");
}

static void
check_signature(const Jws *jws, const char *issuer)
{
	const JwsVerifier *verifier;
	const char *reason = trust_find_key(issuer, jws->key_id, &verifier);

	if (reason != NULL)
		refuse_stranger(reason, issuer, jws->key_id,
						"Obtain a token by another key; one that is new comes by admin.import_jwks().");
	if (verifier->algorithm != jws->algorithm)
		refuse_input("token", "its algorithm is not that of its key");
	if (!jws_verifier_accepts(verifier, (const uint8 *) jws->signing_input, jws->signing_input_bytes,
							  jws->signature, jws->signature_bytes))
		refuse_input("token", "its signature is not that of its key");
}

static void
fill_identity(Identity *identity, const Jws *jws, const Claims *claims, const ClaimsExpected *expected)
{
	identity->subject = claims_subject(claims, expected);
	identity->role_count = claims_roles(claims, expected, &identity->roles);
	identity->issuer = claims->issuer;
	identity->key_id = jws->key_id;
	identity->token_id = claims->token_id;
	identity->expires_at = claims->expires_at - UNIX_EPOCH_US;
	identity->claims = pg_any_to_server((const char *) jws->payload, jws->payload_bytes, PG_UTF8);
}

void
identity_verify(const text *token, Identity *identity)
{
	Jws			jws;
	Claims		claims;
	TrustedIssuer issuer;
	ClaimsExpected expected;

	refuse_if(jws_read(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), &jws));
	check_header(&jws);
	refuse_if(claims_read((const char *) jws.payload, jws.payload_bytes, &claims));
	if (!trust_find_issuer(claims.issuer, &issuer))
		refuse_stranger("its issuer is not trusted", claims.issuer, jws.key_id,
						"Trust it with admin.add_jwt_issuer(), as a superuser.");
	check_signature(&jws, claims.issuer);
	expected.audience = issuer.audience;
	expected.subject_claim = issuer.subject_claim;
	expected.roles_claim = issuer.roles_claim;
	expected.now = GetCurrentTimestamp() + UNIX_EPOCH_US;
	expected.leeway = admin_jwt_leeway_s * USECS_PER_SEC;
	expected.max_life = issuer.max_token_life;
	refuse_if(claims_check(&claims, &expected));
	fill_identity(identity, &jws, &claims, &expected);
}

void
identity_verify_as(const text *token, const text *claimed, const char *argument, Identity *identity)
{
	identity_verify(token, identity);
	if (claimed != NULL && strcmp(text_to_cstring(claimed), identity->subject) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is not the subject of the token", argument),
				 errdetail("The token proves another person."),
				 errhint("Omit the argument when you pass a token.")));
}

void
identity_recheck(const Identity *identity, TimestampTz now)
{
	const JwsVerifier *verifier;

	if (now >= identity->expires_at)
		refuse_input("token", "it has expired");
	refuse_if(trust_find_key(identity->issuer, identity->key_id, &verifier));
}

bool
identity_has_role(const Identity *identity, const char *role)
{
	for (int i = 0; i < identity->role_count; i++)
	{
		if (strcmp(identity->roles[i], role) == 0)
			return true;
	}
	return false;
}

void
identity_evidence(const text *token, const Identity *identity, AuditEvidence *evidence)
{
	evidence->is_verified = true;
	evidence->issuer = identity->issuer;
	evidence->key_id = identity->key_id;
	evidence->token_id = identity->token_id;
	if (EVP_Digest(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), evidence->token_sha256, NULL, EVP_sha256(), NULL) != 1)
		elog(ERROR, "could not digest a token");
}

Datum
admin_jwt_verify(PG_FUNCTION_ARGS)
{
	Identity	identity;

	/* Not STRICT: to a caller that only checks for errors, null would look like success. */
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("token is missing"),
				 errhint("Pass a JSON Web Token of an issuer that was added with admin.add_jwt_issuer().")));
	identity_verify(PG_GETARG_TEXT_PP(0), &identity);
	PG_RETURN_DATUM(DirectFunctionCall1(jsonb_in, CStringGetDatum(identity.claims)));
}

static bool
is_signed_by(const Jws *jws, EVP_PKEY *key)
{
	JwsVerifier verifier;
	bool		accepted;

	if (!jws_verifier_make(&verifier, jws->algorithm, key))
		return false;
	accepted = jws_verifier_accepts(&verifier, (const uint8 *) jws->signing_input,
									jws->signing_input_bytes,
									jws->signature, jws->signature_bytes);
	jws_verifier_free(&verifier);
	return accepted;
}

Datum
admin_jws_verify(PG_FUNCTION_ARGS)
{
	text	   *token = PG_GETARG_TEXT_PP(0);
	Jws			jws;
	Jwk			key;
	bytea	   *payload;
	const char *fault = jws_read(VARDATA_ANY(token), VARSIZE_ANY_EXHDR(token), &jws);

	if (fault != NULL)
		refuse_input("signature", fault);
	fault = trust_read_jwk(PG_GETARG_JSONB_P(1), &key);
	if (fault != NULL)
		refuse_input("key", fault);
	if (!jwk_takes(&key, jws.algorithm))
	{
		EVP_PKEY_free(key.key);
		refuse_input("signature", "its algorithm is not that of the key");
	}
	if (!is_signed_by(&jws, key.key))
		refuse_input("signature", "it is not that of the key");
	payload = palloc(VARHDRSZ + jws.payload_bytes);
	SET_VARSIZE(payload, VARHDRSZ + jws.payload_bytes);
	memcpy(VARDATA(payload), jws.payload, jws.payload_bytes);
	PG_RETURN_BYTEA_P(payload);
}

/* The algorithm a key is bound to; RSA without alg: RS256, as OpenID Connect has it. */
Datum
admin_jwk_algorithm(PG_FUNCTION_ARGS)
{
	Jwk			key;
	const char *fault = trust_read_jwk(PG_GETARG_JSONB_P(0), &key);
	bool		is_private = fault == NULL && key.is_private;

	if (fault == NULL)
		EVP_PKEY_free(key.key);
	if (is_private)
		fault = "it holds a private key, which has no place here";
	if (fault != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key cannot be used: %s", fault)));
	PG_RETURN_TEXT_P(cstring_to_text(key.algorithm != NULL ? key.algorithm->name :
									 "RS256"));
}

Datum
admin_requires_tokens(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(admin_require_verified_jwt);
}
