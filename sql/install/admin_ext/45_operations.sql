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
'Asks the worker to send a dead letter again. Between two batches, within seconds, the worker sends the row. The sink either accepts it, and the dead letter is removed, or rejects it again, with another error and attempts incremented. The request is deferred until delivery has passed this row. The call is idempotent. Appends dead_letter.retried to the trail. Raises 22023 for a null argument or an unknown sink, P0002 if the sink has no such dead letter.';

create function admin_internal.worker_status_rows(
    out database name, out sink text, out pid int, out state text, out delivered_rows bigint,
    out delivered_bytes bigint, out batches bigint, out dead_letters bigint, out last_audit_id bigint,
    out last_delivery_at timestamptz, out lag_rows bigint, out lag_seconds double precision,
    out last_error text, out last_error_at timestamptz, out started_at timestamptz)
returns setof record
as 'MODULE_PATHNAME', 'admin_worker_status'
language c volatile rows 4;

comment on function admin_internal.worker_status_rows() is
'The state that the workers of this cluster last wrote to shared memory. Returns no rows unless admin_ext is in shared_preload_libraries.';

-- If a sink has no worker, no process counts its backlog: for a sink of this database the view counts it.
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
'Delivery status: one row per database of admin_ext.databases and sink of admin_ext.sinks. Empty unless admin_ext is in shared_preload_libraries.';
comment on column admin.worker_status.database is 'Database, as listed in admin_ext.databases.';
comment on column admin.worker_status.sink is 'Sink, as listed in admin_ext.sinks.';
comment on column admin.worker_status.pid is 'Process id of the worker; null if no worker runs.';
comment on column admin.worker_status.state is
'starting, idle, delivering, backing_off (an outage: the worker retries by itself), fenced (another worker took over) or stopped (last_error says what to do).';
comment on column admin.worker_status.delivered_rows is 'Rows delivered since the server started.';
comment on column admin.worker_status.delivered_bytes is 'Bytes delivered since the server started.';
comment on column admin.worker_status.batches is 'Batches delivered since the server started.';
comment on column admin.worker_status.dead_letters is
'Rows that the sink has permanently rejected since the server started.';
comment on column admin.worker_status.last_audit_id is 'The audit_id that was delivered last.';
comment on column admin.worker_status.last_delivery_at is 'When the last delivery was.';
comment on column admin.worker_status.lag_rows is
'Number of rows that are known to be committed and are not delivered yet. While the sink is stopped, a number above 100000 is an estimate. Null if no worker runs and the row is of another database.';
comment on column admin.worker_status.lag_seconds is
'Age in seconds of the oldest row that is not delivered yet; 0 if there is no such row, null if lag_rows is null.';
comment on column admin.worker_status.last_error is 'The last error; null once delivery works again.';
comment on column admin.worker_status.last_error_at is 'When the last error occurred.';
comment on column admin.worker_status.started_at is 'When the worker started.';

create function admin_internal.batch_latency_rows(out database name, out sink text, out at_most_ms int, out batches bigint)
returns setof record
as 'MODULE_PATHNAME', 'admin_batch_latency'
language c volatile rows 68;

comment on function admin_internal.batch_latency_rows() is
'How long the sinks of this cluster took to confirm their batches, as the workers last wrote it to shared memory.';

create view admin.batch_latency as select * from admin_internal.batch_latency_rows();

comment on view admin.batch_latency is
'Histogram, per database and sink, of the time that the sink took to confirm a batch, since the server started. The counts are cumulative, as in a Prometheus histogram. Empty unless admin_ext is in shared_preload_libraries.';
comment on column admin.batch_latency.database is 'Database, as listed in admin_ext.databases.';
comment on column admin.batch_latency.sink is 'Sink, as listed in admin_ext.sinks.';
comment on column admin.batch_latency.at_most_ms is
'Upper bound of the bucket in milliseconds; null if the bucket has no upper bound.';
comment on column admin.batch_latency.batches is 'Batches that the sink confirmed within that time.';

create function admin.sink_places(out database name, out sink text, out place text)
returns setof record
as 'MODULE_PATHNAME', 'admin_sink_places'
language c volatile rows 4;

comment on function admin.sink_places() is
'Where each sink of this cluster delivers, as the sink reported it when it was last opened. place is a directory, a topic with the id of the schema in the registry, or a channel. It is null if the sink is not open or reports no place.';

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
'One row: how long calls of admin.sensitive_check() took in this database during the last hour, which is the current minute and the 59 before it. A call is measured from the start of its statement to the end of its transaction, commit and flush included, so it is the time that the caller waited. A time is the upper bound of a histogram bucket, at most 6.25 % above the measured value. Empty if calls are not counted: admin_ext is not in shared_preload_libraries, or 16 other databases that still exist are counted.';
comment on column admin.check_latency.calls is
'Calls that ended in the last hour, with an answer or an error. Each call counts, also if one statement or transaction makes several.';
comment on column admin.check_latency.failed is
'Calls of the last hour whose transaction or subtransaction was aborted: by an error of their own, a cancel, or a rollback.';
comment on column admin.check_latency.p50_ms is
'Half of the calls took at most this time, in milliseconds. Null without calls and Infinity above 67 seconds, as in the next three columns.';
comment on column admin.check_latency.p95_ms is '95 % of the calls took at most this time, in milliseconds.';
comment on column admin.check_latency.p99_ms is '99 % of the calls took at most this time, in milliseconds.';
comment on column admin.check_latency.max_ms is 'The longest call took at most this time, in milliseconds.';
comment on column admin.check_latency.last_call_at is
'When the last call ended, in the last hour or before; null if no call has ended since the server started.';
comment on column admin.check_latency.calls_since_start is 'Calls that ended since the server started.';

create function admin_internal.delivery_obstacle()
returns text
as 'MODULE_PATHNAME', 'admin_delivery_obstacle'
language c stable;

comment on function admin_internal.delivery_obstacle() is
'The setting that prevents delivery of the audit trail of this database; null if the settings allow delivery.';

do $$
begin
    if admin_internal.delivery_obstacle() is not null then
        raise warning 'the audit trail of this database is not delivered yet'
            using detail = format('Rows wait: %s.', admin_internal.delivery_obstacle()),
                  hint = 'Everything else works. See the settings shared_preload_libraries and admin_ext.databases.';
    end if;
end
$$;
