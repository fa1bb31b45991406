/*
 * audit_highest.c
 *	  See audit_highest.h.
 *
 * Reads the last entry of each partition's index on audit_id.  A query on the whole trail would
 * wait for a partition that another session has locked.  It would also lock every partition and its
 * indexes until the caller's transaction ends.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/audit_highest.h"
#include "audit/audit_index.h"
#include "audit/audit_table.h"
#include "compat.h"
#include "relations.h"

/* The highest entry, also of an uncommitted row: a prepared transaction may commit after a restart. */
static int64
highest_of_index(Relation partition, Relation index)
{
	TupleTableSlot *slot = table_slot_create(partition, NULL);
	IndexScanDesc scan = compat_index_beginscan(partition, index, SnapshotAny, 0);
	int64		highest = 0;
	bool		isnull;

	index_rescan(scan, NULL, 0, NULL, 0);
	if (index_getnext_slot(scan, audit_index_direction(index, false), slot))
		highest = DatumGetInt64(slot_getattr(slot, AUDIT_ID, &isnull));
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return highest;
}

static bool
highest_of_partition(Relation parent, Oid oid, TimestampTz until, int64 *highest)
{
	static const AttrNumber column = AUDIT_ID;
	Relation	partition = audit_try_open(oid, until);
	Relation	index = NULL;
	bool		is_empty;

	if (partition == NULL)
		return false;
	is_empty = audit_has_layout(parent, partition) && RelationGetNumberOfBlocks(partition) == 0;
	if (!is_empty && audit_has_layout(parent, partition))
		index = audit_index_open(partition, &column, 1, until);
	if (index != NULL)
	{
		*highest = Max(*highest, highest_of_index(partition, index));
		relation_close(index, AccessShareLock);
	}
	relation_close(partition, AccessShareLock);
	return is_empty || index != NULL;
}

int64
audit_highest(bool *is_certain)
{
	TimestampTz until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), AUDIT_HIGHEST_WAIT_MS);
	Relation	parent = admin_relation_open(&admin_relations()->audit, AccessShareLock);
	PartitionDesc partitions = RelationGetPartitionDesc(parent, false);
	int64		highest = 0;

	*is_certain = true;
	for (int i = 0; i < partitions->nparts; i++)
	{
		if (!highest_of_partition(parent, partitions->oids[i], until, &highest))
			*is_certain = false;
	}
	relation_close(parent, NoLock);
	return highest;
}
