/*
 * insider_catalog.c
 *	  INSERT, UPDATE and DELETE of a system catalog by hand leave guard.changed in the trail.
 *
 * A superuser can disable a trigger, or replace a function's body, with a plain UPDATE of
 * pg_trigger or pg_proc: no DDL command runs then.  The server's own changes of its catalogs do
 * not go through the executor.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "access/transam.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "audit/insider.h"

static ExecutorStart_hook_type previous_start = NULL;

/* The first catalog that a statement writes to. */
static Oid
written_catalog(const PlannedStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->resultRelations)
	{
		Oid			relation = rt_fetch(lfirst_int(cell), statement->rtable)->relid;

		if (relation < FirstNormalObjectId && get_rel_namespace(relation) == PG_CATALOG_NAMESPACE)
			return relation;
	}
	return InvalidOid;
}

static const char *
operation_name(CmdType operation)
{
	switch (operation)
	{
		case CMD_INSERT:
			return "INSERT";
		case CMD_UPDATE:
			return "UPDATE";
		case CMD_DELETE:
			return "DELETE";
		default:
			return "SELECT";	/* with a WITH that writes */
	}
}

/* The catalog lookups come last: every statement that writes comes by here. */
static void
at_executor_start(QueryDesc *query, int flags)
{
	const PlannedStmt *statement = query->plannedstmt;
	Oid			catalog = statement->resultRelations == NIL ? InvalidOid : written_catalog(statement);

	/* pg_upgrade writes to catalogs; so may the extension's own functions. */
	if (OidIsValid(catalog) && !(flags & EXEC_FLAG_EXPLAIN_ONLY) && !IsBinaryUpgrade &&
		!creating_extension && !insider_is_own() && OidIsValid(get_extension_oid("admin_ext", true)))
		insider_collect_command(operation_name(query->operation), psprintf("pg_catalog.%s", get_rel_name(catalog)),
								statement, query->sourceText);
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

void
insider_catalog_init(void)
{
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = at_executor_start;
}
