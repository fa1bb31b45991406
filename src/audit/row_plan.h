/*
 * row_plan.h
 *	  How the extension adds rows to one of its tables: by itself, or by a statement.
 *
 * A plan is plain where this extension can fill the table and its indexes without the
 * executor and still do all that an INSERT would do.  Somebody may have added a trigger, a
 * constraint, a rule, a policy or an unusual index.  Then the row needs an INSERT.
 */
#ifndef ADMIN_EXT_ROW_PLAN_H
#define ADMIN_EXT_ROW_PLAN_H

#include "nodes/nodes.h"
#include "utils/relcache.h"

#define ROW_PLAN_INDEXES		12
#define ROW_PLAN_KEYS			4
#define ROW_PLAN_TEXT_BYTES		40

/* A btree on plain columns.  Column numbers start at 1, and 0 stands for no column. */
typedef struct RowIndex
{
	Oid			oid;
	bool		is_unique;
	int			key_count;
	AttrNumber	keys[ROW_PLAN_KEYS];
	AttrNumber	set_column;		/* partial: rows whose column is not null */
	AttrNumber	text_column;	/* partial: rows whose column equals the text */
	int			text_length;
	char		text[ROW_PLAN_TEXT_BYTES];
} RowIndex;

typedef struct RowPlan
{
	Oid			table;
	Oid			through;		/* the table that an INSERT names: the parent of a partition */
	bool		is_plain;
	uint32		not_null;		/* bit n - 1: column n is not null */
	int			index_count;	/* that a row has an entry in, if the plan is plain */
	RowIndex	indexes[ROW_PLAN_INDEXES];
} RowPlan;

/* What the extension knows of a table of its own. */
typedef struct RowTable
{
	/* Raises 55000 unless the columns are those that the extension gave the table. */
	void		(*check_layout) (Relation through, Relation table);
	/* Does a CHECK constraint hold for every row that the extension makes? */
	bool		(*check_holds) (const Node *check);
	const char *guard_schema;	/* the extension's own INSERT trigger calls guard_schema.guard() */
	const char *guard;			/* NULL: the table has no such trigger */
} RowTable;

/*
 * Returns the plan for a table that the caller has locked in RowExclusiveLock or a stronger mode.
 * It is kept until something of the table changes, and is valid until the next call.
 */
extern const RowPlan *row_plan_of(Relation through, Relation table, const RowTable *kind);

/*
 * Reads the predicate of a partial index.  False: it is neither "column IS NOT NULL" nor
 * "column = 'text'".  An index without a predicate gets no columns.
 */
extern bool row_plan_read_predicate(Relation index, RowIndex *result);

#endif							/* ADMIN_EXT_ROW_PLAN_H */
