-- What a superuser makes beside the extension, and the extension's functions could run on, leaves guard.changed.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
select admin_internal.append_event('note', '{}') > 0 as begun;
create function public.look(out command text, out object text) returns setof record language plpgsql as $$
begin
    return query select a.payload ->> 'command', a.payload ->> 'object' from admin.audit as a where a.event_type = 'guard.changed'
                 and a.audit_id > (select max(b.audit_id) from admin.audit as b where b.event_type = 'note') order by a.audit_id;
    perform admin_internal.append_event('note', '{}');
end
$$;
create schema app;
create role regress_owner;

-- Operators, functions, casts, families and types where the functions of the extension look names up.
create operator pg_catalog.=== (function = texteq, leftarg = text, rightarg = text);
alter operator pg_catalog.=== (text, text) set (restrict = eqsel);
alter operator pg_catalog.=== (text, text) owner to current_user;
drop operator pg_catalog.=== (text, text);
create operator app.=== (function = texteq, leftarg = text, rightarg = text);
alter operator app.=== (text, text) set schema pg_catalog;
drop operator pg_catalog.=== (text, text);
set search_path = pg_catalog;
create operator === (function = texteq, leftarg = text, rightarg = text);
reset search_path;
drop operator pg_catalog.=== (text, text);
create function pg_catalog.lower(varchar) returns text language sql return 'low';
drop function pg_catalog.lower(varchar);
alter function pg_catalog.lower(text) cost 2;
alter function pg_catalog.lower(text) cost 1;
create cast (text as inet) with inout as implicit;
drop cast (text as inet);
create cast (admin.approval as text) with inout as implicit;
drop cast (admin.approval as text);
create aggregate pg_catalog.highest(int) (sfunc = int4larger, stype = int);
drop aggregate pg_catalog.highest(int);
create type pg_catalog.mood as enum ('ok');
drop type pg_catalog.mood;
create domain pg_catalog.short as text;
drop domain pg_catalog.short;
create collation pg_catalog.mine from "C";
drop collation pg_catalog.mine;
create operator family pg_catalog.mine using btree;
drop operator family pg_catalog.mine using btree;
create function app.compare(text, int) returns int language sql immutable return 0;
alter operator family pg_catalog.text_ops using btree add function 1 (text, int) app.compare(text, int);
alter operator family pg_catalog.text_ops using btree drop function 1 (text, int);
create text search configuration pg_catalog.mine (copy = simple);
drop text search configuration pg_catalog.mine;
create conversion pg_catalog.mine for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1;
drop conversion pg_catalog.mine;
create statistics pg_catalog.mine on action, resource from admin.approval;
drop statistics pg_catalog.mine;
create or replace trusted language plpgsql handler plpgsql_call_handler inline plpgsql_inline_handler validator plpgsql_validator;
alter language plpgsql owner to current_user;
create function app.on_ddl() returns event_trigger language plpgsql as 'begin end';
create event trigger regress_on_ddl on ddl_command_end execute function app.on_ddl();
alter event trigger regress_on_ddl disable;
drop event trigger regress_on_ddl;
select * from public.look();

-- Whatever is made in a schema of the extension, or moved there.
create table admin.mine (id int primary key);
drop table admin.mine;
create table admin.mine as select 1 as id;
drop table admin.mine;
select 1 as id into admin_internal.mine;
drop table admin_internal.mine;
do $$ begin execute 'explain analyze create table admin.mine as select 1 as id'; end $$;
drop table admin.mine;
create unlogged table admin_internal.mine ();
drop table admin_internal.mine;
create materialized view admin.mine as select 1 as id;
drop materialized view admin.mine;
create view admin.mine as select 1 as id;
drop view admin.mine;
create sequence admin.mine;
drop sequence admin.mine;
create type admin.mine as (id int);
drop type admin.mine;
create type admin.mine;
drop type admin.mine;
create domain admin_internal.mine as int;
drop domain admin_internal.mine;
create table app.plain (a int, b int);
create statistics admin.mine on a, b from app.plain;
alter statistics admin.mine set statistics 10;
drop statistics admin.mine;
create operator admin.=== (function = texteq, leftarg = text, rightarg = text);
drop operator admin.=== (text, text);
create text search dictionary admin.mine (template = simple);
drop text search dictionary admin.mine;
create foreign data wrapper regress_wrapper;
create server regress_server foreign data wrapper regress_wrapper;
create foreign table admin.mine (id int) server regress_server;
drop foreign table admin.mine;
create foreign table app.mine (id int) server regress_server;
drop foreign data wrapper regress_wrapper cascade;
alter table app.plain set schema admin;
alter table admin.plain set schema app;
create type app.pair as (a int, b int);
alter type app.pair set schema admin_internal;
alter type admin_internal.pair set schema app;
select * from public.look();

-- What stands on a table of the extension, in another schema, too.
create statistics app.mine on action, resource from admin.approval;
drop statistics app.mine;
-- A schema that takes the place of one of the extension's.
begin;
alter schema admin_internal rename to elsewhere;
alter schema app rename to admin_internal;
alter schema admin_internal rename to app;
alter schema elsewhere rename to admin_internal;
commit;
-- Default privileges of whoever makes the months, in every schema.
alter default privileges grant select on tables to regress_owner;
alter default privileges revoke select on tables from regress_owner;
alter default privileges for role regress_owner, current_user grant select on tables to public;
alter default privileges for role regress_owner, current_user revoke select on tables from public;
select * from public.look();

-- A new partition of an audited table leaves no event; one that is detached loses our trigger.
create table app.audited (id int) partition by range (id);
select admin.attach_audit('app.audited');
select * from public.look();
create table app.audited_1 partition of app.audited for values from (1) to (2);
create table app.audited_2 (id int);
alter table app.audited attach partition app.audited_2 for values from (2) to (3);
select * from public.look();
alter table app.audited detach partition app.audited_1;
select * from public.look();
drop table app.audited;
select * from public.look();

-- What an application does in its own schemas leaves no event.
create type app.amount as (value numeric);
create function app.of_text(text) returns app.amount language sql immutable return row(1)::app.amount;
create function app.same(app.amount, app.amount) returns boolean language sql immutable return true;
create cast (text as app.amount) with function app.of_text(text) as implicit;
create cast (app.amount as json) with inout;
create operator app.= (function = app.same, leftarg = app.amount, rightarg = app.amount);
create operator app.=== (function = texteq, leftarg = text, rightarg = text);
drop operator app.=== (text, text);
drop cast (app.amount as json);
create table app.parts (id int) partition by range (id);
create table app.part partition of app.parts for values from (1) to (2);
create index on app.parts (id);
create table app.copied as select 1 as id;
do $$ begin execute 'explain analyze create table app.explained as select 1 as id'; end $$;
create materialized view app.kept as select * from app.copied;
refresh materialized view app.kept;
drop materialized view app.kept;
create sequence app.numbers;
create view app.approvals as select * from admin.approval;
create temp table approval (id int);
alter table app.copied add column more text default 'x';
alter table app.copied alter column id type bigint;
create trigger suppress before update on app.copied for each row execute function suppress_redundant_updates_trigger();
create rule nothing as on delete to app.copied do instead nothing;
alter table app.copied enable row level security;
create policy everybody on app.copied using (true);
create domain app.short as text check (length(value) < 9);
create collation app.mine from "C";
create statistics app.both on a, b from app.plain;
create schema app_more create table t (id int) create view v as select 1 as one;
create type app.mood as enum ('ok');
alter type app.mood add value 'bad';
alter table app.copied set schema app_more;
alter default privileges for role regress_owner grant select on tables to public;
alter default privileges for role regress_owner revoke select on tables from public;
alter default privileges in schema app grant select on tables to regress_owner;
alter default privileges in schema app revoke select on tables from regress_owner;
comment on table app.plain is 'a note';
drop table approval;
select admin.create_audit_partitions(0) >= 0 as made;
drop schema app_more cascade;
drop schema app cascade;
drop role regress_owner;
select * from public.look();

-- What no command has left an event of, a worker finds: it compares with what was there when it looked last.
create role regress_holder;
create role regress_between;
create role regress_member;
create role regress_outsider;
select admin.grant_access('regress_holder', 'auditor');
select admin_internal.look_at_reach();
grant regress_holder to regress_between;
grant regress_between to regress_member;
grant regress_outsider to regress_member;
alter role regress_member superuser;
alter role regress_member set admin_ext.require_verified_jwt = off;
alter role regress_member set work_mem = '1MB';
select current_database() as database \gset
alter role regress_member in database :"database" set session_replication_role = replica;
select admin_internal.look_at_reach();
select admin_internal.look_at_reach();
-- Who may pass a membership on is another thing than a member.
grant regress_holder to regress_between with admin option;
select admin_internal.look_at_reach();
revoke admin option for regress_holder from regress_between;
select admin_internal.look_at_reach();
alter role regress_member nosuperuser;
revoke regress_between from regress_member;
alter role regress_member reset all;
select admin_internal.look_at_reach();
select dense_rank() over (order by a.audit_id) as event, k.key, e.what
from admin.audit as a, json_each(a.payload) as k, json_array_elements_text(k.value) as e(what)
where a.payload ->> 'command' = 'admin_internal.look_at_reach()' and k.key in ('found', 'gone') order by a.audit_id, k.key, e.what collate "C";
-- What was there is not altered in silence.
delete from admin_internal.reach_seen where what = 'membership of regress_between in regress_holder';
select event_type, payload ->> 'relation' as relation from admin.audit order by audit_id desc limit 1;
select admin_internal.look_at_reach();
select admin.revoke_access('regress_holder', 'auditor');
alter role regress_member in database :"database" reset all;
drop role regress_member, regress_between, regress_holder, regress_outsider;

-- Settings that load libraries or run programs, as far as this server has them.
create temp table running as select s.name from pg_settings as s where s.name in ('dynamic_library_path', 'extension_control_path', 'jit_provider', 'archive_library',
    'archive_command', 'restore_command', 'archive_cleanup_command', 'recovery_end_command');
select count(*) >= 6 as some from running;
\set ECHO none
select format('alter system set %I = %L', r.name, 'regress_program') from running as r \gexec
select format('alter system reset %I', r.name) from running as r \gexec
\set ECHO all
select r.name as left_out, a.value from running as r cross join (values ('regress_program'), (null)) as a(value)
where (select count(*) from admin.audit as e where e.event_type = 'setting.changed' and e.payload ->> 'setting' = r.name
       and e.payload ->> 'value' is not distinct from a.value and e.payload ->> 'scope' = 'system') <> 1;
create role regress_loader;
alter role regress_loader set dynamic_library_path = '/regress';
alter database :"database" set dynamic_library_path = '/regress';
alter database :"database" reset dynamic_library_path;
select payload ->> 'value' as value, replace(payload ->> 'scope', current_database(), 'this') as scope from admin.audit
where event_type = 'setting.changed' and payload ->> 'scope' <> 'system' and payload ->> 'setting' = 'dynamic_library_path' order by audit_id;
-- What was never looked at is no event; what has changed since is one.
select name as not_seen from running where name not in (select s.name from admin_internal.setting_seen as s);
delete from admin_internal.setting_seen where name = 'restore_command';
update admin_internal.setting_seen set value = 'regress_before' where name = 'recovery_end_command';
select admin_internal.look_at_settings('start');
select payload ->> 'setting' as setting, payload ->> 'before' as before from admin.audit where event_type = 'setting.changed' and payload ->> 'scope' = 'start' order by audit_id;
drop table running;
drop role regress_loader;
drop function public.look();
drop extension admin_ext;
