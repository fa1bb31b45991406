-- What was signed or withdrawn in the file-backed store after its import is taken over, and nothing is taken back.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
set client_min_messages = warning;
\set SHOW_CONTEXT never
\set VERBOSITY terse
\set doc '[{"approval_id": "APP-000001-a", "action": "pay", "resource": "account 7", "required_roles": ["x", "y"], "requested_by": "r", "state": "signed_partial", "created_at": "2026-01-01T00:00:00Z", "sla_deadline_offset": "1 day", "signatures": [{"signer_role": "x", "signer": "s", "signed_at": "2026-01-02T00:00:00Z", "comment": "yes"}]}]'
select admin.catch_up_approvals(:'doc');
select admin.catch_up_approvals(:'doc');
create function pg_temp.with(document jsonb, state text, more jsonb default '[]') returns jsonb language sql as
$$select jsonb_set(jsonb_set(document, '{0,state}', to_jsonb(state)), '{0,signatures}', (document #> '{0,signatures}') || more)$$;

-- What does not lead on from what is there.
create temp table changes (n serial, change text, document jsonb);
insert into changes (change, document)
select change, jsonb_set(pg_temp.with(:'doc', 'signed_full', '[{"signer_role": "y", "signer": "t"}]'), path::text[], value::jsonb)
from (values ('resource', '{0,resource}', 'null'), ('roles', '{0,required_roles}', '["x", "y", "z"]'), ('requested_by', '{0,requested_by}', '"q"'),
             ('created_at', '{0,created_at}', '"2026-01-01T00:00:01Z"'), ('deadline', '{0,sla_deadline}', '"2026-01-01T00:00:01Z"'),
             ('signer', '{0,signatures,0,signer}', '"other"'), ('signed_at', '{0,signatures,0,signed_at}', '"2026-01-03T00:00:00Z"'),
             ('comment', '{0,signatures,0,comment}', 'null'), ('lacks one', '{0,signatures}', '[{"signer_role": "y", "signer": "t"}]'),
             ('says one twice', '{0,signatures,1}', '{"signer_role": "x", "signer": "s", "signed_at": "2026-01-02T00:00:00Z", "comment": "yes"}'),
             ('state', '{0,state}', '"signed_partial"'), ('the requester signed', '{0,signatures,1,signer}', '"r"'), ('another role', '{0,signatures,1,signer_role}', '"z"'),
             ('one signs twice', '{0,signatures,1,signer}', '"s"'), ('no signature', '{0,signatures,1}', '7'), ('no signatures', '{0,signatures}', '7')) as c(change, path, value);
update changes set document = document #- '{0,sla_deadline_offset}' where change = 'deadline';
select change, answer #>> '{rejected,0,error}' as error, answer - 'rejected' as others from changes, admin.catch_up_approvals(document) as answer order by n;
select state, (select array_agg(signer) from admin.signature) as signers from admin.approval;

-- What does; an import alone takes nothing over.
select admin.import_approvals(pg_temp.with(:'doc', 'signed_full', '[{"signer_role": "y", "signer": "t"}]'));
select admin.catch_up_approvals(pg_temp.with(:'doc', 'signed_full', '[{"signer_role": "y", "signer": "t", "signed_at": "2026-01-04T00:00:00Z"}]'));
select admin.catch_up_approvals(pg_temp.with(:'doc', 'signed_full', '[{"signer_role": "y", "signer": "t", "signed_at": "2026-01-04T00:00:00Z"}]'));
select admin.catch_up_approvals(:'doc');
select admin.sensitive_check('APP-000001-a', 'pay', 'account 7') ->> 'decision' as decision;
select signer_role, signer, signed_at at time zone 'UTC' as signed_at, comment from admin.signature order by signature_id;
select item, fits from admin.verify_approval('APP-000001-a');

-- A withdrawal, with a signature before it; and it is final.
\set closed '[{"approval_id": "APP-000002-b", "action": "pay", "required_roles": ["x", "y"], "requested_by": "r", "sla_deadline": "2100-01-01T00:00:00Z"}]'
select admin.catch_up_approvals(:'closed');
select admin.catch_up_approvals(jsonb_set(:'closed', '{0}', (:'closed'::jsonb -> 0) ||
    '{"state": "withdrawn", "closed_at": "2026-02-01T00:00:00Z", "closed_by": "r", "close_reason": "over", "signatures": [{"signer_role": "x", "signer": "s"}]}'));
select admin.catch_up_approvals(:'closed');
select admin.catch_up_approvals(jsonb_set(:'closed', '{0}', (:'closed'::jsonb -> 0) || '{"state": "withdrawn", "closed_at": "2026-02-02T00:00:00Z"}'));
select state, closed_at at time zone 'UTC' as closed_at, closed_by, close_reason from admin.approval where approval_id = 'APP-000002-b';
select event_type, actor, payload ->> 'state' as state from admin.audit where approval_id = 'APP-000002-b' order by audit_id;

-- One that is told twice does not stand in for another that is there.
create function pg_temp.three(state text, signers text[]) returns jsonb language sql as
$$select jsonb_build_array('{"approval_id": "APP-000004-d", "action": "pay", "required_roles": ["x", "y", "z"], "requested_by": "r", "sla_deadline": "2100-01-01T00:00:00Z"}'::jsonb
    || jsonb_build_object('state', state, 'signatures', (select jsonb_agg(jsonb_build_object('signer_role', s, 'signer', s)) from unnest(signers) as s)))$$;
select admin.catch_up_approvals(pg_temp.three('signed_partial', '{x, y}'));
select admin.catch_up_approvals(pg_temp.three('signed_full', '{x, x, z}'));
select admin.catch_up_approvals(pg_temp.three('signed_partial', '{x, x}')), admin.import_approvals(pg_temp.three('signed_partial', '{y, y}'));
select admin.catch_up_approvals(pg_temp.three('signed_full', '{x, y, z, z}'));
select admin.catch_up_approvals(pg_temp.three('signed_full', '{z, y, x}'));
begin isolation level repeatable read;
select admin.catch_up_approvals('[]');
rollback;
select value, admin.import_approvals(jsonb_set(:'closed', '{0,sla_deadline}', to_jsonb(value))) #>> '{rejected,0,error}' as error
from unnest(array['2100-01-01T00:00:00 EST', '2100-01-01 epoch', '2100-01-01T00:00:00 Mon', '2100-01-01T12:00 PM', '2100-01-01T24:00:00Z', '2100-01-01T01:00:00+0100']) as value;

-- Each element for itself, and every call is on record.
select admin.catch_up_approvals(jsonb_build_array(7, :'closed'::jsonb -> 0, '{"approval_id": "APP-000003-c", "action": "pay", "required_roles": ["x"], "requested_by": "r", "sla_deadline": "2100-01-01T00:00:00Z", "note": "passed by"}'::jsonb,
                                                  '{"approval_id": "APP-000003-c", "action": "pay", "required_roles": ["x"], "requested_by": "r", "sla_deadline": "2100-01-01T00:00:00Z", "state": "signed_full", "signatures": [{"signer_role": "x", "signer": "s"}]}'::jsonb));
select admin.catch_up_approvals('{}');
select imported, advanced, unchanged, rejected from admin.import_run order by run_id desc limit 4;
select status, regexp_replace(detail, '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z', '<instant>') as detail from admin.cutover_readiness where item in ('B1', 'B3', 'B4', 'C1');

-- Whoever is no superuser takes nothing over while tokens are required, and does while they are not.
create role regress_operator;
select admin.grant_access('regress_operator', 'operator');
set role regress_operator;
\set third '[{"approval_id": "APP-000003-c", "action": "pay", "required_roles": ["x"], "requested_by": "r", "sla_deadline": "2100-01-01T00:00:00Z", "state": "withdrawn", "closed_at": "2026-02-01T00:00:00Z", "signatures": [{"signer_role": "x", "signer": "s"}]}]'
select admin.catch_up_approvals(:'third');
reset role;
set admin_ext.require_verified_jwt = off;
set role regress_operator;
select admin.catch_up_approvals(:'third');
select admin.catch_up_approvals(:'third');
reset role;
drop owned by regress_operator;
drop role regress_operator;
drop extension admin_ext_cutover;
drop extension admin_ext;
