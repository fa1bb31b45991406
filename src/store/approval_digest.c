/*
 * approval_digest.c
 *	  admin.approval_digest(): what a signer of an approval signs.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/snapmgr.h"

#include "store/approval_store.h"
#include "store/digest.h"

PG_FUNCTION_INFO_V1(admin_approval_digest);

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
