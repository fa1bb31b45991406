/*
 * insider_target.c
 *	  What a command names, as far as the object access hook does not tell.
 *
 * Names are looked up before the command runs, without a lock: the command itself fails when
 * they are gone by then.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "audit/insider.h"

/* Where the answer goes. */
typedef struct Target
{
	Oid			class;
	Oid			object;
} Target;

static bool
found(Target *target, Oid class, Oid object)
{
	target->class = class;
	target->object = object;
	return true;
}

static bool
of_relation(Target *target, const RangeVar *name)
{
	Oid			relation = name == NULL ? InvalidOid : RangeVarGetRelid(name, NoLock, true);

	return OidIsValid(relation) && insider_owns_relation(relation) && found(target, RelationRelationId, relation);
}

static bool
of_relations(Target *target, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (of_relation(target, lfirst_node(RangeVar, cell)))
			return true;
	}
	return false;
}

static bool
of_schema(Target *target, const char *name)
{
	Oid			schema = name == NULL ? InvalidOid : get_namespace_oid(name, true);

	return OidIsValid(schema) && insider_is_our_schema(schema) && found(target, NamespaceRelationId, schema);
}

static bool
of_schemas(Target *target, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (of_schema(target, strVal(lfirst(cell))))
			return true;
	}
	return false;
}

/* What is made in one of our schemas is found by its name there. */
static bool
of_new_name(Target *target, List *name)
{
	char	   *schema;
	char	   *object;
	List	   *path;

	DeconstructQualifiedName(name, &schema, &object);
	if (schema != NULL)
		return of_schema(target, schema);
	/* Without the schemas that are searched though nobody named them. */
	path = fetch_search_path(false);
	return path != NIL && insider_is_our_schema(linitial_oid(path)) &&
		found(target, NamespaceRelationId, linitial_oid(path));
}

/* A function elsewhere that is bound to our library can do what our functions can. */
static bool
of_function(Target *target, const CreateFunctionStmt *statement)
{
	ListCell   *cell;

	if (of_new_name(target, statement->funcname))
		return true;
	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "as") == 0 && IsA(option->arg, List) &&
			strstr(strVal(linitial((List *) option->arg)), "admin_ext") != NULL)
			return found(target, ExtensionRelationId, get_extension_oid("admin_ext", true));
	}
	return false;
}

static bool
of_functions(Target *target, ObjectType type, List *functions)
{
	ListCell   *cell;

	foreach(cell, functions)
	{
		Oid			function = LookupFuncWithArgs(type, lfirst_node(ObjectWithArgs, cell), true);

		if (OidIsValid(function) && insider_owns(ProcedureRelationId, function))
			return found(target, ProcedureRelationId, function);
	}
	return false;
}

#if PG_VERSION_NUM >= 150000
static bool
of_parameters(Target *target, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (pg_strncasecmp(strVal(lfirst(cell)), "admin_ext.", strlen("admin_ext.")) == 0)
			return found(target, ExtensionRelationId, get_extension_oid("admin_ext", true));
	}
	return false;
}
#endif

static bool
of_grant(Target *target, const GrantStmt *statement)
{
	if (statement->targtype == ACL_TARGET_ALL_IN_SCHEMA)
		return of_schemas(target, statement->objects);
	if (statement->targtype != ACL_TARGET_OBJECT)
		return false;
	switch (statement->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			return of_relations(target, statement->objects);
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			return of_functions(target, statement->objtype, statement->objects);
		case OBJECT_SCHEMA:
			return of_schemas(target, statement->objects);
#if PG_VERSION_NUM >= 150000
		case OBJECT_PARAMETER_ACL:
			return of_parameters(target, statement->objects);
#endif
		default:
			return false;
	}
}

static bool
of_default_privileges(Target *target, const AlterDefaultPrivilegesStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "schemas") == 0 && of_schemas(target, (List *) option->arg))
			return true;
	}
	return false;
}

static bool
of_roles(Target *target, List *roles)
{
	ListCell   *cell;

	foreach(cell, roles)
	{
		Oid			role = get_rolespec_oid(lfirst_node(RoleSpec, cell), true);

		if (OidIsValid(role) && insider_role_has_ours(role))
			return found(target, AuthIdRelationId, role);
	}
	return false;
}

/* Membership in a role that has access to ours, or to every table or file, is access. */
static bool
of_member_of(Target *target, Oid role)
{
	return OidIsValid(role) && insider_role_reaches_ours(role) && found(target, AuthIdRelationId, role);
}

static bool
of_membership(Target *target, const GrantRoleStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->granted_roles)
	{
		char	   *name = lfirst_node(AccessPriv, cell)->priv_name;

		if (name != NULL && of_member_of(target, get_role_oid(name, true)))
			return true;
	}
	return false;
}

/* CREATE ROLE and ALTER ROLE: who becomes a superuser, or a member of such a role. */
static bool
of_role_options(Target *target, List *options, Oid role)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		ListCell   *group;

		if (strcmp(option->defname, "superuser") == 0 && defGetBoolean(option))
			return found(target, ExtensionRelationId, get_extension_oid("admin_ext", true));
		if (strcmp(option->defname, "rolemembers") == 0 && of_member_of(target, role))
			return true;
		if (strcmp(option->defname, "addroleto") != 0)
			continue;
		foreach(group, (List *) option->arg)
		{
			if (of_member_of(target, get_rolespec_oid(lfirst_node(RoleSpec, group), true)))
				return true;
		}
	}
	return false;
}

/* A copy into a system catalog does what DDL does, and is none. */
static bool
of_copy(Target *target, const CopyStmt *statement)
{
	Oid			relation = statement->relation == NULL ? InvalidOid : RangeVarGetRelid(statement->relation, NoLock, true);

	return OidIsValid(relation) && relation < FirstNormalObjectId &&
		get_rel_namespace(relation) == PG_CATALOG_NAMESPACE && found(target, RelationRelationId, relation);
}

/* The other tables have an event of their own for it. */
static bool
of_truncate(Target *target, List *relations)
{
	ListCell   *cell;

	foreach(cell, relations)
	{
		Oid			relation = RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true);

		if (OidIsValid(relation) && insider_is_trail(relation))
			return found(target, RelationRelationId, relation);
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
			of_relation(target, castNode(RangeVar, command->def)))
			return true;
	}
	return false;
}

/* A trigger of ours on somebody's table is switched off, or on. */
static bool
of_audited(Target *target, const AlterTableStmt *statement)
{
	AlterTableType type = linitial_node(AlterTableCmd, statement->cmds)->subtype;
	Oid			relation;

	if (type < AT_EnableTrig || type > AT_DisableTrigUser)
		return false;
	relation = RangeVarGetRelid(statement->relation, NoLock, true);
	return OidIsValid(relation) && insider_is_audited(relation) && found(target, RelationRelationId, relation);
}

/* The first month of a dump is attached while the default partition has to be empty. */
static bool
of_alter_table(Target *target, const AlterTableStmt *statement)
{
	if (of_parent(target, statement) || of_audited(target, statement))
		return true;
	return of_relation(target, statement->relation) &&
		!(linitial_node(AlterTableCmd, statement->cmds)->subtype == AT_AttachPartition && insider_trail_is_fresh());
}

static bool
of_security_label(Target *target, const SecLabelStmt *statement)
{
	Relation	relation = NULL;
	ObjectAddress address = get_object_address(statement->objtype, statement->object, &relation, AccessShareLock, true);

	if (relation != NULL)
		relation_close(relation, NoLock);
	return OidIsValid(address.objectId) && insider_owns(address.classId, address.objectId) &&
		found(target, address.classId, address.objectId);
}

static bool
of_extension(Target *target, const char *name)
{
	Oid			extension = get_extension_oid(name, true);

	return insider_is_our_extension(extension) && found(target, ExtensionRelationId, extension);
}

/* An extension, and what else goes with it; or a table, before its triggers.  The hook tells the rest. */
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
				if (of_relation(target, makeRangeVarFromNameList(lfirst_node(List, cell))))
					return true;
				break;
			default:
				return false;
		}
	}
	return false;
}

/* On one of our tables, or on somebody's with a function of ours. */
static bool
of_trigger(Target *target, const CreateTrigStmt *statement)
{
	Oid			function = LookupFuncName(statement->funcname, 0, NULL, true);
	Oid			relation;

	if (of_relation(target, statement->relation))
		return true;
	relation = RangeVarGetRelid(statement->relation, NoLock, true);
	return OidIsValid(relation) && OidIsValid(function) && insider_owns(ProcedureRelationId, function) &&
		found(target, RelationRelationId, relation);
}

/* Commands that make something, on our tables or in our schemas. */
static bool
of_creation(Target *target, Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_IndexStmt:
			return of_relation(target, castNode(IndexStmt, statement)->relation);
		case T_CreateTrigStmt:
			return of_trigger(target, castNode(CreateTrigStmt, statement));
		case T_CreatePolicyStmt:
			return of_relation(target, castNode(CreatePolicyStmt, statement)->table);
		case T_RuleStmt:
			return of_relation(target, castNode(RuleStmt, statement)->relation);
		case T_ViewStmt:
			return of_relation(target, castNode(ViewStmt, statement)->view);
		case T_CreateStmt:
			return of_relations(target, castNode(CreateStmt, statement)->inhRelations);
		case T_CreateForeignTableStmt:
			return of_relations(target, ((CreateForeignTableStmt *) statement)->base.inhRelations);
		case T_CreateFunctionStmt:
			return of_function(target, castNode(CreateFunctionStmt, statement));
		case T_DefineStmt:
			return of_new_name(target, castNode(DefineStmt, statement)->defnames);
		case T_CreateDomainStmt:
			return of_new_name(target, castNode(CreateDomainStmt, statement)->domainname);
		case T_CreateEnumStmt:
			return of_new_name(target, castNode(CreateEnumStmt, statement)->typeName);
		case T_CreateRangeStmt:
			return of_new_name(target, castNode(CreateRangeStmt, statement)->typeName);
		default:
			return false;
	}
}

static bool
of_rename(Target *target, const RenameStmt *statement)
{
	return statement->renameType == OBJECT_SCHEMA ? of_schema(target, statement->subname) :
		of_relation(target, statement->relation);
}

static bool
of_command(Target *target, Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterTableStmt:
			return of_alter_table(target, castNode(AlterTableStmt, statement));
		case T_AlterPolicyStmt:
			return of_relation(target, castNode(AlterPolicyStmt, statement)->table);
		case T_AlterSeqStmt:
			return of_relation(target, castNode(AlterSeqStmt, statement)->sequence);
		case T_RenameStmt:
			return of_rename(target, castNode(RenameStmt, statement));
		case T_AlterObjectSchemaStmt:
			return of_relation(target, castNode(AlterObjectSchemaStmt, statement)->relation) ||
				of_schema(target, castNode(AlterObjectSchemaStmt, statement)->newschema);
		case T_AlterObjectDependsStmt:
			return of_relation(target, castNode(AlterObjectDependsStmt, statement)->relation);
		case T_GrantRoleStmt:
			return of_membership(target, castNode(GrantRoleStmt, statement));
		case T_CreateRoleStmt:
			return of_role_options(target, castNode(CreateRoleStmt, statement)->options, InvalidOid);
		case T_AlterRoleStmt:
			return of_role_options(target, castNode(AlterRoleStmt, statement)->options,
								   get_rolespec_oid(castNode(AlterRoleStmt, statement)->role, true));
		case T_TruncateStmt:
			return of_truncate(target, castNode(TruncateStmt, statement)->relations);
		case T_CopyStmt:
			return of_copy(target, castNode(CopyStmt, statement));
		case T_GrantStmt:
			return of_grant(target, castNode(GrantStmt, statement));
		case T_AlterDefaultPrivilegesStmt:
			return of_default_privileges(target, castNode(AlterDefaultPrivilegesStmt, statement));
		case T_DropStmt:
			return of_drop(target, castNode(DropStmt, statement));
		case T_DropOwnedStmt:
			return of_roles(target, castNode(DropOwnedStmt, statement)->roles);
		case T_ReassignOwnedStmt:
			return of_roles(target, castNode(ReassignOwnedStmt, statement)->roles);
		case T_SecLabelStmt:
			return of_security_label(target, castNode(SecLabelStmt, statement));
		case T_AlterExtensionContentsStmt:
			return of_extension(target, castNode(AlterExtensionContentsStmt, statement)->extname);
		default:
			return of_creation(target, statement);
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
