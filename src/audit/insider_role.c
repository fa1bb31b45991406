/*
 * insider_role.c
 *	  Whether a role has access to what guards the trail, by itself or through another one.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_shdepend.h"
#include "miscadmin.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/syscache.h"

#include "audit/insider.h"

/* Whether a role owns one of our objects or has privileges on one. */
bool
insider_role_has_ours(Oid role)
{
	Relation	catalog = table_open(SharedDependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		has_ours = false;

	ScanKeyInit(&keys[0], Anum_pg_shdepend_refclassid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(AuthIdRelationId));
	ScanKeyInit(&keys[1], Anum_pg_shdepend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(role));
	scan = systable_beginscan(catalog, SharedDependReferenceIndexId, true, NULL, 2, keys);
	while (!has_ours && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_shdepend form = (Form_pg_shdepend) GETSTRUCT(tuple);

		has_ours = form->dbid == MyDatabaseId && insider_owns(form->classid, form->objid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return has_ours;
}

static bool
reaches_everything(Oid role)
{
	return superuser_arg(role) || role == ROLE_PG_WRITE_ALL_DATA || role == ROLE_PG_WRITE_SERVER_FILES ||
		role == ROLE_PG_EXECUTE_SERVER_PROGRAM;
}

/* The list grows during the loop, because memberships of memberships are added. */
bool
insider_role_reaches_ours(Oid role)
{
	List	   *roles = list_make1_oid(role);
	ListCell   *cell;

	foreach(cell, roles)
	{
		Oid			each = lfirst_oid(cell);
		CatCList   *groups;

		if (reaches_everything(each) || insider_role_has_ours(each))
			return true;
		groups = SearchSysCacheList1(AUTHMEMMEMROLE, ObjectIdGetDatum(each));
		for (int i = 0; i < groups->n_members; i++)
			roles = list_append_unique_oid(roles, ((Form_pg_auth_members) GETSTRUCT(&groups->members[i]->tuple))->roleid);
		ReleaseSysCacheList(groups);
	}
	return false;
}
