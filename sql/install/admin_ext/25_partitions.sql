-- ---------------------------------------------------------------------------
-- Partitions of the trail.
--
-- Partitions are the same whatever the settings of the session: functions that create
-- tables pin the settings that matter.
-- ---------------------------------------------------------------------------

-- Bounds are passed as text: every function that reads or writes them pins the format.
create function admin.audit_partitions()
returns table (partition regclass, is_default boolean, lower_bound timestamptz, upper_bound timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
begin atomic
    select c.oid::regclass, b.bound = 'DEFAULT', r.bounds[1]::timestamptz, r.bounds[2]::timestamptz
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhrelid
    cross join lateral (select pg_get_expr(c.relpartbound, c.oid)) as b(bound)
    left join lateral (select regexp_match(b.bound, 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)')) as r(bounds) on true
    where i.inhparent = 'admin.audit'::regclass
    order by 3 nulls last;
end;

comment on function admin.audit_partitions() is
'Returns the partitions of admin.audit with their bounds (lower inclusive, upper exclusive). The bounds of the default partition are null.';

create function admin_internal.audit_partition_name(lower_bound timestamptz, upper_bound timestamptz)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
return to_char(lower_bound at time zone 'UTC', '"audit_y"YYYY"m"MM')
    || case when upper_bound at time zone 'UTC' > lower_bound at time zone 'UTC' + interval '1 month'
            then to_char((upper_bound - interval '1 microsecond') at time zone 'UTC', '"_to_y"YYYY"m"MM')
            else '' end;

comment on function admin_internal.audit_partition_name(timestamptz, timestamptz) is
'Returns the name of a partition with these bounds. It consists of the month, or of the first and the last month (UTC).';

-- Tables, indexes and types share one name space.  A table that was detached and renamed keeps the names of its indexes.
create function admin_internal.free_name(wanted text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select n.name
    from (select case when i > 1 then left(wanted, 58) || '_' || i else wanted end, i from generate_series(1, 1000) as i) as n(name, i)
    where to_regclass(format('admin.%I', n.name)) is null and to_regtype(format('admin.%I', n.name)) is null
    order by n.i limit 1;
end;

comment on function admin_internal.free_name(text) is
'Returns this name for a relation of the schema admin, with a number appended if the name is taken.';

-- A second partition for a part of the same month gets a number.
create function admin_internal.free_partition_name(lower_bound timestamptz, upper_bound timestamptz)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
return admin_internal.free_name(admin_internal.audit_partition_name(lower_bound, upper_bound));

comment on function admin_internal.free_partition_name(timestamptz, timestamptz) is
'Returns the name of a partition with these bounds, with a number appended if the name is taken.';

create function admin_internal.month_start(months int)
returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
return (date_trunc('month', now() at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC';

comment on function admin_internal.month_start(int) is
'Returns the instant when a month begins (UTC). "months" is its distance from the current month, which is 0.';

create function admin_internal.is_operators_call()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select not (r.rolsuper and exists (select from pg_stat_activity as a where a.pid = pg_backend_pid() and a.backend_type = 'client backend'))
    from pg_roles as r where r.rolname = session_user;
end;

comment on function admin_internal.is_operators_call() is
'Returns false for a superuser who calls from a client session. Only such a call may lock a partition of any size while it is read.';

-- Reading 64 MB takes some tens of milliseconds, and writers wait for that time.
-- Building an index takes as long as two such reads.
create function admin_internal.is_too_large(partition regclass, indexes bigint default 0)
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
return pg_relation_size(partition) > 64 * 1024 * 1024 / (1 + 2 * indexes) and admin_internal.is_operators_call();

comment on function admin_internal.is_too_large(regclass, bigint) is
'Returns true if checks would wait too long for the lock on this partition. The lock is held while the partition is read, or while this number of indexes is built. Always false if admin_internal.is_operators_call() returns false.';

create function admin_internal.make_partition(name text)
returns regclass
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    made  regclass;
    place text;
begin
    -- Where the DBA has put the trail, not where the session's default_tablespace says.
    select t.spcname into place from pg_class as c join pg_tablespace as t on t.oid = c.reltablespace where c.oid = 'admin.audit'::regclass;
    execute format('create table admin.%I (like admin.audit including defaults including constraints)%s', name,
                   coalesce(' tablespace ' || quote_ident(place), ''));
    made := format('admin.%I', name)::regclass;
    perform admin_internal.audit_prepare_partition(made);
    -- A new table has what ALTER DEFAULT PRIVILEGES says.
    perform admin_internal.revoke_foreign_privileges(made);
    return made;
end
$$;

comment on function admin_internal.make_partition(text) is
'Creates a table that can become a partition of admin.audit, with everything that a partition needs.';

create function admin_internal.attach_partition(partition regclass, lower_bound timestamptz, upper_bound timestamptz)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
begin
    execute format('alter table admin.audit attach partition %s for values from (%L) to (%L)', partition, lower_bound, upper_bound);
end
$$;

comment on function admin_internal.attach_partition(regclass, timestamptz, timestamptz) is
'Attaches a table to admin.audit as a partition with these bounds.';

create function admin_internal.needs_triggers(partition regclass)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select admin_internal.partition_guard(partition) <> 'fine'
        or exists (select from pg_trigger as t where t.tgrelid = partition and t.tgenabled <> 'A'
                   and t.tgname in ('audit_append_only', 'audit_append_only_statement'));
end;

comment on function admin_internal.needs_triggers(regclass) is
'Returns true if admin_internal.prepare_partition_triggers() would change this partition.';

-- Returns the missing indexes that may be built now.  Warns about those that may not.
create function admin_internal.indexes_to_make(part regclass)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    indexes text[] := array(select n.need from admin_internal.audit_partition_needs() as n where n.need in (select admin_internal.audit_partition_lacks(part)));
    making  text;
begin
    if cardinality(indexes) = 0 or not admin_internal.is_too_large(part, cardinality(indexes)) then
        return indexes;
    end if;
    making := (select string_agg(format(n.statement, part), '; ') from admin_internal.audit_partition_needs() as n where n.need = any (indexes));
    raise warning 'partition % lacks %', part, array_to_string(indexes, ', ')
        using detail = format('It is too large to be locked while %s indexes are made.', cardinality(indexes)),
              hint = format('A superuser can call admin.create_audit_partitions() when checks may wait, or make them with CREATE INDEX CONCURRENTLY: %s', making);
    return '{}';
end
$$;

comment on function admin_internal.indexes_to_make(regclass) is
'Returns the indexes that this partition lacks. If the partition is too large to be locked while they are built, returns an empty array with a warning.';

-- For partitions that were created in another way, or that lost an index or a trigger.  A changed
-- partition stays locked until the transaction ends, so later ones get only one short attempt.
create function admin_internal.prepare_partitions()
returns regclass[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part     regclass;
    indexes  text[];
    prepared regclass[] := '{}';
begin
    for part in select p.partition from admin.audit_partitions() as p loop
        indexes := admin_internal.indexes_to_make(part);
        continue when cardinality(indexes) = 0 and not admin_internal.needs_triggers(part);
        if cardinality(prepared) = 0 then
            perform admin_internal.lock_briefly('access exclusive', part);
        elsif admin_internal.is_waited_for(variadic prepared) or not admin_internal.try_lock('access exclusive', array[part]) then
            raise warning 'partition % was not prepared', part
                using detail = format('Others hold it, or wait for %s, which was prepared before.', array_to_string(prepared, ', ')),
                      hint = 'Call admin.create_audit_partitions() again.';
            exit;
        end if;
        if cardinality(indexes) > 0 then
            perform admin_internal.audit_prepare_partition(part);
        else
            perform admin_internal.prepare_partition_triggers(part);
        end if;
        prepared := prepared || part;
    end loop;
    return prepared;
end
$$;

comment on function admin_internal.prepare_partitions() is
'Gives each partition of admin.audit what it lacks. Only warns about the indexes of a partition that is too large to be locked while they are built. Returns the changed partitions, which stay locked until the transaction ends.';

-- ---------------------------------------------------------------------------
-- Rows that the default partition has caught.
-- ---------------------------------------------------------------------------

create function admin_internal.rename_partition(partition regclass, new_name text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    old_name text := (select c.relname from pg_class as c where c.oid = partition);
    index    record;
begin
    execute format('alter table %s rename to %I', partition, new_name);
    for index in
        select i.indexrelid::regclass as name, c.relname
        from pg_index as i join pg_class as c on c.oid = i.indexrelid
        where i.indrelid = partition and replace(c.relname, old_name, new_name) <> c.relname
    loop
        execute format('alter index %s rename to %I', index.name, admin_internal.free_name(replace(index.relname, old_name, new_name)));
    end loop;
end
$$;

comment on function admin_internal.rename_partition(regclass, text) is
'Renames a table of the trail, and its indexes with it. An index gets a number if its new name is taken.';

-- A database that was loaded from a part of a dump may have no default partition.
create function admin_internal.attach_default()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (select from admin.audit_partitions() as p where p.is_default) then
        return;
    end if;
    if to_regclass('admin.audit_default') is null then
        perform admin_internal.make_partition('audit_default');
    end if;
    alter table admin.audit attach partition admin.audit_default default;
    comment on table admin.audit_default is
'Takes what no month has a place for, so that an insert never fails for lack of a partition. admin.create_audit_partitions() turns rows caught here into a partition of their own.';
end
$$;

comment on function admin_internal.attach_default() is 'Makes admin.audit_default the default partition of admin.audit if there is no default partition.';

-- Rows in the default partition would block the partition of their month for ever.  So the whole
-- table becomes the partition of the months of its rows.  No row is moved, and an empty table takes
-- its place.  The caller holds an exclusive lock on admin.audit and on the default partition.
create function admin_internal.release_default(successor regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    released regclass := 'admin.audit_default';
    lo       timestamptz;
    hi       timestamptz;
begin
    -- No clock goes beyond the years that a month can have: such rows were loaded, and the calendar may end within theirs.
    if exists (select from admin.audit_default as d where d.recorded_at < timestamptz '0001-01-01 00:00+00' or d.recorded_at > timestamptz '9999-12-31 23:59:59.999999+00') then
        execute format('drop table %s', successor);
        return;
    end if;
    select date_trunc('month', min(recorded_at) at time zone 'UTC') at time zone 'UTC',
           (date_trunc('month', max(recorded_at) at time zone 'UTC') + interval '1 month') at time zone 'UTC'
    into lo, hi from admin.audit_default;
    -- Beside other partitions it gets no more than its rows need.
    if exists (select from admin.audit_partitions() as p where p.lower_bound < hi and p.upper_bound > lo) then
        select min(recorded_at), max(recorded_at) + interval '1 microsecond' into lo, hi from admin.audit_default;
    end if;
    -- Around existing months there is no one range for it: its rows stay where they are.
    if exists (select from admin.audit_partitions() as p where p.lower_bound < hi and p.upper_bound > lo) then
        execute format('drop table %s', successor);
        return;
    end if;
    alter table admin.audit detach partition admin.audit_default;
    comment on table admin.audit_default is null;
    perform admin_internal.rename_partition(released, admin_internal.free_partition_name(lo, hi));
    perform admin_internal.attach_partition(released, lo, hi);
    perform admin_internal.rename_partition(successor, 'audit_default');
    perform admin_internal.attach_default();
end
$$;

comment on function admin_internal.release_default(regclass) is
'Turns the default partition, with the rows that it has caught, into a partition of its own. The empty table "successor" becomes the default partition. If that is not possible, the rows stay where they are and "successor" is dropped.';
