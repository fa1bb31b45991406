-- ---------------------------------------------------------------------------
-- Delivery: identity of this copy of the data, ticks, positions, status.
-- ---------------------------------------------------------------------------

create function admin_internal.store_identity(
    out system_identifier bigint, out database_oid oid, out timeline int)
as 'MODULE_PATHNAME', 'admin_store_identity'
language c stable parallel restricted;

comment on function admin_internal.store_identity() is
'Returns where this session runs: system identifier of the cluster, oid of the database, and the timeline that WAL is written on (0 on a standby).';

create function admin_internal.home()
returns text
language sql stable
return (admin_internal.store_identity()).system_identifier || '/' || (admin_internal.store_identity()).timeline;

comment on function admin_internal.home() is
'Returns where this session runs, as text: "<system identifier>/<timeline>".';

create table admin.store (
    store_id          uuid        not null primary key default gen_random_uuid(),
    system_identifier bigint      not null,
    database_oid      oid         not null,
    timeline          int         not null,
    adopted_at        timestamptz
);

create unique index store_one_row on admin.store ((true));

comment on table admin.store is
'One row that identifies this copy of the data and says where it runs. After a failover or pg_upgrade the worker updates the row; whether commits were lost is checked at the sink. A copy that was loaded from a dump, or that is another database of the same cluster, delivers nothing until admin.resync_sink() is called.';
comment on column admin.store.store_id is 'Generated at CREATE EXTENSION, and renewed by admin.resync_sink() where history forked. Part of the CloudEvents source of every event.';
comment on column admin.store.system_identifier is 'System identifier of the cluster (pg_control_system()).';
comment on column admin.store.database_oid is 'Oid of the database.';
comment on column admin.store.timeline is 'Timeline that WAL was written on when the store was adopted.';
comment on column admin.store.adopted_at is 'When this cluster, database and timeline adopted the store. Null after a dump was loaded or admin.renew_store() was called, until admin.resync_sink() is called.';

insert into admin.store (system_identifier, database_oid, timeline, adopted_at)
select system_identifier, database_oid, timeline,
       case when pg_catalog.current_setting('admin_ext.restoring', true) is distinct from 'on' then now() end
from admin_internal.store_identity();

create function admin.store_id()
returns uuid
language sql stable
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select s.store_id from admin.store as s;
end;

comment on function admin.store_id() is
'Returns the store id of this copy of the data, which is part of the CloudEvents source of every event. Together with an audit_id it identifies a row of the trail for ever.';

create function admin_internal.tick_snapshot()
returns pg_snapshot
as 'MODULE_PATHNAME', 'admin_tick_snapshot'
language c volatile;

comment on function admin_internal.tick_snapshot() is
'Returns a snapshot of what is committed now, with the calling transaction counted as in progress.';

create table admin.tick (
    tick_id   bigint      not null primary key,
    snap      pg_snapshot not null,
    tick_xid  xid8        not null default pg_current_xact_id(),
    nonce     uuid        not null default gen_random_uuid(),
    ticked_at timestamptz not null default clock_timestamp()
);

comment on table admin.tick is
'Stored snapshots, shared by all sinks. A window is the set of rows that are visible in one tick and not in an earlier one. Delivery proceeds window by window.';
comment on column admin.tick.tick_id is 'Ascending number; 0 is the tick before all rows.';
comment on column admin.tick.snap is 'The snapshot. Its xmax never decreases from tick to tick.';
comment on column admin.tick.tick_xid is 'The transaction that wrote the tick. It equals the row''s xmin unless the row was loaded from a dump.';
comment on column admin.tick.nonce is 'Distinguishes this tick from a tick with the same number in a fork of the data.';
comment on column admin.tick.ticked_at is 'When the tick was made.';

insert into admin.tick (tick_id, snap) values (0, '1:1:');

create function admin_internal.chain_start(store_id uuid, sink text)
returns bytea
as 'MODULE_PATHNAME', 'admin_chain_start'
language c immutable strict parallel safe;

comment on function admin_internal.chain_start(uuid, text) is
'Returns the delivery chain of a store at a sink before the first document; see doc/evidence.md.';

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
    resent_audit_id   bigint,
    sink_detail       text        not null default '',
    delivered_rows    bigint      not null default 0,
    is_resync         boolean     not null default false,
    home              text        not null default admin_internal.home(),
    is_synchronous    boolean     not null default current_setting('synchronous_standby_names') <> '',
    committed_at      timestamptz not null default clock_timestamp(),
    last_number       bigint      not null default 0,
    chain             bytea,
    continued_store_id uuid,
    continued_number  bigint,
    continued_chain   bytea,
    primary key (sink, position_id),
    constraint sink_position_chain check ((last_number = 0) = (chain is null) and octet_length(chain) = 32)
);

comment on table admin.sink_position is
'The progress of delivery to each sink. The newest row of a sink counts. The worker inserts rows and removes old ones. It never updates a row, because updates of one row slow down while an old transaction is open.';
comment on column admin.sink_position.sink is 'Name of the sink, as in admin_ext.sinks.';
comment on column admin.sink_position.position_id is 'Ascending number for each sink. A second writer of the same number fails.';
comment on column admin.sink_position.store_id is 'The store the position belongs to.';
comment on column admin.sink_position.tick_id is 'Everything visible in this tick is delivered.';
comment on column admin.sink_position.window_tick_id is 'The tick whose window is being delivered; null between windows.';
comment on column admin.sink_position.window_audit_id is 'Rows of that window up to this audit_id are delivered.';
comment on column admin.sink_position.highest_audit_id is 'The highest audit_id delivered so far.';
comment on column admin.sink_position.floor_audit_id is 'Rows up to this audit_id came from another copy of the data, so their xid means nothing here. Windows omit them.';
comment on column admin.sink_position.backfill_audit_id is 'After a resync, rows visible in the tick are delivered from this audit_id on, in order of audit_id. Null if no such rows are left.';
comment on column admin.sink_position.resent_audit_id is 'Rows of the backfill below this audit_id had been delivered before the resync.';
comment on column admin.sink_position.sink_detail is 'The sink''s own part of the position. For ndjson: file and offset.';
comment on column admin.sink_position.delivered_rows is 'Total number of rows delivered.';
comment on column admin.sink_position.is_resync is 'True if admin.resync_sink() recorded the position: delivery then continues from it, whatever the sink holds.';
comment on column admin.sink_position.home is 'System identifier and timeline of the server that recorded the position.';
comment on column admin.sink_position.is_synchronous is 'True if commits of that server waited for a standby.';
comment on column admin.sink_position.committed_at is 'When the position was recorded.';
comment on column admin.sink_position.last_number is 'Delivery number of the last document of this store that was delivered to the sink; 0 before the first document. See doc/evidence.md.';
comment on column admin.sink_position.chain is 'The delivery chain after that document; null before the first document.';
comment on column admin.sink_position.continued_store_id is 'The preceding store, if a resync or a fork created this one. Null if this store continues no other store.';
comment on column admin.sink_position.continued_number is 'The last delivery number of the preceding store that the database knew.';
comment on column admin.sink_position.continued_chain is 'The delivery chain after continued_number.';

create table admin.dead_letter (
    sink      text        not null,
    audit_id  bigint      not null,
    error     text        not null,
    failed_at timestamptz not null default clock_timestamp(),
    attempts  int         not null default 1,
    primary key (sink, audit_id)
);

comment on table admin.dead_letter is 'Rows that a sink rejected permanently.';
comment on column admin.dead_letter.sink is 'The sink that rejected the row.';
comment on column admin.dead_letter.audit_id is 'The rejected row of admin.audit.';
comment on column admin.dead_letter.error is 'The reason, as the sink reported it.';
comment on column admin.dead_letter.failed_at is 'When the row was last rejected.';
comment on column admin.dead_letter.attempts is 'How often delivery of the row was tried.';

create table admin.dead_letter_retry (
    sink         text        not null,
    audit_id     bigint      not null,
    requested_at timestamptz not null default clock_timestamp(),
    primary key (sink, audit_id),
    foreign key (sink, audit_id) references admin.dead_letter on delete cascade
);

comment on table admin.dead_letter_retry is 'Dead letters that an operator has asked to send again; see admin.retry_dead_letter().';
comment on column admin.dead_letter_retry.sink is 'The sink that rejected the row.';
comment on column admin.dead_letter_retry.audit_id is 'The rejected row of admin.audit.';
comment on column admin.dead_letter_retry.requested_at is 'When the retry was requested.';

create function admin_internal.enabled_sinks()
returns setof text
as 'MODULE_PATHNAME', 'admin_enabled_sinks'
language c stable parallel safe rows 2;

comment on function admin_internal.enabled_sinks() is 'Returns the sinks listed in admin_ext.sinks.';

-- A sink that was removed from the setting is still known if it has a position.
create function admin_internal.check_sink(sink text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    known text[] := array(select * from admin_internal.enabled_sinks() union select p.sink from admin.sink_position as p order by 1);
begin
    if check_sink.sink = any (known) then
        return;
    end if;
    raise exception 'sink "%" is unknown', coalesce(left(check_sink.sink, 64), 'null')
        using errcode = '22023', hint = 'Sinks are listed in the setting admin_ext.sinks.',
              detail = case when known = '{}' then 'No sink is known.' else format('The known sinks are: %s.', array_to_string(known, ', ')) end;
end
$$;

comment on function admin_internal.check_sink(text) is
'Raises 22023 for an unknown sink: it is not listed in admin_ext.sinks and has no position. The detail names the known sinks.';

-- Returns why delivery to a sink must wait for admin.resync_sink(); null if delivery can continue.
create function admin_internal.delivery_problem(sink text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    store  admin.store;
    here   record;
    newest admin.sink_position;
    tick   record;
    -- The last 32 bits of a tick's xid are its row's xmin, unless the row came from a dump.
    low_bits constant numeric := 4294967296;
begin
    select * into strict store from admin.store;
    select * into here from admin_internal.store_identity();
    select * into newest from admin.sink_position as p
    where p.sink = delivery_problem.sink order by p.position_id desc limit 1;
    select t.tick_id, t.xmin::text <> (t.tick_xid::text::numeric % low_bits)::text as is_loaded,
           pg_snapshot_xmax(t.snap) > pg_snapshot_xmax(pg_current_snapshot()) as is_ahead
    into tick from admin.tick as t order by t.tick_id desc limit 1;
    return case
        when store.adopted_at is null then 'this copy of the audit trail was loaded from a dump, or admin.renew_store() was called'
        when store.system_identifier = here.system_identifier and store.database_oid <> here.database_oid
            then 'this copy of the audit trail belongs to another database of this cluster'
        when newest.store_id <> store.store_id then 'the position of the sink belongs to another store'
        -- The database cannot tell which rows a sink has received that was added after a resync.
        when newest.position_id is null and exists (select from admin.sink_position as p where p.position_id >= 4294967296)
            then 'the sink has no position yet, and the trail holds rows from before an operator''s resync'
        when tick.tick_id is null then 'table admin.tick is empty'
        when tick.tick_id > 0 and tick.is_loaded then 'table admin.tick was loaded from a dump'
        when tick.is_ahead then 'the newest tick is ahead of the transactions of this cluster'
        when newest.tick_id is not null
             and not exists (select from admin.tick as t where t.tick_id = newest.tick_id)
            then format('tick %s, which the position of the sink builds on, is missing', newest.tick_id)
        when newest.window_tick_id is not null
             and not exists (select from admin.tick as t where t.tick_id = newest.window_tick_id)
            then format('tick %s, which the position of the sink builds on, is missing', newest.window_tick_id)
    end;
end
$$;

comment on function admin_internal.delivery_problem(text) is
'Returns the reason why delivery cannot continue from the recorded position of a sink before admin.resync_sink() is called. Returns null if delivery can continue.';

-- For a failover or pg_upgrade: delivery_problem() has found no problem.
create function admin_internal.follow_move()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    store admin.store;
    here  record;
begin
    select * into strict store from admin.store;
    select * into here from admin_internal.store_identity();
    if (store.system_identifier, store.database_oid, store.timeline)
       is not distinct from (here.system_identifier, here.database_oid, here.timeline) then
        return;
    end if;
    raise log 'admin_ext: store % adopted by system % on timeline %, before by system % on timeline %',
        store.store_id, here.system_identifier, here.timeline, store.system_identifier, store.timeline;
    update admin.store as s
    set system_identifier = here.system_identifier, database_oid = here.database_oid,
        timeline = here.timeline, adopted_at = now();
end
$$;

comment on function admin_internal.follow_move() is
'For the worker: adopts the store if this database runs in another cluster, or on another timeline, than admin.store says.';

-- Returns what a worker needs to continue.  Raises 55000 if an operator must decide first.
create function admin_internal.delivery_open(
    sink text, out store_id uuid, out home text, out position_id bigint, out tick_id bigint, out done text,
    out window_tick_id bigint, out window_audit_id bigint, out highest_audit_id bigint,
    out floor_audit_id bigint, out backfill_audit_id bigint, out sink_detail text, out delivered_rows bigint,
    out is_resync bigint, out backfill_end bigint, out recorded_home text, out is_synchronous bigint,
    out last_number bigint, out chain text, out continued_store_id text, out continued_number bigint, out continued_chain text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    newest admin.sink_position;
    stop   text := admin_internal.delivery_problem(delivery_open.sink);
begin
    if stop is not null then
        raise exception '%', stop
            using errcode = '55000',
                  hint = format('Ask admin.resync_proposal(%1$L) where to go on, then call admin.resync_sink(%1$L, from_audit_id).', sink);
    end if;
    store_id := admin.store_id();
    select * into newest from admin.sink_position as p
    where p.sink = delivery_open.sink order by p.position_id desc limit 1;
    if newest.position_id is null then
        insert into admin.sink_position (sink, position_id, store_id, tick_id)
        values (sink, 1, store_id, 0)
        returning * into newest;
    end if;
    perform admin_internal.follow_move();

    home := admin_internal.home();
    position_id := newest.position_id;
    tick_id := newest.tick_id;
    select t.snap::text into done from admin.tick as t where t.tick_id = newest.tick_id;
    window_tick_id := newest.window_tick_id;
    window_audit_id := newest.window_audit_id;
    highest_audit_id := newest.highest_audit_id;
    floor_audit_id := newest.floor_audit_id;
    backfill_audit_id := newest.backfill_audit_id;
    sink_detail := newest.sink_detail;
    delivered_rows := newest.delivered_rows;
    is_resync := newest.is_resync::int;
    recorded_home := newest.home;
    is_synchronous := newest.is_synchronous::int;
    last_number := newest.last_number;
    chain := encode(coalesce(newest.chain, admin_internal.chain_start(newest.store_id, newest.sink)), 'hex');
    continued_store_id := newest.continued_store_id;
    continued_number := newest.continued_number;
    continued_chain := encode(newest.continued_chain, 'hex');
    -- Rows that came later are above, and are not visible in the tick.
    if newest.backfill_audit_id is not null then
        select coalesce(max(a.audit_id), 0) into backfill_end from admin.audit as a;
    end if;
end
$$;

comment on function admin_internal.delivery_open(text) is
'For the worker: verifies that the sink was delivered from this copy of the data, adopts the copy after a failover or pg_upgrade, and returns the newest position. Raises 55000 if admin.resync_sink() must be called first.';

-- The caller must commit synchronously, and must read no row before the commit has returned.
create function admin_internal.make_tick(out tick_id bigint, out snap text, out nonce text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    last admin.tick;
    made pg_snapshot;
begin
    -- Ticks come one after the other.  A lock of the table would be in vacuum's way, an advisory
    -- one in anybody's hand.
    perform from admin.tick as t where t.tick_id = 0 for no key update;
    select * into last from admin.tick order by tick_id desc limit 1;
    made := admin_internal.tick_snapshot();
    if pg_snapshot_xmax(made) < pg_snapshot_xmax(last.snap) then
        raise exception 'the newest tick is ahead of the transactions of this cluster'
            using errcode = '55000', hint = 'Call admin.resync_sink() for every sink; admin.resync_proposal() names the audit_id.';
    end if;
    insert into admin.tick (tick_id, snap) values (coalesce(last.tick_id, 0) + 1, made)
    returning tick.tick_id, tick.snap::text, tick.nonce::text into tick_id, snap, nonce;
end
$$;

comment on function admin_internal.make_tick() is 'For the worker: stores the present snapshot as the next tick. Raises 55000 if the newest tick is ahead of the transactions of this cluster.';

create function admin_internal.purge_delivery(sink text, from_position bigint, to_position bigint, from_tick bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    slowest bigint;
begin
    delete from admin.sink_position as p
    where p.sink = sink and p.position_id >= from_position and p.position_id < to_position;
    -- One that is not enabled now may be again, and its sink may be ahead of what is recorded.
    select min(n.tick_id) into slowest
    from (select distinct p.sink from admin.sink_position as p) as s(name)
    cross join lateral (select p.tick_id from admin.sink_position as p
                        where p.sink = s.name order by p.position_id desc limit 1) as n;
    delete from admin.tick as t
    where t.tick_id >= from_tick and t.tick_id < slowest and t.tick_id > 0
      and not exists (select from admin.sink_position as p
                      where p.tick_id = t.tick_id or p.window_tick_id = t.tick_id);
    return greatest(from_tick, slowest);
end
$$;

comment on function admin_internal.purge_delivery(text, bigint, bigint, bigint) is
'For the worker: removes positions and ticks that no sink needs any more. The bounds prevent it from scanning again what it removed before. Returns the new lower bound for ticks.';
