/*
 * detached.h
 *	  Partitions (months) that were detached from the trail.
 */
#ifndef ADMIN_EXT_DETACHED_H
#define ADMIN_EXT_DETACHED_H

#include "nodes/pg_list.h"

/*
 * Oids of the tables that still have the trail's guard, admin.audit_append_only(), and are not among
 * `partitions`, in any schema and under any name.  Needs a transaction that holds the
 * trail; takes no lock on the tables.  The list is good until the next call.
 */
extern const List *detached_months(const List *partitions);

#endif							/* ADMIN_EXT_DETACHED_H */
