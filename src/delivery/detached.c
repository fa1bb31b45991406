/*
 * detached.c
 *	  See detached.h.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "audit/audit_append.h"
#include "delivery/detached.h"
#include "relations.h"

/* As admin.audit_partition_name() begins them. */
#define MONTH_PREFIX	"audit_y"

static bool
is_detached_month(Form_pg_class class, Oid schema)
{
	return class->relnamespace == schema && class->relkind == RELKIND_RELATION &&
		!class->relispartition && class->relnatts == AUDIT_COLUMNS;
}

List *
detached_months(void)
{
	Relation	catalog = table_open(RelationRelationId, AccessShareLock);
	Oid			schema = get_rel_namespace(admin_relations()->audit);
	List	   *found = NIL;
	NameData	prefix;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	namestrcpy(&prefix, MONTH_PREFIX);
	ScanKeyInit(&key, Anum_pg_class_relname, BTGreaterEqualStrategyNumber, F_NAMEGE, NameGetDatum(&prefix));
	scan = systable_beginscan(catalog, ClassNameNspIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class class = (Form_pg_class) GETSTRUCT(tuple);

		/* Names are in order. */
		if (strncmp(NameStr(class->relname), MONTH_PREFIX, strlen(MONTH_PREFIX)) != 0)
			break;
		if (is_detached_month(class, schema))
			found = lappend_oid(found, class->oid);
	}
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return found;
}
