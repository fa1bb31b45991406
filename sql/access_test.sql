-- Privileges: each access has what it is for, and nobody has what admin.grant_access() did not give.
set client_min_messages = error;
\set SHOW_CONTEXT never
\pset null null
\pset format unaligned
create role regress_app login;
-- A DBA's default privileges, for the installing superuser, everywhere and in one schema.
alter default privileges grant all on functions to regress_app, public;
alter default privileges grant all on tables to regress_app with grant option;
alter default privileges grant all on sequences to regress_app;
alter default privileges grant all on types to regress_app;
alter default privileges grant all on schemas to regress_app;
create schema admin;
grant all on schema admin to regress_app, public;
create extension admin_ext schema admin;
create extension admin_ext_cutover;
alter default privileges in schema admin grant execute on functions to regress_app;
alter default privileges in schema admin grant insert on tables to public;
select admin.create_audit_partitions() > 0 as partitions;
-- Rows that the default partition caught: a table that was recreated.
set admin_ext.restoring = on;
insert into admin.audit (recorded_at, event_type, payload) values ('1999-05-05', 'old', '{}');
set admin_ext.restoring = off;
select admin.create_audit_partitions() >= 0 as partitions;
select object, columns, grantee::regrole, privilege from admin_internal.object_privileges();
select grantee, privilege, object from admin_internal.foreign_privileges();
-- What an attacker did: trust an issuer of its own, import with the state it likes.
select admin.grant_access('regress_app', 'checker');
set session authorization regress_app;
select admin.add_jwt_issuer('https://evil.invalid', 'aud');
select admin.import_jwks('https://evil.invalid', '{"keys": []}');
select admin_internal.import_all('[]', true, false);
insert into admin.jwt_issuer (issuer, audience) values ('https://evil.invalid', 'aud');
select count(*) from admin.audit;
select nextval('admin.audit_audit_id_seq');
create function admin.slipped() returns int language sql return 1;
select admin_internal.append_event('x', '{}');
reset session authorization;
select count(*) as foreign from admin_internal.foreign_privileges();
select admin.revoke_access('regress_app', 'checker');
-- An operator may use the schema, and not this function.
select admin.grant_access('regress_app', 'operator');
set session authorization regress_app;
select admin_internal.import_all('[]', true, false);
reset session authorization;
select admin.revoke_access('regress_app', 'operator');
alter default privileges revoke all on functions from regress_app; alter default privileges grant execute on functions to public;
alter default privileges revoke all on tables from regress_app; alter default privileges revoke all on sequences from regress_app;
alter default privileges revoke all on types from regress_app; alter default privileges revoke all on schemas from regress_app;
alter default privileges in schema admin revoke execute on functions from regress_app;
alter default privileges in schema admin revoke insert on tables from public;
drop role regress_app;

-- Each access against each function and relation, from the catalog.
create temp table access (name text, role regrole, n int);
create role regress_checker; create role regress_signer; create role regress_auditor; create role regress_operator;
create role regress_monitor; create role regress_archiver; create role regress_policy; create role regress_nobody;
insert into access select a, ('regress_' || a)::regrole, n
from unnest('{checker,signer,auditor,operator,monitor,archiver,policy,nobody}'::text[]) with ordinality as u(a, n);
select name, admin.grant_access(role, name) from access where name <> 'nobody' order by n;
select p.oid::regprocedure as function, string_agg(a.name, ' ' order by a.n) as may_call
from pg_proc as p, access as a
where p.pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and has_function_privilege(a.role, p.oid, 'execute')
group by p.oid order by p.oid::regprocedure::text collate "C";
select c.oid::regclass as relation, string_agg(a.name, ' ' order by a.n) as may_read
from pg_class as c, access as a
where c.relnamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and c.relkind in ('r', 'p', 'v') and has_any_column_privilege(a.role, c.oid, 'select')
group by c.oid order by c.oid::regclass::text collate "C";
select a.name, c.oid::regclass, p from pg_class as c, access as a, unnest('{insert, update, delete, truncate, references, trigger}'::text[]) as p
where c.relnamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and c.relkind in ('r', 'p', 'v')
  and (has_table_privilege(a.role, c.oid, p) or p in ('insert', 'update', 'references') and has_any_column_privilege(a.role, c.oid, p));
select a.name, c.oid::regclass from pg_class as c, access as a, unnest('{usage, select, update}'::text[]) as p
where c.relnamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and c.relkind = 'S' and has_sequence_privilege(a.role, c.oid, p);
select p as privilege, n.nspname, string_agg(a.name, ' ' order by a.n) from pg_namespace as n, access as a, unnest('{usage, create}'::text[]) as p
where n.nspname in ('admin', 'admin_internal') and has_schema_privilege(a.role, n.oid, p) group by 1, 2 order by 1, 2;
-- The table of the access names nothing that does not exist, and no relation is forgotten.
select signature from admin_internal.access_functions() where to_regprocedure(signature) is null
union select relation from admin_internal.access_relations() where to_regclass(relation) is null
union select name from admin_internal.access_of_extensions() where case kind when 'routine' then to_regprocedure(name)::oid else to_regclass(name)::oid end is null;
select oid::regclass::text as relation from pg_class where relnamespace = 'admin'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition
except (select relation from admin_internal.access_relations() where access = 'auditor' union select name from admin_internal.access_of_extensions() where access = 'auditor');
-- A monitor reads counters and nothing of an approval; an auditor reads the months through the trail.
set role regress_monitor;
select count(*) >= 0 as rows from admin.worker_status;
select count(*) as rows from admin.sweep_status;
select count(*) >= 0 as rows from admin.check_latency;
select count(*) >= 0 as rows from admin.batch_latency;
select * from admin.audit;
select * from admin.approval_ttl_state;
set role regress_auditor;
select count(*) as revocations from admin.audit where event_type = 'access.revoked';
select count(*) from admin.audit_default;
reset role;

-- Who was granted what: in a table and in the trail.
select role_name, access, source_prefix, granted_by = session_user as by_me from admin.granted_access order by access collate "C";
select event_type, actor = session_user as by_me, payload from admin.audit where event_type like 'access.%' order by audit_id;
-- Again is the same; a prefix is added; another access keeps what it needs.
select admin.grant_access('regress_checker', 'checker'), admin.grant_access('regress_checker', 'checker', '/ff/'), admin.grant_access('regress_checker', 'checker', '/archiver/');
select admin.grant_access('regress_checker', 'signer');
select access, source_prefix from admin.granted_access where role_name = 'regress_checker' order by access, source_prefix;
select admin.revoke_access('regress_checker', 'checker');
select access, source_prefix from admin.granted_access where role_name = 'regress_checker';
select f as function, has_function_privilege('regress_checker', 'admin.' || f, 'execute') as may
from unnest(array['jwt_verify(text)', 'jws_verify(text, jsonb)', 'audit_ingest(jsonb)', 'withdraw_approval(text, text, text, text)']) as f;
select has_schema_privilege('regress_checker', 'admin', 'usage') as usage;
select admin.revoke_access('regress_checker', 'signer');
-- What was never granted is a notice, and no event; a GRANT by hand is taken back, with one.
set client_min_messages = notice;
select admin.revoke_access('regress_checker', 'signer'), admin.revoke_access('regress_checker', 'operator');
grant execute on function admin.withdraw_approval(text, text, text, text) to regress_checker;
select admin.revoke_access('regress_checker', 'signer');
set client_min_messages = error;
select has_schema_privilege('regress_checker', 'admin', 'usage') as usage, (select count(*) from admin_internal.object_privileges() where grantee = 'regress_checker'::regrole) as left;
select payload from admin.audit where event_type = 'access.revoked' and payload ->> 'role' = 'regress_checker' order by audit_id;
-- What a role has given on goes with it.
grant execute on function admin.ttl_state(text, timestamptz, timestamptz, timestamptz) to regress_auditor with grant option;
set role regress_auditor;
grant execute on function admin.ttl_state(text, timestamptz, timestamptz, timestamptz) to regress_nobody;
reset role;
select admin.revoke_access('regress_auditor', 'auditor');
select count(*) as left from admin_internal.object_privileges() where grantee in ('regress_auditor'::regrole, 'regress_nobody'::regrole);

-- Wrong arguments.
create function pg_temp.refused(statement text) returns text language plpgsql as $$
begin
    execute statement;
    return 'no';
exception when others then
    return sqlstate || ' ' || sqlerrm;
end
$$;
select admin.grant_access('regress_nobody', 'god');
select admin.grant_access('regress_nobody', null);
select admin.grant_access(null, 'checker');
select admin.grant_access(0::oid::regrole, 'checker');
select admin.grant_access('regress_nobody', 'signer', '/ff/');
select admin.grant_access('regress_nobody', 'archiver', '/archiver/');
select p, pg_temp.refused(format('select admin.grant_access(%L, %L, %L)', 'regress_nobody', 'checker', p)) as refused
from unnest(array['/admin_ext/', 'admin_ext', '/admin_ext', '//Admin_Ext/x/', '/x/../%61dmin_ext/', 'admin_ext/']) as p;
select admin.grant_access('regress_nobody', 'checker', '');
select admin.grant_access('regress_nobody', 'checker', repeat('x', 513));
select admin.grant_access('regress_nobody', 'checker', E'/ff/\n');
select admin.revoke_access('regress_nobody', 'god');
select count(*) as kept from admin.granted_access where role_name = 'regress_nobody';
set role regress_operator;
select admin.grant_access('regress_nobody', 'operator');
select admin.revoke_access('regress_policy', 'policy');
reset role;

-- A renamed role keeps what it has; a dropped one leaves nothing to the next of its name.
alter role regress_policy rename to regress_renamed;
create role regress_policy;
select pg_get_userbyid(role) as role, access from admin_internal.access_holders() where access = 'policy';
drop role regress_policy;
alter role regress_renamed rename to regress_policy;
select admin.grant_access('regress_monitor', 'checker', '/ff/');
drop owned by regress_monitor; drop role regress_monitor; create role regress_monitor;
select count(*) as held from admin_internal.access_holders() where role = 'regress_monitor'::regrole;
select admin.grant_access('regress_monitor', 'monitor');
select access, source_prefix from admin.granted_access where role_name = 'regress_monitor';
-- What a dump brought from another cluster means the role of the name.
update admin.granted_access set system_identifier = 1, role_oid = 4711 where role_name = 'regress_monitor';
insert into admin.granted_access (role_name, access, role_oid, system_identifier) values ('regress_not_yet', 'checker', 4712, 1);
select role::regrole, access from admin_internal.access_holders() where access = 'monitor';
select admin.grant_access('regress_monitor', 'monitor');
select role_name, role_oid = (select oid from pg_roles where rolname = 'regress_monitor') as here from admin.granted_access where role_name in ('regress_monitor', 'regress_not_yet') order by 1;
delete from admin.granted_access where role_name = 'regress_not_yet';

-- Every kind of difference is named, with what puts it right.
create role regress_login login;
create view pg_temp.differences as
select grantee, privilege, object, problem, remedy from admin_internal.foreign_privileges() where grantee in ('public', 'regress_login', 'regress_operator');
select * from pg_temp.differences;
grant usage on schema admin_internal to regress_login;
grant create on schema admin to public;
grant insert, select on admin.audit to regress_login;
grant update (state) on admin.approval to regress_login;
grant usage on sequence admin.audit_audit_id_seq to public;
grant usage on type admin.approval to regress_login;
grant execute on function admin_internal.import_all(jsonb, boolean, boolean) to public;
grant execute on function admin.sweep_expired(int) to regress_operator with grant option;
revoke execute on function admin.sensitive_check_preview(text, text, text, timestamptz) from regress_operator;
grant pg_write_all_data to regress_nobody;
grant regress_nobody to regress_login;
select * from pg_temp.differences order by object collate "C", privilege, grantee collate "C";
select status, detail like '%run REVOKE%' as says_how from admin.cutover_readiness where item = 'E1';
-- The statements do what they are for.
do $$
declare remedy text;
begin
    for remedy in select d.remedy from pg_temp.differences as d where d.remedy !~ '^end' loop
        execute remedy;
    end loop;
    revoke regress_nobody from regress_login;
end
$$;
select * from pg_temp.differences;
select status, detail from admin.cutover_readiness where item = 'E1' and detail not like '%may check;%';
grant select on admin.approval to regress_login;
select admin_internal.revoke_foreign_privileges();
select * from pg_temp.differences;
-- SET and ALTER SYSTEM can be granted since 15.
do $$
begin
    if current_setting('server_version_num')::int >= 150000 then
        execute 'grant set, alter system on parameter admin_ext.require_verified_jwt to regress_login';
        if (select count(*) from pg_temp.differences as d where d.object = 'parameter admin_ext.require_verified_jwt') <> 2 then
            raise exception 'a setting that was granted is not named';
        end if;
        execute 'revoke all on parameter admin_ext.require_verified_jwt from regress_login';
    end if;
end
$$;
select count(*) as left from pg_temp.differences;
drop owned by regress_checker, regress_signer, regress_auditor, regress_operator, regress_monitor, regress_archiver, regress_policy, regress_nobody, regress_login;
drop role regress_checker, regress_signer, regress_auditor, regress_operator, regress_monitor, regress_archiver, regress_policy, regress_nobody, regress_login;
drop extension admin_ext_cutover;
drop extension admin_ext cascade;
drop schema admin;
