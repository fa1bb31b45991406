/*
 * insider_ddl.c
 *	  DDL on what guards the trail leaves guard.changed in it.
 *
 * The utility hook sees every command, in functions, DO blocks and strings of several commands,
 * too.  What a command is about is read from its parse tree (insider_target.c) and, for what is
 * altered or dropped with it, from the object access hook.  No SQL removes the hooks.  Commands of
 * the extension's own functions and scripts are left out.  The event is part of the transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/builtins.h"

#include "audit/insider.h"
#include "json_text.h"
#include "settings.h"

/* Of a longer text an event has both ends. */
#define MAX_COMMAND_BYTES	65536

/* The command that runs. */
typedef struct Command
{
	bool		is_ours;
	char	   *object;			/* identity of the first object of ours */
	bool		is_trail;		/* which is the trail or a partition of it */
	bool		is_place;		/* that is a schema or the extension: what is made there says more */
	Oid			made;			/* a function that was made, or replaced */
} Command;

static Command *current = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_access = NULL;

static void
touch(Command *command, Oid class, Oid object)
{
	ObjectAddress address;

	if (command->is_ours)
		return;
	ObjectAddressSet(address, class, object);
	command->object = getObjectIdentity(&address, true);
	command->is_trail = class == RelationRelationId && insider_is_trail(object);
	command->is_place = class == NamespaceRelationId || class == ExtensionRelationId;
	command->is_ours = true;
}

static void
at_object_access(ObjectAccessType access, Oid class, Oid object, int column, void *arg)
{
	if (previous_access)
		previous_access(access, class, object, column, arg);
	if (current == NULL)
		return;
	if (access == OAT_POST_CREATE && class == ProcedureRelationId && !OidIsValid(current->made))
		current->made = object;
	if (access != OAT_DROP && access != OAT_POST_ALTER)
		return;
	if (access == OAT_POST_ALTER && (arg != NULL && ((ObjectAccessPostAlter *) arg)->is_internal))
		return;
	if (!current->is_ours && insider_owns(class, object))
		touch(current, class, object);
}

/* Commands that change no object, or none that guards anything. */
static bool
is_watched(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_TransactionStmt:
		case T_DeclareCursorStmt:
		case T_ClosePortalStmt:
		case T_FetchStmt:
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_ExplainStmt:
		case T_VariableSetStmt:
		case T_VariableShowStmt:
		case T_DiscardStmt:
		case T_NotifyStmt:
		case T_ListenStmt:
		case T_UnlistenStmt:
		case T_CheckPointStmt:
		case T_LockStmt:
		case T_VacuumStmt:
		case T_ClusterStmt:
		case T_ReindexStmt:
		case T_CommentStmt:
		case T_DoStmt:
		case T_CallStmt:
		case T_LoadStmt:
		case T_ConstraintsSetStmt:
		case T_RefreshMatViewStmt:
			return false;
		case T_CopyStmt:
			return castNode(CopyStmt, statement)->is_from;
		default:
			return true;
	}
}

static bool
is_our_own(void)
{
	return insider_is_own() || (creating_extension && insider_is_our_extension(CurrentExtensionObject));
}

/* The command's part of a string that may hold several. */
static char *
text_of(const PlannedStmt *statement, const char *query, int *bytes)
{
	int			start = Max(statement->stmt_location, 0);
	int			length = statement->stmt_len > 0 && statement->stmt_location >= 0 ? statement->stmt_len : strlen(query + start);
	int			head;
	int			tail;

	while (length > 0 && isspace((unsigned char) query[start]))
	{
		start++;
		length--;
	}
	while (length > 0 && isspace((unsigned char) query[start + length - 1]))
		length--;
	*bytes = length;
	if (length <= MAX_COMMAND_BYTES)
		return pnstrdup(query + start, length);
	/* Both ends: a comment may hide either. */
	head = pg_mbcliplen(query + start, length, MAX_COMMAND_BYTES / 2);
	tail = pg_mbcliplen(query + start, length, length - MAX_COMMAND_BYTES / 2);
	return psprintf("%.*s ... %.*s", head, query + start, length - tail, query + start + tail);
}

/*
 * pg_restore makes indexes, constraints and triggers of months, in several sessions at once, and may
 * switch triggers off while it loads.  Each would wait for the month that the other has locked.  A
 * copy that is being loaded has no history of its own yet, and its trail says that it was loaded.
 */
static bool
belongs_to_restore(Node *statement)
{
	return admin_restoring && statement != NULL &&
		(IsA(statement, AlterTableStmt) || IsA(statement, IndexStmt) || IsA(statement, CreateTrigStmt)) &&
		(!insider_store_is_adopted() || insider_trail_is_fresh());
}

/* Writes the line to the log; answers the event's payload, or NULL where there is to be none. */
static char *
describe_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query)
{
	int			bytes;
	char	   *text = text_of(statement, query, &bytes);
	StringInfoData payload;

	insider_log(psprintf("%s by \"%s\" changed what guards the audit trail: %s", tag,
						 GetUserNameFromId(GetSessionUserId(), true), object));
	/* The trail may have gone with it. */
	if (!OidIsValid(get_extension_oid("admin_ext", true)) || belongs_to_restore(statement->utilityStmt))
		return NULL;
	initStringInfo(&payload);
	appendStringInfoString(&payload, "{\"command\":");
	append_json_cstring(&payload, tag);
	appendStringInfoString(&payload, ",\"object\":");
	append_json_cstring(&payload, object);
	appendStringInfoString(&payload, ",\"text\":");
	append_json_cstring(&payload, text);
	if (bytes > MAX_COMMAND_BYTES)
		appendStringInfo(&payload, ",\"text_bytes\":%d", bytes);
	appendStringInfoChar(&payload, '}');
	return payload.data;
}

void
insider_collect_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query)
{
	const char *payload = describe_command(tag, object, statement, query);

	if (payload != NULL)
		insider_collect("guard.changed", payload);
}

/* A command that gives the trail other columns, or one of our tables another name: after it no row may be written. */
static bool
may_close_trail(const Command *command, Node *statement)
{
	ListCell   *cell;

	if (IsA(statement, RenameStmt) || IsA(statement, AlterObjectSchemaStmt))
		return true;
	if (!IsA(statement, AlterTableStmt) || !command->is_trail)
		return false;
	foreach(cell, castNode(AlterTableStmt, statement)->cmds)
	{
		AlterTableType type = lfirst_node(AlterTableCmd, cell)->subtype;

		if (type == AT_AddColumn || type == AT_DropColumn || type == AT_AlterColumnType)
			return true;
	}
	return false;
}

/* A function that is made in one of our schemas is visible by the end of the command. */
static const char *
object_of(const Command *command)
{
	char	   *made = NULL;
	ObjectAddress address;

	if (command->is_place && OidIsValid(command->made))
	{
		ObjectAddressSet(address, ProcedureRelationId, command->made);
		CommandCounterIncrement();
		made = getObjectIdentity(&address, true);
	}
	return made ? made : command->object ? command->object : "";
}

/* The event of such a command is written before it.  Answers whether it was. */
static bool
record_before(const Command *command, const PlannedStmt *statement, const char *query)
{
	const char *payload;

	if (!command->is_ours || !may_close_trail(command, statement->utilityStmt) || !insider_trail_can_take())
		return false;
	payload = describe_command(GetCommandTagName(CreateCommandTag(statement->utilityStmt)),
							   object_of(command), statement, query);
	if (payload != NULL)
		insider_append_now("guard.changed", payload);
	return true;
}

static void
record_after(const Command *command, const PlannedStmt *statement, const char *query, bool is_recorded)
{
	if (command->is_ours && !is_recorded)
		insider_collect_command(GetCommandTagName(CreateCommandTag(statement->utilityStmt)),
								object_of(command), statement, query);
	else if (is_recorded && !insider_trail_can_take())
		ereport(WARNING,
				(errmsg("the audit trail cannot take a row after this command"),
				 errdetail("Every check and every change of an approval will fail."),
				 errhint("Roll back, or undo the command.")));
}

static void
process_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_utility ? previous_utility : standard_ProcessUtility;
	Command    *outer = current;
	Command		command = {0};
	Oid			object;
	Oid			class;
	bool		is_part = context == PROCESS_UTILITY_SUBCOMMAND && outer != NULL;
	bool		is_recorded;
	/* pg_upgrade creates every object by itself, and the trail with them: it changes nothing. */
	bool		is_seen = is_watched(statement->utilityStmt) && IsTransactionState() && !IsBinaryUpgrade && !is_our_own() &&
		OidIsValid(get_extension_oid("admin_ext", true));

	if (is_part)
	{
		if (!outer->is_ours && insider_find_target(statement->utilityStmt, &class, &object))
			touch(outer, class, object);
		next(statement, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	if (is_seen && insider_find_target(statement->utilityStmt, &class, &object))
		touch(&command, class, object);
	is_recorded = record_before(&command, statement, query);
	current = is_seen ? &command : NULL;
	PG_TRY();
	{
		next(statement, query, read_only_tree, context, params, environment, dest, completion);
	}
	PG_FINALLY();
	{
		current = outer;
	}
	PG_END_TRY();
	if (!is_seen || !IsTransactionState())
		return;
	record_after(&command, statement, query, is_recorded);
	insider_record_setting_command(statement->utilityStmt);
}

void
insider_ddl_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	previous_access = object_access_hook;
	object_access_hook = at_object_access;
}
