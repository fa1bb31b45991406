-- What gives power over the trail without touching an object of the extension leaves guard.changed: libraries,
-- privileges on the server's catalog, and rows that no trigger has refused.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
select admin_internal.append_event('note', '{}') > 0 as begun;
create function public.look(out command text, out object text, out text text) returns setof record language plpgsql as $$
begin
    return query select a.payload ->> 'command', regexp_replace(a.payload ->> 'object', 'y\d{4}m\d\d', '<month>'), regexp_replace(a.payload ->> 'text', 'y\d{4}m\d\d', '<month>')
                 from admin.audit as a where a.event_type = 'guard.changed'
                 and a.audit_id > (select max(b.audit_id) from admin.audit as b where b.event_type = 'note') order by a.audit_id;
    perform admin_internal.append_event('note', '{}');
end
$$;
create role regress_power;
create schema app authorization regress_power;

-- LOAD, except of our own libraries by a name that can only be theirs.
load 'pgoutput';
load '$libdir/admin_ext';
load 'admin_ext';
select * from public.look();
set dynamic_library_path = '$libdir:/nowhere';
load 'admin_ext';
reset dynamic_library_path;
do $$ begin load '$libdir/dict_snowball'; end $$;
load '/nowhere/evil';
select * from public.look();
-- A library stays when the transaction goes.
begin;
load 'pgoutput';
rollback;
begin read only;
load 'dict_snowball';
commit;
begin;
savepoint s;
load 'libpqwalreceiver';
rollback to s;
commit;
begin;
load 'pgoutput';
select admin_internal.append_event('other', '{}') > 0 as written;
prepare transaction 'regress_power';
rollback prepared 'regress_power';
select * from public.look();
select * from public.look();
-- So does a setting, where the event of the transaction that was prepared is rolled back.
begin;
set admin_ext.require_action_policy = on;
set admin_ext.require_verified_jwt = off;
prepare transaction 'regress_power';
rollback prepared 'regress_power';
show admin_ext.require_verified_jwt;
begin;
reset admin_ext.require_verified_jwt;
prepare transaction 'regress_power';
rollback prepared 'regress_power';
show admin_ext.require_verified_jwt;
select payload ->> 'setting' as setting, payload ->> 'value' as value from admin.audit where event_type = 'setting.changed' order by audit_id;
reset admin_ext.require_action_policy;
-- A function in C brings a library, too.
create function app.handler() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
alter extension plpgsql add function app.handler();
create or replace function app.handler() returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler';
alter extension plpgsql drop function app.handler();
drop function app.handler();
create function app.export(oid, text) returns int language internal as 'be_lo_export';
drop function app.export(oid, text);
do language c 'none';
select * from public.look();
select * from public.look();
-- Of others than superusers nothing is recorded: they load what is meant for everybody.
set role regress_power;
load '$libdir/plugins/none';
load 'pgoutput';
\set VERBOSITY sqlstate
copy (select 1) to program 'true';
\set VERBOSITY terse
reset role;
select * from public.look();

-- Whoever commits next writes what waits, also without any right in the schema of the trail.
grant pg_execute_server_program to regress_power;
\c -
set client_min_messages = warning;
set role regress_power;
copy (select 1) to program 'exit 1';
select 1 as next;
reset role;
\c -
set client_min_messages = warning;
begin;
load 'pgoutput';
rollback;
set role regress_power;
select 1 as next;
reset role;
revoke pg_execute_server_program from regress_power;
select * from public.look();

-- What runs beside the server, or writes to its files.
copy (select 1) to program 'exit 1';
copy (select 1) to program 'cat > /dev/null';
create temp table lines (line text);
copy lines from program 'true';
copy admin.tick to program 'cat > /dev/null';
copy pg_description to '/dev/null';
select current_setting('data_directory') || '/regress_power' as inside \gset
begin;
copy (select 1) to :'inside';
rollback;
copy (select 1) to '/dev/null';
copy (select 1) to stdout;
copy lines from '/dev/null';
explain (costs off) select lo_export(4711, '/dev/null');
select lo_from_bytea(4711, 'x') > 0 as made;
select lo_export(4711, '/dev/null');
select lo_unlink(4711);
select command, regexp_replace(object, '.*/regress_power', '<inside>') as object, regexp_replace(text, '/.*/regress_power', '<inside>') as text from public.look();

-- A function that EXPLAIN runs calls what it calls.
create function app.exports(int) returns int language plpgsql stable as $$ declare done int; begin done := lo_export(4711, '/dev/null'); return $1; end $$;
select lo_from_bytea(4711, 'x') > 0 as made;
create table app.pruned (id int) partition by list (id);
create table app.pruned_1 partition of app.pruned for values in (1);
create table app.pruned_2 partition of app.pruned for values in (2);
prepare pruned as select id from app.pruned where id = app.exports(1);
do $$ begin execute 'explain execute pruned'; end $$;
select command from public.look();
do $$ begin execute 'explain execute pruned'; end $$;
deallocate pruned;
select lo_unlink(4711);
select command from public.look();

-- A session that cannot write keeps a hundred acts, and counts the rest.
begin read only;
do $$ begin for n in 1..103 loop execute format('load %L /* %s */', 'pgoutput', n); execute format('load %L /* %s */', 'pgoutput', n); end loop; end $$;
commit;
select 1 as next;
select command, count(*), count(distinct text) as texts from public.look() group by command order by command;
select payload ->> 'acts' as acts from admin.audit where payload ->> 'command' = 'more';
begin;
do $$ begin for n in 1..103 loop execute format('load %L /* %s */', 'pgoutput', n); end loop; end $$;
rollback;
select 1 as next;
select command, count(*) from public.look() group by command;

-- Privileges and owners of what is in pg_catalog.
grant update on pg_trigger to regress_power;
grant select (rolname) on pg_catalog.pg_authid to regress_power;
revoke update on pg_trigger from regress_power;
revoke select (rolname) on pg_authid from regress_power;
grant execute on function pg_read_file(text), pg_ls_dir(text) to regress_power;
revoke execute on function pg_read_file(text), pg_ls_dir(text) from regress_power;
grant execute on all functions in schema pg_catalog to regress_power;
revoke execute on all functions in schema pg_catalog from regress_power;
grant create on schema pg_catalog to regress_power;
revoke create on schema pg_catalog from regress_power;
alter default privileges in schema pg_catalog grant execute on functions to regress_power;
alter default privileges in schema pg_catalog revoke execute on functions from regress_power;
begin;
alter function pg_catalog.pg_read_file(text) owner to regress_power;
alter schema pg_catalog owner to regress_power;
select command, object from public.look();
rollback;
begin;
set local allow_system_table_mods = on;
alter table pg_catalog.pg_trigger owner to regress_power;
select admin_internal.append_event('seen', '{}') > 0 as seen;
commit;
alter table pg_catalog.pg_trigger owner to current_user;
set allow_system_table_mods = on;
alter table pg_catalog.pg_trigger owner to current_user;
reset allow_system_table_mods;
select * from public.look();
select current_database() as database \gset
alter database :"database" owner to regress_power;
set role regress_power;
alter database :"database" connection limit 40;
alter database :"database" connection limit -1;
reset role;
alter database :"database" owner to current_user;
alter database :"database" set session_preload_libraries = 'pgoutput';
alter database :"database" reset session_preload_libraries;
select command from public.look();
select payload ->> 'setting' as setting, payload ->> 'value' as value from admin.audit where event_type = 'setting.changed' order by audit_id;
-- Who may not grant is only warned: nothing has changed.  So it is where an object is given to its owner.
grant usage on schema admin to regress_power;
grant select on admin.audit to regress_power;
select rolname as owner from pg_roles where oid = 10 \gset
select count(*) as granted from public.look();
set role regress_power;
set client_min_messages = error;
grant select on pg_catalog.pg_class to regress_power;
grant execute on function pg_catalog.now() to regress_power;
grant usage on schema pg_catalog to regress_power;
grant usage on schema admin to regress_power;
grant usage on all sequences in schema pg_catalog to regress_power;
grant select on admin.audit to regress_power;
revoke select on admin.audit from pg_monitor;
alter default privileges in schema pg_catalog grant execute on functions to regress_power;
alter default privileges in schema pg_catalog, admin revoke execute on functions from regress_power;
alter function pg_catalog.now() owner to :"owner";
alter schema pg_catalog owner to :"owner";
create function app.text() returns text language sql as $$ select 'admin_ext' $$;
reset role;
set client_min_messages = warning;
select * from public.look();
-- Who may grant has the event.
grant select on all tables in schema admin to regress_power;
grant select on admin.audit to regress_power with grant option;
grant select (state) on admin.approval to regress_power with grant option;
set role regress_power;
set client_min_messages = error;
grant select on admin.audit to pg_monitor;
grant select (state) on admin.approval to pg_monitor;
grant select on all tables in schema admin to pg_monitor;
reset role;
set client_min_messages = warning;
select command, text from public.look();
revoke grant option for select on admin.audit from regress_power cascade;
revoke select (state) on admin.approval from regress_power cascade;
select count(*) as revoked from public.look();
-- Of an application's own objects nothing is recorded.
create table app.plain (id int);
create function app.one() returns int language sql return 1;
grant select on app.plain to regress_power;
grant execute on function app.one() to regress_power;
grant all on all tables in schema app to regress_power;
grant usage on schema app to regress_power;
grant select on information_schema.tables to public;
alter table app.plain owner to regress_power;
alter function app.one() owner to regress_power;
alter default privileges in schema app grant select on tables to regress_power;
alter default privileges in schema app revoke select on tables from regress_power;
select * from public.look();

-- Rows that a session adds to the trail while it takes the triggers for disabled.
alter table admin.audit disable trigger all;
do $$
begin
    execute (select string_agg(format('alter table %s disable trigger all', inhrelid::regclass), '; ') from pg_inherits where inhparent = 'admin.audit'::regclass);
end
$$;
select count(*) > 0 as switched from public.look();
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.issued', 'APP-000001-forged', 'ann', '{}');
insert into admin.audit_default (audit_id, event_type, payload) overriding system value values (-1, 'forged', '{}');
copy admin.audit (event_type, payload) from stdin;
forged	{}
\.
do $$ begin insert into admin.audit (event_type, payload) values ('forged', '{}'); end $$;
with added as (insert into admin.audit (event_type, payload) values ('forged', '{}') returning 1) select count(*) from added;
-- Nothing was added, the extension added it, or it is not the trail.
insert into admin.audit (event_type, payload) select 'none', '{}' where false;
select admin.sensitive_check('APP-000001-forged') ->> 'decision' as decision;
create table app.parts (id int) partition by range (id);
create table app.part partition of app.parts for values from (1) to (9);
insert into app.parts values (1), (2);
insert into app.part values (3);
copy app.parts from stdin;
4
\.
select * from public.look();
do $$
begin
    execute (select string_agg(format('alter table %s enable always trigger %I', t.tgrelid::regclass, t.tgname), '; ')
             from pg_trigger as t where t.tgenabled = 'D' and not t.tgisinternal and t.tgparentid = 0 and t.tgrelid in
             (select 'admin.audit'::regclass union select inhrelid from pg_inherits where inhparent = 'admin.audit'::regclass));
end
$$;
-- What a trigger refuses leaves none.
select command from public.look() limit 1;
insert into admin.audit (event_type, payload) values ('forged', '{}');
copy admin.audit (event_type, payload) from stdin;
forged	{}
\.
-- While restoring is on the triggers take rows, and say so in another event.
begin;
set local admin_ext.restoring = on;
insert into admin.audit (event_type, payload) values ('loaded', '{}');
commit;
select * from public.look();
select payload ->> 'value' as value, payload ->> 'loaded' is not null as is_load from admin.audit where event_type = 'setting.changed' order by audit_id;

-- The configuration is compared with what it was: what a session sets is none of it.
select admin.resync_sink('ndjson', (select max(audit_id) + 1 from admin.audit)) is not null as adopted;
select admin_internal.look_at_settings('start');
update admin_internal.setting_seen set value = '8 years' where name = 'admin_ext.retention';
update admin_internal.setting_seen set value = 'off' where name = 'admin_ext.require_verified_jwt';
delete from admin_internal.setting_seen where name = 'admin_ext.archive_required';
set admin_ext.require_verified_jwt = off;
select admin_internal.look_at_settings('start');
select admin_internal.look_at_settings('start');
reset admin_ext.require_verified_jwt;
select admin_internal.look_at_settings('start');
select name, value from admin_internal.setting_seen where name in ('admin_ext.retention', 'admin_ext.require_verified_jwt', 'admin_ext.archive_required') order by name;
select payload ->> 'setting' as setting, payload ->> 'before' as before, payload ->> 'value' as value from admin.audit where event_type = 'setting.changed' and payload ->> 'scope' = 'start' order by audit_id;
select event_type, payload #>> '{row,name}' as name from admin.audit where payload ->> 'relation' = 'admin_internal.setting_seen' order by audit_id;

drop schema app cascade;
drop owned by regress_power;
drop role regress_power;
drop function public.look();
drop extension admin_ext;
