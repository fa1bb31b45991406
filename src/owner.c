/*
 * owner.c
 *	  See owner.h.
 */
#include "postgres.h"

#include "access/table.h"
#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "audit/insider_own.h"
#include "owner.h"

static Oid
owner_of(Oid table)
{
	Relation	relation = table_open(table, AccessShareLock);
	Oid			owner = relation->rd_rel->relowner;

	table_close(relation, NoLock);
	return owner;
}

void
owner_enter(OwnerScope *scope, Oid table)
{
	Oid			owner = owner_of(table);

	GetUserIdAndSecContext(&scope->user, &scope->security);
	scope->settings = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	SPI_connect();
	SetUserIdAndSecContext(owner, scope->security | SECURITY_LOCAL_USERID_CHANGE);
}

void
owner_leave(const OwnerScope *scope)
{
	SetUserIdAndSecContext(scope->user, scope->security);
	SPI_finish();
	AtEOXact_GUC(true, scope->settings);
}

/* What it writes is the extension's own doing. */
static int
run_as_own(OwnerQuery *query, Datum *values, const char *nulls, long limit)
{
	bool		before = insider_own_begin();
	volatile int result = 0;

	PG_TRY();
	{
		result = SPI_execute_plan(query->plan, values, nulls, query->is_read_only, limit);
	}
	PG_FINALLY();
	{
		insider_own_end(before);
	}
	PG_END_TRY();
	return result;
}

uint64
owner_run(OwnerQuery *query, Datum *values, const char *nulls, long limit)
{
	int			result;

	if (query->plan == NULL)
	{
		SPIPlanPtr	fresh = SPI_prepare(query->text, query->nargs, query->types);

		if (fresh == NULL)
			elog(ERROR, "could not prepare \"%s\": %s", query->text, SPI_result_code_string(SPI_result));
		SPI_keepplan(fresh);
		query->plan = fresh;
	}
	result = run_as_own(query, values, nulls, limit);
	if (result != query->result)
		elog(ERROR, "could not run \"%s\": %s", query->text, SPI_result_code_string(result));
	return SPI_processed;
}

bool
owner_finds(OwnerQuery *query, Oid table)
{
	OwnerScope	scope;
	bool		is_found;

	owner_enter(&scope, table);
	is_found = owner_run(query, NULL, NULL, 1) > 0;
	owner_leave(&scope);
	return is_found;
}
