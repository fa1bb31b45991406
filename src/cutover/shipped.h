/*
 * shipped.h
 *	  Compares the objects of this database with what this version of the library ships.
 */
#ifndef ADMIN_EXT_SHIPPED_H
#define ADMIN_EXT_SHIPPED_H

#include "nodes/pg_list.h"

/* Differences between present and shipped lines; a list of ObjectLine with VALUE_PROBLEM. */
extern List *shipped_differences(void);

#endif							/* ADMIN_EXT_SHIPPED_H */
