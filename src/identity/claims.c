/*
 * claims.c
 *	  See claims.h.
 */
#include "identity/claims.h"

#include <math.h>

#include "identity/identifier.h"

#define NUMERIC_DATE_MAX	253402300799.0	/* the end of the year 9999 */

/* NumericDate (RFC 7519, section 2): seconds since 1970, possibly with a fraction. */
static bool
read_date(const JsonMembers *members, const char *name, int64 *date)
{
	const JsonMember *member = json_member(members, name);
	double		seconds;

	*date = PG_INT64_MIN;
	if (member == NULL)
		return true;
	if (member->kind != JSON_KIND_NUMBER)
		return false;
	seconds = strtod(member->text, NULL);
	if (!(seconds >= 0 && seconds <= NUMERIC_DATE_MAX))
		return false;
	*date = (int64) floor(seconds * 1000000.0);
	return true;
}

const char *
claims_read(const char *json, int length, Claims *claims)
{
	const JsonMember *token_id;
	const char *fault;

	memset(claims, 0, sizeof(*claims));
	fault = json_members_parse(json, length, &claims->members);
	if (fault != NULL)
		return fault;
	claims->issuer = json_member_string(&claims->members, "iss");
	if (!is_identifier(claims->issuer))
		return "claim iss is missing, or is not a string of 1 to 256 bytes without look-alike characters";
	if (json_member(&claims->members, "exp") == NULL)
		return "claim exp is missing";
	if (!read_date(&claims->members, "exp", &claims->expires_at) ||
		!read_date(&claims->members, "nbf", &claims->not_before) ||
		!read_date(&claims->members, "iat", &claims->issued_at))
		return "claim exp, nbf or iat is not a number of seconds since 1970";
	token_id = json_member(&claims->members, "jti");
	claims->token_id = json_member_string(&claims->members, "jti");
	if (token_id != NULL && !is_identifier(claims->token_id))
		return "claim jti is not a string of 1 to 256 bytes without look-alike characters";
	return NULL;
}

/* RFC 7519, 4.1.3: one audience, or an array of them. */
static bool
is_for(const JsonMember *member, const char *audience)
{
	if (member->kind == JSON_KIND_STRING)
		return strcmp(member->text, audience) == 0;
	for (int i = 0; i < member->count; i++)
	{
		if (strcmp(member->strings[i], audience) == 0)
			return true;
	}
	return false;
}

static bool
is_texts(const JsonMember *member)
{
	return member->kind == JSON_KIND_STRING || (member->kind == JSON_KIND_ARRAY && member->all_strings);
}

/*
 * RFC 7800, RFC 8705 and RFC 9449: such a token is valid only together with a proof of possession,
 * and the server does not receive that proof.  Without it, a stolen token would be accepted.
 */
static bool
is_bound_to_key(const Claims *claims)
{
	const JsonMember *confirmation = json_member(&claims->members, "cnf");

	return confirmation != NULL && confirmation->kind != JSON_KIND_NULL;
}

/* A token that does not say when it was issued lives from now on. */
static bool
lives_too_long(const Claims *claims, const ClaimsExpected *expected)
{
	int64		from = claims->issued_at == PG_INT64_MIN ? expected->now : claims->issued_at;

	return claims->expires_at - from > expected->max_life;
}

const char *
claims_check(const Claims *claims, const ClaimsExpected *expected)
{
	const JsonMember *audience = json_member(&claims->members, "aud");
	const JsonMember *roles = json_member(&claims->members, expected->roles_claim);
	const char *subject = claims_subject(claims, expected);

	if (audience == NULL || !is_texts(audience))
		return "claim aud is missing, or is not text";
	if (!is_for(audience, expected->audience))
		return "it is for another audience";
	if (expected->now >= claims->expires_at)
		return "it has expired";
	if (claims->not_before > expected->now + expected->leeway)
		return "it is not valid yet";
	if (claims->issued_at > expected->now + expected->leeway)
		return "it was issued in the future";
	if (lives_too_long(claims, expected))
		return "its life is longer than its issuer's tokens may have";
	if (is_bound_to_key(claims))
		return "it is bound to a key of its holder by claim cnf, so it is no bearer token";
	if (!is_identifier(subject))
		return "the claim of its subject is missing, or is not a string of 1 to 256 bytes without look-alike characters";
	if (roles != NULL && !is_texts(roles))
		return "the claim of its roles is neither a string nor an array of strings";
	return NULL;
}

const char *
claims_subject(const Claims *claims, const ClaimsExpected *expected)
{
	return json_member_string(&claims->members, expected->subject_claim);
}

int
claims_roles(const Claims *claims, const ClaimsExpected *expected, const char *const **roles)
{
	const JsonMember *member = json_member(&claims->members, expected->roles_claim);

	*roles = NULL;
	if (member == NULL)
		return 0;
	if (member->kind == JSON_KIND_STRING)
	{
		*roles = &member->text;
		return 1;
	}
	*roles = member->strings;
	return member->count;
}
