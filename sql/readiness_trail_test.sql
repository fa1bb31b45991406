-- Readiness finds what the trail cannot have lost or gained lawfully, and settings that switch guards off.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as partitions;
set client_min_messages = warning;
\set SHOW_CONTEXT never
\pset format unaligned
\pset footer off
set admin_ext.require_verified_jwt = off;
create role readiness_ff login;
select admin.grant_access('readiness_ff', 'checker');
select admin.issue_approval('pay', '{a,b}', now() + interval '1 day', null, 'APP-000001-a', 'ann') ->> 'state' as state;
select admin.sign_approval('APP-000001-a', 'a', 'bob') ->> 'state' as state;
reset admin_ext.require_verified_jwt;
\set look 'select r.item, regexp_replace(regexp_replace(regexp_replace(r.detail, \'y20..m..\', \'yYYYYmMM\', \'g\'), \'20..-..-..\', \'YYYY-MM-DD\', \'g\'), \'line [0-9]+\', \'line N\') as detail from admin.cutover_readiness as r where r.item = any (\'{A1,A3,A5,B3,F2}\') and r.status = \'fail\';'
-- Months by their number, so that the test runs in any month.
create function pg_temp.month(n int) returns text language sql as $$ select format('admin.%I', to_char(date_trunc('month', now() at time zone 'UTC') + make_interval(months => n), '"audit_y"YYYY"m"MM')) $$;
create function pg_temp.run(statement text) returns void language plpgsql as $$ begin execute statement; end $$;
\echo -- A sound store fails nowhere
:look
\echo -- An approval that was slipped in while triggers stood aside
begin; set local admin_ext.restoring = on; insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000002-x', 'pay', '{a}', 1, 'ann', now() + interval '1 day'); set local admin_ext.restoring = off; :look rollback;
\echo -- A signature likewise
begin; alter table admin.signature disable trigger user; insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-000001-a', 'b', 'eve', admin.approval_digest('APP-000001-a'));
alter table admin.approval disable trigger user; update admin.approval set state = 'signed_full' where approval_id = 'APP-000001-a'; select admin.restore_guards() is not null as mended limit 1; :look rollback;
\echo -- An approval that is another one than its events say
begin; alter table admin.approval disable trigger user; update admin.approval set sla_deadline = sla_deadline + interval '1 year' where approval_id = 'APP-000001-a'; select admin.restore_guards() is not null as mended limit 1; :look rollback;
\echo -- The same behind so many checks that they are most of its events, and an approval that was slipped in behind as many
begin; select count(admin.sensitive_check('APP-000001-a')) as checks from generate_series(1, 250); alter table admin.approval disable trigger user; update admin.approval set sla_deadline = sla_deadline + interval '1 year' where approval_id = 'APP-000001-a'; select admin.restore_guards() is not null as mended limit 1; :look rollback;
begin; select count(admin.sensitive_check('APP-000002-x')) as checks from generate_series(1, 250); set local admin_ext.restoring = on; insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000002-x', 'pay', '{a}', 1, 'ann', now() + interval '1 day'); set local admin_ext.restoring = off; :look rollback;
\echo -- A sound approval that was signed after as many checks
begin; select count(admin.sensitive_check('APP-000001-a')) as checks from generate_series(1, 250); set local admin_ext.require_verified_jwt = off; select admin.sign_approval('APP-000001-a', 'b', 'eve') ->> 'state' as state; set local admin_ext.require_verified_jwt = on; :look rollback;
\echo -- A signature by hand that names a token
begin; insert into admin.signature (approval_id, signer_role, signer, token_issuer, token_key_id, token_sha256, token_id) values ('APP-000001-a', 'b', 'eve', 'https://idp', 'k', sha256('x'), 'j');
select regexp_replace(r.detail, 'role ".*"', 'role "..."') as detail from admin.cutover_readiness as r where r.item = 'B3' and r.status = 'fail'; rollback;
\echo -- An event twice, one of them in another month with the same number
begin; select pg_temp.run('alter table admin.audit disable trigger user'); select pg_temp.run(format('alter table %s disable trigger all', p.partition)) from admin.audit_partitions() as p;
insert into admin.audit (audit_id, xid, recorded_at, occurred_at, event_type, approval_id, payload) overriding system value
select a.audit_id, a.xid, (date_trunc('month', a.recorded_at at time zone 'UTC') + interval '1 month 1 day') at time zone 'UTC', a.occurred_at, a.event_type, a.approval_id, a.payload from admin.audit as a where a.event_type = 'approval.issued';
select r.item, regexp_replace(regexp_replace(r.detail, 'y20..m..', 'yYYYYmMM', 'g'), 'audit_id [0-9]+', 'audit_id N') as detail from admin.cutover_readiness as r where r.item in ('A3', 'B3') and r.status = 'fail'; rollback;
\echo -- A number that was never drawn
begin; select pg_temp.run('alter table admin.audit disable trigger user'); select pg_temp.run(format('alter table %s disable trigger all', p.partition)) from admin.audit_partitions() as p;
insert into admin.audit (audit_id, event_type, payload) overriding system value values (1000000, 'approval.withdrawn', '{}');
select regexp_replace(r.detail, 'is [0-9]+', 'is N') as detail from admin.cutover_readiness as r where r.item = 'A3' and r.status = 'fail'; rollback;
\echo -- Months that are gone: this one, the next one, one in between, the last one
begin; select pg_temp.run('drop table ' || pg_temp.month(0)); :look rollback;
begin; select pg_temp.run('drop table ' || pg_temp.month(1)); :look rollback;
begin; select pg_temp.run('drop table ' || pg_temp.month(2)); :look rollback;
begin; select pg_temp.run(format('alter table admin.audit detach partition %s', pg_temp.month(2))); :look rollback;
\echo -- A month that is different: a trigger, a constraint, another owner, a disabled trigger, a foreign key to it
begin; select pg_temp.run(format('create trigger zz after insert on %s for each row execute function admin.audit_append_only()', pg_temp.month(1))); select pg_temp.run(format('alter table %s add constraint late check (actor <> ''x'')', pg_temp.month(1))); :look rollback;
begin; select pg_temp.run(format('alter table %s owner to readiness_ff', pg_temp.month(1))); :look rollback;
begin; select pg_temp.run(format('alter table %s disable trigger audit_append_only', pg_temp.month(1))); :look rollback;
begin; create table public.refers (id bigint); select pg_temp.run(format('alter table public.refers add constraint refers_fkey foreign key (id) references %s (audit_id)', pg_temp.month(1))); :look rollback;
\echo -- restoring that was left on, and tokens that are not required: session, role, database, function
begin; set local admin_ext.restoring = on; :look rollback;
begin; alter role readiness_ff set admin_ext.restoring = on; :look rollback;
begin; select pg_temp.run(format('alter role readiness_ff in database %I set admin_ext.restoring = yes', current_database())); select count(*) as found from admin.cutover_readiness as r where r.item = 'A5' and r.detail like '%for role readiness_ff in this database; run ALTER ROLE readiness_ff IN DATABASE %'; rollback;
begin; select pg_temp.run(format('alter database %I set admin_ext.restoring = on', current_database())); select count(*) as found from admin.cutover_readiness as r where r.item = 'A5' and r.detail like 'admin_ext.restoring is on in this database; run ALTER DATABASE %'; rollback;
begin; create function public.quietly() returns void language sql set admin_ext.restoring = on as ''; :look rollback;
begin; create function public.quietly() returns void language sql set admin_ext.require_verified_jwt = off as ''; :look rollback;
begin; alter role readiness_ff set session_replication_role = replica; :look rollback;
begin; alter role readiness_ff set admin_ext.require_verified_jwt = 'f'; :look rollback;
\echo -- All is as it was
:look
drop owned by readiness_ff; drop role readiness_ff;
drop extension admin_ext_cutover;
drop extension admin_ext;
