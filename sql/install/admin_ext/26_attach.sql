-- ---------------------------------------------------------------------------
-- The trail of other tables.
-- ---------------------------------------------------------------------------

create function admin_internal.check_attachable(relation regclass)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if relation is null
       or not exists (select from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
                      where c.oid = relation and c.relkind in ('r', 'p') and c.relpersistence <> 't'
                        and n.nspname not in ('admin', 'admin_internal', 'pg_catalog', 'information_schema', 'pg_toast')) then
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

comment on function admin_internal.check_attachable(regclass) is
'Raises 22023 for a relation that admin.attach_audit() does not accept.';

create function admin.attach_audit(relation regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    part regclass;
begin
    perform admin_internal.check_attachable(relation);
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
'Creates the row-change triggers on a table of the caller and on its partitions. They append row.inserted, row.updated, row.deleted and row.truncated. A second call drops the triggers and creates them again, also on partitions that were created since. The call locks the table and its partitions in ACCESS EXCLUSIVE mode until the transaction ends. Runs with the caller''s privileges: raises 42501 for a table of another owner. Raises 22023 for a relation that cannot be audited.';

create function admin.detach_audit(relation regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    attached record;
begin
    perform admin_internal.check_attachable(relation);
    for attached in
        select t.tgname, t.tgrelid::regclass as relation
        from pg_trigger as t
        where t.tgrelid in (select p.relid from pg_partition_tree(relation) as p union select relation)
          and t.tgfoid = 'admin.audit_row_change'::regproc and t.tgparentid = 0
        order by t.tgrelid, t.tgname desc
    loop
        execute format('drop trigger %I on %s', attached.tgname, attached.relation);
    end loop;
end
$$;

comment on function admin.detach_audit(regclass) is
'Drops the row-change triggers from a table of the caller and from its partitions. Does nothing if there are none. Runs with the caller''s privileges. Raises 22023 for a relation that admin.attach_audit() does not accept.';
