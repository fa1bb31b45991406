-- ---------------------------------------------------------------------------
-- Partitions of the trail, and the trail of other tables.
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

-- Rows that the default partition has caught would block the partition of their month for
-- ever.  The whole table becomes the partition of the months it has rows of, without a row
-- being moved, and a new, empty one takes its place as default.
create function admin.audit_release_default()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
    lo       timestamptz;
    hi       timestamptz;
    new_name text;
    index    record;
begin
    if not exists (select from admin.audit_default) then
        return;
    end if;
    lock table admin.audit in access exclusive mode;
    select date_trunc('month', min(recorded_at) at time zone 'UTC') at time zone 'UTC',
           (date_trunc('month', max(recorded_at) at time zone 'UTC') + interval '1 month') at time zone 'UTC'
    into lo, hi from admin.audit_default;
    if exists (select from admin.audit_partitions() as p
               where p.lower_bound < hi and p.upper_bound > lo) then
        select min(recorded_at), max(recorded_at) + interval '1 microsecond' into lo, hi from admin.audit_default;
    end if;
    new_name := admin.audit_partition_name(lo, hi);
    -- Around existing months there is no one range for it: its rows stay where they are.
    if exists (select from admin.audit_partitions() as p
               where p.lower_bound < hi and p.upper_bound > lo)
       or to_regclass(format('admin.%I', new_name)) is not null then
        return;
    end if;

    alter table admin.audit detach partition admin.audit_default;
    alter extension admin_ext drop table admin.audit_default;
    execute format('alter table admin.audit_default rename to %I', new_name);
    for index in
        select indexrelid::regclass as name, relname
        from pg_index join pg_class on pg_class.oid = indexrelid
        where indrelid = format('admin.%I', new_name)::regclass
    loop
        execute format('alter index %s rename to %I', index.name,
                       replace(index.relname, 'audit_default', new_name));
    end loop;
    execute format('alter table admin.audit attach partition admin.%I for values from (%L) to (%L)',
                   new_name, lo, hi);

    create table admin.audit_default partition of admin.audit default;
    perform admin.audit_prepare_partition('admin.audit_default');
    perform admin_internal.revoke_foreign_privileges('admin.audit_default');
    comment on table admin.audit_default is
'Takes what no month has a place for, so that an insert never fails for lack of a partition. admin.create_audit_partitions() turns rows caught here into a partition of their own.';
    alter extension admin_ext add table admin.audit_default;
    -- pg_extension_config_dump() may only be called by the extension's own script.
    update pg_extension
    set extconfig = extconfig || 'admin.audit_default'::regclass::oid,
        extcondition = extcondition || ''::text
    where extname = 'admin_ext';
end
$$;

comment on function admin.audit_release_default() is
'Makes what the default partition has caught a partition of its own, under a short exclusive lock of admin.audit.';

create function admin.create_audit_partitions(ahead int default 3)
returns int
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
    this_month timestamp := date_trunc('month', now() at time zone 'UTC');
    lo         timestamptz;
    hi         timestamptz;
    new_name   text;
    made       int := 0;
begin
    if ahead is null or ahead not between 0 and 120 then
        raise exception 'argument "ahead" is out of range'
            using errcode = '22023',
                  detail = format('Its value %s is not between 0 and 120 months.', coalesce(ahead::text, 'null'));
    end if;
    -- One maker at a time; writers are not in the way of this lock, nor it in theirs.
    lock table admin.audit in share update exclusive mode;
    perform admin.audit_prepare_partition(partition) from admin.audit_partitions();
    perform admin.audit_release_default();
    for i in 0 .. ahead loop
        lo := (this_month + make_interval(months => i)) at time zone 'UTC';
        hi := (this_month + make_interval(months => i + 1)) at time zone 'UTC';
        new_name := admin.audit_partition_name(lo, hi);
        -- Caught rows that could not be released keep their part of the month.
        select coalesce(max(recorded_at) + interval '1 microsecond', lo) into lo
        from admin.audit_default where recorded_at >= lo and recorded_at < hi;
        continue when lo >= hi
            or exists (select from admin.audit_partitions() as p
                       where p.lower_bound < hi and p.upper_bound > lo)
            or to_regclass(format('admin.%I', new_name)) is not null;
        -- Made apart and attached, so that writers to the other partitions go on.
        execute format('create table admin.%I (like admin.audit including defaults including constraints)', new_name);
        perform admin.audit_prepare_partition(format('admin.%I', new_name)::regclass);
        -- A new table has what ALTER DEFAULT PRIVILEGES says.
        perform admin_internal.revoke_foreign_privileges(format('admin.%I', new_name)::regclass);
        execute format('alter table admin.audit attach partition admin.%I for values from (%L) to (%L)',
                       new_name, lo, hi);
        made := made + 1;
    end loop;
    return made;
end
$$;

comment on function admin.create_audit_partitions(int) is
'Makes the monthly partitions (UTC) of admin.audit for this month and so many ahead, gives every partition the indexes and the triggers it needs, enabled always, and returns how many it made. Raises 22023 unless "ahead" is 0 to 120.';

create function admin.check_attachable(relation regclass)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if relation is null
       or not exists (select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                      where c.oid = relation and c.relkind in ('r', 'p') and c.relpersistence <> 't'
                        and n.nspname not in ('admin', 'pg_catalog', 'information_schema', 'pg_toast')) then
        raise exception 'relation "%" cannot be audited', coalesce(relation::text, 'null')
            using errcode = '22023',
                  detail = 'An ordinary or partitioned table outside the system and admin schemas can.';
    end if;
    if exists (select from pg_trigger where tgrelid = relation and tgfoid = 'admin.audit_row_change'::regproc and tgparentid <> 0) then
        raise exception 'relation "%" is audited with the table it is a partition of', relation
            using errcode = '22023', hint = 'Attach or detach that table.';
    end if;
end
$$;

comment on function admin.check_attachable(regclass) is
'Raises 22023 for a relation that admin.attach_audit() does not take.';

create function admin.attach_audit(relation regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part regclass;
begin
    perform admin.check_attachable(relation);
    perform admin.detach_audit(relation);
    execute format('create trigger audit_row_change after insert or update or delete on %s '
                   'for each row execute function admin.audit_row_change()', relation);
    execute format('alter table %s enable always trigger audit_row_change', relation);
    -- A partition may be truncated by itself.  Partitions come first: enabling the trigger of
    -- a table looks for one of that name on each of them up to 14.
    for part in
        select t.relid from (select p.relid, p.level from pg_partition_tree(relation) as p union select relation, 0) as t
        order by t.level desc
    loop
        execute format('create trigger audit_row_change_truncate after truncate on %s '
                       'for each statement execute function admin.audit_row_change()', part);
        execute format('alter table %s enable always trigger audit_row_change_truncate', part);
    end loop;
end
$$;

comment on function admin.attach_audit(regclass) is
'Puts the row-change trigger on a table of the caller''s and on its partitions: row.inserted, row.updated, row.deleted and row.truncated. A second call changes nothing but takes in partitions made since, for TRUNCATE. Runs with the caller''s privileges: 42501 for a table that belongs to somebody else. Raises 22023 for a relation that is no such table.';

create function admin.detach_audit(relation regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    attached record;
begin
    perform admin.check_attachable(relation);
    for attached in
        select t.tgname, t.tgrelid::regclass as relation
        from pg_trigger as t
        where t.tgrelid in (select p.relid from pg_partition_tree(relation) as p union select relation)
          and t.tgfoid = 'admin.audit_row_change'::regproc and t.tgparentid = 0
    loop
        execute format('drop trigger %I on %s', attached.tgname, attached.relation);
    end loop;
end
$$;

comment on function admin.detach_audit(regclass) is
'Takes the row-change trigger off a table of the caller''s again; does nothing where there is none. Runs with the caller''s privileges. Raises 22023 for a relation that admin.attach_audit() does not take.';
