/*
 * insider_catalog.c
 *	  INSERT, UPDATE and DELETE of a system catalog by hand leave guard.changed in the trail, and
 *	  so do those of the trail's rows that no trigger has refused.
 *
 * A superuser can disable a trigger, or replace a function's body, with a plain UPDATE of
 * pg_trigger or pg_proc: no DDL command runs then.  The server's own changes of its catalogs do
 * not go through the executor.
 *
 * An UPDATE of pg_trigger sends no invalidation.  So a session that has cached a disabled trigger
 * goes on without it after an UPDATE has enabled it.  That session could remove the events of both
 * commands while they are undelivered, or add forged events.  Therefore such a change of the trail
 * leaves an event, too.  A subscription does not apply its rows through the executor, but row
 * triggers that are ENABLE ALWAYS see them.
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/pathnodes.h"
#include "parser/parsetree.h"
#include "tcop/utility.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "audit/audit_table.h"
#include "audit/insider.h"
#include "audit/insider_own.h"
#include "settings.h"

static ExecutorStart_hook_type previous_start = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;
static bool has_changed_trail = false;	/* in this transaction */
static bool is_explaining = false;
static ErrorContextCallback *explained = NULL;	/* the error context of EXPLAIN itself */

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

/* The statement may also be a SELECT, whose WITH clause writes. */
static const char *
command_name(const PlannedStmt *statement)
{
	return GetCommandTagName(CreateCommandTag((Node *) unconstify(PlannedStmt *, statement)));
}

static void
catalog_executor_start(QueryDesc *query, int flags)
{
	if (previous_start)
		previous_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

/* EXPLAIN initializes the function calls of a plan, but does not execute them. */
static void
start_explained(QueryDesc *query, int flags)
{
	ErrorContextCallback *volatile before = explained;
	volatile bool was_explaining = is_explaining;

	explained = error_context_stack;
	is_explaining = true;
	PG_TRY();
	{
		catalog_executor_start(query, flags);
	}
	PG_FINALLY();
	{
		explained = before;
		is_explaining = was_explaining;
	}
	PG_END_TRY();
}

/*
 * Partition pruning may run a function during initialization.  Its calls are real, and it has an
 * error context of its own.
 */
bool
insider_is_explained(void)
{
	return is_explaining && error_context_stack == explained;
}

/* Catalog lookups come last, because every writing statement passes through this hook. */
static void
at_executor_start(QueryDesc *query, int flags)
{
	const PlannedStmt *statement = query->plannedstmt;
	Oid			catalog = statement->resultRelations == NIL ? InvalidOid : written_catalog(statement);

	/* pg_upgrade writes to catalogs; so may the extension's own functions. */
	if (OidIsValid(catalog) && !(flags & EXEC_FLAG_EXPLAIN_ONLY) && !IsBinaryUpgrade &&
		!insider_is_own_or_script() && OidIsValid(get_extension_oid("admin_ext", true)))
		insider_record_command(command_name(statement), psprintf("pg_catalog.%s", get_rel_name(catalog)),
							   statement, query->sourceText);
	if (flags & EXEC_FLAG_EXPLAIN_ONLY)
		start_explained(query, flags);
	else
		catalog_executor_start(query, flags);
}

/* The relations that a statement writes to only because it names their parent. */
static Bitmapset *
expanded_relations(const PlannedStmt *statement)
{
	Bitmapset  *children = NULL;
	ListCell   *cell;

	foreach(cell, statement->appendRelations)
	{
		const AppendRelInfo *info = lfirst(cell);

		if (info != NULL)
			children = bms_add_member(children, info->child_relid);
	}
	return children;
}

static bool
names_relation(const PlannedStmt *statement, Oid relation)
{
	ListCell   *cell;

	foreach(cell, statement->rtable)
	{
		const RangeTblEntry *entry = lfirst(cell);

		if (entry->rtekind == RTE_RELATION && entry->relid == relation)
			return true;
	}
	return false;
}

/* May the statement change or remove rows, itself or in its WITH clause? */
static bool
changes_rows(const PlannedStmt *statement)
{
	if (statement->commandType != CMD_INSERT || statement->hasModifyingCTE)
		return true;
	return IsA(statement->planTree, ModifyTable) &&
		castNode(ModifyTable, statement->planTree)->onConflictAction == ONCONFLICT_UPDATE;
}

/*
 * Does a statement change or remove rows of the trail?  Every writing statement passes through
 * here, so one lookup is enough for most tables.  For the partitions of a partitioned table, one
 * lookup of the parent comes first.
 */
static bool
changes_trail(const PlannedStmt *statement)
{
	Bitmapset  *expanded = NULL;
	bool		is_expanded = false;
	ListCell   *cell;

	if (statement->appendRelations != NIL)
		expanded = expanded_relations(statement);
	foreach(cell, statement->resultRelations)
	{
		Oid			relation = rt_fetch(lfirst_int(cell), statement->rtable)->relid;

		if (bms_is_member(lfirst_int(cell), expanded))
			is_expanded = true;
		else if ((get_rel_relispartition(relation) || get_rel_relkind(relation) == RELKIND_PARTITIONED_TABLE) &&
				 audit_is_trail(relation))
			return true;
	}
	if (!is_expanded || !names_relation(statement, audit_trail()))
		return false;
	foreach(cell, statement->resultRelations)
	{
		if (audit_is_trail(rt_fetch(lfirst_int(cell), statement->rtable)->relid))
			return true;
	}
	return false;
}

/*
 * Has an INSERT added rows to the trail?  Its relations are open, so other tables need no catalog
 * lookup.  While admin_ext.restoring is on, the triggers accept the rows and note them.
 */
static bool
adds_to_trail(const EState *state)
{
	ListCell   *cell;

	if (state->es_processed == 0 || admin_restoring)
		return false;
	foreach(cell, state->es_opened_result_relations)
	{
		Relation	relation = ((ResultRelInfo *) lfirst(cell))->ri_RelationDesc;

		if ((relation->rd_rel->relispartition || relation->rd_rel->relkind == RELKIND_PARTITIONED_TABLE) &&
			audit_is_trail(RelationGetRelid(relation)))
			return true;
	}
	return false;
}

/*
 * A statement that a trigger has refused does not get here.  The event is written at commit, so the
 * statement cannot remove it.
 */
static void
at_executor_finish(QueryDesc *query)
{
	if (previous_finish)
		previous_finish(query);
	else
		standard_ExecutorFinish(query);
	if (query->plannedstmt->resultRelations != NIL && !IsBinaryUpgrade && !insider_is_own_or_script() &&
		(changes_rows(query->plannedstmt) ? changes_trail(query->plannedstmt) : adds_to_trail(query->estate)))
	{
		has_changed_trail = true;
		insider_collect_command(command_name(query->plannedstmt), "admin.audit", query->plannedstmt, query->sourceText);
	}
}

void
insider_catalog_check(void)
{
	if (has_changed_trail && OidIsValid(get_extension_oid("admin_ext", true)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("rows of the audit trail were changed, and the event of that change cannot be recorded"),
				 errhint("Give the extension's tables their names, columns and partitions back before the transaction commits.")));
}

void
insider_catalog_reset(void)
{
	has_changed_trail = false;
}

void
insider_catalog_init(void)
{
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = at_executor_finish;
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = at_executor_start;
}
