/*
 * window.c
 *	  Collects the keys of a window, and reads the rows they stand for.
 *
 * The cost depends on the window: the range part is one stretch of each partition's index on (xid,
 * audit_id), and the late part is one probe for each transaction that was in progress at the first
 * tick.  Every partition is read, because a selection by recorded_at would lose rows when a clock
 * steps back.  Locks: AccessShareLock on the partitions, to the end of the transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "audit/audit_index.h"
#include "compat.h"
#include "delivery/detached.h"
#include "delivery/window.h"
#include "relations.h"

typedef enum Purpose
{
	PROBE,						/* is there one? */
	COUNT,
	COLLECT
} Purpose;

typedef struct Collector
{
	Purpose		purpose;
	const TickSnapshot *to;		/* NULL: whatever the transaction */
	int64		above;
	int64		cutoff;			/* enough lower keys are known */
	WindowKeys *keys;
	uint16		partition;		/* that is being read */
	bool		only_visible;	/* skips rows that were rolled back */
} Collector;

#define ST_SORT sort_keys
#define ST_ELEMENT_TYPE AuditKey
#define ST_COMPARE(a, b) (((a)->audit_id > (b)->audit_id) - ((a)->audit_id < (b)->audit_id))
#define ST_SCOPE static
#define ST_DEFINE
#define ST_CHECK_FOR_INTERRUPTS
#include "lib/sort_template.h"

static void
window_keep(Collector *collector, int64 audit_id, ItemPointer tid)
{
	WindowKeys *keys = collector->keys;
	AuditKey   *key;

	if (keys->count == keys->capacity)
	{
		if (keys->capacity < 2 * WINDOW_KEYS)
		{
			keys->capacity *= 2;
			keys->keys = repalloc_huge(keys->keys, keys->capacity * sizeof(AuditKey));
		}
		else
		{
			/* The index is almost in order of audit_id: few keys pass once there is a cutoff. */
			sort_keys(keys->keys, keys->count);
			keys->count = WINDOW_KEYS;
			keys->complete = false;
			collector->cutoff = keys->keys[WINDOW_KEYS - 1].audit_id;
			if (audit_id > collector->cutoff)
				return;
		}
	}
	key = &keys->keys[keys->count++];
	key->audit_id = audit_id;
	key->tid = *tid;
	key->partition = collector->partition;
}

/* Takes one index entry; true when that is enough. */
static bool
window_take(Collector *collector, int64 audit_id, uint64 xid, ItemPointer tid)
{
	WindowKeys *keys = collector->keys;

	if (audit_id <= collector->above)
		return false;
	if (collector->to != NULL && !tick_sees(collector->to, xid))
		return false;
	keys->total++;
	if (keys->lowest == 0 || audit_id < keys->lowest)
		keys->lowest = audit_id;
	if (collector->purpose == COLLECT && audit_id <= collector->cutoff)
		window_keep(collector, audit_id, tid);
	return collector->purpose == PROBE;
}

/*
 * Fetches a row that a superuser has changed by bypassing the guards.  Its index entry leads to an
 * old version; the new version is on the same page.  Without this the row would count as rolled
 * back, and would never be delivered.
 */
static bool
fetch_changed(Relation heap, const ItemPointerData *tid, TupleTableSlot *slot)
{
	ItemPointerData at = *tid;
	IndexFetchTableData *chain = table_index_fetch_begin(heap);
	bool		has_more = false;
	bool		found = table_index_fetch_tuple(chain, &at, SnapshotSelf, slot, &has_more, NULL);

	table_index_fetch_end(chain);
	return found;
}

/*
 * Fetches the row as it is now.  The transaction's snapshot may be older than its lock on the
 * table, so it does not see a row that was rewritten meanwhile, by pg_repack for example.
 */
static bool
window_fetch(Relation heap, const ItemPointerData *tid, TupleTableSlot *slot)
{
	ItemPointerData at = *tid;

	return table_tuple_fetch_row_version(heap, &at, SnapshotSelf, slot) || fetch_changed(heap, tid, slot);
}

static bool
window_row_is_visible(Relation heap, const ItemPointerData *tid)
{
	TupleTableSlot *slot = table_slot_create(heap, NULL);
	bool		visible = window_fetch(heap, tid, slot);

	ExecDropSingleTupleTableSlot(slot);
	return visible;
}

/* Index entries only: the heap is not looked at, unless the collector wants visible rows. */
static bool
window_scan(Collector *collector, Relation heap, Relation index, ScanKey scan_keys, int count, bool by_xid)
{
	IndexScanDesc desc = compat_index_beginscan(heap, index, GetActiveSnapshot(), count);
	ScanDirection direction = audit_index_direction(index, true);
	ItemPointer tid;
	bool		enough = false;
	uint32		seen = 0;

	desc->xs_want_itup = true;
	index_rescan(desc, scan_keys, count, NULL, 0);
	while (!enough && (tid = index_getnext_tid(desc, direction)) != NULL)
	{
		bool		isnull;
		Datum		first = index_getattr(desc->xs_itup, 1, desc->xs_itupdesc, &isnull);

		if (by_xid)
		{
			Datum		second = index_getattr(desc->xs_itup, 2, desc->xs_itupdesc, &isnull);

			enough = window_take(collector, DatumGetInt64(second),
								 U64FromFullTransactionId(DatumGetFullTransactionId(first)), tid);
		}
		else
			enough = window_take(collector, DatumGetInt64(first), 0, tid);
		if (enough && collector->only_visible)
			enough = window_row_is_visible(heap, tid);
		if ((++seen & 1023) == 0)
			CHECK_FOR_INTERRUPTS();
	}
	index_endscan(desc);
	return enough;
}

static Datum
xid_datum(uint64 xid)
{
	return FullTransactionIdGetDatum(FullTransactionIdFromU64(xid));
}

static const AttrNumber xid_columns[] = {AUDIT_XID, AUDIT_ID};
static const AttrNumber id_columns[] = {AUDIT_ID};

static Relation
window_open_index(Relation partition, const AttrNumber *columns, int count)
{
	Relation	index = audit_index_open(partition, columns, count, DT_NOEND);

	if (index == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" of admin.audit lacks an index that delivery reads by",
						RelationGetRelationName(partition)),
				 errhint("Call admin.create_audit_partitions().")));
	return index;
}

static bool
scan_window(Collector *collector, const Window *window, Relation partition)
{
	Relation	index = window_open_index(partition, xid_columns, lengthof(xid_columns));
	bool		enough = false;
	ScanKeyData range[2];

	ScanKeyInit(&range[0], 1, BTGreaterEqualStrategyNumber, F_XID8GE, xid_datum(window->from->xmax));
	ScanKeyInit(&range[1], 1, BTLessStrategyNumber, F_XID8LT, xid_datum(window->to->xmax));
	if (window->from->xmax < window->to->xmax)
		enough = window_scan(collector, partition, index, range, 2, true);
	for (int i = 0; i < window->from->count && !enough; i++)
	{
		uint64		late = window->from->in_progress[i];

		if (!tick_sees(window->to, late))
			continue;
		ScanKeyInit(&range[0], 1, BTEqualStrategyNumber, F_XID8EQ, xid_datum(late));
		enough = window_scan(collector, partition, index, range, 1, true);
	}
	index_close(index, NoLock);
	return enough;
}

static bool
scan_range(Collector *collector, int64 first, int64 last, Relation partition)
{
	Relation	index = window_open_index(partition, id_columns, lengthof(id_columns));
	ScanKeyData range[2];
	bool		enough;

	ScanKeyInit(&range[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(first));
	ScanKeyInit(&range[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(last));
	enough = window_scan(collector, partition, index, range, 2, false);
	index_close(index, NoLock);
	return enough;
}

static bool
has_index(Relation month, const AttrNumber *columns, int count)
{
	Relation	index = audit_index_open(month, columns, count, DT_NOEND);

	if (index != NULL)
		index_close(index, AccessShareLock);
	return index != NULL;
}

/* Does a detached month have the columns and indexes that show which of its rows are delivered? */
static bool
is_readable(Relation trail, Relation month)
{
	return audit_has_layout(trail, month) &&
		has_index(month, xid_columns, lengthof(xid_columns)) && has_index(month, id_columns, lengthof(id_columns));
}

static void
refuse_detached(Relation month, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table \"%s\" was detached from admin.audit, and %s", RelationGetRelationName(month), detail),
			 errhint("Attach it again with ALTER TABLE admin.audit ATTACH PARTITION. If its rows are not to be delivered, drop its trigger audit_append_only_statement.")));
}

/*
 * Detaching a month takes its rows out of the trail.  Delivery must not go past them: they would
 * not be sent when the month is attached again.  While the trail is locked, no month can be
 * detached.
 */
static void
refuse_detached_rows(Relation trail, const List *partitions, const Window *window, int64 first, int64 last)
{
	ListCell   *cell;

	foreach(cell, detached_months(partitions))
	{
		Oid			oid = lfirst_oid(cell);
		Relation	month;
		WindowKeys	found = {0};
		Collector	collector = {PROBE, window ? window->to : NULL, window ? window->above : 0,
		PG_INT64_MAX, &found, 0, true};

		/*
		 * A session that attaches it has locked it, and waits for the default partition, which we
		 * have locked.
		 */
		if (!ConditionalLockRelationOid(oid, AccessShareLock))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("a table that was detached from admin.audit is locked")));
		month = try_relation_open(oid, NoLock);
		if (month == NULL)
			continue;
		if (!is_readable(trail, month))
			refuse_detached(month, "has other columns or indexes than it had: which of its rows are delivered cannot be told");
		if (window ? scan_window(&collector, window, month) : scan_range(&collector, first, last, month))
			refuse_detached(month, "holds rows that are not delivered");
		relation_close(month, AccessShareLock);
	}
}

static void
reset_keys(WindowKeys *keys, Purpose purpose)
{
	keys->count = 0;
	keys->total = 0;
	keys->lowest = 0;
	keys->complete = true;
	keys->partition_count = 0;
	if (purpose == COLLECT && keys->keys == NULL)
	{
		keys->capacity = 1024;
		keys->keys = MemoryContextAlloc(keys->context, keys->capacity * sizeof(AuditKey));
	}
}

/* Reads every partition; with a window by xid, else by audit_id from first to last. */
static void
collect_rows(Purpose purpose, const Window *window, int64 first, int64 last, WindowKeys *keys)
{
	/* The parent first, as DDL on a partition locks them. */
	Relation	parent = admin_relation_open(&admin_relations()->audit, AccessShareLock);
	List	   *children = find_inheritance_children(RelationGetRelid(parent), AccessShareLock);
	Collector	collector = {purpose, window ? window->to : NULL, window ? window->above : 0,
	PG_INT64_MAX, keys, 0, false};
	bool		enough = false;
	ListCell   *cell;

	refuse_detached_rows(parent, children, window, first, last);
	reset_keys(keys, purpose);
	if (purpose == COLLECT)
	{
		if (keys->partitions)
			pfree(keys->partitions);
		keys->partitions = MemoryContextAlloc(keys->context,
											  (list_length(children) + 1) * sizeof(AuditPartition));
	}
	foreach(cell, children)
	{
		Relation	partition = table_open(lfirst_oid(cell), NoLock);

		audit_check_layout(parent, partition);
		if (purpose == COLLECT)
		{
			keys->partitions[keys->partition_count].oid = RelationGetRelid(partition);
			keys->partitions[keys->partition_count].filenode = partition->rd_rel->relfilenode;
			keys->partition_count++;
		}
		enough = window ? scan_window(&collector, window, partition) :
			scan_range(&collector, first, last, partition);
		table_close(partition, NoLock);
		if (enough)
			break;
		collector.partition++;
	}
	table_close(parent, NoLock);
	if (purpose == COLLECT)
	{
		sort_keys(keys->keys, keys->count);
		if (keys->count > WINDOW_KEYS)
		{
			keys->count = WINDOW_KEYS;
			keys->complete = false;
		}
	}
}

bool
window_has_rows(const Window *window)
{
	WindowKeys	keys = {0};

	collect_rows(PROBE, window, 0, 0, &keys);
	return keys.total > 0;
}

void
window_count(const Window *window, WindowKeys *keys)
{
	collect_rows(COUNT, window, 0, 0, keys);
}

void
window_collect(const Window *window, WindowKeys *keys)
{
	collect_rows(COLLECT, window, 0, 0, keys);
}

void
window_collect_backfill(int64 first, int64 last, WindowKeys *keys)
{
	collect_rows(COLLECT, NULL, first, last, keys);
}

void
window_count_backfill(int64 first, int64 last, WindowKeys *keys)
{
	collect_rows(COUNT, NULL, first, last, keys);
}

struct AuditReader
{
	const WindowKeys *keys;
	Relation   *relations;		/* as far as they have been needed */
	TupleTableSlot **slots;
};

AuditReader *
audit_reader_open(const WindowKeys *keys)
{
	AuditReader *reader = palloc(sizeof(AuditReader));

	reader->keys = keys;
	reader->relations = palloc0(keys->partition_count * sizeof(Relation));
	reader->slots = palloc0(keys->partition_count * sizeof(TupleTableSlot *));
	return reader;
}

static void
window_open_partition(AuditReader *reader, int i)
{
	const AuditPartition *partition = &reader->keys->partitions[i];
	Relation	relation = table_open(partition->oid, AccessShareLock);

	if (relation->rd_rel->relfilenode != partition->filenode)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("partition \"%s\" of admin.audit was rewritten while it was being delivered",
						RelationGetRelationName(relation))));
	reader->relations[i] = relation;
	reader->slots[i] = table_slot_create(relation, NULL);
}

/*
 * A key without a row was rolled back: its transaction had ended by the tick, and rows of the trail
 * are never deleted.  Or a superuser has changed the row, and another key leads to it.  Vacuum may
 * have reused its place for another row, so the audit_id is compared.
 */
bool
audit_reader_fetch(AuditReader *reader, const AuditKey *key, TupleTableSlot **slot)
{
	int			i = key->partition;

	if (reader->relations[i] == NULL)
		window_open_partition(reader, i);
	*slot = reader->slots[i];
	if (!window_fetch(reader->relations[i], &key->tid, *slot))
		return false;
	slot_getsomeattrs(*slot, AUDIT_COLUMNS);
	return DatumGetInt64((*slot)->tts_values[AUDIT_ID - 1]) == key->audit_id;
}

void
audit_reader_close(AuditReader *reader)
{
	for (int i = 0; i < reader->keys->partition_count; i++)
	{
		if (reader->relations[i] == NULL)
			continue;
		ExecDropSingleTupleTableSlot(reader->slots[i]);
		table_close(reader->relations[i], NoLock);
	}
	pfree(reader);
}
