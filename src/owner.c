/*
 * owner.c
 *	  See owner.h.
 */
#include "postgres.h"

#include "miscadmin.h"

#include "owner.h"

void
owner_enter(OwnerScope *scope, Oid owner)
{
	GetUserIdAndSecContext(&scope->user, &scope->security);
	SPI_connect();
	SetUserIdAndSecContext(owner, scope->security | SECURITY_LOCAL_USERID_CHANGE);
}

void
owner_leave(const OwnerScope *scope)
{
	SetUserIdAndSecContext(scope->user, scope->security);
	SPI_finish();
}

SPIPlanPtr
owner_plan(SPIPlanPtr *plan, const char *query, int nargs, Oid *types)
{
	if (*plan == NULL)
	{
		SPIPlanPtr	fresh = SPI_prepare(query, nargs, types);

		if (fresh == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", query, SPI_result_code_string(SPI_result));
		SPI_keepplan(fresh);
		*plan = fresh;
	}
	return *plan;
}
