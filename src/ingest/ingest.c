/*
 * ingest.c
 *	  admin.audit_ingest(): events that happened at FF, into the same trail, each once.
 *
 * A call that ingests for a source locks the row of that source in admin.ingest_source until its
 * transaction ends, so that of two connections with the same batch the second finds in the
 * trail what the first has added.  Sources are locked in their order, so there is no deadlock.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit/attributes.h"
#include "audit/audit_append.h"
#include "audit/audit_seen.h"
#include "audit/insider_restoring.h"
#include "ingest/ingest_event.h"
#include "ingest/ingest_same.h"
#include "ingest/ingest_sources.h"
#include "json_text.h"
#include "owner.h"
#include "relations.h"
#include "settings.h"

#define MOST_EVENTS			10000

PG_FUNCTION_INFO_V1(admin_audit_ingest);

/* The events of one source in this batch. */
typedef struct SourceShare
{
	text	   *source;
	int64		accepted;
	int64		duplicates;
	int64		conflicting;
	bool		is_locked;
	Datum	   *sequences;		/* of those accepted */
	int			sequence_count;
} SourceShare;

typedef struct Batch
{
	TimestampTz now;
	IngestEvent *events;
	int			count;
	SourceShare *shares;		/* in order of source */
	int			share_count;
	AuditSeen  *seen;
	AuditWriter *trail;
	RowWriter	attributes;
	MemoryContext comparing;	/* reset after each comparison */
	int64		accepted;
	int64		duplicates;
} Batch;

static void
refuse_argument(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("argument \"events\" is not a JSON array of at most %d events", MOST_EVENTS),
			 errdetail_internal("%s", detail)));
}

static void
read_events(Batch *batch, Jsonb *events)
{
	if (!JB_ROOT_IS_ARRAY(events) || JB_ROOT_IS_SCALAR(events))
		refuse_argument(JB_ROOT_IS_ARRAY(events) ? "It is a scalar." : "It is an object.");
	if (JB_ROOT_COUNT(events) > MOST_EVENTS)
		refuse_argument(psprintf("It has %d elements.", (int) JB_ROOT_COUNT(events)));
	batch->count = JB_ROOT_COUNT(events);
	batch->events = MemoryContextAllocHuge(CurrentMemoryContext, (batch->count + 1) * sizeof(IngestEvent));
	for (int i = 0; i < batch->count; i++)
	{
		JsonbValue *element = getIthJsonbValueFromContainer(&events->root, i);

		ingest_event_read(element, i, &batch->events[i]);
		CHECK_FOR_INTERRUPTS();
	}
}

/* Bytes, then length: the same order in every session. */
static int
compare_texts(const text *a, const text *b)
{
	int			lengths[] = {VARSIZE_ANY_EXHDR(a), VARSIZE_ANY_EXHDR(b)};
	int			result = memcmp(VARDATA_ANY(a), VARDATA_ANY(b), Min(lengths[0], lengths[1]));

	return result != 0 ? result : lengths[0] - lengths[1];
}

static int
by_source(const void *a, const void *b)
{
	return compare_texts(((const SourceShare *) a)->source, ((const SourceShare *) b)->source);
}

static SourceShare *
share_of(const Batch *batch, const IngestEvent *event)
{
	SourceShare key = {.source = event->source};

	return bsearch(&key, batch->shares, batch->share_count, sizeof(SourceShare), by_source);
}

/* Makes one share for each source of the valid events. */
static void
find_sources(Batch *batch)
{
	int			distinct = 0;

	batch->shares = palloc0((batch->count + 1) * sizeof(SourceShare));
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->events[i].error == NULL)
			batch->shares[batch->share_count++].source = batch->events[i].source;
	}
	qsort(batch->shares, batch->share_count, sizeof(SourceShare), by_source);
	for (int i = 0; i < batch->share_count; i++)
	{
		if (distinct == 0 || by_source(&batch->shares[distinct - 1], &batch->shares[i]) != 0)
			batch->shares[distinct++] = batch->shares[i];
	}
	batch->share_count = distinct;
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->events[i].error == NULL && batch->events[i].sequence != INGEST_NO_SEQUENCE)
			share_of(batch, &batch->events[i])->sequence_count++;
	}
	for (int i = 0; i < distinct; i++)
	{
		batch->shares[i].sequences = palloc((batch->shares[i].sequence_count + 1) * sizeof(Datum));
		batch->shares[i].sequence_count = 0;
	}
}

/*
 * Locks the sources of the batch to the end of the transaction, and refuses the events of sources
 * that are not locked.
 */
static void
lock_sources(Batch *batch)
{
	text	  **sources = palloc(batch->share_count * sizeof(text *));
	bool	   *is_locked;

	for (int i = 0; i < batch->share_count; i++)
		sources[i] = batch->shares[i].source;
	is_locked = ingest_lock_sources(sources, batch->share_count);
	for (int i = 0; i < batch->share_count; i++)
		batch->shares[i].is_locked = is_locked[i];
	for (int i = 0; i < batch->count; i++)
	{
		IngestEvent *event = &batch->events[i];

		if (event->error == NULL && !share_of(batch, event)->is_locked)
			event->error = ingest_no_room(event->source);
	}
}

/*
 * Looks for an event of the same id.  The search goes back by the window from now, or from the
 * event's own time if that is earlier.
 */
static TupleTableSlot *
find_recorded(const Batch *batch, const IngestEvent *event)
{
	TimestampTz oldest = event->has_time ? Min(event->time, batch->now) : batch->now;

	return audit_seen(batch->seen, event->source, event->id, oldest - admin_ingest_window_s * USECS_PER_SEC);
}

/* The same content is a duplicate.  Other content would be lost, so the event is refused. */
static void
meet_recorded(Batch *batch, SourceShare *share, IngestEvent *event, TupleTableSlot *recorded)
{
	MemoryContext before = MemoryContextSwitchTo(batch->comparing);
	const char *difference = ingest_difference(recorded, event);
	bool		isnull;

	MemoryContextSwitchTo(before);
	if (difference == NULL)
	{
		share->duplicates++;
		batch->duplicates++;
	}
	else
	{
		share->conflicting++;
		event->error = psprintf("\"id\" was recorded with other content: audit_id " INT64_FORMAT " differs in %s",
								DatumGetInt64(slot_getattr(recorded, AUDIT_ID, &isnull)), difference);
	}
	MemoryContextReset(batch->comparing);
}

static void
append_event(Batch *batch, SourceShare *share, const IngestEvent *ingested)
{
	AuditEvent	event = {0};
	char	   *type = text_to_cstring(ingested->type);

	event.audit_id = audit_draw_id();
	event.recorded_at = batch->now;
	event.occurred_at = ingested->has_time ? ingested->time : batch->now;
	event.event_type = psprintf(AUDIT_INGESTED_PREFIX "%s", type);
	event.source = ingested->source;
	event.source_event_id = ingested->id;
	event.approval_id = ingested->approval_id;
	event.actor = ingested->actor;
	event.request_id = ingested->request_id;
	event.traceparent = ingested->traceparent;
	event.payload = ingested->data;
	audit_writer_append(batch->trail, &event);
	if (ingested->sequence != INGEST_NO_SEQUENCE)
		share->sequences[share->sequence_count++] = Int64GetDatum(ingested->sequence);
	if (ingested->attributes != NULL)
		audit_attributes_add(&batch->attributes, event.audit_id, ingested->attributes);
}

static void
append_new(Batch *batch)
{
	batch->trail = audit_writer_open(batch->now);
	batch->seen = audit_seen_open(audit_writer_partition(batch->trail));
	audit_attributes_open(&batch->attributes);
	batch->comparing = AllocSetContextCreate(CurrentMemoryContext, "ingest comparison", ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < batch->count; i++)
	{
		IngestEvent *event = &batch->events[i];
		SourceShare *share;
		TupleTableSlot *recorded;

		if (event->error != NULL)
			continue;
		CHECK_FOR_INTERRUPTS();
		share = share_of(batch, event);
		recorded = find_recorded(batch, event);
		if (recorded != NULL)
		{
			meet_recorded(batch, share, event, recorded);
			continue;
		}
		append_event(batch, share, event);
		share->accepted++;
		batch->accepted++;
	}
	audit_attributes_close(&batch->attributes);
	audit_seen_close(batch->seen);
	audit_writer_close(batch->trail);
}

static void
keep_counts(const SourceShare *share)
{
	static OwnerQuery query = {
		.text = "select admin_internal.ingest_note($1, $2, $3, $4, $5)",
		.nargs = 5,
		.types = {TEXTOID, INT8OID, INT8OID, INT8OID, INT8ARRAYOID},
		.result = SPI_OK_SELECT
	};
	Datum		values[5];

	values[0] = PointerGetDatum(share->source);
	values[1] = Int64GetDatum(share->accepted);
	values[2] = Int64GetDatum(share->duplicates);
	values[3] = Int64GetDatum(share->conflicting);
	values[4] = PointerGetDatum(construct_array(share->sequences, share->sequence_count, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	owner_run(&query, values, NULL, 1);
}

static void
keep_what_came(const Batch *batch)
{
	OwnerScope	scope;

	owner_enter(&scope, admin_relations()->audit);
	for (int i = 0; i < batch->share_count; i++)
	{
		if (batch->shares[i].is_locked)
			keep_counts(&batch->shares[i]);
	}
	owner_leave(&scope);
}

static void
append_rejected(StringInfo out, const IngestEvent *event)
{
	appendStringInfo(out, "{\"index\":%d,\"id\":", event->index);
	append_json_cstring(out, event->shown_id);
	appendStringInfoString(out, ",\"error\":");
	append_json_cstring(out, event->error);
	appendStringInfoChar(out, '}');
}

static Datum
ingest_answer(const Batch *batch)
{
	StringInfoData out;
	const char *separator = "";

	initStringInfo(&out);
	appendStringInfo(&out, "{\"accepted\":" INT64_FORMAT ",\"duplicates\":" INT64_FORMAT ",\"rejected\":[",
					 batch->accepted, batch->duplicates);
	for (int i = 0; i < batch->count; i++)
	{
		if (batch->events[i].error == NULL)
			continue;
		appendStringInfoString(&out, separator);
		append_rejected(&out, &batch->events[i]);
		separator = ",";
	}
	appendStringInfoString(&out, "]}");
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(out.data));
}

Datum
admin_audit_ingest(PG_FUNCTION_ARGS)
{
	Batch		batch = {0};

	PreventCommandIfReadOnly("admin.audit_ingest()");
	PreventCommandDuringRecovery("admin.audit_ingest()");
	insider_refuse_while_restoring("admin.audit_ingest()");
	if (PG_ARGISNULL(0))
		refuse_argument("It is null.");
	read_events(&batch, PG_GETARG_JSONB_P(0));
	ingest_refuse_sources(batch.events, batch.count);
	find_sources(&batch);
	if (batch.share_count > 0)
	{
		lock_sources(&batch);
		batch.now = GetCurrentTimestamp();
		append_new(&batch);
		keep_what_came(&batch);
	}
	return ingest_answer(&batch);
}
