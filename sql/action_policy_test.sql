-- Who has to sign is not the requester's choice: the policy of an action holds on every path.
\set SHOW_CONTEXT never
set client_min_messages = error;
set intervalstyle = postgres;
set timezone = 'UTC';
create extension admin_ext;
create extension admin_ext_cutover;
set admin_ext.require_verified_jwt = off;
create function issue(id text, action text, roles text[], deadline timestamptz, resource text default null)
returns text language sql as $$ select admin.issue_approval(action, roles, deadline, resource, id, 'ann') ->> 'state' $$;

select admin.set_action_policy('payout', '{finance,legal}', '30 days', true);
select action, required_roles, max_ttl, resource_required, added_by = session_user as mine from admin.action_policy;
select event_type, actor = session_user as mine, payload -> 'row' -> 'required_roles' as roles, payload ->> 'relation' as relation
from admin.audit where payload ->> 'relation' like '%action_policy' order by audit_id;

-- An approval that meets it is issued; one that does not is refused, with everything that it lacks.
select issue('APP-000001-pol', 'payout', '{legal,finance,security}', now() + interval '29 days', 'account 7');
select issue('APP-000002-pol', 'payout', '{intern}', now() + interval '31 days');
select issue('APP-000002-pol', 'payout', '{finance}', now() + interval '1 day', 'account 7');
select issue('APP-000002-pol', 'payout', '{finance,legal}', now() + interval '31 days', 'account 7');
select issue('APP-000002-pol', 'payout', '{finance,legal}', now() + interval '1 day');
-- Roles are compared byte by byte; another action has no policy.
select issue('APP-000002-pol', 'payout', '{Finance,legal}', now() + interval '1 day', 'account 7');
select issue('APP-000003-pol', 'Payout', '{intern}', now() + interval '1 day');

-- The deadline: exactly max_ttl after created_at is good, a microsecond later is not.  The calendar is UTC's.
set timezone = 'America/New_York';
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, created_at, sla_deadline)
values ('APP-000004-pol', 'payout', 'r', '{finance,legal}', 2, 'ann', '2026-03-01 00:00+00', '2026-03-31 00:00+00');
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, created_at, sla_deadline)
values ('APP-000005-pol', 'payout', 'r', '{finance,legal}', 2, 'ann', '2026-03-01 00:00+00', '2026-03-31 00:00:00.000001+00');
set timezone = 'UTC';
-- An approval that claims to be created in the future gains no time by it.
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, created_at, sla_deadline)
values ('APP-000005-pol', 'payout', 'r', '{finance,legal}', 2, 'ann', '2999-01-01', '2999-01-02');

-- Every path: a plain INSERT, COPY, an import, and an UPDATE of a request that nobody has signed yet.
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
values ('APP-000005-pol', 'payout', 'r', '{intern}', 1, 'ann', now() + interval '1 day');
copy admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline) from stdin;
APP-000005-pol	payout	r	{intern}	1	ann	2026-01-01
\.
set session_replication_role = replica;
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
values ('APP-000005-pol', 'payout', 'r', '{intern}', 1, 'ann', now() + interval '1 day');
reset session_replication_role;
select admin.import_approvals('[{"approval_id": "APP-000006-pol", "action": "payout", "resource": "r", "required_roles": ["intern"], "requested_by": "ann", "sla_deadline": "2999-01-01"},
                                {"approval_id": "APP-000007-pol", "action": "other", "required_roles": ["intern"], "requested_by": "ann", "sla_deadline": "2999-01-01"}]');
update admin.approval set action = 'payout' where approval_id = 'APP-000007-pol';
update admin.approval set required_roles = '{finance}', required_signer_count = 1 where approval_id = 'APP-000004-pol';
update admin.approval set resource = null where approval_id = 'APP-000004-pol';
update admin.approval set sla_deadline = '2026-04-01' where approval_id = 'APP-000004-pol';
update admin.approval set resource = 's' where approval_id = 'APP-000004-pol' returning resource;
-- A restore takes what was dumped.
set admin_ext.restoring = on;
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, created_at, sla_deadline)
values ('APP-000008-pol', 'payout', 'r', '{intern}', 1, 'ann', now(), now() + interval '1 day');
reset admin_ext.restoring;

-- A policy does not bind what was there before it, and that can still be signed and withdrawn.
select admin.set_action_policy('Payout', '{finance}');
select admin.sign_approval('APP-000003-pol', 'intern', 'bob') ->> 'state' as signed;
select admin.withdraw_approval('APP-000003-pol', 'no', 'ann') ->> 'state' as withdrawn;
select v.fits, v.detail from (values ('APP-000001-pol'), ('APP-000003-pol'), ('APP-000007-pol'), ('APP-000008-pol')) as i(id), lateral admin.verify_approval(i.id) as v
where v.item = 'policy' order by i.id;

-- Where policies are required, an action without one cannot be approved.
set admin_ext.require_action_policy = on;
select issue('APP-000009-pol', 'refund', '{finance}', now() + interval '1 day');
select admin.set_action_policy('refund', '{}');
select issue('APP-000009-pol', 'refund', '{anybody}', now() + interval '1 day');
reset admin_ext.require_action_policy;

-- A changed policy is one event, the same policy again is none, and a dropped one is an event, too.
select admin.set_action_policy('refund', '{}');
select admin.set_action_policy('refund', '{finance}', '1 year');
select admin.drop_action_policy('refund');
select event_type, payload -> 'row' ->> 'action' as action, payload -> 'row' -> 'required_roles' as roles
from admin.audit where payload ->> 'relation' like '%action_policy' order by audit_id;
select admin.drop_action_policy('refund');
select admin.drop_action_policy(null);

-- Readiness names an open approval that does not meet its policy, and the actions in use that have none.
select status, detail from admin.cutover_readiness where item = 'F3';
select admin.withdraw_approval('APP-000008-pol', 'no', 'ann') ->> 'state' as withdrawn;
select status, detail from admin.cutover_readiness where item = 'F3';
set admin_ext.require_action_policy = on;
select status, detail from admin.cutover_readiness where item = 'F3';
reset admin_ext.require_action_policy;

-- Bad values.
create function tried(call text) returns text language plpgsql as $$
declare
    said text;
    why  text;
begin
    execute call;
    return 'accepted';
exception when others then
    get stacked diagnostics said = message_text, why = pg_exception_detail;
    return sqlstate || ' ' || said || ' ' || why;
end
$$;
select args, tried('select admin.set_action_policy(' || args || ')') from unnest(array[
    'null, ''{}''', ''''', ''{}''', 'repeat(''x'', 257), ''{}''', '''a'', null', '''a'', ''{a,b,a}''', '''a'', ''{""}''', '''a'', ''{null}''',
    '''a'', ''{{a},{b}}''', '''a'', ''{1,2,3,4,5,6,7,8,9}''', '''a'', array[repeat(''x'', 129)]', '''a'', ''{}'', ''0''', '''a'', ''{}'', ''-1 day''',
    '''a'', ''{}'', ''1 year -1 day''', '''a'', ''{}'', ''-1 month 40 days''', '''a'', ''{}'', ''101 years''', '''a'', ''{}'', ''1 day'', null',
    '''a'', ''{1,2,3,4,5,6,7,8}'', ''1 microsecond'', true', 'e''a\nb'', ''{}''', '''a'', array[e''r\t'']']) as args;

-- No setting and no role opens another way: a signer issues within the policy, and cannot change it.
create role regress_signer;
select admin.grant_access('regress_signer', 'signer');
set role regress_signer;
select admin.issue_approval('payout', '{intern}', now() + interval '1 day', 'r', 'APP-000010-pol', 'ann');
select admin.set_action_policy('payout', '{}');
set admin_ext.require_action_policy = off;
reset role;
-- The access "policy" sets and drops policies, reads them, and does nothing else.
create role regress_policy;
select admin.grant_access('regress_policy', 'policy');
set role regress_policy;
select admin.set_action_policy('wire', '{finance}');
select action, required_roles, added_by = session_user as session_user from admin.action_policy where action = 'wire';
insert into admin.action_policy (action, required_roles) values ('x', '{}');
select count(*) from admin.approval;
select admin.drop_action_policy('wire');
reset role;
select admin.revoke_access('regress_policy', 'policy');
drop role regress_policy;
select admin.revoke_access('regress_signer', 'signer');
drop role regress_signer;
drop function issue, tried;
drop extension admin_ext_cutover;
drop extension admin_ext;
