/*
 * approval_lock.c
 *	  Locks an approval for whoever is about to sign or withdraw it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

#include "owner.h"
#include "store/approval_store.h"

void
approval_store_lock(Datum approval_id, ApprovalRow *row)
{
	static SPIPlanPtr plan = NULL;
	Oid			types[] = {TEXTOID};
	int			result;

	owner_plan(&plan,
			   "select * from admin.approval "
			   "where approval_id operator(pg_catalog.=) $1 for no key update", 1, types);
	result = SPI_execute_plan(plan, &approval_id, NULL, false, 1);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not lock approval: %s", SPI_result_code_string(result));
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("approval \"%s\" does not exist", TextDatumGetCString(approval_id)),
				 errdetail("Only an approval that has been issued can be signed or withdrawn."),
				 errhint("Issue it with admin.issue_approval().")));
	approval_row_from_tuple(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, row);
}
