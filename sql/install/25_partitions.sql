-- ---------------------------------------------------------------------------
-- Partitions of the trail.
--
-- What is made here looks the same whatever the settings of the session: functions that
-- make tables pin what has a say in it.
-- ---------------------------------------------------------------------------

-- Bounds travel as text: every function that reads or writes them pins its form.
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
'The partitions of admin.audit with their bounds (lower inclusive, upper exclusive); the default one has none.';

create function admin.audit_partition_name(lower_bound timestamptz, upper_bound timestamptz)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
return to_char(lower_bound at time zone 'UTC', '"audit_y"YYYY"m"MM')
    || case when upper_bound at time zone 'UTC' > lower_bound at time zone 'UTC' + interval '1 month'
            then to_char((upper_bound - interval '1 microsecond') at time zone 'UTC', '"_to_y"YYYY"m"MM')
            else '' end;

comment on function admin.audit_partition_name(timestamptz, timestamptz) is
'Name of a partition by the month, or the first and the last month, of its bounds (UTC).';

-- Tables, indexes and types share their names, and a table that was detached and renamed keeps those of its indexes.
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
'This name for a relation of the schema admin, with a number where it is taken.';

-- A part of a month beside another part of it gets a number.
create function admin_internal.free_partition_name(lower_bound timestamptz, upper_bound timestamptz)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
return admin_internal.free_name(admin.audit_partition_name(lower_bound, upper_bound));

comment on function admin_internal.free_partition_name(timestamptz, timestamptz) is
'The name of a partition with these bounds, with a number where that name is taken.';

create function admin_internal.month_start(months int)
returns timestamptz
language sql stable
set search_path = pg_catalog, pg_temp
return (date_trunc('month', now() at time zone 'UTC') + make_interval(months => months)) at time zone 'UTC';

comment on function admin_internal.month_start(int) is
'When a month begins (UTC), counted from this month, which is 0.';

create function admin_internal.is_operators_call()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select not (r.rolsuper and exists (select from pg_stat_activity as a where a.pid = pg_backend_pid() and a.backend_type = 'client backend'))
    from pg_roles as r where r.rolname = session_user;
end;

comment on function admin_internal.is_operators_call() is
'False for a superuser who calls by hand: only then may a partition of any size be locked while it is read.';

-- Reading 64 MB takes some tens of milliseconds, and those who write wait as long.  Making an index takes as long as two such reads.
create function admin_internal.is_too_large(partition regclass, indexes bigint default 0)
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
return pg_relation_size(partition) > 64 * 1024 * 1024 / (1 + 2 * indexes) and admin_internal.is_operators_call();

comment on function admin_internal.is_too_large(regclass, bigint) is
'Would locking this partition, while it is read or while so many indexes of it are made, make checks wait for too long?';

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
    perform admin.audit_prepare_partition(made);
    -- A new table has what ALTER DEFAULT PRIVILEGES says.
    perform admin_internal.revoke_foreign_privileges(made);
    return made;
end
$$;

comment on function admin_internal.make_partition(text) is
'Makes a table that can become a partition of admin.audit, with all that one needs.';

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
'Attaches a table to admin.audit, with these bounds.';

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
'Has admin_internal.prepare_partition_triggers() anything to do for this partition?';

-- Partitions that somebody else made, or that lost something.
create function admin_internal.prepare_partitions()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part    regclass;
    indexes text[];
    making  text;
begin
    for part in select p.partition from admin.audit_partitions() as p loop
        indexes := array(select n.need from admin.audit_partition_needs() as n where n.need in (select admin.audit_partition_lacks(part)));
        if cardinality(indexes) > 0 and admin_internal.is_too_large(part, cardinality(indexes)) then
            making := (select string_agg(format(n.statement, part), '; ') from admin.audit_partition_needs() as n where n.need = any (indexes));
            raise warning 'partition % lacks %', part, array_to_string(indexes, ', ')
                using detail = format('It is too large to be locked while %s indexes are made.', cardinality(indexes)),
                      hint = format('A superuser can call admin.create_audit_partitions() when checks may wait, or make them with CREATE INDEX CONCURRENTLY: %s', making);
            indexes := '{}';
        end if;
        if cardinality(indexes) > 0 or admin_internal.needs_triggers(part) then
            perform admin_internal.lock_briefly('access exclusive', part);
            if cardinality(indexes) > 0 then
                perform admin.audit_prepare_partition(part);
            else
                perform admin_internal.prepare_partition_triggers(part);
            end if;
            perform admin_internal.give_way(part);
        end if;
    end loop;
end
$$;

comment on function admin_internal.prepare_partitions() is
'Gives each partition of admin.audit what it lacks; only warns where one is too large to be locked while its indexes are made.';

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
'Renames a table of the trail, and its indexes with it. An index gets a number where its new name is taken.';

-- A database that was loaded from a part of a dump may have none.
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

comment on function admin_internal.attach_default() is 'Makes admin.audit_default the default partition of admin.audit, where there is none.';

-- Its rows would block the partition of their month for ever.  The whole table becomes the
-- partition of the months it has rows of, without a row being moved, and an empty one
-- takes its place.  Called under an exclusive lock of both.
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
'Makes what the default partition has caught a partition of its own, and an empty table the default partition.';

-- ---------------------------------------------------------------------------
-- Months.
-- ---------------------------------------------------------------------------

create function admin_internal.missing_months(ahead int)
returns table (lower_bound timestamptz, upper_bound timestamptz)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select r.lo, m.hi
    from (select admin_internal.month_start(i), admin_internal.month_start(i + 1) from generate_series(0, ahead) as i) as m(lo, hi)
    cross join lateral (select greatest(m.lo, max(p.upper_bound)) from admin.audit_partitions() as p
                        where p.lower_bound < m.hi and p.upper_bound > m.lo) as r(lo)
    where r.lo < m.hi
    order by r.lo;
end;

comment on function admin_internal.missing_months(int) is
'The months from this one on, so many ahead, that have no partition; of a month that has one for its beginning, the rest.';

-- Somebody's table in the place of a month: it may be the month itself, detached.
create function admin_internal.warn_of_stranger(lower_bound timestamptz, upper_bound timestamptz)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
    stranger regclass := to_regclass(format('admin.%I', admin.audit_partition_name(lower_bound, upper_bound)));
    hi       timestamptz;
begin
    if stranger is null or exists (select from admin.audit_partitions() as p where p.partition = stranger) then
        return false;
    end if;
    -- Rows that came since are in the default partition: the month ends before them.
    select coalesce(min(d.recorded_at), upper_bound) into hi from admin.audit_default as d
    where d.recorded_at >= lower_bound and d.recorded_at < upper_bound;
    raise warning 'no partition was made for the month that begins at %', lower_bound
        using detail = format('Table %s has its name and is not a partition of admin.audit. Rows of this month go to the default partition.', stranger),
              hint = format('If it was detached, attach it again: ALTER TABLE admin.audit ATTACH PARTITION %s FOR VALUES FROM (%L) TO (%L). '
                            'If not, rename it. Then call admin.create_audit_partitions().', stranger, lower_bound, hi);
    return true;
end
$$;

comment on function admin_internal.warn_of_stranger(timestamptz, timestamptz) is
'Is the name of this month taken by a table that is no partition of admin.audit? Then warns, and says what to do.';

create function admin_internal.has_strange_months()
returns boolean
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
    select coalesce(bool_or(t.stranger is not null and not exists (select from admin.audit_partitions() as p where p.partition = t.stranger)), false)
    from (select distinct to_regclass(format('admin.%I', to_char(d.recorded_at at time zone 'UTC', '"audit_y"YYYY"m"MM'))) as stranger
          from admin.audit as d where d.tableoid = to_regclass('admin.audit_default')) as t;
end;

comment on function admin_internal.has_strange_months() is
'Has the default partition rows of a month whose name is taken by a table that is no partition of admin.audit? That table would have to be attached first.';

-- Called while nobody else can add to the default partition.  Caught rows that could not be
-- released keep their part of the month.
create function admin_internal.add_month(apart regclass, lower_bound timestamptz, upper_bound timestamptz)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    lo timestamptz;
begin
    select coalesce(max(d.recorded_at) + interval '1 microsecond', lower_bound) into lo
    from admin.audit_default as d where d.recorded_at >= lower_bound and d.recorded_at < upper_bound;
    if lo >= upper_bound then
        return false;
    end if;
    perform admin_internal.attach_partition(coalesce(apart, admin_internal.make_partition(admin_internal.free_partition_name(lo, upper_bound))),
                                            lo, upper_bound);
    return true;
end
$$;

comment on function admin_internal.add_month(regclass, timestamptz, timestamptz) is
'Gives a month, or the rest of it, its partition: a table that was made apart, or one that is made now.';

create function admin_internal.add_months(ahead int, ends timestamptz[], apart regclass[])
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    locked_at timestamptz := clock_timestamp();
    month     record;
    part      regclass;
    made      int := 0;
begin
    for month in select m.*, array_position(ends, m.upper_bound) as i from admin_internal.missing_months(ahead) as m where m.upper_bound = any (ends) loop
        -- Those who came meanwhile have waited enough.
        if made > 0 and clock_timestamp() > locked_at + interval '80 ms' and admin_internal.is_waited_for('admin.audit', 'admin.audit_default') then
            raise notice 'made % of % months, since others wait for the trail', made, cardinality(ends)
                using hint = 'Call admin.create_audit_partitions() again.';
            exit;
        end if;
        made := made + admin_internal.add_month(apart[month.i], month.lower_bound, month.upper_bound)::int;
    end loop;
    for part in select u from unnest(apart) as u where u is not null and not exists (select from pg_inherits as i where i.inhrelid = u) loop
        execute format('drop table %s', part);
    end loop;
    return made;
end
$$;

comment on function admin_internal.add_months(int, timestamptz[], regclass[]) is
'Gives the months with these ends their partitions, those made apart for them or new ones; returns how many. Called under an exclusive lock of the default partition; stops early when others wait for it.';

create function admin_internal.make_months(ahead int)
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    most_apart constant int := 24;
    month      record;
    ends       timestamptz[] := '{}';
    apart      regclass[] := '{}';
    successor  regclass;
    made       int;
    is_caught  boolean := exists (select from admin.audit_default) and not admin_internal.has_strange_months();
begin
    for month in select * from admin_internal.missing_months(ahead) loop
        continue when admin_internal.warn_of_stranger(month.lower_bound, month.upper_bound);
        ends := ends || month.upper_bound;
        -- Made apart, before anybody has to wait.
        apart := apart || case when cardinality(apart) < most_apart
                                    and not exists (select from admin.audit_default as d
                                                    where d.recorded_at >= month.lower_bound and d.recorded_at < month.upper_bound)
                               then admin_internal.make_partition(admin_internal.free_partition_name(month.lower_bound, month.upper_bound)) end;
    end loop;
    if is_caught then
        successor := admin_internal.make_partition('audit_default_next');
        perform admin_internal.lock_briefly('access exclusive', 'admin.audit', 'admin.audit_default');
        perform admin_internal.release_default(successor);
    elsif cardinality(ends) > 0 then
        perform admin_internal.lock_briefly('access exclusive', 'admin.audit_default');
    else
        return 0;
    end if;
    made := admin_internal.add_months(ahead, ends, apart);
    perform admin_internal.give_way('admin.audit', 'admin.audit_default');
    return made;
end
$$;

comment on function admin_internal.make_months(int) is
'Makes the months that are missing, and releases what the default partition has caught; returns how many it made.';

create function admin.create_audit_partitions(ahead int default 3)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off
set default_tablespace = ''
set default_table_access_method = 'heap'
set default_toast_compression = 'pglz'
as $$
begin
    if ahead is null or ahead not between 0 and 120 then
        raise exception 'argument "ahead" is out of range'
            using errcode = '22023',
                  detail = format('Its value %s is not between 0 and 120 months.', coalesce(ahead::text, 'null'));
    end if;
    -- One maker at a time; writers are not in the way of this lock, nor it in theirs.
    perform admin_internal.lock_briefly('share update exclusive', 'admin.audit');
    perform admin_internal.attach_default();
    perform admin_internal.prepare_partitions();
    if admin_internal.is_too_large('admin.audit_default') then
        raise warning 'no months were made: the default partition holds % of rows', pg_size_pretty(pg_relation_size('admin.audit_default'))
            using detail = 'To make them it has to be read under a lock, and checks would wait.',
                  hint = 'A superuser can call admin.create_audit_partitions() when checks may wait.';
        return 0;
    end if;
    return admin_internal.make_months(ahead);
end
$$;

comment on function admin.create_audit_partitions(int) is
'Makes the monthly partitions (UTC) of admin.audit for this month and so many ahead, gives every partition the indexes and the triggers it needs, enabled always, and returns how many it made. Its locks are taken in short tries: others wait for no longer than 200 ms. Where the caller leaves its transaction open and another waits, the session is ended. Warns where a table has the name of a month without being its partition. Raises 22023 unless "ahead" is 0 to 120, 55P03 where locks of others were in the way for too long.';
