/*
 * audit_index.c
 *	  See audit_index.h.
 *
 * A DBA may have replaced an index by one that serves delivery as well: with further columns, say,
 * or descending.
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit/audit_index.h"
#include "layout.h"

#define LONGEST_PAUSE_MS	16

/* Polls for the lock, because a lock wait that times out ends in an error. */
static bool
lock_until(Oid oid, TimestampTz until)
{
	int			pause_ms = 1;

	if (TIMESTAMP_IS_NOEND(until))
	{
		LockRelationOid(oid, AccessShareLock);
		return true;
	}
	while (!ConditionalLockRelationOid(oid, AccessShareLock))
	{
		if (GetCurrentTimestamp() >= until)
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(pause_ms * 1000L);
		pause_ms = Min(pause_ms * 2, LONGEST_PAUSE_MS);
	}
	return true;
}

Relation
audit_try_open(Oid oid, TimestampTz until)
{
	Relation	relation;

	if (!lock_until(oid, until))
		return NULL;
	relation = try_relation_open(oid, NoLock);
	if (relation == NULL)
		UnlockRelationOid(oid, AccessShareLock);
	return relation;
}

Relation
audit_index_open(Relation partition, const AttrNumber *columns, int count, TimestampTz until)
{
	List	   *oids = RelationGetIndexList(partition);
	ListCell   *cell;

	foreach(cell, oids)
	{
		Relation	index = audit_try_open(lfirst_oid(cell), until);

		if (index == NULL)
			continue;
		/* A partial index does not cover all rows. */
		if (layout_index_fits(index, partition, columns, count, count) && RelationGetIndexPredicate(index) == NIL)
			return index;
		relation_close(index, AccessShareLock);
	}
	return NULL;
}

ScanDirection
audit_index_direction(Relation index, bool ascends)
{
	bool		is_ascending = (index->rd_indoption[0] & INDOPTION_DESC) == 0;

	return ascends == is_ascending ? ForwardScanDirection : BackwardScanDirection;
}
