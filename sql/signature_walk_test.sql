-- All approvals are compared with their signatures by one walk along an index of many pages.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
reset client_min_messages;
set admin_ext.require_verified_jwt = off;

-- Signed approvals far apart, so that the walk looks up one after the other.
set admin_ext.restoring = on;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, state, sla_deadline)
select format('APP-%s-x', lpad((n * 7919 % 900000)::text, 6, '0')), 'pay', '{r0,r1,r2}', 3, 'ann',
       case n % 4 when 0 then 'pending' when 3 then 'signed_full' else 'signed_partial' end, '2040-01-01'
from generate_series(1, 3000) as n;
insert into admin.signature (approval_id, signer_role, signer, approval_digest)
select format('APP-%s-x', lpad((n * 7919 % 900000)::text, 6, '0')), 'r' || r, 'signer of r' || r,
       admin.approval_digest(format('APP-%s-x', lpad((n * 7919 % 900000)::text, 6, '0')))
from generate_series(1, 3000) as n, generate_series(0, 2) as r where r < n % 4;

-- Approvals without a signature stand between two that have one.
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline, state)
select format('APP-%s-%s', n, m), 'pay', '{r0}', 1, 'ann', '2040-01-01', case when n % 10 = 0 and m = 2 then 'signed_full' else 'pending' end
from generate_series(950000, 950099) as n, generate_series(1, 3) as m;
insert into admin.signature (approval_id, signer_role, signer, approval_digest)
select approval_id, 'r0', 'bob', admin.approval_digest(approval_id) from admin.approval where approval_id like 'APP-9500_0-2';
reset admin_ext.restoring;
vacuum (analyze) admin.approval, admin.signature;
select count(*) as signatures, pg_relation_size('admin.signature_one_per_role') > 10 * 8192 as many_pages from admin.signature;

create function public.by_walk() returns jsonb language sql as
$$
select jsonb_build_object('signatures', f -> 'signatures', 'inconsistent', f -> 'inconsistent' -> 'count', 'altered', f -> 'altered' -> 'count',
                          'not_separate', f -> 'not_separate' -> 'count')
from (select admin_internal.find_in_approvals()::jsonb) as x(f)
$$;
select public.by_walk();
-- The same without parallel processes, and in another order.
set max_parallel_workers = 0;
select public.by_walk();
select f -> 'signatures' as signatures, f -> 'inconsistent' -> 'count' as inconsistent
from (select admin_internal.approval_findings(a.approval_id, a.action, a.resource, a.required_roles, a.required_signer_count, a.requested_by,
                                     a.state, a.sla_deadline, a.created_at, a.closed_at, '2030-01-01')
      from (select * from admin.approval order by md5(approval_id)) as a) as x(f);
reset max_parallel_workers;

-- Items that are about signatures fail where the walk has met fewer signatures than there are.
-- B3 looks at a sample, whose size is up to chance.
select item, status, case when status = 'fail' then regexp_replace(regexp_replace(detail, 'one of them: \S+', 'one of them: ...'), '^(\d+) of \1 ', 'n of n ') end as detail
from admin.cutover_readiness where item in ('B3', 'B4', 'F3');
select v.status, v.detail
from admin_internal.find_in_store() as f,
     lateral (select jsonb_set(f, '{check,signatures}', '49') as short) as s,
     lateral (select * from admin_internal.readiness_b3(s.short) union all select * from admin_internal.readiness_b4(s.short) union all select * from admin_internal.readiness_f3(s.short)) as v;

drop function public.by_walk();
set client_min_messages = error;
drop extension admin_ext_cutover;
drop extension admin_ext;
