/*
 * audit_append.h
 *	  Appends a row to the audit trail, in the caller's transaction.
 */
#ifndef ADMIN_EXT_AUDIT_APPEND_H
#define ADMIN_EXT_AUDIT_APPEND_H

#include "datatype/timestamp.h"
#include "utils/relcache.h"

#include "audit/audit_table.h"
#include "audit/row_writer.h"

/* Column source of the extension's own events, and the prefix of event_type for ingested events. */
#define AUDIT_OWN_SOURCE		"admin_ext"
#define AUDIT_INGESTED_PREFIX	"ingest."

#define CHECK_EVENT_TYPE		"sensitive.check.2b"

/* NULL texts become SQL nulls; event_type and payload must be there. */
typedef struct AuditEvent
{
	const text *source;			/* of an ingested event; NULL for our own */
	const text *source_event_id;	/* the event's id at that source */
	int64		audit_id;
	TimestampTz recorded_at;
	TimestampTz occurred_at;
	const char *event_type;
	const text *approval_id;
	const text *actor;
	const text *request_id;
	const text *traceparent;
	const text *payload;
} AuditEvent;

/*
 * Draws the id of a row to come.  The order per approval in the trail is the
 * order of commit because a writer holds the approval's row lock when it draws.
 */
extern int64 audit_draw_id(void);

extern void audit_append(const AuditEvent *event);

/*
 * For a trigger of the trail: does it fire for a row that the extension itself appends?  That
 * happens only if the row needs an INSERT (row_writer.h).  False for a row that another trigger
 * inserts meanwhile.
 */
extern bool audit_is_appending(void);

/* Inserts the row of a writer that needs a statement; audit_is_appending() is true meanwhile. */
extern void audit_insert_by_statement(RowWriter *rows);

/* Appends many events that were recorded at the same instant. */
typedef struct AuditWriter AuditWriter;

extern AuditWriter *audit_writer_open(TimestampTz recorded_at);
extern Oid	audit_writer_partition(const AuditWriter *writer);
extern void audit_writer_append(AuditWriter *writer, const AuditEvent *event);
extern void audit_writer_close(AuditWriter *writer);

/* Does the trail have a partition of the right layout for now?  The relations must exist. */
extern bool audit_can_append(void);

/* Called after each append; delivery sets it to wake its workers at commit. */
extern void (*audit_appended_hook) (void);

#endif							/* ADMIN_EXT_AUDIT_APPEND_H */
