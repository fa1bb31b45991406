-- What a superuser does by hand, and what the trail says of it.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
-- The events since the last look, without what differs from run to run.
create table public.looked (audit_id bigint);
insert into public.looked values (0);
create function public.look(out event_type text, out payload json) returns setof record language plpgsql as $$
begin
    return query select a.event_type, regexp_replace(a.payload::text, 'audit_y\d{4}m\d\d', 'audit_<month>')::json from admin.audit as a
                 where a.audit_id > (select max(l.audit_id) from public.looked as l) and a.actor = session_user order by a.audit_id;
    insert into public.looked select coalesce(max(a.audit_id), 0) from admin.audit as a;
end
$$;

-- INSERT by hand is refused, in the trail, in a partition of it, and in what belongs to it.
select admin.create_audit_partitions(0) > 0 as made;
-- The month has a name of its own each month.
\set VERBOSITY sqlstate
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.issued', 'APP-000001-x', 'ann', '{}');
select format('admin.%I', relname) as month from pg_class where relnamespace = 'admin'::regnamespace and relname ~ '^audit_y.*[0-9]$' and relkind = 'r' \gset
insert into :month (audit_id, recorded_at, event_type, payload) overriding system value select 1, now(), 'approval.issued', '{}';
\set VERBOSITY terse
insert into admin.audit_default (audit_id, event_type, payload) overriding system value values (1, 'x', '{}');
insert into admin.audit_attributes values (1, '{}');
select admin_internal.append_event('signature.added', '{}');
-- Nor is an event of a function of the extension forged; one of another type has the caller as its actor.
select admin_internal.append_event('sink.resynced', '{"sink": "kafka"}');
select admin_internal.append_access_event('access.granted', current_user::regrole, 'auditor', null);
do $$ begin perform admin_internal.append_event('guard.changed', '{}'); end $$;
create function public.as_owner() returns bigint language sql security definer as $$select admin_internal.append_event('partition.dropped', '{}')$$;
select public.as_owner();
drop function public.as_owner();
select admin_internal.append_event('note', '{}') > 0 as appended;
select * from public.look();

-- Rows that are loaded have no trail of their own: the store is marked, and the trail says what was loaded.
select adopted_at is not null as adopted from admin.store;
set admin_ext.restoring = on;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, state, sla_deadline)
select format('APP-00000%s-forged', n), 'pay', '{r}', 1, 'req', 'signed_full', '2040-01-01' from generate_series(1, 2) as n;
select adopted_at is not null as adopted from admin.store;
select * from public.look();
insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-000001-forged', 'r', 'ann', admin.approval_digest('APP-000001-forged'));
-- A savepoint that is rolled back takes its count with it.
begin;
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.issued', 'APP-000001-forged', 'req', '{}');
savepoint a;
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.issued', 'APP-000002-forged', 'req', '{}');
rollback to a;
insert into admin.jwt_issuer (issuer, audience) values ('https://forged', 'us');
insert into admin.jwt_used (issuer, token_id, expires_at) values ('https://forged', 't', now());
insert into admin.ingest_source (source) values ('/forged');
insert into admin.dead_letter (sink, audit_id, error) values ('ndjson', 1, 'x');
commit;
reset admin_ext.restoring;
select * from public.look();
-- Numbers of the events are above those that were loaded.
set admin_ext.restoring = on;
insert into admin.audit (audit_id, event_type, payload) overriding system value values (1000000, 'loaded', '{}');
reset admin_ext.restoring;
select max(audit_id) > 1000000 as above from admin.audit;
select * from public.look();

create extension admin_ext_cutover;
-- A step that is taken meanwhile would leave no trail: it is refused.
begin;
set local admin_ext.restoring = on;
savepoint a;
select admin.issue_approval('pay', '{r}', now() + interval '1 day', requested_by => 'req');
rollback to a;
select admin.sign_approval('APP-000001-forged', 'r', 'bob');
rollback to a;
select admin.withdraw_approval('APP-000001-forged', 'x', 'req');
rollback to a;
select admin.import_approvals('[]');
rollback to a;
select admin.catch_up_approvals('[]');
rollback to a;
select admin.audit_ingest('[]');
rollback to a;
select admin.sweep_expired();
rollback;

-- What a session switches off for a moment only.
begin;
set local admin_ext.require_verified_jwt = off;
set local admin_ext.require_verified_jwt = on;
commit;
select set_config('admin_ext.restoring', 'on', true);
select set_config('admin_ext.require_verified_jwt', 'off', false);
reset admin_ext.require_verified_jwt;
select * from public.look();
-- Of a transaction that is rolled back nothing is left; one that cannot write hands it on.
begin;
set admin_ext.require_verified_jwt = off;
rollback;
begin read only;
set admin_ext.require_verified_jwt = off;
commit;
select * from public.look();
reset admin_ext.require_verified_jwt;
select * from public.look();

-- DDL by hand on what guards the trail, in every way that SQL has.
set client_min_messages = error;
drop extension admin_ext_cutover;
drop extension admin_ext;
create extension admin_ext;
set client_min_messages = warning;
select admin.create_audit_partitions(0) > 0 as made;
update public.looked set audit_id = 0;
create extension admin_ext_cutover;
create role regress_insider;
select * from public.look();
begin;
alter table admin.audit disable trigger audit_append_only;
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.withdrawn', 'APP-000001-x', 'ann', '{}');
alter table admin.audit enable always trigger audit_append_only;
commit;
select payload ->> 'command' as command, payload ->> 'object' as object, payload ->> 'text' as text from public.look();
do $$ begin execute 'alter table admin.approval disable trigger approval_guard'; execute 'alter table admin.approval enable always trigger approval_guard'; end $$;
create function public.sneak() returns void language plpgsql as 'begin alter table admin.signature disable trigger signature_guard; alter table admin.signature enable always trigger signature_guard; end';
select public.sneak();
select payload ->> 'object' as object, payload ->> 'text' as text from public.look();
begin;
alter table admin.audit_default disable trigger audit_append_only;
rollback;
begin;
savepoint a;
alter table admin.audit_default disable trigger audit_append_only;
rollback to a;
commit;
select * from public.look();
begin;
create or replace function admin_internal.is_delivered(audit_id bigint, xid xid8, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
    highest_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint) returns boolean language sql immutable parallel safe return true;
alter function admin.sign_approval security definer;
alter function admin.issue_approval set admin_ext.require_verified_jwt = off;
create function admin.now() returns timestamptz language sql return pg_catalog.now();
drop function admin.now();
create function public.bound() returns boolean as '$libdir/admin_ext', 'admin_requires_tokens' language c;
alter table admin.audit enable row level security;
create policy hide on admin.audit using (false);
alter policy hide on admin.audit using (true);
drop policy hide on admin.audit;
alter table admin.audit disable row level security;
create rule swallow as on insert to admin.dead_letter do instead nothing;
drop rule swallow on admin.dead_letter;
create function public.nothing() returns trigger language plpgsql as 'begin return new; end';
create trigger aaa before insert on admin.approval for each row execute function public.nothing();
alter trigger aaa on admin.approval rename to bbb;
drop function public.nothing() cascade;
create index slow on admin.approval (action);
alter index admin.slow rename to slower;
drop index admin.slower;
alter view admin.approval_ttl_state set (security_barrier = true);
alter sequence admin.audit_audit_id_seq cache 100;
alter table admin.approval add column extra int;
alter table admin.approval rename column extra to other;
alter table admin.approval drop column other;
alter table admin.jwt_used set (fillfactor = 50);
grant select on admin.approval to regress_insider;
grant execute on function admin.sweep_expired(int) to regress_insider;
grant usage on schema admin_internal to regress_insider;
grant select on all tables in schema admin to regress_insider;
alter default privileges in schema admin grant select on tables to regress_insider;
alter default privileges in schema admin revoke select on tables from regress_insider;
create schema regress_grants grant update on admin.store to regress_insider;
drop owned by regress_insider;
alter function admin_internal.requires_tokens() owner to regress_insider;
reassign owned by regress_insider to current_user;
alter extension admin_ext drop function admin_internal.requires_tokens();
alter extension admin_ext add function admin_internal.requires_tokens();
create table public.month partition of admin.audit for values from ('2001-01-01') to ('2001-02-01');
alter table admin.audit detach partition public.month;
drop table public.month;
commit;
select payload ->> 'command' as command, payload ->> 'object' as object, left(payload ->> 'text', 60) as text from public.look();
-- What changes no guard, and what the extension's own functions do.
vacuum admin.approval;
analyze admin.approval;
reindex table admin.approval;

create table public.another (approval_id text references admin.approval);
create view public.mine as select * from admin.approval;
drop table public.another;
drop view public.mine;
create temp table gone (id int);
drop table gone;
select admin.create_audit_partitions(1) > 0 as made;
create table public.account (id int);
select admin.attach_audit('public.account');
select admin.detach_audit('public.account');
drop table public.account;
select payload ->> 'command' as command, payload ->> 'text' as text from public.look();
-- Settings that are stored for later sessions.
select current_database() as database \gset
alter database :"database" set admin_ext.restoring = on;
alter database :"database" reset admin_ext.restoring;
alter role regress_insider set admin_ext.require_verified_jwt = off;
alter role regress_insider in database :"database" set admin_ext.require_verified_jwt = off;
alter role regress_insider set work_mem = '1MB';
create function public.weak() returns void language sql set admin_ext.require_verified_jwt = off begin atomic select; end;
select public.weak();
select replace((payload - 'text')::text, :'database', '<database>') as payload from public.look() as l(event_type, p), lateral (select p::jsonb) as x(payload);
-- A store that is to get a new id; a second call changes nothing.
select admin.renew_store();
set client_min_messages = notice;
select admin.renew_store();
set client_min_messages = warning;
select event_type, payload ->> 'relation' as relation, payload -> 'changed' ? 'adopted_at' as is_renewed from public.look() as l(event_type, p), lateral (select p::jsonb) as x(payload);
select adopted_at is not null as adopted from admin.store;
-- Rows of the books, changed by hand.
update admin.store set adopted_at = adopted_at;
update admin.store set adopted_at = '2026-01-01';
insert into admin.sink_position (sink, position_id, store_id, tick_id) select 'ndjson', 100, store_id, 0 from admin.store;
delete from admin.sink_position where position_id = 100;
insert into admin.dead_letter (sink, audit_id, error) values ('ndjson', 1, 'by hand');
delete from admin.dead_letter;
insert into admin.jwt_used (issuer, token_id, expires_at) values ('i', 't', '2030-01-01');
delete from admin.jwt_used;
insert into admin.ingest_source (source) values ('/ff');
insert into admin.ingest_gap (source, from_sequence, to_sequence) values ('/ff', 1, 2);
update admin.ingest_gap set filled_at = '2026-01-01';
truncate admin.ingest_gap;
update admin.audit_dropped set below = 1000;
update admin.audit_dropped set below = 0;
insert into admin.sweep_due values ('APP-000001-x', 'expired', '2030-01-01');
delete from admin.sweep_due;
insert into admin.import_run (imported, advanced, unchanged, rejected) values (1, 0, 0, 0);
truncate admin.import_run;
insert into admin.shadow_check (audit_id, differing) values (1, '{decision}');
truncate admin.shadow_check cascade;
insert into admin.parity_run (cases, differences, left_out) values (1, 0, 0);
delete from admin.parity_run;
insert into admin.granted_access (role_name, access, granted_by, role_oid, system_identifier) values ('regress_insider', 'operator', 'x', 1, 1);
delete from admin.granted_access;
select event_type, payload ->> 'relation' as relation from public.look();
-- The extension's own functions change them in silence.
set admin_ext.require_verified_jwt = off;
select admin.issue_approval('pay', '{r}', now() + interval '1 day', null, 'APP-000001-own', 'req') ->> 'state' as state;
select admin.sweep_expired();
select admin.audit_ingest('[{"specversion": "1.0", "id": "1", "source": "/own", "type": "t", "sequence": "1"}, {"specversion": "1.0", "id": "3", "source": "/own", "type": "t", "sequence": "3"}]') ->> 'accepted' as accepted;
select admin.import_approvals('[]') ->> 'imported' as imported;
select admin.record_parity_run(1, 0, 0) > 0 as recorded;
select admin.sensitive_check_shadow('{}', 'APP-000001-own') ->> 'decision' as decision;
select event_type from public.look() where event_type like 'row.%';
reset admin_ext.require_verified_jwt;
-- A trigger of somebody else's that fires in them is not theirs.
create function public.parasite() returns trigger language plpgsql as
'begin delete from admin.ingest_gap; alter table admin.approval disable trigger approval_guard; alter table admin.approval enable always trigger approval_guard; return null; end';
create trigger parasite after insert on admin.parity_run for each row execute function public.parasite();
select * from public.look() where false;
select admin.record_parity_run(1, 0, 0) > 0 as recorded;
select event_type, coalesce(payload ->> 'relation', payload ->> 'text') as what from public.look();
drop function public.parasite() cascade;
drop function public.sneak(), public.weak(), public.bound();
drop schema regress_grants;
drop owned by regress_insider;
drop role regress_insider;
-- A session that sets what is configured changes nothing; one that goes below it does.
set admin_ext.require_action_policy = off;
set admin_ext.require_action_policy = on;
reset admin_ext.require_action_policy;
alter role current_user set admin_ext.require_action_policy = on;
select * from public.look() where false;
\c -
set client_min_messages = warning;
set admin_ext.require_action_policy = off;
reset admin_ext.require_action_policy;
alter role current_user reset admin_ext.require_action_policy;
select event_type, payload ->> 'setting' as setting, payload ->> 'value' as value, payload ->> 'scope' as scope from public.look();
-- A catalog changed by hand is no DDL, and leaves an event, too.
begin;
update pg_trigger set tgenabled = 'D' where tgrelid = 'admin.approval'::regclass and tgname = 'approval_guard';
with changed as (update pg_proc set prosrc = prosrc where oid = 'admin_internal.is_delivered'::regproc returning 1) select count(*) from changed;
explain (costs off) delete from pg_policy;
commit;
update pg_trigger set tgenabled = 'A' where tgrelid = 'admin.approval'::regclass and tgname = 'approval_guard';
create role regress_held;
create role regress_holds;
select admin.grant_access('regress_held', 'operator');
copy pg_description from stdin;
\.
grant regress_held to regress_holds;
grant pg_write_all_data to regress_holds;
-- Commands that reach one of our schemas or tables by another name.
create function public.moved() returns int language sql return 1;
alter function public.moved() set schema admin;
drop function admin.moved();
set search_path = admin;
create function unnamed() returns int language sql return 1;
reset search_path;
drop function admin.unnamed();
create function public.bound_shortly(text) returns text language c as '$libdir/admin_ext', 'admin_requires_tokens';
drop function public.bound_shortly(text);
create table public.child (like admin.approval including constraints);
alter table public.child inherit admin.approval;
drop table public.child;
-- A transaction that is set to read-only after it has written keeps its events.
begin;
alter table admin.approval disable trigger approval_guard;
alter table admin.approval enable always trigger approval_guard;
set transaction_read_only = on;
commit;
-- What closes the trail is in it before, and says so.
begin;
alter table admin.audit add column more int;
select a.payload ->> 'object' as object, a.more from admin.audit as a order by a.audit_id desc limit 1;
rollback;
alter schema admin rename to elsewhere;
alter schema elsewhere rename to admin;
alter table admin.audit rename to trail;
alter table admin.trail rename to audit;
-- Nor does a savepoint that is rolled back take the events before it.
begin;
alter table admin.approval disable trigger approval_guard;
alter table admin.approval enable always trigger approval_guard;
savepoint s;
alter table admin.approval rename to elsewhere;
rollback to s;
commit;
-- The trail takes the event as long as it has a place for now.
create table public.foreign_parts (like admin.audit including defaults including constraints) partition by range (recorded_at);
alter table admin.audit attach partition public.foreign_parts for values from ('1999-01-01') to ('2000-01-01');
alter table admin.audit detach partition public.foreign_parts;
drop table public.foreign_parts;
begin;
alter table admin.audit detach partition admin.audit_default;
commit;
alter table admin.audit attach partition admin.audit_default default;
-- A helper that somebody calls does what he would do by hand.
select admin_internal.rename_partition(partition, 'zz') from admin.audit_partitions() where not is_default order by lower_bound desc limit 1;
-- Every way to be a member, or a superuser; and what comes by another role.
create role regress_mole in role regress_held;
create role regress_between;
alter group regress_held add user regress_between;
grant regress_held to regress_between;
grant regress_between to regress_holds;
alter role regress_holds superuser;
alter role regress_holds nosuperuser;
grant pg_execute_server_program to regress_holds;
alter role regress_holds reset all;
-- A trigger of ours on a table of somebody's.
create table public.audited (i int);
select admin.attach_audit('public.audited');
alter table public.audited disable trigger all;
alter table public.audited enable trigger user;
select admin.detach_audit('public.audited');
drop table public.audited;
-- Without its guard a month can be emptied: that is seen.
do $$ begin execute (select format('drop trigger audit_append_only_statement on %s; truncate %1$s', partition) from admin.audit_partitions() where not is_default order by lower_bound desc limit 1); end $$;
select admin.revoke_access('regress_held', 'operator');
drop role regress_mole, regress_between;
drop role regress_held, regress_holds;
select event_type, payload ->> 'command' as command, regexp_replace(payload ->> 'object', 'y[0-9]{4}m[0-9]{2}', '<month>') as object from public.look();
-- Everything that was there comes to an end with the extension; a text has a limit.
do $$ begin execute 'alter /*' || repeat('x', 70000) || '*/ table admin.approval set (fillfactor = 90)'; end $$;
select length(payload ->> 'text') as kept, right(payload ->> 'text', 49) as ends, payload ->> 'text_bytes' as bytes from public.look() where payload ->> 'command' = 'ALTER TABLE';

-- A catalog that hides the extension: the event is in the trail before.
select max(audit_id) as before from admin.audit \gset
begin;
update pg_extension set extname = 'hidden' where extname = 'admin_ext';
create temp table something ();
commit;
alter table admin.approval disable trigger approval_guard;
alter table admin.approval enable always trigger approval_guard;
update pg_extension set extname = 'admin_ext' where extname = 'hidden';
begin;
update pg_class set relname = 'hidden' where oid = 'admin.audit'::regclass;
create temp table another ();
commit;
update pg_class set relname = 'audit' where oid = 'admin.hidden'::regclass;
select event_type, payload ->> 'object' as object, payload ->> 'text' as text from admin.audit where audit_id > :before order by audit_id;
-- Who takes another name is named by the login, and what was done before has the name of then.
create role regress_alias superuser;
create table public.audited (i int);
select admin.attach_audit('public.audited');
select max(audit_id) as before from admin.audit \gset
begin;
alter table admin.approval disable trigger approval_guard;
set session authorization regress_alias;
alter table admin.approval enable always trigger approval_guard;
insert into public.audited values (1);
select admin.grant_access('regress_alias', 'auditor');
update admin.store set adopted_at = '2026-01-01';
commit;
reset session authorization;
select event_type, replace(actor, session_user, 'me') as actor, payload ->> 'authenticated' = session_user as is_login, coalesce(payload ->> 'command', payload ->> 'relation') as what
from admin.audit where audit_id > :before order by audit_id;
select admin.revoke_access('regress_alias', 'auditor');
drop table public.audited;
drop role regress_alias;

-- A session that has read disabled triggers goes on without them after a catalog has enabled them. What it removes then is an event.
set allow_system_table_mods = on;
select max(audit_id) as before from admin.audit \gset
alter table admin.audit disable trigger all;
do $$ begin execute (select format('alter table %s disable trigger all', tableoid::regclass) from admin.audit order by audit_id desc limit 1); end $$;
update pg_trigger set tgenabled = 'A' where tgrelid = 'admin.audit'::regclass or tgrelid in (select inhrelid from pg_inherits where inhparent = 'admin.audit'::regclass);
begin;
with gone as (delete from admin.audit where audit_id > :before returning event_type) select count(*) as removed from gone;
delete from admin.audit where audit_id > :before;
update admin.audit set actor = actor where false;
commit;
-- So is what an INSERT changes,
select format('insert into %s (audit_id, event_type, payload) overriding system value select audit_id, event_type, payload from admin.audit where audit_id = %s on conflict (audit_id) do update set actor = excluded.actor',
    tableoid::regclass, audit_id) as overwriting, audit_id as removing from admin.audit where audit_id > :before order by audit_id limit 1 \gset
:overwriting;
-- and what is removed while another table of ours has another name.  The trail cannot lose a row without an event.
begin;
alter index admin.jwt_key_pkey rename to hidden;
delete from admin.audit where audit_id > :before and event_type = 'guard.changed' and payload ->> 'command' = 'ALTER INDEX';
alter index admin.hidden rename to jwt_key_pkey;
commit;
begin;
delete from admin.audit where audit_id = :removing;
alter index admin.jwt_key_pkey rename to hidden;
commit;
\c -
select tgname, tgenabled from pg_trigger where tgrelid = 'admin.audit'::regclass order by 1;
select event_type, payload ->> 'command' as command, payload ->> 'object' as object, regexp_replace(payload ->> 'text', 'audit_y\d+m\d+|\d+', 'N', 'g') as text from admin.audit where audit_id > :before order by audit_id;
-- What is refused changes nothing.
select max(audit_id) as before from admin.audit \gset
delete from admin.audit where false;
select count(*) as events from admin.audit where audit_id > :before;

-- An extension that builds on this one: one event each for its creation, above, and its end.
drop extension admin_ext_cutover;
select payload ->> 'command' as command, payload ->> 'object' as object from admin.audit where audit_id > :before;
drop table public.looked;
drop function public.look();
drop extension admin_ext;
