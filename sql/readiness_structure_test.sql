-- Structure that somebody changed: harmless, and checks are right; or named by readiness, with what to do.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as partitions;
set client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY sqlstate
\pset format unaligned
\pset footer off
set admin_ext.require_verified_jwt = off;
select admin.issue_approval('pay', '{a}', now() + interval '1 day', null, 'APP-000001-a', 'ann') ->> 'state' as state;
select admin.sign_approval('APP-000001-a', 'a', 'bob') ->> 'state' as state;
\set look 'select r.item, regexp_replace(r.detail, \'y20..m..\', \'yYYYYmMM\', \'g\') as detail from admin.cutover_readiness as r where r.item = any (\'{A1,A2,A3,A4,A5,B3,B4,C1,F3,F4}\') and r.status = \'fail\';'
\set check 'select admin.sensitive_check(\'APP-000001-a\', \'pay\') ->> \'decision\' as decision; select admin.issue_approval(\'pay\', \'{a}\', now() + interval \'1 day\', null, \'APP-000002-b\', \'ann\') ->> \'state\' as issued; select admin.sign_approval(\'APP-000002-b\', \'a\', \'eve\') ->> \'state\' as signed; select admin.sensitive_check(\'APP-000002-b\', \'pay\') ->> \'decision\' as decision;'
create function pg_temp.run(statement text) returns void language plpgsql as $$ begin execute statement; end $$;
create function pg_temp.this_month() returns text language sql as $$ select format('admin.%I', to_char(now() at time zone 'UTC', '"audit_y"YYYY"m"MM')) $$;
\echo -- As it is
begin; :check :look rollback;
\echo -- Harmless: storage, statistics, comments, plain indexes, replica identity, foreign keys from outside
begin; alter table admin.approval set (fillfactor = 50, autovacuum_enabled = off); alter table admin.approval alter column action set statistics 10; alter table admin.approval alter column action set storage external;
create index later on admin.approval (requested_by); alter table admin.signature replica identity full; comment on table admin.approval is 'x'; alter table admin.approval cluster on approval_pkey;
create table public.refers (id text references admin.approval (approval_id)); create statistics public.several on action, state from admin.approval; select pg_temp.run(format('alter table %s set (fillfactor = 50)', pg_temp.this_month())); :check :look rollback;
\echo -- Harmless: a column that was added to a table that SQL alone reads, and dropped
begin; alter table admin.jwt_issuer add column more int; alter table admin.jwt_issuer drop column more; :check :look rollback;
begin; alter table admin.sweep_due add column more int default 1; alter table admin.sweep_due drop column more; :check :look rollback;
\echo -- Named, and refused: the same of a table that C reads by number
begin; alter table admin.signature add column more int; alter table admin.signature drop column more; :look select admin.issue_approval('pay', '{a}', now() + interval '1 day', null, 'APP-000003-c', 'ann') ->> 'state' as state; select admin.sign_approval('APP-000003-c', 'a', 'eve'); rollback;
begin; alter table admin.audit_attributes add column more int default 1; alter table admin.audit_attributes drop column more; :look rollback;
begin; alter table admin.audit add column more int; alter table admin.audit drop column more; :look savepoint s; select admin.sensitive_check('APP-000001-a', 'pay'); rollback;
\echo -- Named: a column that is there, that is gone, of another type, nullable, with another default
begin; alter table admin.signature add column more int; :look rollback;
begin; alter table admin.parity_run drop column report; :look rollback;
begin; alter table admin.signature rename column comment to remark; :look rollback;
begin; alter table admin.parity_run alter column cases type numeric; :look rollback;
begin; alter table admin.approval alter column created_at set default '2020-01-01'; :look rollback;
begin; alter table admin.approval alter column requested_by drop not null; :look rollback;
\echo -- Named: a column that was dropped and added again has another number
begin; alter table admin.parity_run drop column report; alter table admin.parity_run add column report jsonb; :look rollback;
\echo -- Named: rows of another table, and columns of another table
begin; create table public.child () inherits (admin.signature); :look rollback;
begin; create table public.parent (approval_id text not null collate "C"); alter table admin.approval inherit public.parent; :look rollback;
\echo -- Named: a unique or a partial index, a constraint, one that is not valid
begin; create unique index once on admin.approval (action); :look rollback;
begin; create index lowered on admin.approval ((lower(action))); :look rollback;
begin; alter table admin.approval add constraint late check (action <> 'x') not valid; :look rollback;
begin; alter table admin.approval drop constraint approval_action_length, add constraint approval_action_length check (octet_length(action) between 1 and 257); :look rollback;
\echo -- Named: sequences
begin; alter sequence admin.audit_audit_id_seq cache 100 cycle; :look rollback;
begin; alter sequence admin.signature_signature_id_seq increment -1 minvalue -100; :look rollback;
\echo -- Named: not logged
begin; alter table admin.audit_dropped set unlogged; :look rollback;
begin; select pg_temp.run(format('alter table %s set unlogged', pg_temp.this_month())); :look rollback;
\echo -- Named: membership
begin; alter extension admin_ext drop table admin.approval; :look rollback;
\echo -- Named, and mended: the guard of a month that is bent
begin; select pg_temp.run(format('drop trigger audit_append_only_statement on %s', pg_temp.this_month())); :look rollback;
begin; select pg_temp.run(format('drop trigger audit_append_only_statement on %1$s; create trigger audit_append_only_statement before truncate on %1$s for each statement when (false) execute function admin.audit_append_only(); alter table %1$s enable always trigger audit_append_only_statement', pg_temp.this_month())); :look select replace(relation::text, pg_temp.this_month(), 'MONTH') as relation, fault, mended from admin.restore_guards(); :look savepoint s; select pg_temp.run('truncate ' || pg_temp.this_month()); rollback;
\echo -- Named: the triggers of the trail, and those of months with them
begin; drop trigger audit_append_only on admin.audit; create trigger audit_append_only before insert or update or delete on admin.audit for each row when (false) execute function admin.audit_append_only(); alter table admin.audit enable always trigger audit_append_only; :look rollback;
\echo -- Named: the trigger of an attached table that sees less
begin; create table public.seen (id int); select admin.attach_audit('public.seen'); create or replace trigger audit_row_change after insert on public.seen for each row execute function admin.audit_row_change(); alter table public.seen enable always trigger audit_row_change; :look select admin.attach_audit('public.seen'); :look rollback;
begin; create table public.seen (id int); select admin.attach_audit('public.seen'); create or replace trigger audit_row_change after insert or update or delete on public.seen for each row when (false) execute function admin.audit_row_change(); alter table public.seen enable always trigger audit_row_change; :look rollback;
\echo -- All is as it was
:look
drop extension admin_ext_cutover;
drop extension admin_ext;
