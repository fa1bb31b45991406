/*
 * audit_seen.h
 *	  Does the trail hold an event that came from elsewhere?
 *
 * The trail is its own memory: each partition has a unique index of (source,
 * source_event_id) over its ingested rows, and of the partitions only those are asked that
 * can hold the event.  So the cost follows how far back that may be, not the trail's size.
 */
#ifndef ADMIN_EXT_AUDIT_SEEN_H
#define ADMIN_EXT_AUDIT_SEEN_H

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "utils/relcache.h"

typedef struct AuditSeen AuditSeen;

/*
 * Takes RowExclusiveLock on the trail, to the end of the transaction.  `growing` is the
 * partition that the caller adds events to: others that are empty stay so, for its sources.
 */
extern AuditSeen *audit_seen_open(Oid growing);

/*
 * The row of an event among what is committed at this moment, and our own, recorded at or after
 * an instant; NULL: there is none.  The slot is good until the next call.  The caller has to keep
 * others from adding the same event meanwhile.
 */
extern TupleTableSlot *audit_seen(AuditSeen *seen, const text *source, const text *source_event_id, TimestampTz since);
extern void audit_seen_close(AuditSeen *seen);

#endif							/* ADMIN_EXT_AUDIT_SEEN_H */
