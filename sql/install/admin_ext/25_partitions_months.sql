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
'Returns the months without a partition, from the current month to "ahead" months later. If a partition covers the beginning of a month, returns the rest of it.';

-- A table with the name of a month that is not a partition may be that month, detached.
create function admin_internal.warn_of_stranger(lower_bound timestamptz, upper_bound timestamptz)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
    stranger regclass := to_regclass(format('admin.%I', admin_internal.audit_partition_name(lower_bound, upper_bound)));
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
'Returns true if a table that is not a partition of admin.audit has the name of this month. It then also raises a warning that says what to do.';

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
'Returns true if the default partition has rows of a month whose name belongs to a table that is not a partition of admin.audit. That table would have to be attached first.';

-- The caller's lock prevents inserts into the default partition.  If it still holds rows of this
-- month, the new partition begins after them.
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
'Attaches the partition of a month, or of the rest of it. The partition is the table "apart", created beforehand, or a new table if "apart" is null. Returns false if rows in the default partition leave no rest.';

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
'Attaches the partitions of the months with these ends: the tables created beforehand, or new ones. Returns how many it attached. The caller holds an exclusive lock on the default partition. Stops early if others wait for it.';

create function admin_internal.make_months(ahead int, held regclass[])
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
        if admin_internal.is_waited_for(variadic held) then
            raise exception 'others wait for partition %', array_to_string(held, ', ') using errcode = '55P03';
        end if;
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

comment on function admin_internal.make_months(int, regclass[]) is
'Creates the missing months, and releases the rows that the default partition has caught. Returns how many months it created. Raises 55P03 if clients wait for one of the relations that the transaction already holds.';

-- For a transaction that has prepared partitions and holds them locked: it must not wait long for other locks.
create function admin_internal.try_make_months(ahead int, held regclass[])
returns int
language plpgsql
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
as $$
begin
    return admin_internal.make_months(ahead, held);
exception when lock_not_available then
    raise warning 'no months were made: %', sqlerrm
        using detail = format('Partition %s was prepared, and is locked until this transaction ends.', array_to_string(held, ', ')),
              hint = 'Call admin.create_audit_partitions() again.';
    return 0;
end
$$;

comment on function admin_internal.try_make_months(int, regclass[]) is
'Creates the missing months. Warns and returns 0 if a lock is not available at once, or if others wait for the relations in "held".';

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
declare
    prepared regclass[];
    made     int := 0;
begin
    if ahead is null or ahead not between 0 and 120 then
        raise exception 'argument "ahead" is out of range'
            using errcode = '22023',
                  detail = format('Its value %s is not between 0 and 120 months.', coalesce(ahead::text, 'null'));
    end if;
    -- One maker at a time; writers are not in the way of this lock, nor it in theirs.
    perform admin_internal.lock_briefly('share update exclusive', 'admin.audit');
    perform admin_internal.attach_default();
    prepared := admin_internal.prepare_partitions();
    if admin_internal.is_too_large('admin.audit_default') then
        raise warning 'no months were made: the default partition holds % of rows', pg_size_pretty(pg_relation_size('admin.audit_default'))
            using detail = 'To make them it has to be read under a lock, and checks would wait.',
                  hint = 'A superuser can call admin.create_audit_partitions() when checks may wait.';
    elsif cardinality(prepared) > 0 then
        made := admin_internal.try_make_months(ahead, prepared);
    else
        made := admin_internal.make_months(ahead, prepared);
    end if;
    perform admin_internal.give_way(variadic prepared);
    return made;
end
$$;

comment on function admin.create_audit_partitions(int) is
'Creates the monthly partitions (UTC) of admin.audit for the current month and the next "ahead" months. Gives every partition the indexes and triggers that it needs, and sets the triggers to ENABLE ALWAYS. Returns how many months it created. It takes locks in short attempts, so others wait for at most 200 ms. The session is terminated if the caller leaves its transaction open and another process waits. Warns if a table has the name of a month without being its partition. Raises 22023 unless "ahead" is 0 to 120, and 55P03 if locks of others were in the way for too long.';
