-- ---------------------------------------------------------------------------
-- Access: what admin.grant_access() gives of this extension.  See admin_internal.access_of_extensions().
-- ---------------------------------------------------------------------------

create function admin_internal.admin_ext_cutover_access()
returns table (kind text, name text, access text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select o.kind, o.name, a.access
    from (values
        ('routine', 'sensitive_check_shadow(text, text, text, text, text, text, text, text)', '{checker, operator}'::text[]),
        ('routine', 'cutover_readiness_rows()', '{auditor, operator}'),
        ('routine', 'readiness_items()', '{auditor, operator}'),
        ('routine', 'import_approvals(jsonb)', '{operator}'),
        ('routine', 'catch_up_approvals(jsonb)', '{operator}'),
        ('routine', 'import_as_caller(jsonb, boolean)', '{operator}'),
        ('routine', 'import_as_owner(jsonb, boolean)', '{operator}'),
        ('routine', 'record_parity_run(bigint, bigint, bigint, jsonb)', '{operator}'),
        ('routine', 'settle_shadow_difference(bigint, text)', '{operator}'),
        ('routine', 'settle_shadow_differences(bigint, text)', '{operator}'),
        ('table', 'import_run', '{auditor, operator}'),
        ('table', 'parity_run', '{auditor, operator}'),
        ('table', 'shadow_check', '{auditor, operator}'),
        ('table', 'shadow_settled', '{auditor, operator}'),
        ('table', 'shadow_difference', '{auditor, operator}'),
        ('table', 'cutover_readiness', '{auditor, operator}')
    ) as o(kind, name, accesses), unnest(o.accesses) as a(access);
end;

comment on function admin_internal.admin_ext_cutover_access() is
'Which functions, tables and views of this extension each access may use: one row per object and access.';
