/*
 * tick.c
 *	  Snapshots as delivery uses them, and the SQL function a tick is made with.
 *
 * Never on a standby: snapshots there leave out transactions in progress.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"

#include "compat.h"
#include "delivery/tick.h"

PG_FUNCTION_INFO_V1(admin_tick_snapshot);

/* Widens a transaction id to 64 bits; it must not be older than half the xid space. */
static uint64
widen_xid(TransactionId xid, FullTransactionId next)
{
	uint64		epoch = EpochFromFullTransactionId(next);

	if (xid > XidFromFullTransactionId(next))
		epoch--;
	return (epoch << 32) | xid;
}

static int
compare_xids(const void *a, const void *b)
{
	uint64		x = *(const uint64 *) a;
	uint64		y = *(const uint64 *) b;

	return (x > y) - (x < y);
}

/*
 * Sorts and removes duplicates: a transaction that is just being prepared is in a snapshot twice.
 */
static int
sort_distinct(uint64 *xids, int count)
{
	int			kept = 0;

	qsort(xids, count, sizeof(uint64), compare_xids);
	for (int i = 0; i < count; i++)
	{
		if (kept == 0 || xids[kept - 1] != xids[i])
			xids[kept++] = xids[i];
	}
	return kept;
}

TickSnapshot *
tick_snapshot_now(void)
{
	Snapshot	snapshot = GetLatestSnapshot();
	FullTransactionId next = ReadNextFullTransactionId();
	TransactionId own = GetTopTransactionIdIfAny();
	TickSnapshot *result;

	if (snapshot->takenDuringRecovery)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot store a tick during recovery")));
	result = palloc(offsetof(TickSnapshot, in_progress) + (snapshot->xcnt + 1) * sizeof(uint64));
	result->xmin = widen_xid(snapshot->xmin, next);
	result->xmax = widen_xid(snapshot->xmax, next);
	result->count = 0;
	for (uint32 i = 0; i < snapshot->xcnt; i++)
		result->in_progress[result->count++] = widen_xid(snapshot->xip[i], next);
	/* A snapshot does not list its own transaction, but other sessions do not see it yet. */
	if (TransactionIdIsValid(own) && widen_xid(own, next) < result->xmax)
	{
		result->in_progress[result->count++] = widen_xid(own, next);
		result->xmin = Min(result->xmin, widen_xid(own, next));
	}
	result->count = sort_distinct(result->in_progress, result->count);
	return result;
}

void
tick_snapshot_keep(TickSnapshot **copy, const TickSnapshot *snapshot, MemoryContext context)
{
	Size		size = offsetof(TickSnapshot, in_progress) + snapshot->count * sizeof(uint64);

	if (*copy != NULL)
		pfree(*copy);
	*copy = MemoryContextAlloc(context, size);
	memcpy(*copy, snapshot, size);
}

TickSnapshot *
tick_snapshot_parse(const char *text)
{
	TickSnapshot *result;
	char	   *at;
	int			commas = 0;

	for (const char *c = text; *c; c++)
		commas += *c == ',';
	result = palloc(offsetof(TickSnapshot, in_progress) + (commas + 1) * sizeof(uint64));
	result->xmin = strtoull(text, &at, 10);
	result->xmax = *at == ':' ? strtoull(at + 1, &at, 10) : 0;
	result->count = 0;
	if (*at++ != ':')
		elog(ERROR, "malformed snapshot \"%s\"", text);
	while (*at)
	{
		result->in_progress[result->count++] = strtoull(at, &at, 10);
		if (*at == ',')
			at++;
	}
	return result;
}

void
tick_snapshot_append(StringInfo out, const TickSnapshot *snapshot)
{
	appendStringInfo(out, UINT64_FORMAT ":" UINT64_FORMAT ":", snapshot->xmin, snapshot->xmax);
	for (int i = 0; i < snapshot->count; i++)
		appendStringInfo(out, "%s" UINT64_FORMAT, i > 0 ? "," : "", snapshot->in_progress[i]);
}

bool
tick_sees(const TickSnapshot *snapshot, uint64 xid)
{
	if (xid < snapshot->xmin)
		return true;
	if (xid >= snapshot->xmax)
		return false;
	return bsearch(&xid, snapshot->in_progress, snapshot->count, sizeof(uint64),
				   compare_xids) == NULL;
}

Datum
admin_tick_snapshot(PG_FUNCTION_ARGS)
{
	StringInfoData text;

	PreventCommandDuringRecovery("admin_internal.tick_snapshot()");
	/* The tick's own number has to be below a later tick's xmax. */
	(void) GetTopFullTransactionId();
	initStringInfo(&text);
	tick_snapshot_append(&text, tick_snapshot_now());
	PG_RETURN_DATUM(DirectFunctionCall1(pg_snapshot_in, CStringGetDatum(text.data)));
}
