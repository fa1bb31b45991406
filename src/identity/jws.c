/*
 * jws.c
 *	  See jws.h.
 */
#include "identity/jws.h"

#include "identity/base64url.h"

/* Finds the two dots; false unless there are exactly two. */
static bool
find_parts(const char *token, size_t length, size_t *first, size_t *second)
{
	const char *dot = memchr(token, '.', length);
	const char *next = dot == NULL ? NULL : memchr(dot + 1, '.', length - (dot + 1 - token));

	if (next == NULL || memchr(next + 1, '.', length - (next + 1 - token)) != NULL)
		return false;
	*first = dot - token;
	*second = next - token;
	return true;
}

/* A zero byte follows what is decoded. */
static int
decode_part(const char *part, size_t length, uint8 **bytes)
{
	int			count;

	*bytes = palloc(BASE64URL_DECODED_BYTES(length) + 1);
	count = base64url_decode(part, length, *bytes);
	(*bytes)[Max(count, 0)] = 0;
	return count;
}

/* A member that has to be a string where it is there; false when it is something else. */
static bool
optional_string(const JsonMembers *members, const char *name, const char **value)
{
	const JsonMember *member = json_member(members, name);

	*value = member != NULL && member->kind == JSON_KIND_STRING ? member->text : NULL;
	return member == NULL || *value != NULL;
}

static const char *
read_header(const char *json, int length, Jws *jws)
{
	JsonMembers members;
	const char *algorithm;
	const char *fault = json_members_parse(json, length, &members);

	if (fault != NULL)
		return fault;

	/*
	 * RFC 7515, 4.1.11: a critical header parameter that is not understood is refused, and we
	 * understand no such parameter.  The main case is b64 of RFC 7797.
	 */
	if (json_member(&members, "crit") != NULL)
		return "its header has critical extensions";
	if (json_member(&members, "b64") != NULL)
		return "its header has b64, which changes what is signed";
	algorithm = json_member_string(&members, "alg");
	jws->algorithm = algorithm == NULL ? NULL : jws_algorithm(algorithm);
	if (jws->algorithm == NULL)
		return "its algorithm is unknown, or not one for signatures with a public key";
	if (!optional_string(&members, "kid", &jws->key_id) ||
		!optional_string(&members, "typ", &jws->type) ||
		!optional_string(&members, "cty", &jws->content_type))
		return "kid, typ or cty of its header is not a string";
	return NULL;
}

const char *
jws_read(const char *token, size_t length, Jws *jws)
{
	size_t		first;
	size_t		second;
	uint8	   *header;
	uint8	   *payload;
	uint8	   *signature;
	int			header_bytes;
	const char *fault;

	memset(jws, 0, sizeof(*jws));
	if (length > JWS_MAX_BYTES)
		return "it is longer than 16384 bytes";
	if (!find_parts(token, length, &first, &second))
		return "it is not three parts with dots between them";
	header_bytes = decode_part(token, first, &header);
	jws->payload_bytes = decode_part(token + first + 1, second - first - 1, &payload);
	jws->signature_bytes = decode_part(token + second + 1, length - second - 1, &signature);
	if (header_bytes < 0 || jws->payload_bytes < 0 || jws->signature_bytes < 0)
		return "a part of it is not canonical base64url";
	if (jws->signature_bytes == 0)
		return "it is not signed";
	fault = read_header((char *) header, header_bytes, jws);
	if (fault != NULL)
		return fault;
	jws->signing_input = token;
	jws->signing_input_bytes = second;
	jws->payload = payload;
	jws->signature = signature;
	return NULL;
}
