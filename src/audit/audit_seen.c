/*
 * audit_seen.c
 *	  See audit_seen.h.
 *
 * Partitions are opened when they are first asked, and their scans kept from event to event.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit/audit_seen.h"
#include "audit/audit_table.h"
#include "audit/row_plan.h"
#include "compat.h"
#include "layout.h"
#include "relations.h"

#define KEYS 2					/* source, source_event_id */

typedef struct Partition
{
	Oid			oid;
	TimestampTz end;			/* it has no row recorded at or after this */
	bool		is_empty;		/* known once the heap is open */
	Relation	heap;			/* NULL: not asked yet */
	Relation	index;
	IndexScanDesc scan;
	TupleTableSlot *slot;
} Partition;

struct AuditSeen
{
	Relation	parent;
	Oid			growing;
	int			count;
	Partition	partitions[FLEXIBLE_ARRAY_MEMBER];
};

static void
add_partition(AuditSeen *seen, Oid oid, TimestampTz end)
{
	Partition  *partition = &seen->partitions[seen->count++];

	memset(partition, 0, sizeof(*partition));
	partition->oid = oid;
	partition->end = end;
}

AuditSeen *
audit_seen_open(Oid growing)
{
	Relation	parent = admin_relation_open(&admin_relations()->audit, RowExclusiveLock);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	AuditSeen  *seen = palloc(offsetof(AuditSeen, partitions) + (desc->nparts + 1) * sizeof(Partition));
	PartitionBoundInfo bounds = desc->boundinfo;

	seen->parent = parent;
	seen->growing = growing;
	seen->count = 0;

	/* indexes[i] is the partition below bound i, or -1.  No partition is below the lowest one. */
	for (int i = 1; desc->nparts > 0 && i < bounds->ndatums; i++)
	{
		bool		is_bounded = bounds->kind[i][0] == PARTITION_RANGE_DATUM_VALUE;

		if (bounds->indexes[i] >= 0)
			add_partition(seen, desc->oids[bounds->indexes[i]],
						  is_bounded ? DatumGetTimestampTz(bounds->datums[i][0]) : DT_NOEND);
	}
	if (desc->nparts > 0 && bounds->default_index >= 0)
		add_partition(seen, desc->oids[bounds->default_index], DT_NOEND);
	return seen;
}

static bool
is_wanted(Relation index, Relation heap)
{
	static const AttrNumber columns[KEYS] = {AUDIT_SOURCE, AUDIT_SOURCE_EVENT_ID};
	RowIndex	partial;

	return index->rd_index->indisunique && index->rd_index->indnkeyatts == KEYS &&
		layout_index_fits(index, heap, columns, KEYS, KEYS) &&
		index->rd_indcollation[0] == C_COLLATION_OID && index->rd_indcollation[1] == C_COLLATION_OID &&
		row_plan_read_predicate(index, &partial) && partial.set_column == AUDIT_SOURCE_EVENT_ID;
}

static Relation
seen_open_index(Relation heap)
{
	List	   *oids = RelationGetIndexList(heap);
	ListCell   *cell;

	foreach(cell, oids)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		if (is_wanted(index, heap))
			return index;
		index_close(index, AccessShareLock);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("partition \"%s\" of admin.audit lacks its index of ingested events", RelationGetRelationName(heap)),
			 errhint("Call admin.create_audit_partitions(), which gives each partition the indexes that it needs.")));
	return NULL;
}

/* SnapshotSelf shows rows committed so far and those of this command.  Rows are never removed. */
static void
seen_open_partition(AuditSeen *seen, Partition *partition)
{
	partition->heap = table_open(partition->oid, RowExclusiveLock);
	audit_check_layout(seen->parent, partition->heap);
	partition->is_empty = partition->oid != seen->growing && RelationGetNumberOfBlocks(partition->heap) == 0;
	if (partition->is_empty)
		return;
	partition->index = seen_open_index(partition->heap);
	partition->slot = table_slot_create(partition->heap, NULL);
	partition->scan = compat_index_beginscan(partition->heap, partition->index, SnapshotSelf, KEYS);
}

static bool
is_in(Partition *partition, const text *source, const text *source_event_id)
{
	Oid		   *collations = partition->index->rd_indcollation;
	ScanKeyData keys[KEYS];

	ScanKeyEntryInitialize(&keys[0], 0, 1, BTEqualStrategyNumber, TEXTOID, collations[0], F_TEXTEQ,
						   PointerGetDatum(source));
	ScanKeyEntryInitialize(&keys[1], 0, 2, BTEqualStrategyNumber, TEXTOID, collations[1], F_TEXTEQ,
						   PointerGetDatum(source_event_id));
	index_rescan(partition->scan, keys, KEYS, NULL, 0);
	return index_getnext_slot(partition->scan, ForwardScanDirection, partition->slot);
}

TupleTableSlot *
audit_seen(AuditSeen *seen, const text *source, const text *source_event_id, TimestampTz since)
{
	/* Search the newest partition first: most repeated events are found there. */
	for (int i = seen->count - 1; i >= 0; i--)
	{
		Partition  *partition = &seen->partitions[i];

		if (partition->end <= since)
			continue;
		if (partition->heap == NULL)
			seen_open_partition(seen, partition);
		if (!partition->is_empty && is_in(partition, source, source_event_id))
			return partition->slot;
	}
	return NULL;
}

void
audit_seen_close(AuditSeen *seen)
{
	for (int i = 0; i < seen->count; i++)
	{
		Partition  *partition = &seen->partitions[i];

		if (partition->heap == NULL)
			continue;
		if (!partition->is_empty)
		{
			index_endscan(partition->scan);
			ExecDropSingleTupleTableSlot(partition->slot);
			index_close(partition->index, NoLock);
		}
		table_close(partition->heap, NoLock);
	}
	table_close(seen->parent, NoLock);
	pfree(seen);
}
