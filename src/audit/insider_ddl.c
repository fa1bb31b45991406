/*
 * insider_ddl.c
 *	  Records DDL on the objects that guard the trail as guard.changed.
 *
 * The utility hook sees every command, including those in functions, DO blocks and strings of
 * several commands.  The object that a command names comes from its parse tree (insider_target.c).
 * The objects that it creates, alters or drops come from the object access hook.  No SQL removes
 * the hooks.  Commands of the extension's own functions and scripts are left out.  The event is
 * part of the transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/objectaccess.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"

#include "audit/audit_number.h"
#include "audit/audit_table.h"
#include "audit/insider.h"
#include "audit/insider_collect.h"
#include "audit/insider_own.h"
#include "audit/insider_restoring.h"
#include "catalog_row.h"
#include "json_text.h"
#include "relations.h"
#include "settings.h"

/* An event keeps both ends of a longer text. */
#define MAX_COMMAND_BYTES	65536

typedef struct Made
{
	Oid			class;
	Oid			object;
	bool		by_script;		/* of CREATE or ALTER EXTENSION */
} Made;

/* The command that runs. */
typedef struct Command
{
	bool		is_ours;
	char	   *object;			/* identity of the first object of ours */
	bool		is_trail;		/* that object is the trail or a partition of it */
	bool		is_place;		/* it is a schema or the extension; an object in it says more */
	List	   *made;			/* a Made for each object that was created or replaced */
	MemoryContext context;		/* memory of the above; lives as long as the command */
} Command;

static Command *current = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_access = NULL;

static char *
identity_of(const Command *command, Oid class, Oid object)
{
	MemoryContext old = MemoryContextSwitchTo(command->context);
	ObjectAddress address;
	char	   *identity;

	ObjectAddressSet(address, class, object);
	identity = getObjectIdentity(&address, true);
	MemoryContextSwitchTo(old);
	return identity;
}

static void
touch_object(Command *command, Oid class, Oid object)
{
	if (command->is_ours)
		return;
	command->object = identity_of(command, class, object);
	command->is_trail = class == RelationRelationId && audit_is_trail(object);
	command->is_place = class == NamespaceRelationId || class == ExtensionRelationId;
	command->is_ours = true;
}

static bool
is_guard(Oid class, Oid object)
{
	return insider_owns(class, object) || insider_serves_ours(class, object);
}

static void
note_made(Command *command, Oid class, Oid object)
{
	MemoryContext old;
	Made	   *made;

	/* Large objects do not guard the trail, and a query may create any number of them. */
	if (class == LargeObjectRelationId)
		return;
	old = MemoryContextSwitchTo(command->context);
	made = palloc(sizeof(Made));
	made->class = class;
	made->object = object;
	made->by_script = creating_extension;
	command->made = lappend(command->made, made);
	MemoryContextSwitchTo(old);
}

/*
 * Creating a function in C, or in another untrusted language, has the effect of LOAD.  Functions
 * that the script of an extension creates do not count, because they were installed on the server.
 * A user may also replace a function of an extension by hand.
 */
static bool
is_loaded_by_hand(const Made *made)
{
	static const CatalogColumn language = {ProcedureRelationId, ProcedureOidIndexId, Anum_pg_proc_oid, Anum_pg_proc_prolang};

	return made->class == ProcedureRelationId && !made->by_script &&
		insider_is_untrusted(catalog_row_oid(&language, made->object));
}

/* The objects that a command has created can be examined only after it has run. */
static void
touch_made(Command *command)
{
	ListCell   *cell;

	if (command->made == NIL || (command->is_ours && !command->is_place))
		return;
	CommandCounterIncrement();
	foreach(cell, command->made)
	{
		const Made *made = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		/* A new partition of an audited table is audited, too. */
		if (made->class == TriggerRelationId && insider_is_cloned_trigger(made->object))
			continue;

		/* For a function elsewhere that is bound to our library, the target is the extension. */
		if (is_guard(made->class, made->object) || is_loaded_by_hand(made) ||
			(command->is_place && made->class == ProcedureRelationId))
		{
			command->object = identity_of(command, made->class, made->object);
			command->is_ours = true;
			return;
		}
	}
}

/*
 * Is it the transient copy of a rewritten table or materialized view, or an index or type of that
 * copy?  Only these two classes count, because the server drops other things internally, too, like
 * the triggers of a detached partition.
 */
static bool
is_copy_of_rewrite(Oid class, const ObjectAccessDrop *drop)
{
	return (drop->dropflags & PERFORM_DELETION_INTERNAL) && (class == RelationRelationId || class == TypeRelationId);
}

static void
at_object_access(ObjectAccessType access, Oid class, Oid object, int column, void *arg)
{
	if (previous_access)
		previous_access(access, class, object, column, arg);
	if (access == OAT_FUNCTION_EXECUTE && (object == F_SETVAL_REGCLASS_INT8 || object == F_SETVAL_REGCLASS_INT8_BOOL))
		audit_number_note_setval();
	if (access == OAT_FUNCTION_EXECUTE && object == F_LO_EXPORT && !insider_is_explained())
		insider_note_call(object);
	if (current == NULL)
		return;
	if (access == OAT_POST_CREATE && !(arg != NULL && ((ObjectAccessPostCreate *) arg)->is_internal))
		note_made(current, class, object);
	if (access != OAT_DROP && access != OAT_POST_ALTER)
		return;
	if (access == OAT_POST_ALTER && (arg != NULL && ((ObjectAccessPostAlter *) arg)->is_internal))
		return;
	if (access == OAT_DROP && is_copy_of_rewrite(class, (ObjectAccessDrop *) arg))
		return;
	if (!current->is_ours && is_guard(class, object))
		touch_object(current, class, object);
}

/* May the command change an object that guards the trail? */
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
		case T_CallStmt:
		case T_ConstraintsSetStmt:
		case T_RefreshMatViewStmt:
			return false;
		case T_CopyStmt:
			return castNode(CopyStmt, statement)->is_from || insider_lasting_object(statement) != NULL;
		case T_AlterOwnerStmt:
			/* Any user may name the present owner as the new owner, which changes nothing. */
			return is_member_of_role(GetUserId(), get_rolespec_oid(castNode(AlterOwnerStmt, statement)->newowner, true));
		case T_DoStmt:
		case T_LoadStmt:
			return insider_lasting_object(statement) != NULL;
		default:
			return true;
	}
}

/* The text of one command, from a string that may hold several. */
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
	/* Keep both ends, because a long comment could hide either of them. */
	head = pg_mbcliplen(query + start, length, MAX_COMMAND_BYTES / 2);
	tail = pg_mbcliplen(query + start, length, length - MAX_COMMAND_BYTES / 2);
	return psprintf("%.*s ... %.*s", head, query + start, length - tail, query + start + tail);
}

/*
 * Does the command belong to a restore, which leaves no event for it?  A dump creates and attaches
 * its partitions before the trail takes a row.  Then pg_restore creates their indexes, constraints
 * and triggers in several sessions at once, and may disable triggers while it loads.  To write
 * events, each session would wait for the partition that another one has locked.  Other extensions,
 * like a language with functions in pg_catalog, and functions in C come before the trail has a
 * partition.  A copy that is being loaded has no history of its own yet, and its trail records the
 * load.
 */
static bool
belongs_to_restore(Node *statement)
{
	if (statement == NULL || !admin_relations_exist())
		return false;
	if (IsA(statement, CreateStmt))
		return insider_trail_is_fresh();
	return admin_restoring &&
		(IsA(statement, AlterTableStmt) || IsA(statement, IndexStmt) || IsA(statement, CreateTrigStmt) ||
		 IsA(statement, CreateExtensionStmt) || IsA(statement, CreateFunctionStmt)) &&
		(!insider_store_is_adopted() || insider_trail_is_fresh());
}

static void
log_command(const char *tag, const char *object)
{
	insider_log(psprintf("%s by \"%s\" changed what guards the audit trail: %s", tag,
						 GetUserNameFromId(GetSessionUserId(), true), object));
}

static char *
command_payload(const char *tag, const char *object, const PlannedStmt *statement, const char *query)
{
	int			bytes;
	char	   *text = text_of(statement, query, &bytes);
	StringInfoData payload;

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

/* Writes a line to the log.  Returns the event's payload, or NULL if no event is due. */
static char *
describe_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query)
{
	log_command(tag, object);
	/* The command may have dropped the trail. */
	if (!OidIsValid(get_extension_oid("admin_ext", true)) || belongs_to_restore(statement->utilityStmt))
		return NULL;
	return command_payload(tag, object, statement, query);
}

void
insider_collect_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query)
{
	const char *payload = describe_command(tag, object, statement, query);

	if (payload != NULL)
		insider_collect("guard.changed", payload);
}

void
insider_record_command(const char *tag, const char *object, const PlannedStmt *statement, const char *query)
{
	const char *payload;

	if (admin_restoring || !insider_trail_can_take())
	{
		insider_collect_command(tag, object, statement, query);
		return;
	}
	payload = describe_command(tag, object, statement, query);
	if (payload != NULL)
		insider_append_now("guard.changed", payload);
}

/*
 * May the command make the trail unable to take a row, by other columns of the trail or by another
 * name of one of our objects?
 */
static bool
may_close_trail(const Command *command, Node *statement)
{
	ListCell   *cell;

	/* A COPY whose target is one of ours writes to a system catalog or to the trail. */
	if (IsA(statement, RenameStmt) || IsA(statement, AlterObjectSchemaStmt) || IsA(statement, CopyStmt))
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

static const char *
object_name(const Command *command)
{
	return command->object ? command->object : "";
}

/* Writes the event of such a command before the command runs.  Returns whether it did. */
static bool
record_before(const Command *command, const PlannedStmt *statement, const char *query)
{
	const char *payload;

	if (!command->is_ours || !may_close_trail(command, statement->utilityStmt) || !insider_trail_can_take())
		return false;
	payload = describe_command(GetCommandTagName(CreateCommandTag(statement->utilityStmt)),
							   object_name(command), statement, query);
	if (payload != NULL)
		insider_append_now("guard.changed", payload);
	return true;
}

static void
record_after(const Command *command, const PlannedStmt *statement, const char *query, bool is_recorded)
{
	if (command->is_ours && !is_recorded)
		insider_collect_command(GetCommandTagName(CreateCommandTag(statement->utilityStmt)),
								object_name(command), statement, query);
	else if (is_recorded && !insider_trail_can_take())
		ereport(WARNING,
				(errmsg("the audit trail cannot take a row after this command"),
				 errdetail("Every check and every change of an approval will fail."),
				 errhint("Roll back, or undo the command.")));
}

/* A repeated act adds no event, and no line to the log. */
static void
record_act(const char *tag, const char *object, const PlannedStmt *statement, const char *query)
{
	if (insider_note_lasting(command_payload(tag, object, statement, query)))
		log_command(tag, object);
}

static void
record_lasting(const PlannedStmt *statement, const char *query)
{
	const char *object = insider_lasting_object(statement->utilityStmt);

	if (object != NULL)
		record_act(GetCommandTagName(CreateCommandTag(statement->utilityStmt)), object, statement, query);
}

/* A function call is not a command of its own, so the event has the text that the client sent. */
void
insider_note_call(Oid function)
{
	PlannedStmt whole = {.type = T_PlannedStmt};

	if (IsBinaryUpgrade || insider_is_own_or_script() || !OidIsValid(get_extension_oid("admin_ext", true)))
		return;
	record_act(get_func_name(function), format_procedure_qualified(function), &whole,
			   debug_query_string ? debug_query_string : "");
}

/*
 * Objects that another extension's script creates count for its CREATE EXTENSION, unless the
 * command names one of our objects.
 */
static bool
is_part_of_script(const Command *command, const Command *outer)
{
	return creating_extension && outer != NULL && !command->is_ours;
}

static void
insider_process_utility(PlannedStmt *statement, const char *query, bool read_only_tree,
						ProcessUtilityContext context, ParamListInfo params,
						QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	ProcessUtility_hook_type next = previous_utility ? previous_utility : standard_ProcessUtility;
	Command    *outer = current;
	Command		command = {.context = CurrentMemoryContext};
	Oid			object;
	Oid			class;
	bool		is_part = context == PROCESS_UTILITY_SUBCOMMAND && outer != NULL;
	bool		is_recorded;

	/* pg_upgrade creates every object again, the trail included.  That is not a change. */
	bool		is_seen = is_watched(statement->utilityStmt) && IsTransactionState() && !IsBinaryUpgrade && !insider_is_own_or_script() &&
	OidIsValid(get_extension_oid("admin_ext", true));

	if (is_part)
	{
		if (!outer->is_ours && insider_find_target(statement->utilityStmt, &class, &object))
			touch_object(outer, class, object);
		next(statement, query, read_only_tree, context, params, environment, dest, completion);
		return;
	}
	if (is_seen && insider_find_target(statement->utilityStmt, &class, &object))
		touch_object(&command, class, object);
	is_recorded = record_before(&command, statement, query);
	if (is_seen)
		record_lasting(statement, query);
	if (command.is_trail && IsA(statement->utilityStmt, TruncateStmt))
		insider_keep_events(castNode(TruncateStmt, statement->utilityStmt));
	current = !is_seen ? NULL : is_part_of_script(&command, outer) ? outer : &command;
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
	touch_made(&command);
	record_after(&command, statement, query, is_recorded);
	insider_record_setting_command(statement->utilityStmt);
}

void
insider_ddl_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = insider_process_utility;
	previous_access = object_access_hook;
	object_access_hook = at_object_access;
}
