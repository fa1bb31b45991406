-- ---------------------------------------------------------------------------
-- The last statements of the script: they revoke everything that default privileges have given.  Roles that already
-- have an access need a GRANT.  The script must not run it, because pg_dump would take it for a part of the extension.
-- ---------------------------------------------------------------------------

do $$
declare
    waiting text;
begin
    perform admin_internal.revoke_foreign_privileges(extension => 'admin_ext_cutover');
    waiting := (select string_agg(distinct format('select admin.grant_access(%L, %L)', h.role::regrole, h.access), '; ')
                from admin_internal.access_holders() as h join admin_internal.admin_ext_cutover_access() as a using (access));
    if waiting is not null then
        raise warning 'roles that were granted an access before cannot use this extension yet'
            using hint = format('Run: %s', waiting);
    end if;
end
$$;
