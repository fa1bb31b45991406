/*
 * insider_target_access.c
 *	  What commands name that give or take access: GRANT, REVOKE, OWNER TO, and those on roles.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "commands/dbcommands.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit/insider.h"
#include "audit/insider_setting.h"
#include "audit/insider_target.h"
#include "catalog_row.h"
#include "compat.h"

/*
 * Does a role have one of these rights on an object, as its owner or by a grant?  A GRANT without a
 * right to grant only raises a warning, and changes nothing.
 */
static bool
has_right(Oid role, Oid class, Oid object, AclMode rights)
{
	int			cache = get_object_catcache_oid(class);
	HeapTuple	tuple = superuser_arg(role) ? NULL : SearchSysCache1(cache, ObjectIdGetDatum(object));
	bool		has_none;
	Datum		acl;
	Oid			owner;
	bool		has;

	if (!HeapTupleIsValid(tuple))
		return superuser_arg(role);
	owner = DatumGetObjectId(SysCacheGetAttr(cache, tuple, get_object_attnum_owner(class), &has_none));
	acl = SysCacheGetAttr(cache, tuple, get_object_attnum_acl(class), &has_none);
	has = has_privs_of_role(role, owner) || (!has_none && aclmask(DatumGetAclP(acl), role, owner, rights, ACLMASK_ANY) != 0);
	ReleaseSysCache(tuple);
	return has;
}

/* May the caller grant a right on the object, or on a column if it is a table? */
static bool
may_grant(Oid class, Oid object)
{
	return OidIsValid(object) &&
		(has_right(GetUserId(), class, object, ACLITEM_ALL_GOPTION_BITS) ||
		 (class == RelationRelationId &&
		  pg_attribute_aclcheck_all(object, GetUserId(), ACL_GRANT_OPTION_FOR(ACL_ALL_RIGHTS_COLUMN), ACLMASK_ANY) == ACLCHECK_OK));
}

static bool
of_granted(Target *target, Oid class, Oid object)
{
	return may_grant(class, object) && target_of_object(target, class, object);
}

static bool
of_functions(Target *target, ObjectType type, List *functions)
{
	ListCell   *cell;

	foreach(cell, functions)
	{
		if (of_granted(target, ProcedureRelationId, LookupFuncWithArgs(type, lfirst_node(ObjectWithArgs, cell), true)))
			return true;
	}
	return false;
}

static bool
of_tables(Target *target, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (of_granted(target, RelationRelationId, RangeVarGetRelid(lfirst_node(RangeVar, cell), NoLock, true)))
			return true;
	}
	return false;
}

static bool
of_parameters(Target *target, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		const char *name = strVal(lfirst(cell));

		/* Those of other sinks begin with admin_ext_. */
		if (pg_strncasecmp(name, "admin_ext.", strlen("admin_ext.")) == 0 ||
			pg_strncasecmp(name, "admin_ext_", strlen("admin_ext_")) == 0 || insider_stored_setting(name) != NULL)
			return target_found(target, ExtensionRelationId, get_extension_oid("admin_ext", true));
	}
	return false;
}

static bool
of_schemas(Target *target, List *names)
{
	ListCell   *cell;

	foreach(cell, names)
	{
		if (of_granted(target, NamespaceRelationId, get_namespace_oid(strVal(lfirst(cell)), true)))
			return true;
	}
	return false;
}

/* May the caller grant anything on a table or function there? */
static bool
may_grant_in(Oid schema, Oid class)
{
	Relation	catalog = table_open(class, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		may = superuser();

	ScanKeyInit(&key, get_object_attnum_namespace(class), BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(schema));
	scan = systable_beginscan(catalog, InvalidOid, false, NULL, 1, &key);
	while (!may && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool		isnull;

		may = may_grant(class, DatumGetObjectId(heap_getattr(tuple, get_object_attnum_oid(class), RelationGetDescr(catalog), &isnull)));
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return may;
}

static bool
of_all_in_schemas(Target *target, const GrantStmt *statement)
{
	bool		is_table = statement->objtype == OBJECT_TABLE || statement->objtype == OBJECT_SEQUENCE;
	ListCell   *cell;

	foreach(cell, statement->objects)
	{
		Oid			schema = get_namespace_oid(strVal(lfirst(cell)), true);

		if (target_of_object(target, NamespaceRelationId, schema) &&
			may_grant_in(schema, is_table ? RelationRelationId : ProcedureRelationId))
			return true;
	}
	return false;
}

static bool
of_grant(Target *target, const GrantStmt *statement)
{
	if (statement->targtype == ACL_TARGET_ALL_IN_SCHEMA)
		return of_all_in_schemas(target, statement);
	if (statement->targtype != ACL_TARGET_OBJECT)
		return false;
	if (compat_is_parameter(statement->objtype))
		return of_parameters(target, statement->objects);
	switch (statement->objtype)
	{
		case OBJECT_TABLE:
		case OBJECT_SEQUENCE:
			return of_tables(target, statement->objects);
		case OBJECT_FUNCTION:
		case OBJECT_PROCEDURE:
		case OBJECT_ROUTINE:
			return of_functions(target, statement->objtype, statement->objects);
		case OBJECT_SCHEMA:
			return of_schemas(target, statement->objects);
		default:
			return false;
	}
}

static Oid
extension_owner(void)
{
	static const CatalogColumn owner = {ExtensionRelationId, ExtensionOidIndexId, Anum_pg_extension_oid, Anum_pg_extension_extowner};

	return catalog_row_oid(&owner, get_extension_oid("admin_ext", true));
}

/*
 * Do the default privileges cover objects that the extension's owner creates?  Without a list of
 * roles they cover the caller's.
 */
static bool
is_of_owner(const DefElem *roles)
{
	Oid			owner = extension_owner();
	ListCell   *cell;

	if (roles == NULL)
		return GetUserId() == owner;
	foreach(cell, (List *) roles->arg)
	{
		if (get_rolespec_oid(lfirst_node(RoleSpec, cell), true) == owner)
			return true;
	}
	return false;
}

/* May one of the roles create objects in the schema?  Without a list of roles: may the caller? */
static bool
may_make_in(Oid schema, const DefElem *roles)
{
	ListCell   *cell;

	if (roles == NULL)
		return has_right(GetUserId(), NamespaceRelationId, schema, ACL_CREATE);
	foreach(cell, (List *) roles->arg)
	{
		Oid			role = get_rolespec_oid(lfirst_node(RoleSpec, cell), true);

		if (OidIsValid(role) && has_right(role, NamespaceRelationId, schema, ACL_CREATE))
			return true;
	}
	return false;
}

static bool
of_defaults_in(Target *target, const DefElem *schemas, const DefElem *roles)
{
	ListCell   *cell;

	foreach(cell, (List *) schemas->arg)
	{
		Oid			schema = get_namespace_oid(strVal(lfirst(cell)), true);

		if (target_of_object(target, NamespaceRelationId, schema) && may_make_in(schema, roles))
			return true;
	}
	return false;
}

/* Default privileges in our schemas, or in all schemas, which also cover new partitions. */
static bool
of_default_privileges(Target *target, const AlterDefaultPrivilegesStmt *statement)
{
	const DefElem *roles = NULL;
	const DefElem *schemas = NULL;
	ListCell   *cell;

	foreach(cell, statement->options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);

		if (strcmp(option->defname, "schemas") == 0)
			schemas = option;
		if (strcmp(option->defname, "roles") == 0)
			roles = option;
	}
	if (schemas != NULL)
		return of_defaults_in(target, schemas, roles);
	return is_of_owner(roles) && target_found(target, ExtensionRelationId, get_extension_oid("admin_ext", true));
}

static bool
of_roles(Target *target, List *roles)
{
	ListCell   *cell;

	foreach(cell, roles)
	{
		Oid			role = get_rolespec_oid(lfirst_node(RoleSpec, cell), true);

		if (OidIsValid(role) && insider_role_has_ours(role))
			return target_found(target, AuthIdRelationId, role);
	}
	return false;
}

/* Does membership in the role give access to our objects, or to every table or file? */
static bool
of_member_of(Target *target, Oid role)
{
	return OidIsValid(role) && insider_role_reaches_ours(role) && target_found(target, AuthIdRelationId, role);
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

/* CREATE ROLE and ALTER ROLE: does a role become a superuser, or a member of a role with access? */
static bool
of_role_options(Target *target, List *options, Oid role)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst_node(DefElem, cell);
		ListCell   *group;

		if (strcmp(option->defname, "superuser") == 0 && defGetBoolean(option))
			return target_found(target, ExtensionRelationId, get_extension_oid("admin_ext", true));
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

/* The owner of a database may drop it.  ALTER DATABASE gives no other power over the trail. */
static bool
of_owner(Target *target, const AlterOwnerStmt *statement)
{
	return statement->objectType == OBJECT_DATABASE && get_database_oid(strVal(statement->object), true) == MyDatabaseId &&
		target_found(target, DatabaseRelationId, MyDatabaseId);
}

bool
target_of_access(Target *target, Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_GrantRoleStmt:
			return of_membership(target, castNode(GrantRoleStmt, statement));
		case T_CreateRoleStmt:
			return of_role_options(target, castNode(CreateRoleStmt, statement)->options, InvalidOid);
		case T_AlterRoleStmt:
			return of_role_options(target, castNode(AlterRoleStmt, statement)->options,
								   get_rolespec_oid(castNode(AlterRoleStmt, statement)->role, true));
		case T_GrantStmt:
			return of_grant(target, castNode(GrantStmt, statement));
		case T_AlterDefaultPrivilegesStmt:
			return of_default_privileges(target, castNode(AlterDefaultPrivilegesStmt, statement));
		case T_AlterOwnerStmt:
			return of_owner(target, castNode(AlterOwnerStmt, statement));
		case T_DropOwnedStmt:
			return of_roles(target, castNode(DropOwnedStmt, statement)->roles);
		case T_ReassignOwnedStmt:
			return of_roles(target, castNode(ReassignOwnedStmt, statement)->roles);
		default:
			return false;
	}
}
