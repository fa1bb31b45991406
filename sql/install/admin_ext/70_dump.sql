-- ---------------------------------------------------------------------------
-- What pg_dump includes: the users' data.  The partitions of the trail are ordinary tables, which pg_dump
-- includes without this.  "store" is not dumped, because a restored copy is another copy.
-- ---------------------------------------------------------------------------

select pg_catalog.pg_extension_config_dump('admin.approval', '');
select pg_catalog.pg_extension_config_dump('admin.signature', '');
select pg_catalog.pg_extension_config_dump('admin.signature_signature_id_seq', '');
select pg_catalog.pg_extension_config_dump('admin.audit_audit_id_seq', '');
select pg_catalog.pg_extension_config_dump('admin.audit_attributes', '');
select pg_catalog.pg_extension_config_dump('admin.audit_dropped', '');
select pg_catalog.pg_extension_config_dump('admin.ingest_source', '');
select pg_catalog.pg_extension_config_dump('admin.ingest_gap', '');
select pg_catalog.pg_extension_config_dump('admin.granted_access', '');
select pg_catalog.pg_extension_config_dump('admin.sweep_due', '');
select pg_catalog.pg_extension_config_dump('admin.dead_letter', '');
select pg_catalog.pg_extension_config_dump('admin.dead_letter_retry', '');
select pg_catalog.pg_extension_config_dump('admin.action_policy', '');
select pg_catalog.pg_extension_config_dump('admin.archive_receipt', '');
select pg_catalog.pg_extension_config_dump('admin.jwt_issuer', '');
select pg_catalog.pg_extension_config_dump('admin.jwt_key', '');
select pg_catalog.pg_extension_config_dump('admin.jwt_one_use', '');
select pg_catalog.pg_extension_config_dump('admin.jwt_used', '');

-- Tables that are not in the list above belong to this copy of the data alone.
do $$
declare
    own regclass;
begin
    for own in
        select c.oid::regclass
        from pg_extension as e
        join pg_depend as d on d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
        join pg_class as c on d.classid = 'pg_class'::regclass and c.oid = d.objid
        where e.extname = 'admin_ext' and c.relkind = 'r' and not c.relispartition and c.oid <> all (e.extconfig)
    loop
        execute format('create trigger own_row before insert or update or delete on %s for each row execute function admin_internal.own_row()', own);
        execute format('alter table %s enable always trigger own_row', own);
        execute format('comment on trigger own_row on %s is %L', own, 'Skips what a subscription brings of another copy.');
    end loop;
end
$$;
