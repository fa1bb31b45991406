/*
 * row_writer.h
 *	  Adds rows to one of the extension's own tables and its indexes, without planner,
 *	  executor or trigger where there is nothing for them to do.
 *
 * If a user has added a trigger, a constraint, a rule, a policy or an unusual index, an INSERT adds
 * each row instead, as the owner of the table.  If that INSERT discards or changes the row, it
 * raises 55000.
 */
#ifndef ADMIN_EXT_ROW_WRITER_H
#define ADMIN_EXT_ROW_WRITER_H

#include "executor/tuptable.h"
#include "utils/relcache.h"

#include "audit/row_plan.h"
#include "owner.h"

typedef struct RowWriter
{
	Relation	table;
	TupleTableSlot *slot;		/* for the caller to fill: tts_values, tts_isnull */
	OwnerQuery *insert;			/* INSERT of all columns, in order, RETURNING them */
	RowPlan		plan;
	Relation	indexes[ROW_PLAN_INDEXES];	/* NULL until a row has an entry in it */
} RowWriter;

/*
 * Prepares to write to a table that is open, with a lock to write.  `through` is the table that
 * `insert` names.
 */
extern void row_writer_open(RowWriter *writer, Relation through, Relation table, const RowTable *kind,
							OwnerQuery *insert);

/* Does the row that the slot's values make need an INSERT?  Then triggers run. */
extern bool row_writer_needs_statement(const RowWriter *writer);

/*
 * Adds the row that the slot's values make.  Opens and locks (RowExclusiveLock) the indexes that
 * it has an entry in.
 */
extern void row_writer_insert(RowWriter *writer);

/* Closes what was opened; the table is the caller's. */
extern void row_writer_close(RowWriter *writer);

#endif							/* ADMIN_EXT_ROW_WRITER_H */
