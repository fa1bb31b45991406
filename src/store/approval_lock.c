/*
 * approval_lock.c
 *	  Locks an approval before it is signed or withdrawn.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "owner.h"
#include "store/approval_store.h"

void
approval_store_lock(Datum approval_id, ApprovalRow *row)
{
	static OwnerQuery query = {
		.text =
		"select * from admin.approval "
		"where approval_id operator(pg_catalog.=) $1 for no key update",
		.nargs = 1,
		.types = {TEXTOID},
		.result = SPI_OK_SELECT
	};

	if (owner_run(&query, &approval_id, NULL, 1) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("approval \"%s\" does not exist", TextDatumGetCString(approval_id)),
				 errdetail("Only an approval that has been issued can be signed or withdrawn."),
				 errhint("Issue it with admin.issue_approval().")));
	approval_row_from_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, row);
}
