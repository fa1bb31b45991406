-- ---------------------------------------------------------------------------
-- Access: which objects of this extension admin.grant_access() grants.  See admin_internal.access_of_extensions().
-- ---------------------------------------------------------------------------

create function admin_internal.admin_ext_cutover_access()
returns table (kind text, name text, access text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select o.kind, o.name, a.access
    from (values
        ('routine', 'admin.sensitive_check_shadow(text, text, text, text, text, text, text, text)', '{checker, operator}'::text[]),
        ('routine', 'admin_internal.cutover_readiness_rows()', '{auditor, operator}'),
        ('routine', 'admin_internal.readiness_items()', '{auditor, operator}'),
        ('routine', 'admin.import_approvals(jsonb)', '{operator}'),
        ('routine', 'admin.catch_up_approvals(jsonb)', '{operator}'),
        ('routine', 'admin_internal.import_as_caller(jsonb, boolean)', '{operator}'),
        ('routine', 'admin_internal.import_as_owner(jsonb, boolean)', '{operator}'),
        ('routine', 'admin.record_parity_run(bigint, bigint, bigint, jsonb)', '{operator}'),
        ('routine', 'admin.settle_shadow_difference(bigint, text)', '{operator}'),
        ('routine', 'admin.settle_shadow_differences(bigint, text)', '{operator}'),
        ('table', 'admin.import_run', '{auditor, operator}'),
        ('table', 'admin.parity_run', '{auditor, operator}'),
        ('table', 'admin.shadow_check', '{auditor, operator}'),
        ('table', 'admin.shadow_settled', '{auditor, operator}'),
        ('table', 'admin.shadow_difference', '{auditor, operator}'),
        ('table', 'admin.cutover_readiness', '{auditor, operator}')
    ) as o(kind, name, accesses), unnest(o.accesses) as a(access);
end;

comment on function admin_internal.admin_ext_cutover_access() is
'Which functions, tables and views of this extension each access may use: one row per object and access.';
