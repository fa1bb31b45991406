-- Deadlines that have passed are announced, each once; decisions do not depend on it.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as partitions;
set client_min_messages = warning;
set admin_ext.require_verified_jwt = off;

-- Deadlines relative to now, each a state of its own.
create function pg_temp.approval(id text, deadline interval, state text default 'pending') returns void language sql
begin atomic
    insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline, state, closed_at)
    values (id, 'pay', '{x}', 1, 'boss', now() + deadline, state, case when state = 'withdrawn' then now() end);
end;
create view pg_temp.announced as
select approval_id, event_type, actor, payload -> 'changed' as changed, payload ->> 'op' as op, payload -> 'row' ->> 'state' as state,
       occurred_at - (payload -> 'row' ->> 'sla_deadline')::timestamptz as after
from admin.audit where event_type in ('approval.expired', 'approval.stale') order by audit_id;
select pg_temp.approval('APP-000001-ahead', '1 day'), pg_temp.approval('APP-000002-expired', '-1 hour'), pg_temp.approval('APP-000003-stale', '-25 hours'),
       pg_temp.approval('APP-000004-withdrawn', '-1 hour', 'withdrawn'), pg_temp.approval('APP-000005-signed', '-2 hours'),
       pg_temp.approval('APP-000006-late', '-3 hours');
insert into admin.signature (approval_id, signer_role, signer) values ('APP-000005-signed', 'x', 'ann');
update admin.approval set state = 'withdrawn', closed_at = now() where approval_id = 'APP-000006-late';
-- A decision before, and the same after.
create temp table before as select approval_id, (admin.sensitive_check_preview(approval_id)::jsonb - 'evaluated_at') as answer from admin.approval;
select swept_by, due_rows, overdue_seconds between 25 * 3600 and 26 * 3600 as overdue, next_due_at is not null as more from admin.sweep_status;
select admin.sweep_expired();
select * from pg_temp.announced;
select admin.sweep_expired(), due_rows, overdue_seconds from admin.sweep_status;
select d.approval_id, d.ttl_state, d.due_at - a.sla_deadline as after from admin.sweep_due as d join admin.approval as a using (approval_id) order by 1;
select approval_id from before where answer is distinct from (admin.sensitive_check_preview(approval_id)::jsonb - 'evaluated_at');
-- What the sweep has announced is what the view says.
select count(*) from admin.approval_ttl_state as v join lateral (select event_type from admin.audit as a where a.approval_id = v.approval_id
    and event_type in ('approval.expired', 'approval.stale') order by audit_id desc limit 1) as last on true
where last.event_type <> 'approval.' || v.ttl_state and v.state <> 'withdrawn';

-- Another deadline is announced anew; one that it had before is not.
create temp table had as select sla_deadline as deadline from admin.approval where approval_id = 'APP-000002-expired';
update admin.approval set sla_deadline = now() + interval '1 hour' where approval_id = 'APP-000002-expired';
select admin.sweep_expired();
update admin.approval set sla_deadline = now() - interval '1 minute' where approval_id = 'APP-000002-expired';
select admin.sweep_expired();
update admin.approval set sla_deadline = (select deadline from had) where approval_id = 'APP-000002-expired';
select admin.sweep_expired();
select approval_id, ttl_state from admin.sweep_due where approval_id = 'APP-000002-expired';
update admin.approval set sla_deadline = (select sla_deadline from admin.approval where approval_id = 'APP-000003-stale') where approval_id = 'APP-000003-stale';
select admin.sweep_expired();

-- At most so many, the oldest first; what is left of one comes with the next.
select pg_temp.approval('APP-00001' || n || '-many', '-3 days') from generate_series(0, 4) as n;
select admin.sweep_expired(1), admin.sweep_expired(2), admin.sweep_expired(100), admin.sweep_expired();
select event_type, count(*) from admin.audit where approval_id like 'APP-00001_-many' group by 1 order by 1;
-- Rolled back is not announced.
select pg_temp.approval('APP-000020-undone', '-1 hour');
begin; select admin.sweep_expired(); rollback;
select admin.sweep_expired();
-- Imported ones, already past; and ends of time.
select admin.import_approvals(jsonb_build_array(jsonb_build_object('approval_id', 'APP-000030-imported', 'action', 'pay', 'required_roles', array['a'], 'requested_by', 'x', 'sla_deadline', '2001-01-01T00:00:00Z')));
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values
    ('APP-000031-first', 'pay', '{x}', 1, 'boss', '4713-01-01 00:00:00 BC'), ('APP-000032-last', 'pay', '{x}', 1, 'boss', '294276-12-31 23:59:59.999999 UTC');
select admin.sweep_expired();
-- Many at once, by chunks.
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
select 'APP-' || 200000 + n || '-n', 'pay', '{x}', 1, 'boss', now() - interval '1 hour' from generate_series(1, 1234) as n;
select admin.sweep_expired(1000), admin.sweep_expired(1000), admin.sweep_expired(1000);
select count(*), count(distinct approval_id) from admin.audit where event_type = 'approval.expired' and approval_id like 'APP-20%';
-- A replayed check is not led astray by announcements.
select admin.sensitive_check('APP-000005-signed') ->> 'reason' as reason;
select admin.replay_check(max(audit_id)) -> 'equal' as equal from admin.audit where event_type = 'sensitive.check.2b';
select fits from admin.verify_approval('APP-000005-signed') where not fits;

select admin.sweep_expired(0);
select admin.sweep_expired(null);
begin read only; select admin.sweep_expired(); rollback;
-- Without pg_cron: who sweeps is answered (a warning says it, too, with the database's name).
set client_min_messages = error;
select admin.schedule_sweep();
select admin.unschedule_sweep();
set client_min_messages = warning;
select admin.schedule_sweep(null);
select swept_by, job_id, schedule, problem from admin.sweep_status;
-- A schema that somebody calls cron is not pg_cron's.
create schema cron create table job (jobid bigint, schedule text, command text, database text, username text, active boolean, jobname text);
insert into cron.job values (1, '* * * * *', 'select admin.sweep_expired()', current_database(), current_user, true, 'x');
select swept_by, job_id from admin.sweep_status;
drop schema cron cascade;
set client_min_messages = error;
drop extension admin_ext_cutover;
drop extension admin_ext cascade;
