-- Approvals whose instants lie beyond the years 1 to 9999 are replayed and verified as any other.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as made;
set admin_ext.require_verified_jwt = off;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline, created_at)
values ('APP-000001-far', 'pay', '{r}', 1, '+1234-not-an-instant', '294276-12-31 23:59:59.999999+00', '2026-01-01+00'),
       ('APP-000002-ten', 'pay', '{r}', 1, 'ann', '10000-01-01+00', '2026-01-01+00'),
       ('APP-000003-old', 'pay', '{r}', 1, 'ann', '0004-02-29 12:00+00', '4713-01-01 00:00+00 BC'),
       ('APP-000004-one', 'pay', '{r}', 1, 'ann', '2026-01-01+00', '0001-12-31 23:59:59.999999+00 BC');
insert into admin.signature (approval_id, signer_role, signer, signed_at)
values ('APP-000001-far', 'r', 'bob', '12026-05-06+00'), ('APP-000003-old', 'r', 'bob', '0044-03-15 BC');
create function public.look() returns table (approval text, decision text, is_equal text, misfits bigint) language sql as $$
    select e.approval_id, e.payload ->> 'decision', admin.replay_check(e.audit_id) ->> 'equal',
           (select count(*) from admin.verify_approval(e.approval_id) as v where not v.fits)
    from admin.audit as e where e.event_type = 'sensitive.check.2b' order by e.audit_id
$$;
select admin.sensitive_check(a.approval_id) ->> 'reason' as reason from admin.approval as a order by a.approval_id;
select * from public.look();
select approval_id, sla_deadline = (t.approval).sla_deadline as same_deadline, created_at = (t.approval).created_at as same_creation, requested_by = (t.approval).requested_by as same_person
from admin.approval as a, admin_internal.trail_of(a.approval_id) as t where t.event_type = 'approval.issued' order by 1;
select p from admin_internal.event_problems() as p;
-- A change behind the triggers is noticed there, too.
alter table admin.approval disable trigger user;
update admin.approval set sla_deadline = '294276-12-31 23:59:59.999998+00' where approval_id = 'APP-000001-far';
alter table admin.approval enable always trigger approval_guard;
select p like '%one of them: APP-000001-far' as is_named from admin_internal.event_problems() as p;
select item from admin.verify_approval('APP-000001-far') as v where not v.fits;
drop function public.look();
-- Rows that were loaded keep no month from being made, though the calendar ends within theirs.
set admin_ext.restoring = on;
insert into admin.audit (audit_id, recorded_at, event_type, payload) overriding system value
values (1001, '294276-12-31 23:59:59.999999+00', 'test', '{}'), (1002, '4714-11-24 00:00:00+00 BC', 'test', '{}');
reset admin_ext.restoring;
select admin.create_audit_partitions(5) as made;
select count(*) from admin.audit_default;
select admin.drop_audit_partitions('8 years') as dropped;
select admin.sensitive_check('APP-000002-ten') ->> 'reason' as reason;
drop extension admin_ext_cutover;
drop extension admin_ext;
