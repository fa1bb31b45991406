/*
 * row_writer.c
 *	  See row_writer.h.
 *
 * The extension creates only plain indexes, and setting up the executor for them costs more than
 * filling them.  Locks: RowExclusiveLock on each index that gets an entry, to the end of the
 * transaction.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "nodes/execnodes.h"
#include "utils/datum.h"
#include "utils/rel.h"

#include "audit/row_writer.h"
#include "compat.h"

void
row_writer_open(RowWriter *writer, Relation through, Relation table, const RowTable *kind, OwnerQuery *insert)
{
	writer->plan = *row_plan_of(through, table, kind);
	writer->table = table;
	writer->slot = table_slot_create(table, NULL);
	writer->insert = insert;
	memset(writer->indexes, 0, sizeof(writer->indexes));
}

bool
row_writer_needs_statement(const RowWriter *writer)
{
	const TupleTableSlot *slot = writer->slot;

	if (!writer->plan.is_plain)
		return true;
	/* The INSERT raises the error of a column that must not be null. */
	for (int i = 0; i < slot->tts_tupleDescriptor->natts; i++)
	{
		if (slot->tts_isnull[i] && (writer->plan.not_null & ((uint32) 1 << i)) != 0)
			return true;
	}
	return false;
}

static void
refuse_outcome(const RowWriter *writer, const char *outcome)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("a row for \"%s\" was %s before it was inserted", RelationGetRelationName(writer->table), outcome),
			 errdetail("A trigger or a rule that is not part of admin_ext did this."),
			 errhint("Remove it, or make it an AFTER trigger.")));
}

/* The row is answered and delivered as it was made, so no trigger may change it. */
static void
check_unchanged(const RowWriter *writer, HeapTuple tuple, TupleDesc desc)
{
	const TupleTableSlot *slot = writer->slot;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);
		bool		isnull;
		Datum		value = SPI_getbinval(tuple, desc, i + 1, &isnull);

		if (isnull != slot->tts_isnull[i] ||
			(!isnull && !datum_image_eq(value, slot->tts_values[i], column->attbyval, column->attlen)))
			refuse_outcome(writer, "changed");
	}
}

static void
insert_by_statement(RowWriter *writer)
{
	TupleTableSlot *slot = writer->slot;
	char		nulls[OWNER_QUERY_MAX_ARGS];
	OwnerScope	scope;

	Assert(writer->insert->nargs == slot->tts_tupleDescriptor->natts);
	for (int i = 0; i < writer->insert->nargs; i++)
		nulls[i] = slot->tts_isnull[i] ? 'n' : ' ';
	owner_enter(&scope, RelationGetRelid(writer->table));
	if (owner_run(writer->insert, slot->tts_values, nulls, 0) != 1)
		refuse_outcome(writer, "discarded");
	check_unchanged(writer, SPI_tuptable->vals[0], SPI_tuptable->tupdesc);
	owner_leave(&scope);
}

static bool
is_in_index(const RowIndex *index, const TupleTableSlot *slot)
{
	if (index->set_column > 0)
		return !slot->tts_isnull[index->set_column - 1];
	if (index->text_column > 0)
	{
		const text *value;

		if (slot->tts_isnull[index->text_column - 1])
			return false;
		value = DatumGetTextPP(slot->tts_values[index->text_column - 1]);
		return VARSIZE_ANY_EXHDR(value) == index->text_length &&
			memcmp(VARDATA_ANY(value), index->text, index->text_length) == 0;
	}
	return true;
}

/*
 * Opens the indexes that get an entry for the row.  Locking and opening an index costs a fifth of
 * adding an entry, and most rows have no entry in the partial indexes.  The lock on the table keeps
 * an index from being dropped or recreated.  The lock on the index keeps another session from
 * moving its file: ALTER INDEX ... SET TABLESPACE locks only the index.  That matters only to
 * indexes that are written to.
 */
static void
open_indexes_of_row(RowWriter *writer)
{
	for (int i = 0; i < writer->plan.index_count; i++)
	{
		const RowIndex *index = &writer->plan.indexes[i];

		if (writer->indexes[i] == NULL && is_in_index(index, writer->slot))
			writer->indexes[i] = index_open(index->oid, RowExclusiveLock);
	}
}

static void
insert_index_entry(Relation table, Relation index, const RowIndex *plan, TupleTableSlot *slot)
{
	Datum		values[ROW_PLAN_KEYS];
	bool		nulls[ROW_PLAN_KEYS];
	IndexInfo	info = {.type = T_IndexInfo};

	/* The index may be open because an earlier row had an entry in it. */
	if (index == NULL || !is_in_index(plan, slot))
		return;
	for (int i = 0; i < plan->key_count; i++)
	{
		values[i] = slot->tts_values[plan->keys[i] - 1];
		nulls[i] = slot->tts_isnull[plan->keys[i] - 1];
	}
	info.ii_NumIndexAttrs = info.ii_NumIndexKeyAttrs = plan->key_count;
	info.ii_Unique = plan->is_unique;
	info.ii_ReadyForInserts = true;
	info.ii_Context = CurrentMemoryContext;
	index_insert(index, values, nulls, &slot->tts_tid, table,
				 plan->is_unique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, &info);
}

void
row_writer_insert(RowWriter *writer)
{
	if (row_writer_needs_statement(writer))
	{
		insert_by_statement(writer);
		return;
	}
	open_indexes_of_row(writer);
	ExecStoreVirtualTuple(writer->slot);
	table_tuple_insert(writer->table, writer->slot, GetCurrentCommandId(true), 0, NULL);
	for (int i = 0; i < writer->plan.index_count; i++)
		insert_index_entry(writer->table, writer->indexes[i], &writer->plan.indexes[i], writer->slot);
	ExecClearTuple(writer->slot);
}

void
row_writer_close(RowWriter *writer)
{
	for (int i = 0; i < writer->plan.index_count; i++)
	{
		if (writer->indexes[i] != NULL)
			index_close(writer->indexes[i], NoLock);
	}
	ExecDropSingleTupleTableSlot(writer->slot);
}
