/*
 * layout.h
 *	  Are tables, indexes and rows what the extension reads by column number?
 *
 * A superuser can give a column another type, or an index another table.  A Datum that is read as a
 * wrong type crashes the server.  So all code that reads by number calls these functions first.
 * All errors are 55000.
 */
#ifndef ADMIN_EXT_LAYOUT_H
#define ADMIN_EXT_LAYOUT_H

#include "access/htup.h"
#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

/* Raises unless the first columns of the row have these types; the name is for the message. */
extern void layout_check_row(TupleDesc desc, const char *table, const Oid *types, int count);

/* Raises unless it has these columns and never had others.  For code that writes or guards it. */
extern void layout_check_exact(Relation table, const Oid *types, int count);

/* Is the partition an ordinary table with these columns alone, named and placed as its parent has them? */
extern bool layout_fits_partition(Relation parent, Relation partition, const Oid *types, int count);

/*
 * Is it a valid btree of that table whose first columns are these, with the
 * first so many of them as keys that the default operators of their types look up?
 */
extern bool layout_index_fits(Relation index, Relation table, const AttrNumber *columns, int count, int keys);

/* A table that is read by an index of it. */
typedef struct TableLayout
{
	const Oid  *types;			/* of its first columns; further ones do no harm */
	int			count;
	const AttrNumber *key;		/* columns of the index */
	int			key_count;
	int			looked_up;		/* so many of them are keys */
} TableLayout;

/*
 * Opens the index.  Raises unless the table has these columns, and the index fits
 * (layout_index_fits()), covers all rows, and sorts in the order of bytes.
 */
extern Relation layout_open_index(const TableLayout *layout, Relation table, Oid index);

/* Raises unless a column of a query's row has the type, and returns its value. */
extern void layout_check_column(TupleDesc desc, int column, Oid type);
extern Datum layout_value(HeapTuple row, TupleDesc desc, int column, Oid type, bool *isnull);

/* The same for a NOT NULL column.  Raises for a null, in case the constraint was dropped. */
extern Datum layout_set_value(HeapTuple row, TupleDesc desc, int column, Oid type);

/* A column of a table's row that is NOT NULL: raises for a null. */
extern Datum layout_set_column(TupleTableSlot *row, int column);

#endif							/* ADMIN_EXT_LAYOUT_H */
