/*
 * audit_table.c
 *	  See audit_table.h.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "audit/audit_table.h"
#include "layout.h"

const Oid	audit_types[AUDIT_COLUMNS] = {AUDIT_COLUMN_TYPES};

/*
 * A partition that a user has attached may have its columns in another order, or be a foreign
 * table, and a user may alter the type of a column.  Such a partition is refused, so that no value
 * goes into a wrong column.
 */
bool
audit_has_layout(Relation parent, Relation partition)
{
	return layout_fits_partition(parent, partition, audit_types, AUDIT_COLUMNS);
}

void
audit_check_layout(Relation parent, Relation partition)
{
	if (!audit_has_layout(parent, partition))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" of admin.audit cannot take a row",
						RelationGetRelationName(partition)),
				 errdetail("A partition has to be an ordinary table with the %d columns that admin_ext gives the trail, in their order.",
						   AUDIT_COLUMNS),
				 errhint("Make partitions with admin.create_audit_partitions().")));
}

/* Looks up this one name, so that other renamed tables of the extension do not hide the trail. */
Oid
audit_trail(void)
{
	Oid			schema = get_namespace_oid("admin", true);
	Oid			trail = OidIsValid(schema) ? get_relname_relid("audit", schema) : InvalidOid;

	return OidIsValid(trail) && OidIsValid(get_extension_oid("admin_ext", true)) ? trail : InvalidOid;
}

bool
audit_is_trail(Oid relation)
{
	Oid			trail = audit_trail();

	return OidIsValid(trail) &&
		(relation == trail || (get_rel_relispartition(relation) && get_partition_parent(relation, true) == trail));
}
