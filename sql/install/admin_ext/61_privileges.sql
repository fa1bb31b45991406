-- ---------------------------------------------------------------------------
-- Privileges: only admin.grant_access() gives them.
-- ---------------------------------------------------------------------------

-- Row types of tables have no default privileges, and ALTER DEFAULT PRIVILEGES does not apply to them.  So only
-- explicit grants on types count.
create function admin_internal.object_privileges()
returns table (object text, columns text, relation oid, grantee oid, privilege text, is_grantable boolean)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with schemas as (select n.oid, n.nspname, n.nspowner, n.nspacl from pg_namespace as n where n.nspname in ('admin', 'admin_internal')),
    ours as (
        select format('schema %I', n.nspname) as object, null as columns, null::oid as relation, n.nspowner as owner, coalesce(n.nspacl, acldefault('n', n.nspowner)) as acl
        from schemas as n
        union all
        select format('%s %s', case c.relkind when 'S' then 'sequence' else 'table' end, c.oid::regclass), null, coalesce(d.refobjid, c.oid), c.relowner,
               coalesce(c.relacl, acldefault(case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
        from schemas as n join pg_class as c on c.relnamespace = n.oid and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
        left join pg_depend as d on d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.refobjsubid > 0
                                and d.deptype in ('a', 'i') and c.relkind = 'S'
        union all
        select format('table %s', c.oid::regclass), format('(%I)', a.attname), c.oid, c.relowner, a.attacl
        from schemas as n join pg_class as c on c.relnamespace = n.oid join pg_attribute as a on a.attrelid = c.oid
        where a.attacl is not null and not a.attisdropped
        union all
        select format('routine %s', p.oid::regprocedure), null, null, p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
        from schemas as n join pg_proc as p on p.pronamespace = n.oid
        union all
        select format('type %s', t.oid::regtype), null, t.typrelid, t.typowner,
               coalesce(t.typacl, case when t.typrelid = 0 then acldefault('T', t.typowner) end)
        from schemas as n join pg_type as t on t.typnamespace = n.oid and t.typcategory <> 'A')
    select o.object, o.columns, o.relation, a.grantee, a.privilege_type, a.is_grantable
    from ours as o, aclexplode(o.acl) as a
    where a.grantee <> o.owner
$$;

comment on function admin_internal.object_privileges() is
'Every privilege on the schemas admin and admin_internal, and on all tables, views, columns, sequences, functions and types in them, except those of the owner. grantee 0 is PUBLIC.';

create function admin_internal.role_words(role oid)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when role_words.role = 0 then 'public' else coalesce((select quote_ident(r.rolname) from pg_roles as r where r.oid = role_words.role), role_words.role::text) end
$$;

comment on function admin_internal.role_words(oid) is 'The name of a grantee as GRANT and REVOKE write it.';

create function admin_internal.revoke_foreign_privileges(relation regclass default null, extension name default null)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
    revoked   bigint := 0;
begin
    for statement in
        with members as materialized (
            select d.classid, d.objid from pg_depend as d join pg_extension as e on e.oid = d.refobjid
            where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = revoke_foreign_privileges.extension)
        select format('revoke %s %s on %s from %s cascade', p.privilege, p.columns, p.object, admin_internal.role_words(p.grantee))
        from admin_internal.object_privileges() as p
        where (revoke_foreign_privileges.relation is null or p.relation = revoke_foreign_privileges.relation)
          and (revoke_foreign_privileges.extension is null or p.relation in (select m.objid from members as m where m.classid = 'pg_class'::regclass)
               or p.object in (select format('routine %s', m.objid::regprocedure) from members as m where m.classid = 'pg_proc'::regclass))
          and (p.columns is not null
               or not exists (select from admin_internal.expected_privileges() as e
                              where e.object = p.object and e.grantee = p.grantee and e.privilege = p.privilege))
    loop
        execute statement;
        revoked := revoked + 1;
    end loop;
    return revoked;
end
$$;

comment on function admin_internal.revoke_foreign_privileges(regclass, name) is
'Revokes, from every grantee except the owner, privileges that admin.grant_access() did not give. With a relation: on the table with its columns, sequences and row type. With an extension: on its tables and functions. Without an argument: on everything in the schemas admin and admin_internal. For a new partition or extension, which gets the default privileges. Returns how many REVOKE statements it ran.';

create function admin_internal.expected_privileges()
returns table (object text, grantee oid, privilege text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct p.object, h.role, p.privilege
    from admin_internal.access_holders() as h join admin_internal.access_privileges() as p on p.access = h.access
$$;

comment on function admin_internal.expected_privileges() is 'The privileges that roles have by admin.grant_access().';

-- The catalog of parameter privileges exists since PostgreSQL 15.
create function admin_internal.parameter_privileges()
returns table (parameter text, grantee oid, privilege text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regclass('pg_catalog.pg_parameter_acl') is not null then
        return query execute
            $q$select p.parname, a.grantee, a.privilege_type from pg_parameter_acl as p, aclexplode(p.paracl) as a
               where p.parname ~ '^admin_ext(_[a-z0-9_]+)?\.' and a.grantee <> 10$q$;
    end if;
end
$$;

comment on function admin_internal.parameter_privileges() is
'SET and ALTER SYSTEM privileges on settings of this extension that were granted to a role. Returns no rows before PostgreSQL 15.';

create function admin_internal.foreign_privileges()
returns table (grantee text, privilege text, object text, problem text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with present as materialized (select p.*, admin_internal.role_words(p.grantee) as words from admin_internal.object_privileges() as p),
         expected as materialized (select e.*, admin_internal.role_words(e.grantee) as words from admin_internal.expected_privileges() as e)
    select p.words, p.privilege || case when p.is_grantable then ' WITH GRANT OPTION' else '' end, concat_ws(' ', p.object, p.columns),
           'admin.grant_access() did not give it',
           format('REVOKE %s%s%s ON %s FROM %s CASCADE', case when p.is_expected then 'GRANT OPTION FOR ' end, p.privilege, ' ' || p.columns, p.object, p.words)
    from (select p.*, p.columns is null and exists (select from expected as e where e.object = p.object and e.grantee = p.grantee and e.privilege = p.privilege) as is_expected
          from present as p) as p
    where p.is_grantable or not p.is_expected
    union all
    select e.words, e.privilege, e.object, 'admin.grant_access() gave it, and it was taken away', format('GRANT %s ON %s TO %s', e.privilege, e.object, e.words)
    from expected as e
    where not exists (select from present as p where p.columns is null and p.object = e.object and p.grantee = e.grantee and p.privilege = e.privilege)
      and not exists (select from pg_roles as r where r.oid = e.grantee and r.rolsuper)
    union all
    select admin_internal.role_words(s.grantee), s.privilege, 'parameter ' || s.parameter, 'it changes what guards the trail or where it goes',
           format('REVOKE %s ON PARAMETER %s FROM %s', s.privilege, s.parameter, admin_internal.role_words(s.grantee))
    from admin_internal.parameter_privileges() as s
    union all
    select quote_ident(m.rolname), 'MEMBER', 'role ' || quote_ident(g.rolname),
           case g.rolname when 'pg_write_all_data' then 'it writes every table' when 'pg_write_server_files' then 'it writes the server''s files'
                          when 'pg_execute_server_program' then 'it runs programs on the server' else 'it is a superuser''s role' end,
           case when exists (select from pg_auth_members as d where d.roleid = g.oid and d.member = m.oid) then format('REVOKE %I FROM %I', g.rolname, m.rolname)
                else 'end the membership of one of the roles between them' end
    from pg_roles as m join pg_roles as g on g.rolsuper or g.rolname in ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program')
    where m.rolcanlogin and not m.rolsuper and pg_has_role(m.oid, g.oid, 'member')
$$;

comment on function admin_internal.foreign_privileges() is
'Differences between the existing privileges and those that admin.grant_access() gave. It compares every object of the schemas admin and admin_internal, settings of the extension, and membership in roles that can write everything. One row per difference. remedy is the statement that removes it.';

-- A membership can be granted from any database of the server, where no trail records it.
create function admin_internal.access_by_membership()
returns table (member name, access text, through name)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct m.rolname, h.access, g.rolname
    from admin_internal.access_holders() as h
    join pg_roles as g on g.oid = h.role
    join pg_roles as m on m.rolcanlogin and not m.rolsuper and m.oid <> g.oid and pg_has_role(m.oid, g.oid, 'member')
$$;

comment on function admin_internal.access_by_membership() is
'Roles that can log in and have an access as members of a role that it was granted to. Membership may be direct or through other roles, and with or without INHERIT.';
