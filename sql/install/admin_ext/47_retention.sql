-- ---------------------------------------------------------------------------
-- Drops months of the trail that are old enough and that every sink has received.
-- ---------------------------------------------------------------------------

create function admin_internal.drop_horizon(older_than interval)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
declare
    months  numeric := extract(year from older_than) * 12 + extract(month from older_than);
    days    numeric := extract(day from older_than);
    rest    numeric := extract(hour from older_than) * 3600 + extract(minute from older_than) * 60 + extract(second from older_than);
    horizon timestamptz;
    keep    timestamptz;
begin
    -- Signs that differ could cancel out in one calendar and not in another.
    if older_than is null or not isfinite(older_than) or least(months, days, rest) < 0 or greatest(months, days, rest) <= 0 then
        raise exception 'argument "older_than" is out of range'
            using errcode = '22023', detail = format('Its value %s is not positive in all its parts.', coalesce(older_than::text, 'null'));
    end if;
    begin
        horizon := now() - older_than;
    exception when datetime_field_overflow or interval_field_overflow then
        horizon := '-infinity';
    end;
    if horizon >= now() then
        raise exception 'argument "older_than" is out of range'
            using errcode = '22023', detail = format('Its value %s does not lie in the past.', older_than);
    end if;
    begin
        keep := now() - current_setting('admin_ext.retention')::interval;
    exception when datetime_field_overflow or interval_field_overflow then
        keep := '-infinity';
    end;
    if horizon > keep then
        raise exception 'rows of the audit trail that are younger than % cannot be dropped', current_setting('admin_ext.retention')
            using errcode = '55000',
                  detail = format('All rows since %s are kept by the setting admin_ext.retention; the argument %s would drop rows up to %s.', keep, older_than, horizon),
                  hint = 'Nothing was dropped. Give an interval that is no shorter than the setting.';
    end if;
    -- The month that is being written stays, whatever the settings say.
    return least(horizon, admin_internal.month_start(0));
end
$$;

comment on function admin_internal.drop_horizon(interval) is
'Partitions whose upper bound is at or before this time may be dropped. Raises 22023 unless each part of the interval is positive or 0, 55000 if the interval is shorter than the setting admin_ext.retention.';

-- Any role that may use the schema can create a view of a partition, or a table of its row type.
create function admin_internal.partition_dependants(partition regclass)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    with types as (select t.oid, t.typarray from pg_type as t join pg_class as c on c.reltype = t.oid where c.oid = partition),
         found as (
             select case when d.classid = 'pg_rewrite'::regclass then (select 'pg_class'::regclass::oid) else d.classid end as classid,
                    case when d.classid = 'pg_rewrite'::regclass then (select w.ev_class from pg_rewrite as w where w.oid = d.objid) else d.objid end as objid
             from pg_depend as d
             where d.deptype = 'n'
               -- What belongs to the partition goes with it.
               and not (d.classid = 'pg_constraint'::regclass and d.objid in (select k.oid from pg_constraint as k where k.conrelid = partition))
               and not (d.classid = 'pg_trigger'::regclass and d.objid in (select g.oid from pg_trigger as g where g.tgrelid = partition))
               and not (d.classid = 'pg_attrdef'::regclass and d.objid in (select a.oid from pg_attrdef as a where a.adrelid = partition))
               and (d.refclassid = 'pg_class'::regclass and d.refobjid = partition
                    or d.refclassid = 'pg_type'::regclass and d.refobjid in (select t.oid from types as t union all select t.typarray from types as t))),
         named as (
             select distinct pg_describe_object(f.classid, f.objid, 0) as object,
                    case f.classid
                        when 'pg_class'::regclass then (select c.relowner from pg_class as c where c.oid = f.objid)
                        when 'pg_proc'::regclass then (select p.proowner from pg_proc as p where p.oid = f.objid)
                        when 'pg_type'::regclass then (select t.typowner from pg_type as t where t.oid = f.objid)
                        when 'pg_constraint'::regclass then (select c.relowner from pg_constraint as k join pg_class as c on c.oid = k.conrelid where k.oid = f.objid)
                    end as owner
             from found as f where f.objid <> partition)
    select string_agg(format('%s of role "%s"', n.object, coalesce(pg_get_userbyid(n.owner), '?')), ', ' order by n.object) from named as n;
end;

comment on function admin_internal.partition_dependants(regclass) is
'Lists the objects that depend on a partition or its row type and have to be dropped before it, with their owners; null if there are no such objects.';

-- Counts a partition's rows, and finds one that a sink lacks.  The caller's lock prevents new rows meanwhile.
create function admin_internal.prove_delivered(partition regclass, out row_count bigint, out first_audit_id bigint, out last_audit_id bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    pending record;
begin
    execute format('select a.audit_id, p.sink, s.skipped from %s as a cross join admin_internal.sink_newest_position() as p '
                   'cross join lateral (select coalesce(a.audit_id >= p.skipped_first and a.audit_id < p.skipped_before '
                   'and admin_internal.is_skipped(p.sink, a.audit_id, a.xid), false)) as s(skipped) '
                   'where s.skipped or not admin_internal.is_delivered(a.audit_id, a.xid, p.done, p."window", p.window_audit_id, '
                   'p.highest_audit_id, p.floor_audit_id, p.backfill_audit_id) '
                   'or exists (select from admin.dead_letter as d where d.sink = p.sink and d.audit_id = a.audit_id) '
                   'limit 1', partition)
    into pending;
    if pending.sink is not null then
        raise exception 'partition "%" holds rows that sink "%" has not delivered', partition, pending.sink
            using errcode = '55000',
                  detail = format('One of them is audit_id %s%s. Nothing was dropped.', pending.audit_id,
                                  case when pending.skipped then ', which a resync has skipped' else '' end),
                  hint = case when pending.skipped then 'Call admin.resync_sink() to send skipped rows.'
                              else 'See admin.audit_delivery, admin.worker_status and admin.dead_letter.' end;
    end if;
    execute format('select count(*), min(a.audit_id), max(a.audit_id) from %s as a', partition)
    into row_count, first_audit_id, last_audit_id;
end
$$;

comment on function admin_internal.prove_delivered(regclass) is
'Raises 55000 if an enabled sink lacks a row of this partition. Returns the number of its rows, and their first and last audit_id.';

-- A resync creates a new number of this kind: an earlier proof of delivery is no longer valid.
create function admin_internal.resync_marks()
returns text
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
    select string_agg(format('%s %s', p.sink, p.mark), ', ' order by p.sink)
    from (select q.sink, max(q.position_id) >> 32 as mark from admin.sink_position as q group by q.sink) as p;
end;

comment on function admin_internal.resync_marks() is 'A text that changes with each admin.resync_sink().';

create type admin_internal.doomed_partition as (
    partition      regclass,
    lower_bound    timestamptz,
    upper_bound    timestamptz,
    row_count      bigint,
    first_audit_id bigint,
    last_audit_id  bigint,
    last_numbers   json
);

comment on type admin_internal.doomed_partition is 'A partition that may be dropped, and a summary of its rows.';

create function admin_internal.find_doomed(horizon timestamptz)
returns setof admin_internal.doomed_partition
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part       record;
    proof      record;
    is_kept    boolean;
    dependants text;
begin
    for part in select p.* from admin.audit_partitions() as p where p.upper_bound <= horizon loop
        -- The trail is what tells an event that is sent again.
        execute format('select exists (select from %s as a where a.source_event_id is not null)', part.partition) into is_kept;
        continue when is_kept and part.upper_bound > now() - admin_internal.ingest_window();
        dependants := admin_internal.partition_dependants(part.partition);
        if dependants is not null then
            raise exception 'partition "%" cannot be dropped because other objects depend on it', part.partition
                using errcode = '2BP01', detail = format('Dependent: %s. Nothing was dropped.', dependants),
                      hint = 'Their owners, or a superuser, have to drop them first.';
        end if;
        -- Nobody adds to an old month but by a clock that was set back.
        perform admin_internal.lock_briefly('share', part.partition);
        proof := admin_internal.prove_delivered(part.partition);
        if current_setting('admin_ext.archive_required')::boolean then
            perform admin_internal.prove_archived(part.partition);
        end if;
        return next (part.partition, part.lower_bound, part.upper_bound, proof.row_count, proof.first_audit_id, proof.last_audit_id,
                     admin_internal.last_delivery_numbers(part.partition, proof.last_audit_id));
    end loop;
end
$$;

comment on function admin_internal.find_doomed(timestamptz) is
'The partitions whose upper bound is at or before the horizon, oldest first. Each is locked against new rows and proved to be delivered.';

create function admin_internal.drop_partition(doomed admin_internal.doomed_partition)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    name text := (select c.relname from pg_class as c where c.oid = doomed.partition);
begin
    execute format('delete from admin_internal.late_delivery as e where exists (select from %s as a where a.audit_id = e.audit_id)', doomed.partition);
    execute format('drop table admin.%I', name);
    perform admin_internal.append_event('partition.dropped', json_build_object(
        'partition', name,
        'from', doomed.lower_bound, 'to', doomed.upper_bound,
        'rows', doomed.row_count,
        'first_audit_id', doomed.first_audit_id::text, 'last_audit_id', doomed.last_audit_id::text,
        'sinks', (select coalesce(json_object_agg(s.sink, n.highest_audit_id::text), '{}')
                  from admin_internal.enabled_sinks() as s(sink)
                  left join lateral (select p.highest_audit_id from admin.sink_position as p
                                     where p.sink = s.sink order by p.position_id desc limit 1) as n on true),
        'last_numbers', doomed.last_numbers));
end
$$;

comment on function admin_internal.drop_partition(admin_internal.doomed_partition) is 'Drops a partition, and appends partition.dropped.';

create function admin.drop_audit_partitions(older_than interval)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
#variable_conflict use_variable
declare
    horizon   timestamptz := admin_internal.drop_horizon(older_than);
    all_doomed admin_internal.doomed_partition[];
    doomed    admin_internal.doomed_partition;
    marks     text := admin_internal.resync_marks();
    locked_at timestamptz;
    last_dropped bigint;
    dropped   int := 0;
    part      regclass;
    id        bigint;
begin
    -- An older snapshot would not see the rows it has to prove delivered.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'admin.drop_audit_partitions() runs in a READ COMMITTED transaction only' using errcode = '25001';
    end if;
    -- Of months that went before: while the trail is locked there is no time for it.
    perform admin_internal.ingest_tidy(100000);
    all_doomed := array(select d from admin_internal.find_doomed(horizon) as d);
    if cardinality(all_doomed) = 0 then
        return 0;
    end if;
    perform admin_internal.lock_briefly('access exclusive', 'admin.audit', 'admin.audit_default');
    locked_at := clock_timestamp();
    if admin_internal.resync_marks() is distinct from marks then
        raise exception 'admin.resync_sink() was called meanwhile' using errcode = '55000', hint = 'Nothing was dropped. Try again.';
    end if;
    foreach doomed in array all_doomed loop
        if dropped > 0 and clock_timestamp() > locked_at + interval '80 ms' and admin_internal.is_waited_for('admin.audit', 'admin.audit_default') then
            raise notice 'dropped % of % partitions, since others wait for the trail', dropped, cardinality(all_doomed)
                using hint = 'Call admin.drop_audit_partitions() again.';
            exit;
        end if;
        perform admin_internal.drop_partition(doomed);
        last_dropped := greatest(last_dropped, doomed.last_audit_id);
        dropped := dropped + 1;
    end loop;
    -- Months overlap in numbers where a clock was set: what is left has the say.
    for part in select p.partition from admin.audit_partitions() as p where last_dropped is not null loop
        execute format('select min(a.audit_id) from %s as a', part) into id;
        last_dropped := least(last_dropped, id - 1);
    end loop;
    update admin.audit_dropped as d set below = greatest(d.below, last_dropped + 1);
    perform admin_internal.give_way('admin.audit', 'admin.audit_default');
    return dropped;
end
$$;

comment on function admin.drop_audit_partitions(interval) is
'Drops the partitions of admin.audit whose rows are all older than the interval, oldest first, and returns how many. Appends partition.dropped to the trail for each. Never drops the current month. Raises 55000 if the interval is shorter than the setting admin_ext.retention. First proves that every enabled sink has delivered every row of these partitions; otherwise raises 55000 and drops nothing. If the setting admin_ext.archive_required is on, also proves that a receipt of the archive covers every row. A month with ingested events stays for at least admin_ext.ingest_window. The worker, or the next call, removes the attributes of those events. Other sessions wait for at most 200 ms. If a notice says that the call stopped early, call it again. Do not call it in a transaction that stays open. Raises 22023 unless each part of the interval is positive or 0 and at least one is positive, 25001 unless the transaction is READ COMMITTED, 55000 also if admin.resync_sink() was called meanwhile (call again), 2BP01 naming the objects that depend on a partition, 55P03 naming the sessions whose locks were in the way.';
