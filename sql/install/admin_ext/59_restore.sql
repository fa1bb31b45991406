-- ---------------------------------------------------------------------------
-- Repairs after a restore, or after a tool that has disabled and enabled triggers.
-- ---------------------------------------------------------------------------

create function admin_internal.load_order()
returns trigger
as 'MODULE_PATHNAME', 'admin_load_order'
language c;

comment on function admin_internal.load_order() is
'Trigger of every table of the extension with a foreign key. While admin_ext.restoring is on, it allows loading rows before the rows that they refer to.';

-- Also for the tables of an extension that builds on this one.
create function admin_internal.attach_load_order(child regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    execute format('create trigger load_order_begin before insert on %s for each statement execute function admin_internal.load_order()', child);
    execute format('create trigger load_order_end after insert on %s for each statement execute function admin_internal.load_order()', child);
    execute format('alter table %s enable always trigger load_order_begin, enable always trigger load_order_end', child);
    execute format('comment on trigger load_order_begin on %s is %L', child, 'Lets a dump be loaded in any order of tables.');
    execute format('comment on trigger load_order_end on %s is %L', child, 'Puts the foreign keys back to work after the statement.');
end
$$;

comment on function admin_internal.attach_load_order(regclass) is
'Creates the triggers of admin_internal.load_order() on a table with a foreign key. For the script of an extension.';

do $$
begin
    perform admin_internal.attach_load_order(k.child)
    from (select distinct c.conrelid::regclass as child from pg_constraint as c where c.contype = 'f' and c.connamespace = 'admin'::regnamespace) as k;
end
$$;

create function admin_internal.own_row()
returns trigger
as 'MODULE_PATHNAME', 'admin_own_row'
language c;

comment on function admin_internal.own_row() is
'Trigger of the tables that pg_dump leaves out: a subscription does not write to them. Raises 55000 when one tries to while admin_ext.restoring is off.';

-- The one row already exists when a dump or a subscription brings it.
create function admin_internal.audit_dropped_loaded()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('admin_ext.restoring') = 'on' then
        update admin.audit_dropped as d set below = greatest(d.below, new.below);
        if found then
            return null;
        end if;
    end if;
    return new;
end
$$;

comment on function admin_internal.audit_dropped_loaded() is
'Trigger of admin.audit_dropped: raises "below" of the existing row to that of a loaded row.';

create trigger audit_dropped_loaded
before insert on admin.audit_dropped
for each row execute function admin_internal.audit_dropped_loaded();

alter table admin.audit_dropped enable always trigger audit_dropped_loaded;

comment on trigger audit_dropped_loaded on admin.audit_dropped is
'Merges the row of a dump or a subscription into the existing row.';

create function admin_internal.is_our_extension(name name)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
return name = 'admin_ext' or name like 'admin\_ext\_%';

comment on function admin_internal.is_our_extension(name) is
'Whether the extension is admin_ext or one that builds on it, by its name. The C function insider_is_our_extension() has the same rule.';

-- The tables of the extension, the partitions of the trail, and the tables given to admin.attach_audit().  Partitions
-- come before their parent: up to PostgreSQL 14, enabling a trigger of the parent looks for it on each partition.
create function admin_internal.guarded_tables()
returns table (relation regclass, is_ours boolean)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select r.oid::regclass, r.is_ours
    from (select c.oid, true as is_ours
          from pg_class as c
          where c.relnamespace = 'admin'::regnamespace and c.relkind in ('r', 'p')
            and (exists (select from pg_depend as d join pg_extension as e on e.oid = d.refobjid
                         where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'
                           and d.refclassid = 'pg_extension'::regclass and admin_internal.is_our_extension(e.extname))
                 or c.oid in (select t.relid from pg_partition_tree('admin.audit') as t))
          union
          select t.tgrelid, false
          from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
          where t.tgfoid = 'admin.audit_row_change'::regproc and c.relnamespace <> 'admin'::regnamespace) as r
    order by (select count(*) from pg_partition_ancestors(r.oid)) desc, r.oid::regclass::text;
end;

comment on function admin_internal.guarded_tables() is
'The tables that have guards or row-change triggers of the extension. is_ours: whether the table is one of the extension or a partition of the trail.';

-- Faults that a copy or a tool leaves, each with the statement that repairs it.
create function admin_internal.guard_faults()
returns table (relation regclass, fault text, statement text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select g.relation, format('trigger %I was not enabled always', t.tgname),
           format('alter table only %s enable always trigger %I', g.relation, t.tgname)
    from admin_internal.guarded_tables() as g
    join pg_trigger as t on t.tgrelid = g.relation and not (t.tgisinternal and t.tgparentid = 0)
    join pg_proc as p on p.oid = t.tgfoid and p.pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace)
    where t.tgenabled <> 'A'
    union all
    -- What checks the foreign keys, after a DISABLE TRIGGER ALL that was not taken back.
    select g.relation, format('trigger %I of foreign key %I was disabled', t.tgname, k.conname),
           format('alter table only %s enable trigger %I', g.relation, t.tgname)
    from admin_internal.guarded_tables() as g
    join pg_trigger as t on t.tgrelid = g.relation and t.tgenabled <> 'O'
    join pg_constraint as k on k.oid = t.tgconstraint and k.contype = 'f'
    where g.is_ours and t.tgisinternal
    union all
    select p.partition, format('%s was missing', l.need), format('select admin_internal.audit_prepare_partition(%L)', p.partition)
    from admin.audit_partitions() as p cross join lateral admin_internal.audit_partition_lacks(p.partition) as l(need)
    union all
    select g.relation, format('constraint %I was not valid', k.conname),
           format('alter table %s validate constraint %I', g.relation, k.conname)
    from admin_internal.guarded_tables() as g
    join pg_constraint as k on k.conrelid = g.relation and not k.convalidated
    where g.is_ours
    union all
    select g.relation, 'row level security was on', format('alter table %s disable row level security, no force row level security', g.relation)
    from admin_internal.guarded_tables() as g join pg_class as c on c.oid = g.relation
    where g.is_ours and (c.relrowsecurity or c.relforcerowsecurity)
    union all
    select g.relation, 'replica identity was nothing', format('alter table only %s replica identity default', g.relation)
    from admin_internal.guarded_tables() as g join pg_class as c on c.oid = g.relation
    where g.is_ours and c.relkind = 'r' and c.relreplident = 'n'
    union all
    select 'admin.audit_dropped'::regclass, 'the row was missing', 'insert into admin.audit_dropped (below) values (0)'
    where not exists (select from admin.audit_dropped);
end;

comment on function admin_internal.guard_faults() is
'Faults that a copy or a tool leaves, each with the statement that repairs it. On all guarded tables, attached ones included: triggers of the extension that are not ENABLE ALWAYS. Only on tables of the extension and partitions of the trail: disabled triggers of foreign keys, constraints that are not valid, row level security, no replica identity. Also parts that partitions of the trail lack, and a missing row of admin.audit_dropped.';

-- Rows that were loaded while foreign keys were off.
create function admin_internal.rows_without_parent()
returns table (relation regclass, fault text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    key     record;
    orphans bigint;
begin
    for key in
        select k.conname, k.conrelid::regclass as child, k.confrelid::regclass as parent,
               string_agg(format('p.%I = c.%I', q.attname, a.attname), ' and ' order by n.position) as fits,
               string_agg(format('c.%I is not null', a.attname), ' and ' order by n.position) as is_set
        from pg_constraint as k
        cross join lateral unnest(k.conkey, k.confkey) with ordinality as n(own, other, position)
        join pg_attribute as a on a.attrelid = k.conrelid and a.attnum = n.own
        join pg_attribute as q on q.attrelid = k.confrelid and q.attnum = n.other
        where k.contype = 'f' and k.connamespace = 'admin'::regnamespace
        group by k.oid, k.conname, k.conrelid, k.confrelid
    loop
        execute format('select count(*) from %s as c where %s and not exists (select from %s as p where %s)',
                       key.child, key.is_set, key.parent, key.fits) into orphans;
        if orphans > 0 then
            relation := key.child;
            fault := format('foreign key %I: %s rows have no row in %s', key.conname, orphans, key.parent);
            return next;
        end if;
    end loop;
end
$$;

comment on function admin_internal.rows_without_parent() is
'Foreign keys of the extension that existing rows violate, with the number of rows. A load with admin_ext.restoring on does not check foreign keys.';

-- Identity sequences that a copy has left behind the rows it brought.
create function admin_internal.sequences_behind()
returns table (sequence regclass, relation regclass, highest bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    identity record;
    last     bigint;
begin
    for identity in
        select pg_get_serial_sequence(g.relation::text, a.attname)::regclass as sequence, g.relation, a.attname
        from admin_internal.guarded_tables() as g
        join pg_attribute as a on a.attrelid = g.relation and a.attidentity <> '' and not a.attisdropped
        join pg_class as c on c.oid = g.relation and not c.relispartition
        where g.is_ours
    loop
        execute format('select max(%I) from %s', identity.attname, identity.relation) into highest;
        execute format('select case when s.is_called then s.last_value else s.last_value - 1 end from %s as s', identity.sequence) into last;
        if highest > last then
            sequence := identity.sequence;
            relation := identity.relation;
            return next;
        end if;
    end loop;
end
$$;

comment on function admin_internal.sequences_behind() is
'Sequences of the extension that would give out a number again, with the highest number in use.';

-- Locks all tables at once or none, and never waits in a lock queue, because checks would wait behind it.
create function admin_internal.lock_for_mending(tables regclass[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    one regclass;
begin
    for attempt in 1 .. 200 loop
        begin
            foreach one in array tables loop
                execute format('lock table only %s in share row exclusive mode nowait', one);
            end loop;
            return;
        exception when lock_not_available then
            perform pg_sleep(0.01);
        end;
    end loop;
    raise exception 'could not lock the tables whose guards have to be mended'
        using errcode = '55P03', hint = 'Call the function again when fewer transactions write to them.';
end
$$;

comment on function admin_internal.lock_for_mending(regclass[]) is
'Takes the locks that admin.restore_guards() needs, without waiting in a lock queue. Raises 55P03 if it cannot take them within two seconds.';

create function admin.restore_guards()
returns table (relation regclass, fault text, mended boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    faults    jsonb;
    behind    record;
    report    jsonb := '[]';
    statement text;
begin
    if current_setting('admin_ext.restoring') = 'on' then
        raise exception 'admin_ext.restoring is on'
            using errcode = '55000', detail = 'Rows may still be loaded, and the guards stand aside.',
                  hint = 'Finish loading, set it to off, and call admin.restore_guards() again.';
    end if;
    select coalesce(jsonb_agg(jsonb_build_object('relation', f.relation, 'fault', f.fault, 'statement', f.statement)), '[]')
    into faults from admin_internal.guard_faults() as f;
    perform admin_internal.lock_for_mending(array(select distinct (f ->> 'relation')::regclass from jsonb_array_elements(faults) as f));
    for statement in select f ->> 'statement' from jsonb_array_elements(faults) as f loop
        execute statement;
    end loop;
    report := (select coalesce(jsonb_agg(f - 'statement' || '{"mended": true}'), '[]') from jsonb_array_elements(faults) as f);
    for behind in select * from admin_internal.sequences_behind() loop
        perform setval(behind.sequence, behind.highest);
        report := report || jsonb_build_object('relation', behind.relation, 'mended', true,
                                               'fault', format('sequence %s was behind %s', behind.sequence, behind.highest));
    end loop;
    report := report || (select coalesce(jsonb_agg(jsonb_build_object('relation', o.relation, 'fault', o.fault, 'mended', false)), '[]')
                         from admin_internal.rows_without_parent() as o);
    if report <> '[]' then
        perform admin_internal.append_event('guard.changed', json_build_object('command', 'admin.restore_guards()', 'faults', report));
    end if;
    return query
        select (r ->> 'relation')::regclass, r ->> 'fault', (r ->> 'mended')::boolean from jsonb_array_elements(report) as r;
end
$$;

comment on function admin.restore_guards() is
'For superusers, after a restore, a copy, or a tool that has disabled and enabled triggers. Sets every trigger of the extension to ENABLE ALWAYS, on its tables, on the partitions of the trail and on attached tables. Adds what partitions lack, validates constraints, disables row level security, and advances sequences that are behind. Returns one row per fault that it found. Rows that violate a foreign key are reported and not changed (mended is false). Appends guard.changed to the trail if it found a fault. Raises 55000 while admin_ext.restoring is on, 55P03 if it cannot lock a table.';
