/*
 * trail.c
 *	  See trail.h.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/xid8.h"

#include "layout.h"
#include "owner.h"
#include "replay/trail.h"
#include "store/signature_judge.h"

/* The columns of both queries that describe the event, from one on. */
static TrailEvent *
add_event(Trail *trail, HeapTuple row, TupleDesc desc, int first)
{
	TrailEvent *event = &trail->events[trail->count++];
	bool		isnull;

	event->audit_id = DatumGetInt64(layout_value(row, desc, first, INT8OID, &isnull));
	event->xid = U64FromFullTransactionId(DatumGetFullTransactionId(layout_value(row, desc, first + 1, XID8OID, &isnull)));
	event->recorded_at = DatumGetTimestampTz(layout_value(row, desc, first + 2, TIMESTAMPTZOID, &isnull));
	event->is_issuing = DatumGetBool(layout_value(row, desc, first + 3, BOOLOID, &isnull));
	return event;
}

static void
make_room(Trail *trail, uint64 more)
{
	Size		bytes = (trail->count + more + 1) * sizeof(TrailEvent);

	trail->events = trail->events == NULL ? MemoryContextAllocHuge(trail->context, bytes) :
		repalloc_huge(trail->events, bytes);
}

/* Returns how many rows there are, with room for as many events. */
static uint64
run_trail_query(Trail *trail, OwnerQuery *query, text *approval_id, int64 below)
{
	Datum		values[] = {PointerGetDatum(approval_id), Int64GetDatum(below)};
	uint64		count = owner_run(query, values, NULL, 0);

	MemoryContextSwitchTo(trail->context);
	make_room(trail, count);
	return count;
}

static void
read_changes(Trail *trail, text *approval_id, int64 below)
{
	static OwnerQuery query = {
		.text =
		"select row.*, e.audit_id, e.xid, e.recorded_at, "
		"e.event_type operator(pg_catalog.=) 'approval.issued' "
		"from admin.audit as e, lateral pg_catalog.json_populate_record("
		"null::admin.approval, admin_internal.readable_row(e.payload operator(pg_catalog.->) 'row')) as row "
		"where e.approval_id operator(pg_catalog.=) $1 and e.audit_id operator(pg_catalog.<) $2 "
		"and e.event_type operator(pg_catalog.=) any (array["
		"'approval.issued', 'approval.signed_partial', 'approval.signed_full', "
		"'approval.withdrawn', 'approval.altered'])",
		.nargs = 2,
		.types = {TEXTOID, INT8OID},
		.result = SPI_OK_SELECT,
		.is_read_only = true
	};
	uint64		count = run_trail_query(trail, &query, approval_id, below);

	for (uint64 i = 0; i < count; i++)
	{
		HeapTuple	row = SPI_copytuple(SPI_tuptable->vals[i]);
		TrailEvent *event = add_event(trail, row, SPI_tuptable->tupdesc, APPROVAL_COLUMNS + 1);

		event->is_signature = false;
		approval_row_from_tuple(row, SPI_tuptable->tupdesc, &event->approval);
	}
}

static PolicyText
text_column(HeapTuple row, TupleDesc desc, int number, Oid type)
{
	bool		isnull;
	Datum		value = layout_value(row, desc, number, type, &isnull);

	return policy_text_of(value, isnull);
}

static void
read_signatures(Trail *trail, text *approval_id, int64 below)
{
	static OwnerQuery query = {
		.text =
		"select row.signer_role, row.signer, row.approval_digest, e.audit_id, e.xid, e.recorded_at, false "
		"from admin.audit as e, lateral pg_catalog.json_populate_record("
		"null::admin.signature, admin_internal.readable_row(e.payload operator(pg_catalog.->) 'row')) as row "
		"where e.approval_id operator(pg_catalog.=) $1 and e.audit_id operator(pg_catalog.<) $2 "
		"and e.event_type operator(pg_catalog.=) 'signature.added'",
		.nargs = 2,
		.types = {TEXTOID, INT8OID},
		.result = SPI_OK_SELECT,
		.is_read_only = true
	};
	uint64		count = run_trail_query(trail, &query, approval_id, below);

	for (uint64 i = 0; i < count; i++)
	{
		HeapTuple	row = SPI_copytuple(SPI_tuptable->vals[i]);
		TupleDesc	desc = SPI_tuptable->tupdesc;
		TrailEvent *event = add_event(trail, row, desc, 4);

		event->is_signature = true;
		event->role = text_column(row, desc, 1, TEXTOID);
		event->signer = text_column(row, desc, 2, TEXTOID);
		event->digest = text_column(row, desc, 3, BYTEAOID);
	}
}

static int
by_audit_id(const void *a, const void *b)
{
	int64		left = ((const TrailEvent *) a)->audit_id;
	int64		right = ((const TrailEvent *) b)->audit_id;

	return left < right ? -1 : left > right ? 1 : 0;
}

void
trail_read(Trail *trail, text *approval_id, int64 below)
{
	read_changes(trail, approval_id, below);
	read_signatures(trail, approval_id, below);
	if (trail->count > 1)
		qsort(trail->events, trail->count, sizeof(TrailEvent), by_audit_id);
}

void
trail_facts(const Trail *trail, int count, ApprovalFacts *facts)
{
	const ApprovalRow *approval = NULL;
	SignatureJudge judge;

	for (int i = 0; i < count; i++)
	{
		if (!trail->events[i].is_signature)
			approval = &trail->events[i].approval;
	}
	memset(facts, 0, sizeof(*facts));
	if (approval == NULL)
		return;
	signature_judge_begin(&judge, approval);
	for (int i = 0; i < count; i++)
	{
		const TrailEvent *event = &trail->events[i];

		if (event->is_signature)
			signature_judge(&judge, event->role, event->signer, event->digest);
	}
	approval_facts(approval, judge.count, signatures_are_sound(&judge), facts);
}

int
trail_before_transaction(const Trail *trail, int count)
{
	uint64		xid = trail->events[count - 1].xid;

	while (count > 0 && trail->events[count - 1].xid == xid)
		count--;
	return count;
}
