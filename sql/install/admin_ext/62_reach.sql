-- ---------------------------------------------------------------------------
-- Changes that no command has left an event of: memberships and stored settings that were changed
-- from another database, or while the library was not loaded.
-- ---------------------------------------------------------------------------

create table admin_internal.reach_seen (
    what text collate "C" not null,
    constraint reach_seen_pkey primary key (what)
);

comment on table admin_internal.reach_seen is
'The result of admin_internal.reach_now() at the last look of a worker: which roles could reach the trail, and which settings were stored.';
comment on column admin_internal.reach_seen.what is 'A superuser, a membership, or a setting of a role or of this database.';

create function admin_internal.reach_now()
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with powerful as materialized (
        select h.role from admin_internal.access_holders() as h
        union
        select r.oid from pg_roles as r where r.rolsuper or r.rolname in ('pg_write_all_data', 'pg_write_server_files', 'pg_execute_server_program'))
    select format('superuser %I', r.rolname) from pg_roles as r where r.rolsuper
    union
    select concat(format('membership of %I in %I', m.rolname, g.rolname), case when a.admin_option then ' with admin option' end,
                  case when to_jsonb(a) ->> 'inherit_option' = 'false' then ' with inherit false' end,
                  case when to_jsonb(a) ->> 'set_option' = 'false' then ' with set false' end)
    from pg_auth_members as a join pg_roles as m on m.oid = a.member join pg_roles as g on g.oid = a.roleid
    where exists (select from powerful as p where pg_has_role(g.oid, p.role, 'member'))
    union
    select concat(c, ' for role ' || quote_ident(r.rolname), case when o.setdatabase <> 0 then ' in this database' end)
    from pg_db_role_setting as o cross join unnest(o.setconfig) as c left join pg_roles as r on r.oid = o.setrole
    where (o.setdatabase = 0 or o.setdatabase = (select d.oid from pg_database as d where d.datname = current_database()))
      and (lower(c) ~ '^admin_ext(_[a-z0-9_]+)?\.' or lower(c) like 'session\_replication\_role=%')
$$;

comment on function admin_internal.reach_now() is
'Superusers. Memberships in roles that have access or that can write every table or file, direct or through other roles, with their options unless these are the defaults. Settings of this extension, and session_replication_role, that are stored for a role or for this database.';

create function admin_internal.look_at_reach()
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    found text[];
    gone  text[];
begin
    -- A copy that is being loaded has no history of its own yet.
    if not exists (select from admin.store as s where s.adopted_at is not null) then
        return 0;
    end if;
    with now as materialized (select r.what from admin_internal.reach_now() as r(what)),
         added as (insert into admin_internal.reach_seen as s (what) select n.what from now as n on conflict do nothing returning s.what),
         removed as (delete from admin_internal.reach_seen as s where not exists (select from now as n where n.what = s.what) returning s.what)
    select array(select a.what from added as a order by a.what), array(select r.what from removed as r order by r.what) into found, gone;
    if cardinality(found) + cardinality(gone) > 0 then
        perform admin_internal.append_event('guard.changed', json_build_object('command', 'admin_internal.look_at_reach()', 'found', found, 'gone', gone));
    end if;
    return cardinality(found) + cardinality(gone);
end
$$;

comment on function admin_internal.look_at_reach() is
'Compares admin_internal.reach_now() with the result of the last look. If they differ, appends guard.changed to the trail: {"command", "found", "gone"}, also if a command has left its own event. Returns the number of differences; 0, without a look, while no store is adopted. A worker calls it when it starts and once an hour.';

create table admin_internal.setting_seen (
    name  text collate "C" not null,
    value text not null,
    constraint setting_seen_pkey primary key (name)
);

comment on table admin_internal.setting_seen is
'The configured values, at the last look of a worker, of those settings whose change weakens the trail. Settings of a database or a role are not included.';
comment on column admin_internal.setting_seen.name is 'Name of the setting.';
comment on column admin_internal.setting_seen.value is 'Value of the setting.';

create function admin_internal.look_at_settings(scope text)
returns boolean
as 'MODULE_PATHNAME', 'admin_look_at_settings'
language c strict;

comment on function admin_internal.look_at_settings(text) is
'Compares the configured settings with admin_internal.setting_seen, and appends setting.changed with this scope for each change that weakens the trail. A setting without a remembered value is remembered without an event. Returns false, without a look, while the store is not adopted; else true. A worker calls it when it starts and after a reload.';

-- The state at installation is not a change.
select admin_internal.look_at_settings('start');
insert into admin_internal.reach_seen (what) select r.what from admin_internal.reach_now() as r(what);
