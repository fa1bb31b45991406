/*
 * insider_setting_command.c
 *	  Commands that store a setting for later sessions, and reloads of the configuration.
 *
 * ALTER SYSTEM, ALTER DATABASE, ALTER ROLE and the SET clause of a function leave
 * setting.changed, whatever the value.  A reload is seen by the worker of a database, which
 * compares what it finds with what it knew.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/insider.h"
#include "audit/insider_collect.h"
#include "json_text.h"

/* Which change of a setting weakens what the trail promises. */
typedef enum Weakening
{
	WEAK_ON,
	WEAK_OFF,
	WEAK_LOWER,					/* an interval */
	WEAK_CHANGED
} Weakening;

typedef struct StoredSetting
{
	const char *name;
	Weakening	weakening;
	char	   *known;			/* by this worker; NULL: there is no such setting */
} StoredSetting;

static StoredSetting stored[] = {
	{"admin_ext.restoring", WEAK_ON},
	{"admin_ext.require_verified_jwt", WEAK_OFF},
	{"admin_ext.archive_required", WEAK_OFF},
	{"admin_ext.require_action_policy", WEAK_OFF},
	{"admin_ext.retention", WEAK_LOWER},
	{"admin_ext.sinks", WEAK_CHANGED},
	{"admin_ext.databases", WEAK_CHANGED},
};

static bool is_reloaded = false;

static void
collect(const char *name, const char *value, const char *before, const char *scope)
{
	StringInfoData payload;

	insider_log(psprintf("\"%s\" was changed to \"%s\" (%s)", name, value ? value : "its default", scope));
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

static void
record_set(VariableSetStmt *statement, const char *scope)
{
	if (statement->kind == VAR_RESET_ALL)
	{
		collect("all", NULL, NULL, scope);
		return;
	}
	for (int i = 0; i < lengthof(stored); i++)
	{
		if (statement->name != NULL && pg_strcasecmp(statement->name, stored[i].name) == 0)
			collect(stored[i].name, ExtractSetVariableArgs(statement), NULL, scope);
	}
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

static const char *
value_of(const char *name)
{
	return GetConfigOption(name, true, false);
}

static bool
is_lower(const char *before, const char *after)
{
	Datum		intervals[2];

	intervals[0] = DirectFunctionCall3(interval_in, CStringGetDatum(before), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	intervals[1] = DirectFunctionCall3(interval_in, CStringGetDatum(after), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return DatumGetBool(DirectFunctionCall2(interval_lt, intervals[1], intervals[0]));
}

static bool
is_weaker(const StoredSetting *setting, const char *value)
{
	if (setting->known == NULL || value == NULL || strcmp(setting->known, value) == 0)
		return false;
	switch (setting->weakening)
	{
		case WEAK_ON:
			return strcmp(value, "on") == 0;
		case WEAK_OFF:
			return strcmp(value, "off") == 0;
		case WEAK_LOWER:
			return is_lower(setting->known, value);
		default:
			return true;
	}
}

void
insider_reload_noticed(void)
{
	is_reloaded = true;
}

bool
insider_is_reloaded(void)
{
	return is_reloaded;
}

void
insider_collect_reloaded(void)
{
	for (int i = 0; i < lengthof(stored); i++)
	{
		const char *value = value_of(stored[i].name);

		if (is_weaker(&stored[i], value))
			collect(stored[i].name, value, stored[i].known, "reload");
	}
}

/* What this worker knows from now on. */
void
insider_reload_recorded(void)
{
	is_reloaded = false;
	for (int i = 0; i < lengthof(stored); i++)
	{
		const char *value = value_of(stored[i].name);

		if (stored[i].known)
			pfree(stored[i].known);
		stored[i].known = value ? MemoryContextStrdup(TopMemoryContext, value) : NULL;
	}
}
