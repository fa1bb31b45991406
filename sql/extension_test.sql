-- Two extensions: what is needed for the move alone can be dropped, and the other one does not notice.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
set admin_ext.require_verified_jwt = off;
create role regress_ff;
create role regress_operator;
select admin.grant_access('regress_ff', 'checker'), admin.grant_access('regress_operator', 'operator');

-- The core alone: nothing of the other one is there, and nothing is missing.
create function pg_temp.differences() returns table (item text, problem text) as '$libdir/admin_ext', 'admin_shipped_differences' language c;
select * from pg_temp.differences();
select count(*) as readiness from pg_class where relname = 'cutover_readiness';
select admin.issue_approval('pay', '{finance}', now() + interval '1 day', null, 'APP-000001-core', 'ann') ->> 'state' as state;
select admin.sign_approval('APP-000001-core', 'finance', 'bob') ->> 'state' as state;
select admin.sensitive_check('APP-000001-core', 'pay') ->> 'decision' as decision;
select * from admin.restore_guards();

-- It is created by name, or with the one that it needs.  Roles that have an access get its part by another call of grant_access().
\set VERBOSITY default
create extension admin_ext_cutover;
\set VERBOSITY terse
select * from pg_temp.differences();
select has_function_privilege('regress_ff', 'admin.sensitive_check_shadow(text, text, text, text, text, text, text, text)', 'execute') as ff,
       has_function_privilege('regress_operator', 'admin.import_approvals(jsonb)', 'execute') as operator;
select grantee, privilege, object from admin_internal.foreign_privileges() where grantee = 'regress_ff';
select admin.grant_access('regress_ff', 'checker'), admin.grant_access('regress_operator', 'operator');
select count(*) as differences from admin_internal.foreign_privileges() where grantee in ('regress_ff', 'regress_operator', 'public');
drop extension admin_ext;

-- A function that is gone has no privilege.
begin;
alter extension admin_ext_cutover drop function admin.record_parity_run(bigint, bigint, bigint, jsonb);
drop function admin.record_parity_run(bigint, bigint, bigint, jsonb);
select admin.grant_access('regress_operator', 'operator');
rollback;

-- The move: imported, compared, and imported again.
\set document '[{"approval_id": "APP-000002-file", "action": "pay", "required_roles": ["finance"], "requested_by": "ann", "state": "signed_full", "sla_deadline": "2100-01-01T00:00:00Z", "signatures": [{"signer_role": "finance", "signer": "bob"}]}]'
select admin.import_approvals(:'document'), admin.import_approvals(:'document');
select admin.sensitive_check_shadow('{}', 'APP-000002-file', 'pay') ->> 'decision' as decision;
select admin.record_parity_run(1, 0, 0) as run;
select count(*) as approvals from admin.approval \gset
select count(*) as signatures from admin.signature \gset
select count(*) as rows, max(audit_id) as highest from admin.audit \gset
create temp table kept as select audit_id, event_type, payload::text from admin.audit;

-- Over: approvals, signatures, trail and the privileges of roles stay, and one event says what was dropped.
drop extension admin_ext_cutover;
select (select count(*) from admin.approval) = :approvals as approvals, (select count(*) from admin.signature) = :signatures as signatures;
select count(*) = 0 as trail from (select * from kept except select audit_id, event_type, payload::text from admin.audit) as gone;
select event_type, payload ->> 'command' as command, payload ->> 'object' as object from admin.audit where audit_id > :highest;
select * from pg_temp.differences();
select p.oid::regprocedure from pg_proc as p where p.pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and p.proname ~ '^(import_a|catch_up|readiness|find_in|shadow|sensitive_check_shadow|record_parity|admin_ext_cutover)';
select admin.sensitive_check('APP-000002-file', 'pay') ->> 'decision' as decision;
select fits, count(*) > 3 as items from admin.verify_approval('APP-000002-file') group by 1;
select (admin.replay_check(max(audit_id)) ->> 'equal')::boolean as equal from admin.audit where event_type = 'sensitive.check.2b';
select admin.issue_approval('pay', '{finance}', now() + interval '1 day', null, 'APP-000003-later', 'ann') ->> 'state' as state;
select admin.withdraw_approval('APP-000003-later', 'a test', 'ann') ->> 'state' as state;
select admin.create_audit_partitions() >= 0 as partitions;
select count(*) as differences from admin_internal.foreign_privileges() where grantee in ('regress_ff', 'regress_operator', 'public');
select * from admin.restore_guards();

-- And back: what was imported is known, though the records of the imports are new.
create extension admin_ext_cutover;
select * from pg_temp.differences();
select admin.import_approvals(:'document');
select status, detail from admin.cutover_readiness where item in ('A4', 'B4');
drop extension admin_ext_cutover;
select admin.revoke_access('regress_ff', 'checker'), admin.revoke_access('regress_operator', 'operator');
drop role regress_ff;
drop role regress_operator;
drop extension admin_ext;

-- CASCADE creates both, and drops both.
set client_min_messages = error;
create extension admin_ext_cutover cascade;
select extname from pg_extension where extname like 'admin%' order by 1;
drop extension admin_ext cascade;
select extname from pg_extension where extname like 'admin%' order by 1;
