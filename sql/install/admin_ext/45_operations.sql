-- ---------------------------------------------------------------------------
-- Delivery, for operators: dead letters, status.
-- ---------------------------------------------------------------------------

create function admin.retry_dead_letter(sink text, audit_id bigint)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    letter admin.dead_letter;
begin
    if retry_dead_letter.sink is null or retry_dead_letter.audit_id is null then
        raise exception 'argument "%" is null', case when retry_dead_letter.sink is null then 'sink' else 'audit_id' end
            using errcode = '22023', detail = 'A dead letter is named by its sink and its audit_id.';
    end if;
    select * into letter from admin.dead_letter as d
    where d.sink = retry_dead_letter.sink and d.audit_id = retry_dead_letter.audit_id;
    -- Not locked: the worker would wait for a transaction that asks and stays open.
    insert into admin.dead_letter_retry (sink, audit_id)
    values (retry_dead_letter.sink, retry_dead_letter.audit_id)
    on conflict do nothing;
    if found then
        perform admin_internal.append_event('dead_letter.retried', json_build_object(
            'sink', letter.sink, 'audit_id', letter.audit_id, 'error', letter.error,
            'failed_at', letter.failed_at, 'attempts', letter.attempts));
    end if;
exception when foreign_key_violation then
    perform admin_internal.check_sink(retry_dead_letter.sink);
    raise exception 'sink "%" has no dead letter of audit_id %', left(retry_dead_letter.sink, 64), retry_dead_letter.audit_id
        using errcode = 'P0002', hint = 'See admin.dead_letter.';
end
$$;

comment on function admin.retry_dead_letter(text, bigint) is
'Asks the worker to send a dead letter once more, between two batches: within seconds it is delivered, once, and no dead letter any more, or rejected again with another error and one more attempt. Until delivery has passed its place the request waits. Asking twice is asking once. Leaves dead_letter.retried in the trail. Raises 22023 for a null argument or an unknown sink, P0002 where the sink has no such dead letter.';

create function admin_internal.worker_status_rows(
    out database name, out sink text, out pid int, out state text, out delivered_rows bigint,
    out delivered_bytes bigint, out batches bigint, out dead_letters bigint, out last_audit_id bigint,
    out last_delivery_at timestamptz, out lag_rows bigint, out lag_seconds double precision,
    out last_error text, out last_error_at timestamptz, out started_at timestamptz)
returns setof record
as 'MODULE_PATHNAME', 'admin_worker_status'
language c volatile rows 4;

comment on function admin_internal.worker_status_rows() is
'What the workers of this cluster last wrote about themselves in shared memory; nothing unless admin_ext is in shared_preload_libraries.';

-- A sink without a worker has nobody who counts: its backlog in this database is counted here.
create view admin.worker_status as
select w.database, w.sink, w.pid, w.state, w.delivered_rows, w.delivered_bytes, w.batches, w.dead_letters, w.last_audit_id,
       w.last_delivery_at, coalesce(w.lag_rows, b.lag_rows) as lag_rows,
       coalesce(w.lag_seconds, b.lag_seconds) as lag_seconds, w.last_error, w.last_error_at, w.started_at
from admin_internal.worker_status_rows() as w
left join lateral (
    select k.lag_rows, coalesce(greatest(extract(epoch from clock_timestamp() - k.pending_since), 0), 0)::double precision as lag_seconds
    from admin_internal.sink_backlog_row(w.sink) as k
    where w.lag_rows is null and w.database = pg_catalog.current_database()) as b on true;

comment on view admin.worker_status is
'One row per listed database and sink: how delivery is doing. Empty unless admin_ext is in shared_preload_libraries.';
comment on column admin.worker_status.database is 'Database, as listed in admin_ext.databases.';
comment on column admin.worker_status.sink is 'Sink, as listed in admin_ext.sinks.';
comment on column admin.worker_status.pid is 'Process of the worker; null when none runs.';
comment on column admin.worker_status.state is 'starting, idle, delivering, backing_off (an outage: it goes on by itself), fenced (another worker took over) or stopped (last_error says what to do).';
comment on column admin.worker_status.delivered_rows is 'Rows delivered since the server started.';
comment on column admin.worker_status.delivered_bytes is 'Bytes delivered since the server started.';
comment on column admin.worker_status.batches is 'Batches delivered since the server started.';
comment on column admin.worker_status.dead_letters is 'Rows rejected for good since the server started.';
comment on column admin.worker_status.last_audit_id is 'The audit_id delivered last.';
comment on column admin.worker_status.last_delivery_at is 'When that was.';
comment on column admin.worker_status.lag_rows is 'Rows known to be committed and not yet delivered. An estimate above 100000 where the sink is stopped; null where no worker runs and this is another database.';
comment on column admin.worker_status.lag_seconds is 'Age of the oldest of them, in seconds; 0 when there is none, null where lag_rows is.';
comment on column admin.worker_status.last_error is 'What last went wrong; null once delivery works again.';
comment on column admin.worker_status.last_error_at is 'When that was.';
comment on column admin.worker_status.started_at is 'When the worker started.';

create function admin_internal.batch_latency_rows(out database name, out sink text, out at_most_ms int, out batches bigint)
returns setof record
as 'MODULE_PATHNAME', 'admin_batch_latency'
language c volatile rows 68;

comment on function admin_internal.batch_latency_rows() is
'How long the sinks of this cluster took to confirm their batches, as the workers last wrote it in shared memory.';

create view admin.batch_latency as select * from admin_internal.batch_latency_rows();

comment on view admin.batch_latency is
'A histogram per database and sink of how long the sink took to confirm a batch, since the server started; counts are cumulative, as Prometheus has them. Empty unless admin_ext is in shared_preload_libraries.';
comment on column admin.batch_latency.database is 'Database, as listed in admin_ext.databases.';
comment on column admin.batch_latency.sink is 'Sink, as listed in admin_ext.sinks.';
comment on column admin.batch_latency.at_most_ms is 'Upper bound in milliseconds; null: none.';
comment on column admin.batch_latency.batches is 'Batches that the sink confirmed within that time.';

create function admin.sink_places(out database name, out sink text, out place text)
returns setof record
as 'MODULE_PATHNAME', 'admin_sink_places'
language c volatile rows 4;

comment on function admin.sink_places() is
'Where each sink of this cluster delivers, as it said when it was opened last: its directory, its topic and the id of the schema in the registry, its channel. Null: it is not open, or does not say.';

create function admin_internal.check_latency_row(
    out calls bigint, out failed bigint, out p50_ms double precision, out p95_ms double precision, out p99_ms double precision,
    out max_ms double precision, out last_call_at timestamptz, out calls_since_start bigint)
returns setof record
as 'MODULE_PATHNAME', 'admin_check_latency'
language c volatile rows 1;

comment on function admin_internal.check_latency_row() is
'How long calls of admin.sensitive_check() took in this database, as counted in shared memory. No row unless admin_ext is in shared_preload_libraries.';

create view admin.check_latency as select * from admin_internal.check_latency_row();

comment on view admin.check_latency is
'One row: how long calls of admin.sensitive_check() took in this database, from the start of the statement to the end of its transaction, commit and flush included: what callers waited for. Calls of the last hour, which is this minute and the 59 before it. A time is the upper bound of a bucket, at most 6.25 % above what was measured. Empty where nothing is counted: unless admin_ext is in shared_preload_libraries, and beyond 16 databases since the server started.';
comment on column admin.check_latency.calls is 'Calls that ended in the last hour, by an answer or an error; each counts, also of several in one statement or transaction.';
comment on column admin.check_latency.failed is 'Those of them whose transaction, or subtransaction, was aborted: by their own error, a cancel, or a rollback.';
comment on column admin.check_latency.p50_ms is 'Half of the calls took no longer, in milliseconds; null without calls, Infinity above 67 seconds, as in the next three.';
comment on column admin.check_latency.p95_ms is '95 % of the calls took no longer, in milliseconds.';
comment on column admin.check_latency.p99_ms is '99 % of the calls took no longer, in milliseconds.';
comment on column admin.check_latency.max_ms is 'No call took longer, in milliseconds.';
comment on column admin.check_latency.last_call_at is 'When the last call ended, within the hour or not; null: none has since the server started.';
comment on column admin.check_latency.calls_since_start is 'Calls that ended since the server started.';

create function admin_internal.delivery_obstacle()
returns text
as 'MODULE_PATHNAME', 'admin_delivery_obstacle'
language c stable;

comment on function admin_internal.delivery_obstacle() is
'What in the settings keeps the audit trail of this database from being delivered; null when nothing does.';

do $$
begin
    if admin_internal.delivery_obstacle() is not null then
        raise warning 'the audit trail of this database is not delivered yet'
            using detail = format('Rows wait: %s.', admin_internal.delivery_obstacle()),
                  hint = 'Everything else works. See the settings shared_preload_libraries and admin_ext.databases.';
    end if;
end
$$;
