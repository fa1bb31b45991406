/*
 * insider_setting_command.c
 *	  Commands that store a setting for later sessions.
 *
 * ALTER SYSTEM, ALTER DATABASE, ALTER ROLE and the SET clause of a function leave
 * setting.changed, whatever the value.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "audit/insider.h"
#include "audit/insider_collect.h"
#include "audit/insider_setting.h"
#include "json_text.h"

void
insider_log_stored(const char *name, const char *value, const char *scope)
{
	insider_log(psprintf("\"%s\" was changed to \"%s\" (%s)", name, value ? value : "its default", scope));
}

void
insider_note_stored(const char *name, const char *value, const char *before, const char *scope)
{
	StringInfoData payload;

	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"setting\":");
	append_json_cstring(&payload, name);
	appendStringInfoString(&payload, ",\"value\":");
	if (value)
		append_json_cstring(&payload, value);
	else
		appendStringInfoString(&payload, "null");
	if (before)
	{
		appendStringInfoString(&payload, ",\"before\":");
		append_json_cstring(&payload, before);
	}
	appendStringInfoString(&payload, ",\"scope\":");
	append_json_cstring(&payload, scope);
	appendStringInfoChar(&payload, '}');
	insider_collect("setting.changed", payload.data);
}

void
insider_collect_stored(const char *name, const char *value, const char *before, const char *scope)
{
	insider_log_stored(name, value, scope);
	insider_note_stored(name, value, before, scope);
}

static void
record_set(VariableSetStmt *statement, const char *scope)
{
	const StoredSetting *setting;

	if (statement->kind == VAR_RESET_ALL)
	{
		insider_collect_stored("all", NULL, NULL, scope);
		return;
	}
	setting = statement->name == NULL ? NULL : insider_stored_setting(statement->name);
	if (setting != NULL)
		insider_collect_stored(setting->name, ExtractSetVariableArgs(statement), NULL, scope);
}

static void
record_role_set(AlterRoleSetStmt *statement)
{
	const char *role = statement->role ? get_rolespec_name(statement->role) : "all";

	record_set(statement->setstmt, statement->database == NULL ? psprintf("role %s", role) :
			   psprintf("role %s in database %s", role, statement->database));
}

static void
record_function_set(List *options, List *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "set") == 0)
			record_set(castNode(VariableSetStmt, option->arg), psprintf("function %s", NameListToString(name)));
	}
}

void
insider_record_setting_command(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterSystemStmt:
			record_set(castNode(AlterSystemStmt, statement)->setstmt, "system");
			break;
		case T_AlterDatabaseSetStmt:
			record_set(castNode(AlterDatabaseSetStmt, statement)->setstmt,
					   psprintf("database %s", castNode(AlterDatabaseSetStmt, statement)->dbname));
			break;
		case T_AlterRoleSetStmt:
			record_role_set(castNode(AlterRoleSetStmt, statement));
			break;
		case T_CreateFunctionStmt:
			record_function_set(castNode(CreateFunctionStmt, statement)->options,
								castNode(CreateFunctionStmt, statement)->funcname);
			break;
		case T_AlterFunctionStmt:
			record_function_set(castNode(AlterFunctionStmt, statement)->actions,
								castNode(AlterFunctionStmt, statement)->func->objname);
			break;
		default:
			break;
	}
}
