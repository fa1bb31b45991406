-- The cutover: answers compared, records of imports and parity runs, and readiness of a bare database.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as partitions;
set client_min_messages = warning;
\set SHOW_CONTEXT never

-- Two answers, byte for byte save evaluated_at and audit.
create temp table answers as select admin.sensitive_check_preview('APP-000001-none', 'pay', null, '2026-11-23T20:00:00Z')::text as ours;
select name, admin_internal.answer_differences(case when name = 'the same' then ours else replace(ours, was, becomes) end, ours) as differing
from answers, (values
    (1, 'the same', '', ''), (2, 'another instant', '2026-11-23T20:00:00', '2000-01-01T00:00:00'), (3, 'another row', '"audit_id":null', '"audit_id":"7"'),
    (4, 'another reason', 'approval_not_found', 'approval_expired'), (5, 'a state', '"state":null', '"state":"pending"'),
    (6, 'a number as a string', '"precedence":2', '"precedence":"2"'), (7, 'a member less', ',"state":null', ''), (8, 'a member more', '"meta":', '"more":1,"meta":'),
    (9, 'a blank', '"decision":', '"decision": '), (10, 'a blank within', '"precedence":', '"precedence": '), (11, 'cut off', '}}', '}'),
    (12, 'an array', '{"contract"', '[{"contract"'), (13, 'a word', '{"contract":', '"contract":'), (14, 'the instant as a number', '"2026-11-23T20:00:00.000000Z"', '5'),
    (15, 'the instant elsewhere', '"contract":', '"evaluated_at":"2026-11-23T20:00:00.000000Z","contract":')) as c(n, name, was, becomes)
order by n;
select admin_internal.answer_differences(null, ours) as "null", admin_internal.answer_differences('', ours) as empty, admin_internal.answer_differences('null', ours) as "JSON's null",
       admin_internal.answer_differences(repeat('[', 100000), ours) as deep from answers;

-- Shadow mode: the answer is the check's; what differs is on record until somebody explains it.
select answer - 'audit' - 'evaluated_at' = ours::jsonb - 'audit' - 'evaluated_at' as same
from answers, (select admin.sensitive_check_shadow(ours, 'APP-000001-none', 'pay')::jsonb as answer from answers) as a;
select admin.sensitive_check_shadow(replace(ours, 'deny', 'valid'), 'APP-000001-none', 'pay') ->> 'decision' as decision from answers;
select admin.sensitive_check_shadow(null, 'APP-000001-none', 'pay') ->> 'decision' as decision;
select shadow_id, approval_id, differing, left(file_answer, 40) as file, left(database_answer, 40) as database from admin.shadow_check order by shadow_id;
select count(*) as checks from admin.audit where event_type = 'sensitive.check.2b';
select admin.settle_shadow_difference(2, 'the file was being written');
select shadow_id, reason from admin.shadow_settled;
select shadow_id from admin.shadow_difference;
select admin.settle_shadow_difference(2, 'again');
select admin.settle_shadow_difference(1, 'it is none');
select admin.settle_shadow_difference(null, 'x');
select admin.settle_shadow_difference(3, '');
select admin.settle_shadow_difference(3, repeat('x', 4097));
select admin.settle_shadow_difference(3, null);
-- Many at once, in a transaction that is rolled back for what follows.
begin;
select count(admin.sensitive_check_shadow('{}', 'APP-000001-none', 'pay')) from generate_series(1, 200);
select status, detail from admin.cutover_readiness where item = 'B2';
select admin.settle_shadow_differences(100, 'a noisy caller'), admin.settle_shadow_differences(9223372036854775807, 'the rest'), admin.settle_shadow_differences(9223372036854775807, 'none');
select count(*) as left from admin.shadow_difference;
select payload, actor = session_user as by_me from admin.audit where event_type = 'shadow.settled' order by audit_id;
select status, detail from admin.cutover_readiness where item = 'B2';
rollback;
select admin.settle_shadow_differences(null, 'x');
select admin.settle_shadow_differences(3, '');
-- An error of the check's is the caller's, and leaves nothing.
select admin.sensitive_check_shadow('{}', 'APP-000001-none', repeat('x', 257));
select admin.sensitive_check_shadow('{}', 'APP-000001-none', token => 'x');
begin read only;
select admin.sensitive_check_shadow('{}', 'APP-000001-none');
rollback;
select count(*) as compared from admin.shadow_check;

-- Runs.
select admin.record_parity_run(100, 2, 1, '{"seed": 7}');
select admin.record_parity_run(0, 0, 0);
select run_id, cases, differences, left_out, report, recorded_by = session_user as mine from admin.parity_run order by run_id;
select admin.record_parity_run(1, 2, 0);
select admin.record_parity_run(-1, 0, 0);
select admin.record_parity_run(1, null, 0);
select admin.import_approvals('[{"approval_id": "APP-000002-b", "action": "pay", "required_roles": ["r"], "requested_by": "ann", "sla_deadline": "2100-01-01T00:00:00Z"}, 1]');
select run_id, imported, unchanged, rejected from admin.import_run;

-- Readiness: what does not depend on the server.
select item, status, regexp_replace(regexp_replace(detail, '^[0-9]+ (tables|views|triggers)', '<n> \1'), '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z', '<instant>') as detail
from admin.cutover_readiness where item in ('A1', 'A2', 'A4', 'A5', 'B1', 'B2', 'B3', 'B4', 'C1', 'C2', 'C3', 'D2', 'D3', 'D5', 'D6', 'E5', 'F1', 'F3', 'F4');
select item, title from admin_internal.readiness_items() except select item, title from admin.cutover_readiness;
-- An item that raises fails, and says why.
alter table admin.parity_run rename to elsewhere;
select item, status, detail from admin.cutover_readiness where item in ('A1', 'B2', 'C3');
drop extension admin_ext_cutover;
drop extension admin_ext;
