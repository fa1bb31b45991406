/*
 * insider_target.c
 *	  Finds the object that a command names, where the object access hook does not report it.
 *
 * Names are looked up before the command runs, without a lock.  If an object is dropped in between,
 * the command itself fails.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "utils/lsyscache.h"

#include "audit/audit_table.h"
#include "audit/insider.h"
#include "audit/insider_own.h"
#include "audit/insider_target.h"
#include "settings.h"

bool
target_found(Target *target, Oid class, Oid object)
{
	target->class = class;
	target->object = object;
	return true;
}

bool
target_of_relation(Target *target, const RangeVar *name)
{
	Oid			relation = name == NULL ? InvalidOid : RangeVarGetRelid(name, NoLock, true);

	return OidIsValid(relation) && insider_owns_relation(relation) && target_found(target, RelationRelationId, relation);
}

bool
target_of_object(Target *target, Oid class, Oid object)
{
	return OidIsValid(object) && (insider_owns(class, object) || insider_is_in_catalog(class, object)) &&
		target_found(target, class, object);
}

bool
target_of_relations(Target *target, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (target_of_relation(target, lfirst_node(RangeVar, cell)))
			return true;
	}
	return false;
}

static bool
target_of_schema(Target *target, const char *name)
{
	Oid			schema = name == NULL ? InvalidOid : get_namespace_oid(name, true);

	return OidIsValid(schema) && insider_is_our_schema(schema) && target_found(target, NamespaceRelationId, schema);
}

/*
 * A function of any schema that is bound to our library can do what our functions can.  Only
 * superusers can bind one.  For other users the text after AS is only a body.
 */
static bool
of_function(Target *target, const CreateFunctionStmt *statement)
{
	ListCell   *cell;

	if (!superuser())
		return false;
	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "as") == 0 && IsA(option->arg, List) &&
			strstr(strVal(linitial((List *) option->arg)), "admin_ext") != NULL)
			return target_found(target, ExtensionRelationId, get_extension_oid("admin_ext", true));
	}
	return false;
}

static bool
is_catalog(Oid relation)
{
	return OidIsValid(relation) && relation < FirstNormalObjectId && get_rel_namespace(relation) == PG_CATALOG_NAMESPACE;
}

/*
 * COPY into a system catalog has the effect of DDL.  COPY into the trail is refused, unless the
 * session has the triggers cached as disabled.
 */
static bool
of_copy(Target *target, const CopyStmt *statement)
{
	Oid			relation = statement->relation == NULL ? InvalidOid : RangeVarGetRelid(statement->relation, NoLock, true);

	return statement->is_from && OidIsValid(relation) &&
		(is_catalog(relation) || (!admin_restoring && audit_is_trail(relation))) &&
		target_found(target, RelationRelationId, relation);
}

/* Only the trail is checked here.  TRUNCATE of our other tables leaves an event of its own. */
static bool
of_truncate(Target *target, List *relations)
{
	ListCell   *cell;

	foreach(cell, relations)
	{
		Oid			relation = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);

		if (OidIsValid(relation) && audit_is_trail(relation))
			return target_found(target, RelationRelationId, relation);
	}
	return false;
}

/* Rows of a child of one of our tables are read as the table's own. */
static bool
of_parent(Target *target, const AlterTableStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if ((command->subtype == AT_AddInherit || command->subtype == AT_DropInherit) &&
			target_of_relation(target, castNode(RangeVar, command->def)))
			return true;
	}
	return false;
}

/* Does the command disable or enable one of our triggers on a user's table? */
static bool
of_audited(Target *target, const AlterTableStmt *statement)
{
	AlterTableType type = linitial_node(AlterTableCmd, statement->cmds)->subtype;
	Oid			relation;

	if (type < AT_EnableTrig || type > AT_DisableTrigUser)
		return false;
	relation = RangeVarGetRelid(statement->relation, NoLock, true);
	return OidIsValid(relation) && insider_is_audited(relation) && target_found(target, RelationRelationId, relation);
}

/* The first partition of a dump is attached without an event: the default one must be empty. */
static bool
of_alter_table(Target *target, const AlterTableStmt *statement)
{
	Oid			relation = RangeVarGetRelid(statement->relation, NoLock, true);

	if (of_parent(target, statement) || of_audited(target, statement))
		return true;
	if (is_catalog(relation))
		return target_found(target, RelationRelationId, relation);
	return target_of_relation(target, statement->relation) &&
		!(linitial_node(AlterTableCmd, statement->cmds)->subtype == AT_AttachPartition && insider_trail_is_fresh());
}

static bool
of_security_label(Target *target, const SecLabelStmt *statement)
{
	Relation	relation = NULL;
	ObjectAddress address = get_object_address(statement->objtype, statement->object, &relation, AccessShareLock, true);

	if (relation != NULL)
		relation_close(relation, NoLock);
	return target_of_object(target, address.classId, address.objectId);
}

static bool
of_extension(Target *target, const char *name)
{
	Oid			extension = get_extension_oid(name, true);

	return insider_is_our_extension(extension) && target_found(target, ExtensionRelationId, extension);
}

/* Finds an extension or a table, before the hook reports its parts.  The hook reports the rest. */
static bool
of_drop(Target *target, const DropStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->objects)
	{
		switch (statement->removeType)
		{
			case OBJECT_EXTENSION:
				if (of_extension(target, strVal(lfirst(cell))))
					return true;
				break;
			case OBJECT_TABLE:
			case OBJECT_VIEW:
			case OBJECT_SEQUENCE:
			case OBJECT_INDEX:
				if (target_of_relation(target, makeRangeVarFromNameList(lfirst_node(List, cell))))
					return true;
				break;
			default:
				return false;
		}
	}
	return false;
}

/* A trigger on one of our tables, or one on a user's table that calls our function. */
static bool
of_trigger(Target *target, const CreateTrigStmt *statement)
{
	Oid			function = LookupFuncName(statement->funcname, 0, NULL, true);
	Oid			relation;

	if (target_of_relation(target, statement->relation))
		return true;
	relation = RangeVarGetRelid(statement->relation, NoLock, true);
	return OidIsValid(relation) && OidIsValid(function) && insider_owns(ProcedureRelationId, function) &&
		target_found(target, RelationRelationId, relation);
}

/*
 * Commands that create an object on one of our tables.  The hook reports the objects that they
 * create in our schemas.
 */
static bool
of_creation(Target *target, Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_IndexStmt:
			return target_of_relation(target, castNode(IndexStmt, statement)->relation);
		case T_CreateTrigStmt:
			return of_trigger(target, castNode(CreateTrigStmt, statement));
		case T_CreatePolicyStmt:
			return target_of_relation(target, castNode(CreatePolicyStmt, statement)->table);
		case T_RuleStmt:
			return target_of_relation(target, castNode(RuleStmt, statement)->relation);
		case T_ViewStmt:
			return target_of_relation(target, castNode(ViewStmt, statement)->view);
		case T_CreateStmt:
			return target_of_relations(target, castNode(CreateStmt, statement)->inhRelations);
		case T_CreateForeignTableStmt:
			return target_of_relations(target, ((CreateForeignTableStmt *) statement)->base.inhRelations);
		case T_CreateFunctionStmt:
			return of_function(target, castNode(CreateFunctionStmt, statement));
		default:
			return false;
	}
}

/* After one of our schemas was renamed, another schema may get its name. */
static bool
of_rename(Target *target, const RenameStmt *statement)
{
	if (statement->renameType != OBJECT_SCHEMA)
		return target_of_relation(target, statement->relation);
	return target_of_schema(target, statement->subname) ||
		(insider_is_our_schema_name(statement->newname) &&
		 target_found(target, NamespaceRelationId, get_namespace_oid(statement->subname, true)));
}

/* Name lookups find an object that was moved to one of our schemas or to pg_catalog. */
static bool
of_move(Target *target, const AlterObjectSchemaStmt *statement)
{
	return target_of_relation(target, statement->relation) || target_of_schema(target, statement->newschema) ||
		(strcmp(statement->newschema, "pg_catalog") == 0 && target_found(target, NamespaceRelationId, PG_CATALOG_NAMESPACE));
}

static bool
of_command(Target *target, Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterTableStmt:
			return of_alter_table(target, castNode(AlterTableStmt, statement));
		case T_AlterPolicyStmt:
			return target_of_relation(target, castNode(AlterPolicyStmt, statement)->table);
		case T_AlterSeqStmt:
			return target_of_relation(target, castNode(AlterSeqStmt, statement)->sequence);
		case T_RenameStmt:
			return of_rename(target, castNode(RenameStmt, statement));
		case T_AlterObjectSchemaStmt:
			return of_move(target, castNode(AlterObjectSchemaStmt, statement));
		case T_AlterObjectDependsStmt:
			return target_of_relation(target, castNode(AlterObjectDependsStmt, statement)->relation);
		case T_TruncateStmt:
			return of_truncate(target, castNode(TruncateStmt, statement)->relations);
		case T_CopyStmt:
			return of_copy(target, castNode(CopyStmt, statement));
		case T_DropStmt:
			return of_drop(target, castNode(DropStmt, statement));
		case T_SecLabelStmt:
			return of_security_label(target, castNode(SecLabelStmt, statement));
		case T_AlterExtensionContentsStmt:
			return of_extension(target, castNode(AlterExtensionContentsStmt, statement)->extname);
		default:
			return target_of_access(target, statement) || of_creation(target, statement);
	}
}

bool
insider_find_target(Node *statement, Oid *class, Oid *object)
{
	Target		target = {InvalidOid, InvalidOid};

	if (!of_command(&target, statement))
		return false;
	*class = target.class;
	*object = target.object;
	return true;
}
