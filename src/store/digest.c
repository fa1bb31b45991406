/*
 * digest.c
 *	  What a signer signs, as SHA-256 (FIPS 180-4).
 *
 * The message: approval_id, action, resource, the number of roles and each role,
 * requested_by, sla_deadline.  Every field is a four-byte big-endian length and
 * that many bytes of UTF-8; null is the length ffffffff.  The lengths keep two
 * approvals from having one message.
 */
#include "postgres.h"

#include <openssl/evp.h>

#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"

#include "compat.h"
#include "json_text.h"
#include "store/digest.h"

/* As many as there are without roles, and as many roles as there may be. */
#define FIELDS	(5 + MAX_REQUIRED_SIGNERS)
#define ROLES_AT	3			/* their number comes before this one */

/* Bytes of no encoding are signed as they are: no two texts may have one message. */
static PolicyText
as_utf8(PolicyText field)
{
	char	   *utf8;

	if (field.data == NULL || GetDatabaseEncoding() == PG_UTF8 || GetDatabaseEncoding() == PG_SQL_ASCII)
		return field;
	utf8 = pg_server_to_any(field.data, field.length, PG_UTF8);
	if (utf8 != field.data)
		field = (PolicyText)
	{
		utf8, strlen(utf8)
	};
	return field;
}

static uint8 *
put_length(uint8 *at, uint32 length)
{
	length = pg_hton32(length);
	memcpy(at, &length, sizeof(length));
	return at + sizeof(length);
}

static uint8 *
put_field(uint8 *at, PolicyText field)
{
	at = put_length(at, field.data == NULL ? PG_UINT32_MAX : (uint32) field.length);
	if (field.length > 0)
		memcpy(at, field.data, field.length);
	return at + field.length;
}

/* The context is made once per backend, and used again as it is: making it costs more than hashing. */
static void
digest_sha256(const uint8 *message, Size length, uint8 digest[APPROVAL_DIGEST_BYTES])
{
	static EVP_MD_CTX *context = NULL;
	static bool is_made = false;

	if (context == NULL)
		context = EVP_MD_CTX_new();
	if (context == NULL ||
		EVP_DigestInit_ex(context, is_made ? NULL : EVP_sha256(), NULL) != 1 ||
		EVP_DigestUpdate(context, message, length) != 1 ||
		EVP_DigestFinal_ex(context, digest, NULL) != 1)
	{
		is_made = false;
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 digest")));
	}
	is_made = true;
}

void
approval_digest(const ApprovalRow *row, uint8 digest[APPROVAL_DIGEST_BYTES])
{
	char		deadline[TIMESTAMP_TEXT_BYTES];
	PolicyText	fields[FIELDS];
	int			count = 0;
	Size		length = sizeof(uint32);
	uint8	   *message;
	uint8	   *at;

	fields[count++] = as_utf8(row->id);
	fields[count++] = as_utf8(row->action);
	fields[count++] = as_utf8(row->resource);
	for (int i = 0; i < row->role_count; i++)
		fields[count++] = as_utf8(row->roles[i]);
	fields[count++] = as_utf8(row->requested_by);
	fields[count++] = (PolicyText)
	{
		deadline, format_timestamp(deadline, row->sla_deadline)
	};
	for (int i = 0; i < count; i++)
		length += sizeof(uint32) + fields[i].length;

	message = at = palloc(length);
	for (int i = 0; i < count; i++)
	{
		if (i == ROLES_AT)
			at = put_length(at, row->role_count);
		at = put_field(at, fields[i]);
	}
	digest_sha256(message, length, digest);
	pfree(message);
}
