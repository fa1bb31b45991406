/*
 * row_writer.c
 *	  See row_writer.h.
 *
 * The indexes that the extension gives its tables are plain; setting up the executor for them
 * costs more than filling them.  Locks: RowExclusiveLock on each, to the end of the
 * transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "nodes/execnodes.h"
#include "nodes/primnodes.h"
#include "utils/rel.h"

#include "audit/row_writer.h"
#include "compat.h"

int
index_required_column(Relation index)
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
		form->indisexclusion || form->indnatts != form->indnkeyatts || (*required = index_required_column(index)) < 0)
		return false;
	for (int i = 0; i < form->indnatts; i++)
	{
		if (form->indkey.values[i] <= 0)
			return false;
	}
	return true;
}

void
row_writer_open(RowWriter *writer, Relation table)
{
	List	   *oids = RelationGetIndexList(table);
	ListCell   *cell;

	writer->table = table;
	writer->slot = table_slot_create(table, NULL);
	writer->indexes = palloc((list_length(oids) + 1) * sizeof(Relation));
	writer->required = palloc((list_length(oids) + 1) * sizeof(int));
	writer->index_count = 0;
	writer->is_plain = true;
	foreach(cell, oids)
	{
		int			i = writer->index_count++;

		writer->indexes[i] = index_open(lfirst_oid(cell), RowExclusiveLock);
		writer->is_plain = writer->is_plain && is_plain(writer->indexes[i], &writer->required[i]);
	}
	list_free(oids);
}

/* Anything a user may have added to a partition: expressions, other access methods. */
static void
insert_by_executor(Relation table, TupleTableSlot *slot)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *result = makeNode(ResultRelInfo);

	InitResultRelInfo(result, table, 1, NULL, 0);
	ExecOpenIndices(result, false);
	table_tuple_insert(table, slot, GetCurrentCommandId(true), 0, NULL);
	if (result->ri_NumIndices > 0)
		list_free(compat_insert_index_tuples(result, slot, estate));
	ExecCloseIndices(result);
	FreeExecutorState(estate);
}

static void
insert_index_entry(Relation table, Relation index, int required, TupleTableSlot *slot)
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
	index_insert(index, values, nulls, &slot->tts_tid, table,
				 form->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, &info);
}

void
row_writer_insert(RowWriter *writer)
{
	ExecStoreVirtualTuple(writer->slot);
	if (writer->is_plain)
	{
		table_tuple_insert(writer->table, writer->slot, GetCurrentCommandId(true), 0, NULL);
		for (int i = 0; i < writer->index_count; i++)
			insert_index_entry(writer->table, writer->indexes[i], writer->required[i], writer->slot);
	}
	else
		insert_by_executor(writer->table, writer->slot);
	ExecClearTuple(writer->slot);
}

void
row_writer_close(RowWriter *writer)
{
	for (int i = 0; i < writer->index_count; i++)
		index_close(writer->indexes[i], NoLock);
	ExecDropSingleTupleTableSlot(writer->slot);
	pfree(writer->required);
	pfree(writer->indexes);
}
