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

#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "json_text.h"
#include "store/approval_store.h"

PG_FUNCTION_INFO_V1(admin_approval_digest);

static void
append_length(StringInfo message, uint32 length)
{
	uint8		bytes[4] = {length >> 24, length >> 16, length >> 8, length};

	appendBinaryStringInfo(message, (const char *) bytes, sizeof(bytes));
}

static void
append_field(StringInfo message, PolicyText field)
{
	char	   *utf8;
	int			length;

	if (field.data == NULL)
	{
		append_length(message, PG_UINT32_MAX);
		return;
	}
	/* Bytes of no encoding are signed as they are: no two texts may have one message. */
	utf8 = GetDatabaseEncoding() == PG_SQL_ASCII ? unconstify(char *, field.data) :
		pg_server_to_any(field.data, field.length, PG_UTF8);
	length = utf8 == field.data ? (int) field.length : (int) strlen(utf8);
	append_length(message, length);
	appendBinaryStringInfo(message, utf8, length);
}

/* The context and the algorithm are fetched once per backend: fetching costs more than hashing. */
static void
sha256(const StringInfo message, uint8 digest[APPROVAL_DIGEST_BYTES])
{
	static EVP_MD_CTX *context = NULL;
	static const EVP_MD *algorithm = NULL;

	if (context == NULL)
	{
		context = EVP_MD_CTX_new();
		algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
	}
	if (context == NULL || algorithm == NULL ||
		EVP_DigestInit_ex(context, algorithm, NULL) != 1 ||
		EVP_DigestUpdate(context, message->data, message->len) != 1 ||
		EVP_DigestFinal_ex(context, digest, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not compute SHA-256 digest")));
}

void
approval_digest(const ApprovalRow *row, uint8 digest[APPROVAL_DIGEST_BYTES])
{
	StringInfoData message;
	StringInfoData deadline;

	initStringInfo(&message);
	append_field(&message, row->id);
	append_field(&message, row->action);
	append_field(&message, row->resource);
	append_length(&message, row->role_count);
	for (int i = 0; i < row->role_count; i++)
		append_field(&message, row->roles[i]);
	append_field(&message, row->requested_by);

	initStringInfo(&deadline);
	append_timestamp(&deadline, row->sla_deadline);
	append_length(&message, deadline.len);
	appendBinaryStringInfo(&message, deadline.data, deadline.len);
	sha256(&message, digest);
	pfree(deadline.data);
	pfree(message.data);
}

Datum
admin_approval_digest(PG_FUNCTION_ARGS)
{
	ApprovalRow row;
	bytea	   *result;

	if (!approval_store_read(PG_GETARG_DATUM(0), GetActiveSnapshot(), &row))
		PG_RETURN_NULL();
	result = palloc(VARHDRSZ + APPROVAL_DIGEST_BYTES);
	SET_VARSIZE(result, VARHDRSZ + APPROVAL_DIGEST_BYTES);
	approval_digest(&row, (uint8 *) VARDATA(result));
	PG_RETURN_BYTEA_P(result);
}
