/*
 * audit_append.c
 *	  The one place where the extension writes to its trail.
 *
 * The row goes straight into its partition and that partition's indexes, without
 * planner, executor or trigger: a check has its row for less than a prepared INSERT.
 * What the table's constraints and triggers would say holds by construction.
 * Locks: RowExclusiveLock on parent and partition, to the end of the transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"
#include "partitioning/partbounds.h"
#include "partitioning/partdesc.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "audit/audit_append.h"
#include "compat.h"
#include "relations.h"

#define OWN_SOURCE	"admin_ext"

void		(*audit_appended_hook) (void) = NULL;

int64
audit_draw_id(void)
{
	const AdminRelations *relations = admin_relations();

	/* The table first: who has it locked against writers finds no number drawn and not yet used. */
	LockRelationOid(relations->audit, RowExclusiveLock);
	/* Whoever may call the function that records need not own the sequence. */
	return nextval_internal(relations->audit_sequence, false);
}

/* The partition for an instant: its month's, else the default one, which the extension owns. */
static Oid
route(Relation parent, TimestampTz recorded_at)
{
	PartitionKey key = RelationGetPartitionKey(parent);
	PartitionDesc desc = RelationGetPartitionDesc(parent, true);
	Datum		value = TimestampTzGetDatum(recorded_at);
	bool		is_equal;
	int			bound;
	int			part = -1;

	if (desc->nparts > 0)
	{
		bound = partition_range_datum_bsearch(key->partsupfunc, key->partcollation,
											  desc->boundinfo, 1, &value, &is_equal);
		part = desc->boundinfo->indexes[bound + 1];
		if (part < 0)
			part = desc->boundinfo->default_index;
	}
	if (part < 0 || !desc->is_leaf[part])
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("admin.audit has no partition to take a row"),
				 errhint("Attach admin.audit_default again as its default partition.")));
	return desc->oids[part];
}

/*
 * A partition made elsewhere could have its columns in another order, or be no table of
 * this server: refuse it, never misplace a row.
 */
void
audit_check_layout(Relation parent, Relation partition)
{
	TupleDesc	a = RelationGetDescr(parent);
	TupleDesc	b = RelationGetDescr(partition);
	bool		same = a->natts == AUDIT_COLUMNS && b->natts == AUDIT_COLUMNS &&
		partition->rd_rel->relkind == RELKIND_RELATION;

	for (int i = 0; i < a->natts && same; i++)
		same = namestrcmp(&TupleDescAttr(a, i)->attname,
						  NameStr(TupleDescAttr(b, i)->attname)) == 0;
	if (!same)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" of admin.audit cannot take a row",
						RelationGetRelationName(partition)),
				 errdetail("A partition has to be an ordinary table with the %d columns of the trail, in their order.",
						   AUDIT_COLUMNS),
				 errhint("Make partitions with admin.create_audit_partitions().")));
}

/* Anything a user may have added to a partition: expressions, other access methods. */
static void
insert_by_executor(Relation partition, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	InitResultRelInfo(result, partition, 1, NULL, 0);
	ExecOpenIndices(result, false);
	table_tuple_insert(partition, slot, GetCurrentCommandId(true), 0, NULL);
	if (result->ri_NumIndices > 0)
		list_free(compat_insert_index_tuples(result, slot, estate));
	ExecCloseIndices(result);
	FreeExecutorState(estate);
}

/* Which column has to be set for a row to be in this index; 0: none, -1: another predicate. */
static int
required_column(Relation index)
{
	List	   *predicate = RelationGetIndexPredicate(index);
	NullTest   *test;

	if (predicate == NIL)
		return 0;
	test = linitial(predicate);
	if (list_length(predicate) != 1 || !IsA(test, NullTest) || test->nulltesttype != IS_NOT_NULL ||
		!IsA(test->arg, Var))
		return -1;
	return ((Var *) test->arg)->varattno;
}

/*
 * A btree on plain columns, whose uniqueness, if any, is checked at once; then *required is
 * the column that has to be set for a row to be in it, or 0.
 */
static bool
is_plain(Relation index, int *required)
{
	Form_pg_index form = index->rd_index;

	if (index->rd_rel->relam != BTREE_AM_OID || !form->indisready || !form->indimmediate ||
		form->indisexclusion || form->indnatts != form->indnkeyatts || (*required = required_column(index)) < 0)
		return false;
	for (int i = 0; i < form->indnatts; i++)
	{
		if (form->indkey.values[i] <= 0)
			return false;
	}
	return true;
}

static void
insert_index_entry(Relation partition, Relation index, int required, TupleTableSlot *slot)
{
	Form_pg_index form = index->rd_index;
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];
	IndexInfo	info = {.type = T_IndexInfo};

	if (required > 0 && slot->tts_isnull[required - 1])
		return;
	for (int i = 0; i < form->indnatts; i++)
	{
		values[i] = slot->tts_values[form->indkey.values[i] - 1];
		nulls[i] = slot->tts_isnull[form->indkey.values[i] - 1];
	}
	info.ii_NumIndexAttrs = info.ii_NumIndexKeyAttrs = form->indnatts;
	info.ii_Unique = form->indisunique;
	info.ii_ReadyForInserts = true;
	info.ii_Context = CurrentMemoryContext;
	index_insert(index, values, nulls, &slot->tts_tid, partition,
				 form->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, &info);
}

/* The partition's own four indexes are plain; setting up the executor for them costs more than they do. */
static void
insert_row(Relation partition, TupleTableSlot *slot)
{
	List	   *oids = RelationGetIndexList(partition);
	Relation   *indexes = palloc((list_length(oids) + 1) * sizeof(Relation));
	int		   *required = palloc((list_length(oids) + 1) * sizeof(int));
	bool		all_plain = true;
	int			count = 0;
	ListCell   *cell;

	foreach(cell, oids)
	{
		indexes[count] = index_open(lfirst_oid(cell), RowExclusiveLock);
		all_plain = all_plain && is_plain(indexes[count], &required[count]);
		count++;
	}
	if (all_plain)
	{
		table_tuple_insert(partition, slot, GetCurrentCommandId(true), 0, NULL);
		for (int i = 0; i < count; i++)
			insert_index_entry(partition, indexes[i], required[i], slot);
	}
	else
		insert_by_executor(partition, slot);
	for (int i = 0; i < count; i++)
		index_close(indexes[i], RowExclusiveLock);
	list_free(oids);
	pfree(required);
	pfree(indexes);
}

static void
set_text(TupleTableSlot *slot, int column, const text *value)
{
	slot->tts_values[column - 1] = PointerGetDatum(value);
	slot->tts_isnull[column - 1] = value == NULL;
}

static void
fill(TupleTableSlot *slot, const AuditEvent *event)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, 0, AUDIT_COLUMNS * sizeof(bool));
	slot->tts_values[AUDIT_ID - 1] = Int64GetDatum(event->audit_id);
	slot->tts_values[AUDIT_XID - 1] = FullTransactionIdGetDatum(GetTopFullTransactionId());
	slot->tts_values[AUDIT_RECORDED_AT - 1] = TimestampTzGetDatum(event->recorded_at);
	slot->tts_values[AUDIT_OCCURRED_AT - 1] = TimestampTzGetDatum(event->occurred_at);
	slot->tts_values[AUDIT_EVENT_TYPE - 1] = CStringGetTextDatum(event->event_type);
	set_text(slot, AUDIT_APPROVAL_ID, event->approval_id);
	set_text(slot, AUDIT_ACTOR, event->actor);
	set_text(slot, AUDIT_SOURCE, event->source ? event->source : cstring_to_text(OWN_SOURCE));
	set_text(slot, AUDIT_SOURCE_EVENT_ID, event->source_event_id);
	set_text(slot, AUDIT_REQUEST_ID, event->request_id);
	set_text(slot, AUDIT_TRACEPARENT, event->traceparent);
	set_text(slot, AUDIT_PAYLOAD, event->payload);
	ExecStoreVirtualTuple(slot);
}

void
audit_append(const AuditEvent *event)
{
	Relation	parent = table_open(admin_relations()->audit, RowExclusiveLock);
	Relation	partition = table_open(route(parent, event->recorded_at), RowExclusiveLock);
	TupleTableSlot *slot;

	audit_check_layout(parent, partition);
	slot = table_slot_create(partition, NULL);
	fill(slot, event);
	insert_row(partition, slot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(partition, NoLock);
	table_close(parent, NoLock);
	if (audit_appended_hook)
		audit_appended_hook();
}
