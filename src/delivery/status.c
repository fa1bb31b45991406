/*
 * status.c
 *	  SQL functions that tell about delivery: status of the workers, enabled sinks,
 *	  and which copy of the data this is.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "delivery/shared.h"
#include "settings.h"

PG_FUNCTION_INFO_V1(admin_worker_status);
PG_FUNCTION_INFO_V1(admin_batch_latency);
PG_FUNCTION_INFO_V1(admin_sweep_by_worker);
PG_FUNCTION_INFO_V1(admin_sink_places);
PG_FUNCTION_INFO_V1(admin_enabled_sinks);
PG_FUNCTION_INFO_V1(admin_store_identity);
PG_FUNCTION_INFO_V1(admin_sink_trouble);
PG_FUNCTION_INFO_V1(admin_delivery_obstacle);
PG_FUNCTION_INFO_V1(admin_is_delivery_worker);

#define STATUS_COLUMNS	15

/* Values of one row, filled from the left. */
typedef struct Row
{
	Datum		values[STATUS_COLUMNS];
	bool		nulls[STATUS_COLUMNS];
	int			count;
} Row;

static void
add_value(Row *row, Datum value, bool isnull)
{
	row->values[row->count] = value;
	row->nulls[row->count++] = isnull;
}

static void
put_status(ReturnSetInfo *result, const DeliverySlot *slot, const DeliveryStatus *status)
{
	Row			row = {.count = 0};
	TimestampTz now = GetCurrentTimestamp();
	double		lag = status->pending_since == 0 ? 0 :
	Max((double) (now - status->pending_since) / USECS_PER_SEC, 0);

	add_value(&row, DirectFunctionCall1(namein, CStringGetDatum(slot->database)), false);
	add_value(&row, CStringGetTextDatum(slot->sink), false);
	add_value(&row, Int32GetDatum(slot->pid), slot->pid == 0);
	add_value(&row, CStringGetTextDatum(delivery_state_name(status->state)), false);
	add_value(&row, Int64GetDatum(status->delivered_rows), false);
	add_value(&row, Int64GetDatum(status->delivered_bytes), false);
	add_value(&row, Int64GetDatum(status->batches), false);
	add_value(&row, Int64GetDatum(status->dead_letters), false);
	add_value(&row, Int64GetDatum(status->last_audit_id), status->last_audit_id == 0);
	add_value(&row, TimestampTzGetDatum(status->last_delivery_at), status->last_delivery_at == 0);
	/* Without a worker the lag is not counted: what was known before is no longer true. */
	add_value(&row, Int64GetDatum(status->lag_rows), slot->pid == 0);
	add_value(&row, Float8GetDatum(lag), slot->pid == 0);
	add_value(&row, CStringGetTextDatum(status->last_error), status->last_error[0] == '\0');
	add_value(&row, TimestampTzGetDatum(status->last_error_at), status->last_error_at == 0);
	add_value(&row, TimestampTzGetDatum(status->started_at), status->started_at == 0);
	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}

/* One row per bucket: how many batches took so long at most, null: any time. */
static void
put_latencies(ReturnSetInfo *result, const DeliverySlot *slot, const DeliveryStatus *status)
{
	int64		batches = 0;

	for (int i = 0; i < LATENCY_BUCKETS; i++)
	{
		Row			row = {.count = 0};

		batches += status->latency[i];
		add_value(&row, DirectFunctionCall1(namein, CStringGetDatum(slot->database)), false);
		add_value(&row, CStringGetTextDatum(slot->sink), false);
		add_value(&row, Int32GetDatum(1 << i), i == LATENCY_BUCKETS - 1);
		add_value(&row, Int64GetDatum(batches), false);
		tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
	}
}

/* Fills a set-returning function's result: calls put for each slot in use. */
static void
put_slots(FunctionCallInfo fcinfo, void (*put) (ReturnSetInfo *, const DeliverySlot *, const DeliveryStatus *))
{
	InitMaterializedSRF(fcinfo, 0);
	if (delivery_shared == NULL)
		return;
	LWLockAcquire(delivery_shared->lock, LW_SHARED);
	for (int i = 0; i < DELIVERY_SLOTS; i++)
	{
		DeliverySlot *slot = &delivery_shared->slots[i];
		DeliveryStatus status;

		if (!slot->in_use)
			continue;
		status = delivery_status_of(slot);
		put((ReturnSetInfo *) fcinfo->resultinfo, slot, &status);
	}
	LWLockRelease(delivery_shared->lock);
}

Datum
admin_worker_status(PG_FUNCTION_ARGS)
{
	put_slots(fcinfo, put_status);
	return (Datum) 0;
}

Datum
admin_batch_latency(PG_FUNCTION_ARGS)
{
	put_slots(fcinfo, put_latencies);
	return (Datum) 0;
}

/* How the sweep of a worker went. */
static void
put_sweep(ReturnSetInfo *result, const DeliverySlot *slot, const DeliveryStatus *status)
{
	Row			row = {.count = 0};

	add_value(&row, DirectFunctionCall1(namein, CStringGetDatum(slot->database)), false);
	add_value(&row, TimestampTzGetDatum(status->swept_at), status->swept_at == 0);
	add_value(&row, CStringGetTextDatum(status->sweep_error), status->sweep_error[0] == '\0');
	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}

Datum
admin_sweep_by_worker(PG_FUNCTION_ARGS)
{
	put_slots(fcinfo, put_sweep);
	return (Datum) 0;
}

/* Where a sink delivers, as it says. */
static void
put_place(ReturnSetInfo *result, const DeliverySlot *slot, const DeliveryStatus *status)
{
	Row			row = {.count = 0};

	add_value(&row, DirectFunctionCall1(namein, CStringGetDatum(slot->database)), false);
	add_value(&row, CStringGetTextDatum(slot->sink), false);
	add_value(&row, CStringGetTextDatum(status->place), status->place[0] == '\0');
	tuplestore_putvalues(result->setResult, result->setDesc, row.values, row.nulls);
}

Datum
admin_sink_places(PG_FUNCTION_ARGS)
{
	put_slots(fcinfo, put_place);
	return (Datum) 0;
}

Datum
admin_enabled_sinks(PG_FUNCTION_ARGS)
{
	FuncCallContext *context;
	List	   *names;

	if (SRF_IS_FIRSTCALL())
	{
		MemoryContext old;

		context = SRF_FIRSTCALL_INIT();
		old = MemoryContextSwitchTo(context->multi_call_memory_ctx);
		context->user_fctx = settings_list(admin_sinks);
		MemoryContextSwitchTo(old);
	}
	context = SRF_PERCALL_SETUP();
	names = context->user_fctx;
	if (context->call_cntr < list_length(names))
	{
		/* Computed first: the macro increments the counter before it evaluates its argument. */
		Datum		name = CStringGetTextDatum(list_nth(names, context->call_cntr));

		SRF_RETURN_NEXT(context, name);
	}
	SRF_RETURN_DONE(context);
}

Datum
admin_store_identity(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum((int64) GetSystemIdentifier());
	values[1] = ObjectIdGetDatum(MyDatabaseId);
	values[2] = Int32GetDatum(RecoveryInProgress() ? 0 : compat_insert_timeline());
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/* sink_trouble(sink text): what the worker of this database last found at the sink. */
Datum
admin_sink_trouble(PG_FUNCTION_ARGS)
{
	char	   *sink = text_to_cstring(PG_GETARG_TEXT_PP(0));
	DeliveryStatus status = {0};
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (delivery_shared != NULL)
	{
		LWLockAcquire(delivery_shared->lock, LW_SHARED);
		for (int i = 0; i < DELIVERY_SLOTS; i++)
		{
			DeliverySlot *slot = &delivery_shared->slots[i];

			if (slot->in_use && strcmp(slot->sink, sink) == 0 &&
				pg_atomic_read_u32(&slot->database_oid) == MyDatabaseId)
				status = delivery_status_of(slot);
		}
		LWLockRelease(delivery_shared->lock);
	}
	values[0] = Int64GetDatum(status.highest_sent);
	values[1] = BoolGetDatum(status.has_lost);
	values[2] = CStringGetTextDatum(status.last_error);
	nulls[2] = status.last_error[0] == '\0';
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

Datum
admin_delivery_obstacle(PG_FUNCTION_ARGS)
{
	const char *database = get_database_name(MyDatabaseId);
	ListCell   *cell;

	if (delivery_shared == NULL)
		PG_RETURN_TEXT_P(cstring_to_text("admin_ext is not in shared_preload_libraries"));
	foreach(cell, settings_list(admin_databases))
	{
		if (strcmp(lfirst(cell), database) == 0)
			PG_RETURN_NULL();
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("database \"%s\" is not listed in admin_ext.databases",
											  database)));
}

/* is_delivery_worker(): only a worker removes a dead letter because it was delivered. */
Datum
admin_is_delivery_worker(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(MyBgworkerEntry != NULL &&
				   strcmp(MyBgworkerEntry->bgw_function_name, "admin_delivery_worker_main") == 0);
}
