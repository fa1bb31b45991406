/*
 * audit_highest.c
 *	  See audit_highest.h.
 *
 * Each partition is asked by the end of its primary key.  A statement on the whole trail would wait
 * for a month that somebody has locked, and lock each month and its indexes until the caller's
 * transaction ends.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/audit_table.h"
#include "audit/audit_highest.h"
#include "compat.h"
#include "layout.h"
#include "relations.h"

/* Locks and opens a relation, if it is there and nobody has it locked until then. */
static Relation
highest_try_open(Oid oid, TimestampTz until)
{
	Relation	relation;

	while (!ConditionalLockRelationOid(oid, AccessShareLock))
	{
		if (GetCurrentTimestamp() >= until)
			return NULL;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(1000);
	}
	relation = try_relation_open(oid, NoLock);
	if (relation == NULL)
		UnlockRelationOid(oid, AccessShareLock);
	return relation;
}

/* Does the index end with the highest number?  One of some rows alone may lack it. */
static bool
highest_index_fits(Relation index, Relation partition)
{
	static const AttrNumber column = AUDIT_ID;

	return layout_index_fits(index, partition, &column, 1, 1) &&
		(index->rd_indoption[0] & INDOPTION_DESC) == 0 && RelationGetIndexPredicate(index) == NIL;
}

static Relation
highest_open_index(Relation partition, TimestampTz until)
{
	List	   *oids = RelationGetIndexList(partition);
	ListCell   *cell;

	foreach(cell, oids)
	{
		Relation	index = highest_try_open(lfirst_oid(cell), until);

		if (index == NULL)
			continue;
		if (highest_index_fits(index, partition))
			return index;
		relation_close(index, AccessShareLock);
	}
	return NULL;
}

/* The last entry, whoever wrote the row: a prepared transaction may commit after a restart. */
static int64
highest_of_index(Relation partition, Relation index)
{
	TupleTableSlot *slot = table_slot_create(partition, NULL);
	IndexScanDesc scan = compat_index_beginscan(partition, index, SnapshotAny, 0);
	int64		highest = 0;
	bool		isnull;

	index_rescan(scan, NULL, 0, NULL, 0);
	if (index_getnext_slot(scan, BackwardScanDirection, slot))
		highest = DatumGetInt64(slot_getattr(slot, AUDIT_ID, &isnull));
	index_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	return highest;
}

static bool
highest_of_partition(Relation parent, Oid oid, TimestampTz until, int64 *highest)
{
	Relation	partition = highest_try_open(oid, until);
	Relation	index = NULL;
	bool		is_empty;

	if (partition == NULL)
		return false;
	is_empty = audit_has_layout(parent, partition) && RelationGetNumberOfBlocks(partition) == 0;
	if (!is_empty && audit_has_layout(parent, partition))
		index = highest_open_index(partition, until);
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
