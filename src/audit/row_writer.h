/*
 * row_writer.h
 *	  Adds rows to one of the extension's own tables and its indexes, without planner,
 *	  executor or trigger.
 *
 * What the table's constraints and triggers would say has to hold by construction.
 */
#ifndef ADMIN_EXT_ROW_WRITER_H
#define ADMIN_EXT_ROW_WRITER_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

typedef struct RowWriter
{
	Relation	table;
	TupleTableSlot *slot;		/* for the caller to fill: tts_values, tts_isnull */
	Relation   *indexes;
	int		   *required;		/* per index: the column that has to be set for a row to be in it; 0: none */
	int			index_count;
	bool		is_plain;		/* the indexes are what this file can fill by itself */
} RowWriter;

/*
 * The column that has to be set for a row to be in an index; 0: every row is, -1: what has to
 * hold is something else.
 */
extern int	index_required_column(Relation index);

/* The table is open, with a lock to write; opens its indexes. */
extern void row_writer_open(RowWriter *writer, Relation table);

/* Adds the row that the slot's values make. */
extern void row_writer_insert(RowWriter *writer);

/* Closes what was opened; the table is the caller's. */
extern void row_writer_close(RowWriter *writer);

#endif							/* ADMIN_EXT_ROW_WRITER_H */
