/*
 * ingest_event.h
 *	  One element of a batch that FF ships: a CloudEvents 1.0 event in JSON format, read and
 *	  judged.
 */
#ifndef ADMIN_EXT_INGEST_EVENT_H
#define ADMIN_EXT_INGEST_EVENT_H

#include "datatype/timestamp.h"
#include "utils/jsonb.h"

#define INGEST_ID_MAX_BYTES			256
#define INGEST_SOURCE_MAX_BYTES		512
#define INGEST_TYPE_MAX_BYTES		256
#define INGEST_ATTRIBUTES_MAX_BYTES	8192	/* those that have no column of their own, as JSON */
#define INGEST_DATA_MAX_BYTES		(256 * 1024)
#define INGEST_SEQUENCE_MAX			(PG_INT64_MAX - 1)	/* what an int8range can close */
#define INGEST_NO_SEQUENCE			(-1)
#define INGEST_MOST_SOURCES			1000	/* of a role; admin_internal.ingest_room() counts */

typedef struct IngestEvent
{
	int			index;			/* in the batch */
	const char *error;			/* why it is refused; NULL: it is sound, and what follows counts */
	char	   *shown_id;		/* if it is a string at all, cut where it is too long; else NULL */
	text	   *id;
	text	   *source;
	text	   *type;
	text	   *approval_id;	/* the subject, where it is an approval's id; else NULL */
	text	   *actor;
	text	   *request_id;
	text	   *traceparent;
	bool		has_time;
	TimestampTz time;
	int64		sequence;		/* INGEST_NO_SEQUENCE: it has none */
	text	   *data;			/* JSON; null where there is none */
	text	   *attributes;		/* the others, as a JSON object; NULL: there are none */
} IngestEvent;

/* Never raises for what is wrong with the element. */
extern void ingest_event_read(JsonbValue *element, int index, IngestEvent *event);

#endif							/* ADMIN_EXT_INGEST_EVENT_H */
