-- ---------------------------------------------------------------------------
-- Compares the position that a sink reports with the database.
-- ---------------------------------------------------------------------------

create function admin_internal.marker_problem(highest bigint)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    last bigint;
begin
    select s.last_value into last from admin.audit_audit_id_seq as s;
    -- Room for what a fork may have sent, also one that has numbers above a load, and too little to use up the numbers there are.
    if highest < 0 or highest > greatest(last + 1000000000000, 10000000000000000) then
        return format('it names audit_id %s, and the last one drawn is %s', highest, last);
    end if;
    return null;
end
$$;

comment on function admin_internal.marker_problem(bigint) is
'For the worker. Why neither this database nor a fork of it can have sent this audit_id to a sink; null if one of them can have.';

create function admin_internal.position_range_problem(
    newest admin.sink_position, position_id bigint, tick_id bigint, window_tick_id bigint, window_audit_id bigint,
    highest bigint, floor bigint, backfill bigint, nonce text)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    last     bigint;
    sends_on boolean := newest.backfill_audit_id is not null and backfill <> 0;
begin
    select s.last_value into last from admin.audit_audit_id_seq as s;
    return case
        when position_id - newest.position_id > 1000000 then format('the database has recorded position %s', newest.position_id)
        when floor <> newest.floor_audit_id then format('its floor_audit_id is %s, not %s', floor, newest.floor_audit_id)
        when backfill <> 0 and (newest.backfill_audit_id is null or backfill not between newest.backfill_audit_id and last + 1)
            then format('its backfill_audit_id is %s, not %s', backfill, coalesce(newest.backfill_audit_id, 0))
        when highest not between newest.highest_audit_id and last
            then format('its highest audit_id is %s, not between %s and %s', highest, newest.highest_audit_id, last)
        when tick_id < newest.tick_id or ((sends_on or nonce = '-') and (tick_id <> newest.tick_id or window_tick_id <> 0))
            then format('its tick is %s, not %s', tick_id, newest.tick_id)
        when window_tick_id <> 0 and window_tick_id <= tick_id then format('its window ends with tick %s', window_tick_id)
        when window_audit_id not between 0 and highest then format('its window is delivered up to audit_id %s', window_audit_id)
    end;
end
$$;

comment on function admin_internal.position_range_problem(admin.sink_position, bigint, bigint, bigint, bigint, bigint, bigint, bigint, text) is
'Which value of a position that a sink has kept cannot follow the recorded position; null if all values can.';

create function admin_internal.position_problem(
    sink text, position_id bigint, tick_id bigint, window_tick_id bigint, window_audit_id bigint, highest bigint,
    floor bigint, backfill bigint, delivered bigint, retried bigint, last_number bigint, nonce text,
    out problem text, out known bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
#variable_conflict use_variable
declare
    newest   admin.sink_position;
    base     record;
    claim    record;
    expected bigint;
begin
    select * into strict newest from admin.sink_position as p where p.sink = position_problem.sink order by p.position_id desc limit 1;
    known := (newest.position_id >> 32 = position_id >> 32
              and (nonce = '-' or exists (select from admin.tick as t where t.tick_id = greatest(position_problem.tick_id, position_problem.window_tick_id)
                                          and t.nonce::text = position_problem.nonce)))::int;
    problem := admin_internal.marker_problem(highest);
    if problem is not null or known = 0 then
        return;
    end if;
    problem := admin_internal.position_range_problem(newest, position_id, tick_id, window_tick_id, window_audit_id, highest, floor, backfill, nonce);
    if problem is null and retried <> 0
       and exists (select from admin.dead_letter as d where d.sink = position_problem.sink and d.audit_id = retried)
       and not exists (select from admin.dead_letter_retry as r where r.sink = position_problem.sink and r.audit_id = retried) then
        problem := format('it names dead letter %s, which was not asked for again', retried);
    end if;
    if problem is not null then
        return;
    end if;

    -- Every row between the two positions was delivered once, dead letters apart.
    select (select t.snap from admin.tick as t where t.tick_id = newest.tick_id) as done,
           (select t.snap from admin.tick as t where t.tick_id = newest.window_tick_id) as win into base;
    select (select t.snap from admin.tick as t where t.tick_id = position_problem.tick_id) as done,
           (select t.snap from admin.tick as t where t.tick_id = position_problem.window_tick_id) as win into claim;
    select newest.delivered_rows + count(*) + (retried <> 0)::int into expected
    from admin_internal.undelivered_rows(sink, base.done, base.win, newest.window_audit_id, newest.highest_audit_id,
                                         newest.floor_audit_id, newest.backfill_audit_id) as u
    where admin_internal.is_delivered(u.audit_id, u.xid, claim.done, claim.win, window_audit_id, highest, floor, nullif(backfill, 0))
      and not exists (select from admin.dead_letter as d where d.sink = position_problem.sink and d.audit_id = u.audit_id);
    if delivered <> expected then
        problem := format('it counts %s delivered rows, not %s', delivered, expected);
    -- Each delivered row has a number of its own.
    elsif last_number - newest.last_number <> delivered - newest.delivered_rows then
        problem := format('its last number is %s, not %s', last_number, newest.last_number + delivered - newest.delivered_rows);
    end if;
end
$$;

comment on function admin_internal.position_problem(text, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, bigint, text) is
'For the worker. problem: what is wrong with a later position that a sink has kept; null if the position is right. known: 1 if the position is of the same resync and the database has its ticks, else 0.';
