/*
 * catalog_row.h
 *	  What a row of a catalog refers to.
 */
#ifndef ADMIN_EXT_CATALOG_ROW_H
#define ADMIN_EXT_CATALOG_ROW_H

#include "access/attnum.h"

/*
 * A catalog, its index on oid, its oid column and the wanted column.  If false_column is set, its
 * value in the row must be false or 0.
 */
typedef struct CatalogColumn
{
	Oid			catalog;
	Oid			by_oid;
	AttrNumber	oid_column;
	AttrNumber	wanted;
	AttrNumber	false_column;
} CatalogColumn;

/*
 * Returns the oid in the wanted column of an object's row.  InvalidOid if there is no such row, or
 * if false_column is true.
 */
extern Oid	catalog_row_oid(const CatalogColumn *column, Oid object);

/* The table of a trigger. */
extern Oid	catalog_table_of_trigger(Oid trigger);

#endif							/* ADMIN_EXT_CATALOG_ROW_H */
