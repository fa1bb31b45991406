/*
 * catalog_row.h
 *	  What a row of a catalog refers to.
 */
#ifndef ADMIN_EXT_CATALOG_ROW_H
#define ADMIN_EXT_CATALOG_ROW_H

#include "access/attnum.h"

/* A catalog, its index of oids, and the columns of the oid and of what is wanted; and one that has to be false, or 0. */
typedef struct CatalogColumn
{
	Oid			catalog;
	Oid			by_oid;
	AttrNumber	oid_column;
	AttrNumber	wanted;
	AttrNumber	false_column;
} CatalogColumn;

/* The oid in the wanted column of an object's row; InvalidOid where there is no such row, or what has to be false is true. */
extern Oid	catalog_row_oid(const CatalogColumn *column, Oid object);

/* The table of a trigger. */
extern Oid	catalog_table_of_trigger(Oid trigger);

#endif							/* ADMIN_EXT_CATALOG_ROW_H */
