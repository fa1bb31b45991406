-- ---------------------------------------------------------------------------
-- The delivery status of each row at each sink.
-- ---------------------------------------------------------------------------

create function admin_internal.is_delivered(
    audit_id bigint, xid xid8, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
    highest_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint)
returns boolean
language sql immutable parallel safe
return case
    when done is null or audit_id > highest_audit_id then false
    when audit_id <= floor_audit_id or pg_visible_in_snapshot(xid, done)
        then backfill_audit_id is null or audit_id < backfill_audit_id
    else "window" is not null and audit_id <= window_audit_id
         and pg_visible_in_snapshot(xid, "window")
end;

comment on function admin_internal.is_delivered(bigint, xid8, pg_snapshot, pg_snapshot, bigint, bigint, bigint, bigint) is
'Returns true if a position, as admin_internal.sink_newest_position() returns it, covers a row of the trail.';

-- A resync that skips rows stores the preceding position here.  The sink never received the rows
-- that this position does not cover and that the resync skipped.
create table admin.sink_skipped (
    sink                  text        not null,
    position_id           bigint      not null,
    first_audit_id        bigint      not null,
    before_audit_id       bigint      not null,
    snap                  pg_snapshot not null,
    floor_audit_id        bigint      not null,
    done                  pg_snapshot,
    done_window           pg_snapshot,
    done_window_audit_id  bigint,
    done_highest_audit_id bigint,
    done_floor_audit_id   bigint,
    done_backfill_audit_id bigint,
    skipped_at            timestamptz not null default clock_timestamp(),
    skipped_by            text        not null,
    primary key (sink, position_id)
);

comment on table admin.sink_skipped is
'The rows that admin.resync_sink() has skipped, one entry for each call that skipped rows; see admin_internal.is_skipped(). A later call that sends such rows lowers before_audit_id.';
comment on column admin.sink_skipped.sink is 'Name of the sink.';
comment on column admin.sink_skipped.position_id is 'The position that the call recorded.';
comment on column admin.sink_skipped.first_audit_id is 'The lowest audit_id that was skipped.';
comment on column admin.sink_skipped.before_audit_id is 'Delivery continued from this audit_id: only rows below it were skipped.';
comment on column admin.sink_skipped.snap is 'Only rows visible in this snapshot, and rows up to floor_audit_id, were skipped.';
comment on column admin.sink_skipped.floor_audit_id is 'Rows up to this audit_id came from another copy of the data, so their xid means nothing here.';
comment on column admin.sink_skipped.done is 'The position before the call: rows visible in this snapshot had been delivered. Null: no row had been delivered.';
comment on column admin.sink_skipped.done_window is 'The position before the call: the window that was being delivered.';
comment on column admin.sink_skipped.done_window_audit_id is 'Rows of done_window up to this audit_id had been delivered.';
comment on column admin.sink_skipped.done_highest_audit_id is 'The highest audit_id that had been delivered.';
comment on column admin.sink_skipped.done_floor_audit_id is 'floor_audit_id of the position before the call; see admin.sink_position.';
comment on column admin.sink_skipped.done_backfill_audit_id is 'Rows visible in done from this audit_id on had not been delivered. Null: all of them had been delivered.';
comment on column admin.sink_skipped.skipped_at is 'When the call was made.';
comment on column admin.sink_skipped.skipped_by is 'The session user who made the call.';

create function admin_internal.is_skipped(sink text, audit_id bigint, xid xid8)
returns boolean
language sql stable parallel safe
return exists (
    select from admin.sink_skipped as s
    where s.sink = is_skipped.sink
      and is_skipped.audit_id >= s.first_audit_id and is_skipped.audit_id < s.before_audit_id
      and (is_skipped.audit_id <= s.floor_audit_id or pg_visible_in_snapshot(is_skipped.xid, s.snap))
      and not admin_internal.is_delivered(is_skipped.audit_id, is_skipped.xid, s.done, s.done_window, s.done_window_audit_id,
                                 s.done_highest_audit_id, s.done_floor_audit_id, s.done_backfill_audit_id));

comment on function admin_internal.is_skipped(text, bigint, xid8) is
'Returns true if a superuser''s call of admin.resync_sink() has skipped a row of the trail, so that the sink never received it.';

create function admin_internal.sink_newest_position()
returns table (sink text, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
               highest_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint,
               skipped_first bigint, skipped_before bigint)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select s.sink, p.done, p.win, p.window_audit_id, p.highest_audit_id, coalesce(p.floor_audit_id, 0), p.backfill_audit_id,
           k.first, k.before
    from admin_internal.enabled_sinks() as s(sink)
    left join lateral (
        select t.snap as done, w.snap as win, n.window_audit_id, n.highest_audit_id, n.floor_audit_id, n.backfill_audit_id
        from (select * from admin.sink_position as q
              where q.sink = s.sink
              order by q.position_id desc limit 1) as n
        join admin.tick as t on t.tick_id = n.tick_id
        left join admin.tick as w on w.tick_id = n.window_tick_id) as p on true
    cross join lateral (
        select min(q.first_audit_id) as first, max(q.before_audit_id) as before
        from admin.sink_skipped as q where q.sink = s.sink) as k;
end;

comment on function admin_internal.sink_newest_position() is
'Returns the newest position of each enabled sink with its snapshots; they are null for a sink without a position. Call admin_internal.is_skipped() for audit_ids from skipped_first up to, not including, skipped_before. Both are null if no row was skipped.';

-- The position as far as the database can prove it.  If its tick is missing, an earlier tick is a lower bound:
-- ticks are numbered in order, and numbers are not reused.
create function admin_internal.sink_base(sink text)
returns table (position_id bigint, store_id uuid, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
               highest_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint, is_exact boolean)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select n.position_id, n.store_id, t.snap,
           case when t.tick_id = n.tick_id then w.snap end, n.window_audit_id,
           n.highest_audit_id, n.floor_audit_id,
           -- What is being sent again had been delivered.
           case when n.backfill_audit_id is not null then greatest(n.backfill_audit_id, n.resent_audit_id) end,
           coalesce(t.tick_id = n.tick_id and (n.window_tick_id is null or w.tick_id is not null), false)
    from (select * from admin.sink_position as q
          where q.sink = sink_base.sink order by q.position_id desc limit 1) as n
    left join lateral (
        select k.tick_id, k.snap from admin.tick as k
        where k.tick_id <= n.tick_id
          and (k.tick_id = n.tick_id or k.ticked_at <= n.committed_at)
          -- A tick that was loaded from a dump says nothing about this copy.
          and (k.tick_id = 0 or k.xmin::text = (k.tick_xid::text::numeric % 4294967296)::text)
        order by k.tick_id desc limit 1) as t on true
    left join admin.tick as w on w.tick_id = n.window_tick_id;
end;

comment on function admin_internal.sink_base(text) is
'Returns what was delivered to a sink, as far as the database can prove it. Returns no row for a sink without a position. is_exact is true if all ticks of the position are present.';

-- Written so that the planner can inline it.  Each branch has an index.
create function admin_internal.undelivered_rows(
    sink text, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
    highest_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint)
returns table (audit_id bigint, xid xid8, recorded_at timestamptz)
language sql stable
begin atomic
    select a.audit_id, a.xid, a.recorded_at from admin.audit as a
    where (done is null
           or a.audit_id > undelivered_rows.highest_audit_id
           or a.audit_id >= undelivered_rows.backfill_audit_id
           or a.xid >= pg_snapshot_xmin(done))
      and not admin_internal.is_delivered(a.audit_id, a.xid, done, "window", undelivered_rows.window_audit_id,
                                 undelivered_rows.highest_audit_id, undelivered_rows.floor_audit_id,
                                 undelivered_rows.backfill_audit_id)
      and not (exists (select from admin.sink_skipped as s where s.sink = undelivered_rows.sink)
               and admin_internal.is_skipped(undelivered_rows.sink, a.audit_id, a.xid));
end;

comment on function admin_internal.undelivered_rows(text, pg_snapshot, pg_snapshot, bigint, bigint, bigint, bigint) is
'Returns the rows of the trail that were not skipped and that a position, as admin_internal.sink_base() returns it, does not cover.';

create function admin_internal.sink_backlog_row(sink text, out lag_rows bigint, out pending_since timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    base  record;
    -- More are estimated: no more than the numbers reach, nor than the trail has rows.
    most  constant bigint := 100000;
    first bigint;
    last  bigint;
begin
    select * into base from (select) as always left join admin_internal.sink_base(sink_backlog_row.sink) on true;
    select count(*), min(u.audit_id), min(u.recorded_at) into lag_rows, first, pending_since
    from (select r.audit_id, r.recorded_at
          from admin_internal.undelivered_rows(sink_backlog_row.sink, base.done, base."window", base.window_audit_id,
                                               base.highest_audit_id, base.floor_audit_id, base.backfill_audit_id) as r
          limit most) as u;
    if lag_rows = most then
        select max(a.audit_id) into last from admin.audit as a;
        select greatest(most, least(last - first + 1, sum(greatest(c.reltuples, 0))::bigint)) into lag_rows
        from pg_inherits as i join pg_class as c on c.oid = i.inhrelid where i.inhparent = 'admin.audit'::regclass;
    end if;
end
$$;

comment on function admin_internal.sink_backlog_row(text) is
'For the worker and the view admin.worker_status: like admin.sink_backlog(), but accepts any name. The settings of a session may lag behind the list of sinks for a moment, and a view of the status must not fail then.';

create function admin.sink_backlog(sink text, out lag_rows bigint, out pending_since timestamptz)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform admin_internal.check_sink(sink_backlog.sink);
    select b.lag_rows, b.pending_since into sink_backlog.lag_rows, sink_backlog.pending_since from admin_internal.sink_backlog_row(sink_backlog.sink) as b;
end
$$;

comment on function admin.sink_backlog(text) is
'Returns how many committed rows the recorded position of a sink does not cover (lag_rows), and when the oldest of them was recorded (pending_since). If the sink has no position, all rows count. Above 100000, lag_rows is an estimate. Raises 22023 for an unknown sink.';
