/*
 * audit_seen.h
 *	  Does the trail hold an ingested event already?
 *
 * An index lookup detects duplicates, so no separate table is needed.  Each partition has a unique
 * index on (source, source_event_id) over its ingested rows.  Only the partitions that can hold the
 * event are searched.  So the cost depends on how far back the event may lie, not on the trail's
 * size.
 */
#ifndef ADMIN_EXT_AUDIT_SEEN_H
#define ADMIN_EXT_AUDIT_SEEN_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

typedef struct AuditSeen AuditSeen;

/*
 * Takes RowExclusiveLock on the trail, to the end of the transaction.  `growing` is the partition
 * that the caller adds events to.  Other partitions that are empty receive no events of the
 * caller's sources meanwhile.
 */
extern AuditSeen *audit_seen_open(Oid growing);

/*
 * Finds the row of an event that was recorded at or after an instant; NULL if there is no such row.
 * Sees the rows committed so far and our own.  The slot is valid until the next call.  The caller
 * must prevent other sessions from adding the same event meanwhile.
 */
extern TupleTableSlot *audit_seen(AuditSeen *seen, const text *source, const text *source_event_id, TimestampTz since);
extern void audit_seen_close(AuditSeen *seen);

#endif							/* ADMIN_EXT_AUDIT_SEEN_H */
