-- Included by tests that record positions by hand: psql reads it from the directory that make installcheck runs in.
-- The sink is delivered everything that is committed now; or, within that window, the rows up to one.  They are counted from public.base.
create function pg_temp.deliver(sink text, up_to bigint default null) returns void language plpgsql
as $$
declare
    newest admin.sink_position;
    tick   bigint := (select t.tick_id from admin_internal.make_tick() as t);
begin
    select * into newest from admin.sink_position as p where p.sink = deliver.sink order by p.position_id desc limit 1;
    insert into admin.sink_position (sink, position_id, store_id, tick_id, window_tick_id, window_audit_id, highest_audit_id, floor_audit_id, delivered_rows)
    select deliver.sink, coalesce(newest.position_id, 0) + 1, s.store_id, case when up_to is null then tick else coalesce(newest.tick_id, 0) end, case when up_to is not null then tick end,
           up_to + b.id, greatest(newest.highest_audit_id, coalesce(up_to + b.id, (select max(a.audit_id) from admin.audit as a))), coalesce(newest.floor_audit_id, 0), 0
    from admin.store as s, public.base as b;
end
$$;
