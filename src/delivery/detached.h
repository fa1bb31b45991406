/*
 * detached.h
 *	  Months of the trail that somebody has detached from it.
 */
#ifndef ADMIN_EXT_DETACHED_H
#define ADMIN_EXT_DETACHED_H

#include "nodes/pg_list.h"

/*
 * Oids of the tables in schema admin that have the name and the columns of a month and are no
 * partition.  Needs a transaction; takes no lock on them.
 */
extern List *detached_months(void);

#endif							/* ADMIN_EXT_DETACHED_H */
