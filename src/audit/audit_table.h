/*
 * audit_table.h
 *	  The trail as a table: its columns and its partitions.
 */
#ifndef ADMIN_EXT_AUDIT_TABLE_H
#define ADMIN_EXT_AUDIT_TABLE_H

#include "postgres.h"

#include "utils/relcache.h"

/* Columns of admin.audit, in the order of the table. */
enum AuditColumn
{
	AUDIT_ID = 1,
	AUDIT_XID,
	AUDIT_RECORDED_AT,
	AUDIT_OCCURRED_AT,
	AUDIT_EVENT_TYPE,
	AUDIT_APPROVAL_ID,
	AUDIT_ACTOR,
	AUDIT_SOURCE,
	AUDIT_SOURCE_EVENT_ID,
	AUDIT_REQUEST_ID,
	AUDIT_TRACEPARENT,
	AUDIT_PAYLOAD,
	AUDIT_COLUMNS = AUDIT_PAYLOAD
};

/* The types of the columns. */
extern const Oid audit_types[AUDIT_COLUMNS];

/* The trail's columns, in the order of the table. */
#define AUDIT_COLUMN_NAMES \
	"audit_id, xid, recorded_at, occurred_at, event_type, approval_id, actor, source, source_event_id, " \
	"request_id, traceparent, payload"
#define AUDIT_COLUMN_TYPES \
	INT8OID, XID8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, \
	TEXTOID, TEXTOID, JSONOID

/* Raises 55000 unless a partition has its columns where the trail has them. */
extern void audit_check_layout(Relation parent, Relation partition);
extern bool audit_has_layout(Relation parent, Relation partition);

/* admin.audit, or InvalidOid where the extension or the table is missing. */
extern Oid	audit_trail(void);

/* The trail, or one of its partitions. */
extern bool audit_is_trail(Oid relation);

#endif							/* ADMIN_EXT_AUDIT_TABLE_H */
