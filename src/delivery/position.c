/*
 * position.c
 *	  Positions and ticks, read and written through SPI: a few statements a batch.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "delivery/position.h"
#include "delivery/statement.h"
#include "layout.h"

static Statement open_statement = {
	"select * from admin_internal.delivery_open($1)", 1, {TEXTOID}
};
static Statement key_statement = {"select admin_internal.position_key()", 0, {InvalidOid}};
static Statement newest_statement = {
	"select p.position_id, p.store_id from admin.sink_position as p, admin.store as s "
	"where p.sink = $1 and s.adopted_at is not null order by p.position_id desc limit 1", 1, {TEXTOID}
};

/* Columns that only a resync changes are copied from the previous position. */
static Statement record_statement = {
	"insert into admin.sink_position (sink, position_id, store_id, tick_id, window_tick_id, window_audit_id, "
	"highest_audit_id, floor_audit_id, backfill_audit_id, resent_audit_id, sink_detail, delivered_rows, "
	"last_number, chain, continued_store_id, continued_number, continued_chain) "
	"select $1, $2, newest.store_id, $3, nullif($4, 0), nullif($5, 0), $6, newest.floor_audit_id, nullif($7, 0), "
	"case when $7 > 0 then newest.resent_audit_id end, $8, $9, "
	"$11, case when $11 > 0 then $12 end, newest.continued_store_id, newest.continued_number, newest.continued_chain "
	"from (select * from admin.sink_position where sink = $1 "
	"order by position_id desc limit 1) as newest where newest.position_id = $10 on conflict do nothing", 12,
	{TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID, BYTEAOID}
};
static Statement problem_statement = {
	"select * from admin_internal.position_problem($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)", 12,
	{TEXTOID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID}
};
static Statement fork_statement = {
	"select * from admin_internal.fork_store($1, $2, $3::text::uuid)", 3, {TEXTOID, INT8OID, TEXTOID}
};
static Statement marker_statement = {"select admin_internal.marker_problem($1)", 1, {INT8OID}};
static Statement backlog_statement = {"select * from admin_internal.sink_backlog_row($1)", 1, {TEXTOID}};
static Statement purge_statement = {
	"select admin_internal.purge_delivery($1, $2, $3, $4)", 4, {TEXTOID, INT8OID, INT8OID, INT8OID}
};
static Statement make_statement = {"select * from admin_internal.make_tick()", 0, {InvalidOid}};
static Statement next_statement = {
	"select tick_id, snap::text, nonce::text from admin.tick "
	"where tick_id > $1 and tick_id <= $2 order by tick_id desc limit 1", 2, {INT8OID, INT8OID}
};
static Statement exists_statement = {
	"select 1 from admin.tick where tick_id = $1 and nonce::text = $2", 2, {INT8OID, TEXTOID}
};
static Statement recorded_statement = {
	"select recorded_at from admin.audit where audit_id = $1", 1, {INT8OID}
};
static Statement reject_statement = {
	"insert into admin.dead_letter as d (sink, audit_id, error) values ($1, $2, $3) "
	"on conflict (sink, audit_id) do update set error = excluded.error, failed_at = excluded.failed_at, "
	"attempts = d.attempts + 1", 3, {TEXTOID, INT8OID, TEXTOID}
};
static Statement answered_statement = {
	"delete from admin.dead_letter_retry where sink = $1 and audit_id = $2", 2, {TEXTOID, INT8OID}
};
static Statement wanted_statement = {
	"select r.audit_id from admin.dead_letter_retry as r where r.sink = $1 "
	"and (not exists (select from admin.audit as a where a.audit_id = r.audit_id) "
	"or exists (select from admin.audit as a cross join admin_internal.sink_newest_position() as p "
	"where a.audit_id = r.audit_id and p.sink = r.sink and admin_internal.is_delivered(a.audit_id, a.xid, p.done, "
	"p.\"window\", p.window_audit_id, p.highest_audit_id, p.floor_audit_id, p.backfill_audit_id))) "
	"order by r.audit_id limit 1", 1, {TEXTOID}
};

/* Deleting the dead letter also deletes the operator's request. */
static Statement delivered_statement = {
	"with gone as (delete from admin.dead_letter as d where d.sink = $1 and d.audit_id = $2 returning d.sink, d.audit_id) "
	"insert into admin_internal.late_delivery (sink, audit_id, store_id, delivery_number) "
	"select g.sink, g.audit_id, $3::uuid, $4 from gone as g on conflict on constraint late_delivery_pkey "
	"do update set store_id = excluded.store_id, delivery_number = excluded.delivery_number, xid = excluded.xid", 4,
	{TEXTOID, INT8OID, TEXTOID, INT8OID}
};
static Statement rejected_statement = {
	"select audit_id from admin.dead_letter where sink = $1 and audit_id between $2 and $3 order by audit_id", 3,
	{TEXTOID, INT8OID, INT8OID}
};
static Statement withheld_statement = {
	"select audit_id from admin.dead_letter where sink = $1 and audit_id between $2 and $3 "
	"union select a.audit_id from admin.audit as a where a.audit_id between $2 and $3 "
	"and exists (select from admin.sink_skipped as s where s.sink = $1 and s.first_audit_id <= $3 and s.before_audit_id > $2) "
	"and admin_internal.is_skipped($1, a.audit_id, a.xid) order by audit_id", 3,
	{TEXTOID, INT8OID, INT8OID}
};

Position
position_next(const Position *position)
{
	Position	next = *position;

	next.position_id++;
	next.is_resync = false;
	next.retried_audit_id = 0;
	return next;
}

static TickSnapshot *
get_snapshot(int column, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	TickSnapshot *snapshot = tick_snapshot_parse(statement_text(column));

	MemoryContextSwitchTo(old);
	return snapshot;
}

void
position_open(const char *sink, Position *position, MemoryContext context, TickSnapshot **done)
{
	Datum		values[] = {CStringGetTextDatum(sink)};

	statement_run(&open_statement, values);
	memset(position, 0, sizeof(*position));
	strlcpy(position->store_id, statement_text(1), UUID_TEXT_BYTES);
	strlcpy(position->home, statement_text(2), HOME_TEXT_BYTES);
	position->position_id = statement_int64(3);
	position->tick_id = statement_int64(4);
	*done = get_snapshot(5, context);
	position->window_tick_id = statement_int64(6);
	position->window_audit_id = statement_int64(7);
	position->highest_audit_id = statement_int64(8);
	position->floor_audit_id = statement_int64(9);
	position->backfill_audit_id = statement_int64(10);
	strlcpy(position->sink_detail, statement_text(11), ADMIN_SINK_DETAIL_BYTES);
	position->delivered_rows = statement_int64(12);
	position->is_resync = statement_int64(13) != 0;
	position->backfill_end = statement_int64(14);
	strlcpy(position->recorded_home, statement_text(15), HOME_TEXT_BYTES);
	position->was_synchronous = statement_int64(16) != 0;
	position->last_number = statement_int64(17);
	if (!chain_read(statement_text(18), position->chain))
		elog(ERROR, "the delivery chain of sink \"%s\" is malformed", sink);
	strlcpy(position->continued.store_id, statement_text(19), UUID_TEXT_BYTES);
	position->continued.last_number = statement_int64(20);
	strlcpy(position->continued.chain, statement_text(21), CHAIN_TEXT_BYTES);
	SPI_finish();
}

void
position_key(const char *sink, PositionKey *key)
{
	Datum		value;
	bool		isnull;
	bytea	   *secret;

	statement_run(&key_statement, NULL);
	value = layout_value(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, BYTEAOID, &isnull);
	secret = isnull ? NULL : DatumGetByteaPP(value);
	if (secret == NULL || VARSIZE_ANY_EXHDR(secret) != sizeof(key->secret))
		elog(ERROR, "the key of the store is malformed");
	strlcpy(key->sink, sink, sizeof(key->sink));
	memcpy(key->secret, VARDATA_ANY(secret), sizeof(key->secret));
	SPI_finish();
}

bool
position_is_newest(const char *sink, int64 position_id, const char *store_id)
{
	Datum		values[] = {CStringGetTextDatum(sink)};
	bool		is_newest;

	statement_run(&newest_statement, values);
	is_newest = SPI_processed == 1 && statement_int64(1) == position_id && strcmp(statement_text(2), store_id) == 0;
	SPI_finish();
	return is_newest;
}

int64
position_backlog(const char *sink, TimestampTz *since)
{
	Datum		values[] = {CStringGetTextDatum(sink)};
	int64		rows;

	statement_run(&backlog_statement, values);
	rows = statement_int64(1);
	*since = statement_int64(2);
	SPI_finish();
	return rows;
}

bool
position_record(const char *sink, const Position *position, int64 recorded_id)
{
	Datum		values[] = {
		CStringGetTextDatum(sink),
		Int64GetDatum(position->position_id),
		Int64GetDatum(position->tick_id),
		Int64GetDatum(position->window_tick_id),
		Int64GetDatum(position->window_audit_id),
		Int64GetDatum(position->highest_audit_id),
		Int64GetDatum(position->backfill_audit_id),
		CStringGetTextDatum(position->sink_detail),
		Int64GetDatum(position->delivered_rows),
		Int64GetDatum(recorded_id),
		Int64GetDatum(position->last_number),
		statement_bytea(position->chain, CHAIN_BYTES)
	};
	bool		is_recorded;

	statement_run(&record_statement, values);
	is_recorded = SPI_processed == 1;
	SPI_finish();
	return is_recorded;
}

bool
position_problem(const char *sink, const Position *position, const char *nonce, char problem[PROBLEM_BYTES])
{
	Datum		values[] = {
		CStringGetTextDatum(sink),
		Int64GetDatum(position->position_id),
		Int64GetDatum(position->tick_id),
		Int64GetDatum(position->window_tick_id),
		Int64GetDatum(position->window_audit_id),
		Int64GetDatum(position->highest_audit_id),
		Int64GetDatum(position->floor_audit_id),
		Int64GetDatum(position->backfill_audit_id),
		Int64GetDatum(position->delivered_rows),
		Int64GetDatum(position->retried_audit_id),
		Int64GetDatum(position->last_number),
		CStringGetTextDatum(nonce)
	};
	bool		known;

	statement_run(&problem_statement, values);
	strlcpy(problem, statement_text(1), PROBLEM_BYTES);
	known = statement_int64(2) != 0;
	SPI_finish();
	return known;
}

void
marker_problem(int64 audit_id, char problem[PROBLEM_BYTES])
{
	Datum		values[] = {Int64GetDatum(audit_id)};

	statement_run(&marker_statement, values);
	strlcpy(problem, statement_text(1), PROBLEM_BYTES);
	SPI_finish();
}

#define RECORD_FORM INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " " \
	INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT " " INT64_FORMAT

void
position_write(const PositionKey *key, const Position *position, const char *nonce, char *record, Size size)
{
	char		seal[POSITION_SEAL_BYTES];
	char		chain[CHAIN_TEXT_BYTES];
	int			length;

	chain_write(position->chain, chain);
	length = snprintf(record, size, RECORD_FORM " %s %s", position->tick_id, position->window_tick_id,
					  position->window_audit_id, position->highest_audit_id, position->floor_audit_id,
					  position->backfill_audit_id, position->delivered_rows, position->retried_audit_id,
					  position->last_number, position->batch_count, chain, nonce);
	position_seal(key, position->store_id, position->position_id, record, length, seal);
	Assert(length + 1 + sizeof(seal) <= size);
	snprintf(record + length, size - length, " %s", seal);
}

const char *
position_read(const PositionKey *key, const char *record, Position *position, char nonce[UUID_TEXT_BYTES])
{
	char		chain[CHAIN_TEXT_BYTES];
	int			length = 0;

	if (sscanf(record, RECORD_FORM " %64s %36s%n", &position->tick_id, &position->window_tick_id,
			   &position->window_audit_id, &position->highest_audit_id, &position->floor_audit_id,
			   &position->backfill_audit_id, &position->delivered_rows, &position->retried_audit_id,
			   &position->last_number, &position->batch_count, chain, nonce, &length) != 12 ||
		!chain_read(chain, position->chain))
		return "it is malformed";
	if (record[length] == '\0')
		return "it has no authentication code";
	if (record[length] != ' ' ||
		!position_seal_holds(key, position->store_id, position->position_id, record, length, record + length + 1))
		return "its authentication code is wrong";
	return NULL;
}

bool
position_fork(const char *sink, int64 position_id, const char *store_id, Fork *fork)
{
	Datum		values[] = {CStringGetTextDatum(sink), Int64GetDatum(position_id), CStringGetTextDatum(store_id)};

	statement_run(&fork_statement, values);
	strlcpy(fork->store_id, statement_text(1), UUID_TEXT_BYTES);
	fork->from_audit_id = statement_int64(2);
	fork->lost_from = statement_int64(3);
	fork->lost_to = statement_int64(4);
	SPI_finish();
	return fork->store_id[0] != '\0';
}

void
dead_letter_record(const char *sink, int64 audit_id, const char *error)
{
	Datum		values[] = {CStringGetTextDatum(sink), Int64GetDatum(audit_id), CStringGetTextDatum(error)};

	statement_run(&reject_statement, values);
	SPI_finish();
	/* Marks a request for another attempt as answered. */
	statement_run(&answered_statement, values);
	SPI_finish();
}

int64
dead_letter_wanted(const char *sink)
{
	Datum		values[] = {CStringGetTextDatum(sink)};
	int64		audit_id;

	statement_run(&wanted_statement, values);
	audit_id = SPI_processed == 1 ? statement_int64(1) : 0;
	SPI_finish();
	return audit_id;
}

void
dead_letter_delivered(const char *sink, const Position *position)
{
	Datum		values[] = {
		CStringGetTextDatum(sink), Int64GetDatum(position->retried_audit_id),
		CStringGetTextDatum(position->store_id), Int64GetDatum(position->last_number)
	};

	statement_run(&delivered_statement, values);
	SPI_finish();
}

int
dead_letters(const char *sink, int64 first, int64 last, bool with_skipped, int64 **audit_ids)
{
	Datum		values[] = {CStringGetTextDatum(sink), Int64GetDatum(first), Int64GetDatum(last)};
	MemoryContext caller = CurrentMemoryContext;
	int			count;

	statement_run(with_skipped ? &withheld_statement : &rejected_statement, values);
	count = SPI_processed;
	*audit_ids = MemoryContextAlloc(caller, Max(count, 1) * sizeof(int64));
	for (int i = 0; i < count; i++)
	{
		bool		isnull;

		(*audit_ids)[i] = DatumGetInt64(layout_value(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, INT8OID, &isnull));
	}
	SPI_finish();
	return count;
}

int64
position_purge(const char *sink, int64 from_position, int64 to_position, int64 from_tick)
{
	Datum		values[] = {
		CStringGetTextDatum(sink),
		Int64GetDatum(from_position),
		Int64GetDatum(to_position),
		Int64GetDatum(from_tick)
	};
	int64		next;

	statement_run(&purge_statement, values);
	next = statement_int64(1);
	SPI_finish();
	return next;
}

static Tick
get_tick(MemoryContext context)
{
	Tick		tick = {0};

	if (SPI_processed == 1)
	{
		tick.tick_id = statement_int64(1);
		tick.snapshot = get_snapshot(2, context);
		strlcpy(tick.nonce, statement_text(3), UUID_TEXT_BYTES);
	}
	SPI_finish();
	return tick;
}

Tick
tick_make(MemoryContext context)
{
	statement_run(&make_statement, NULL);
	return get_tick(context);
}

Tick
tick_next(int64 after, int64 up_to, MemoryContext context)
{
	Datum		values[] = {Int64GetDatum(after), Int64GetDatum(up_to)};

	statement_run(&next_statement, values);
	return get_tick(context);
}

bool
tick_exists(int64 tick_id, const char *nonce)
{
	Datum		values[] = {Int64GetDatum(tick_id), CStringGetTextDatum(nonce)};
	bool		exists;

	statement_run(&exists_statement, values);
	exists = SPI_processed == 1;
	SPI_finish();
	return exists;
}

TimestampTz
trail_recorded_at(int64 audit_id)
{
	Datum		values[] = {Int64GetDatum(audit_id)};
	TimestampTz result;

	statement_run(&recorded_statement, values);
	/* A TimestampTz is an int64. */
	result = SPI_processed == 1 ? statement_int64(1) : 0;
	SPI_finish();
	return result;
}
