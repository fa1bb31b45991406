-- ---------------------------------------------------------------------------
-- Delivery: which copy of the data this is, ticks, positions, status.
-- ---------------------------------------------------------------------------

create function admin.store_identity(
    out system_identifier bigint, out database_oid oid, out timeline int)
as 'MODULE_PATHNAME', 'admin_store_identity'
language c stable parallel restricted;

comment on function admin.store_identity() is
'Where this session runs: system identifier of the cluster, oid of the database, timeline that WAL is written on (0 on a standby).';

create table admin.store (
    store_id          uuid        not null primary key default gen_random_uuid(),
    system_identifier bigint      not null,
    database_oid      oid         not null,
    timeline          int         not null,
    adopted_at        timestamptz
);

create unique index store_one_row on admin.store ((true));

comment on table admin.store is
'One row: which copy of the data this is. A worker that finds itself elsewhere than the row says delivers nothing until admin.resync_sink() has answered.';
comment on column admin.store.store_id is 'Made at CREATE EXTENSION, renewed by admin.resync_sink() where history forked; part of every event''s CloudEvents source.';
comment on column admin.store.system_identifier is 'System identifier of the cluster (pg_control_system()).';
comment on column admin.store.database_oid is 'Oid of the database.';
comment on column admin.store.timeline is 'Timeline that WAL was written on when the store was adopted.';
comment on column admin.store.adopted_at is 'When this cluster, database and timeline took the store as theirs; null after a dump was loaded, until admin.resync_sink() has answered.';

insert into admin.store (system_identifier, database_oid, timeline, adopted_at)
select system_identifier, database_oid, timeline,
       case when pg_catalog.current_setting('admin_ext.restoring', true) is distinct from 'on' then now() end
from admin.store_identity();

create function admin.tick_snapshot()
returns pg_snapshot
as 'MODULE_PATHNAME', 'admin_tick_snapshot'
language c volatile;

comment on function admin.tick_snapshot() is
'What is committed now, with the calling transaction counted as in progress.';

create table admin.tick (
    tick_id   bigint      not null primary key,
    snap      pg_snapshot not null,
    tick_xid  xid8        not null default pg_current_xact_id(),
    nonce     uuid        not null default gen_random_uuid(),
    ticked_at timestamptz not null default clock_timestamp()
);

comment on table admin.tick is
'Stored snapshots, shared by all sinks. A window is what is visible in one tick and not in an earlier one; delivery goes from window to window.';
comment on column admin.tick.tick_id is 'Ascending; 0 is the tick before all rows.';
comment on column admin.tick.snap is 'The snapshot; its xmax never goes back from tick to tick.';
comment on column admin.tick.tick_xid is 'The transaction that wrote the tick: equal to the row''s xmin unless the row came from a dump.';
comment on column admin.tick.nonce is 'Tells this tick from one of the same number in a fork of the data.';
comment on column admin.tick.ticked_at is 'When it was made.';

insert into admin.tick (tick_id, snap) values (0, '1:1:');

create table admin.sink_position (
    sink              text        not null,
    position_id       bigint      not null,
    store_id          uuid        not null,
    tick_id           bigint      not null,
    window_tick_id    bigint,
    window_audit_id   bigint,
    highest_audit_id  bigint      not null default 0,
    floor_audit_id    bigint      not null default 0,
    backfill_audit_id bigint,
    sink_detail       text        not null default '',
    delivered_rows    bigint      not null default 0,
    committed_at      timestamptz not null default clock_timestamp(),
    primary key (sink, position_id)
);

comment on table admin.sink_position is
'How far each sink has got. Rows are only added, and old ones purged: an update of one row would slow down with every transaction held open. The newest row of a sink counts.';
comment on column admin.sink_position.sink is 'Name of the sink, as in admin_ext.sinks.';
comment on column admin.sink_position.position_id is 'Ascending per sink; a second writer of the same number fails.';
comment on column admin.sink_position.store_id is 'The store the position belongs to.';
comment on column admin.sink_position.tick_id is 'Everything visible in this tick is delivered.';
comment on column admin.sink_position.window_tick_id is 'The tick whose window is being delivered; null between windows.';
comment on column admin.sink_position.window_audit_id is 'Rows of that window up to this audit_id are delivered.';
comment on column admin.sink_position.highest_audit_id is 'The highest audit_id delivered so far.';
comment on column admin.sink_position.floor_audit_id is 'Rows up to here came from a dump or an operator''s resync: they are delivered in order of audit_id, not by windows.';
comment on column admin.sink_position.backfill_audit_id is 'The first row up to the floor still to be delivered; null when there is none.';
comment on column admin.sink_position.sink_detail is 'The sink''s own part of the position: for ndjson, file and offset.';
comment on column admin.sink_position.delivered_rows is 'Rows delivered in all.';
comment on column admin.sink_position.committed_at is 'When the position was recorded.';

create table admin.dead_letter (
    sink      text        not null,
    audit_id  bigint      not null,
    error     text        not null,
    failed_at timestamptz not null default clock_timestamp(),
    attempts  int         not null default 1,
    primary key (sink, audit_id)
);

comment on table admin.dead_letter is 'Rows that a sink rejected for good.';
comment on column admin.dead_letter.sink is 'The sink that rejected it.';
comment on column admin.dead_letter.audit_id is 'The row of admin.audit.';
comment on column admin.dead_letter.error is 'Why, in the sink''s words.';
comment on column admin.dead_letter.failed_at is 'When it was last rejected.';
comment on column admin.dead_letter.attempts is 'How often it was tried.';

create function admin.enabled_sinks()
returns setof text
as 'MODULE_PATHNAME', 'admin_enabled_sinks'
language c stable parallel safe rows 2;

comment on function admin.enabled_sinks() is 'The sinks listed in admin_ext.sinks.';

create function admin.sink_newest_position()
returns table (sink text, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
               floor_audit_id bigint, backfill_audit_id bigint)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select s.sink, p.done, p.win, p.window_audit_id, coalesce(p.floor_audit_id, 0), p.backfill_audit_id
    from admin.enabled_sinks() as s(sink)
    left join lateral (
        select t.snap as done, w.snap as win, n.window_audit_id, n.floor_audit_id, n.backfill_audit_id
        from (select * from admin.sink_position as q
              where q.sink = s.sink
              order by q.position_id desc limit 1) as n
        join admin.tick as t on t.tick_id = n.tick_id
        left join admin.tick as w on w.tick_id = n.window_tick_id) as p on true;
end;

comment on function admin.sink_newest_position() is
'The newest position of each enabled sink with its snapshots; nulls for a sink that has none yet.';

create function admin.is_delivered(
    audit_id bigint, xid xid8, done pg_snapshot, "window" pg_snapshot,
    window_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint)
returns boolean
language sql immutable parallel safe
return case
    when done is null then false
    when audit_id <= floor_audit_id then backfill_audit_id is null or audit_id < backfill_audit_id
    else pg_visible_in_snapshot(xid, done)
         or ("window" is not null and audit_id <= window_audit_id
             and pg_visible_in_snapshot(xid, "window"))
end;

comment on function admin.is_delivered(bigint, xid8, pg_snapshot, pg_snapshot, bigint, bigint, bigint) is
'Does a position, as admin.sink_newest_position() tells it, cover a row of the trail?';

create view admin.audit_delivery as
with p as materialized (select * from admin.sink_newest_position())
select a.audit_id,
       a.recorded_at,
       p.sink,
       case when exists (select from admin.dead_letter as d
                         where d.sink = p.sink and d.audit_id = a.audit_id) then 'failed'
            when admin.is_delivered(a.audit_id, a.xid, p.done, p."window", p.window_audit_id,
                                    p.floor_audit_id, p.backfill_audit_id) then 'delivered'
            else 'pending'
       end as sink_status
from admin.audit as a cross join p;

comment on view admin.audit_delivery is
'Each row of the trail with what became of it at each enabled sink: pending, delivered, or failed (see admin.dead_letter). Derived from the position of the sink.';
comment on column admin.audit_delivery.audit_id is 'As in admin.audit.';
comment on column admin.audit_delivery.recorded_at is 'As in admin.audit.';
comment on column admin.audit_delivery.sink is 'Name of the sink.';
comment on column admin.audit_delivery.sink_status is 'pending, delivered or failed.';

create function admin.worker_status_rows(
    out database name, out sink text, out pid int, out state text, out delivered_rows bigint,
    out delivered_bytes bigint, out batches bigint, out dead_letters bigint, out last_audit_id bigint,
    out last_delivery_at timestamptz, out lag_rows bigint, out lag_seconds double precision,
    out last_error text, out last_error_at timestamptz, out started_at timestamptz)
returns setof record
as 'MODULE_PATHNAME', 'admin_worker_status'
language c volatile rows 4;

comment on function admin.worker_status_rows() is
'What the workers of this cluster last wrote about themselves in shared memory; nothing unless admin_ext is in shared_preload_libraries.';

create view admin.worker_status as select * from admin.worker_status_rows();

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
comment on column admin.worker_status.lag_rows is 'Rows known to be committed and not yet delivered.';
comment on column admin.worker_status.lag_seconds is 'Age of the oldest of them, in seconds; 0 when there is none.';
comment on column admin.worker_status.last_error is 'What last went wrong; null once delivery works again.';
comment on column admin.worker_status.last_error_at is 'When that was.';
comment on column admin.worker_status.started_at is 'When the worker started.';
