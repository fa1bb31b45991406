-- Thousands of approvals, sound and corrupted, at microsecond edges, against an oracle
-- written from the rules alone.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
set timezone = 'America/New_York';
-- A superuser may forge anything; the decision does not rely on the constraints.
alter table admin.approval drop constraint approval_state, drop constraint approval_closed_if_withdrawn,
    drop constraint approval_required_signer_count;
set admin_ext.restoring = on;
select setseed(0.42);
create temp table plan as
select i, format('APP-%s-r', lpad(i::text, 6, '0')) as id,
       (array['pending', 'signed_partial', 'signed_full', 'withdrawn', 'SIGNED_FULL', ''])[1 + floor(random() ^ 1.5 * 6)::int] as state,
       1 + floor(random() * 3)::int as required,
       random() < 0.1 as odd_closed,
       (array[0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5])[1 + floor(random() * 11)::int] as corruption,
       (array[interval '-1 us', '0', '1 us', '-1 day', '24 hours', '24 hours 1 us', '23:59:59.999999', '30 days'])[1 + floor(random() * 8)::int] as age,
       case when random() < 0.5 then 'res' end as resource,
       (array[null, 'act', 'other', ''])[1 + floor(random() * 4)::int] as asked_action,
       (array[null, 'res', 'else', ''])[1 + floor(random() * 4)::int] as asked_resource
from generate_series(1, 6000) as i;
-- How many sign: mostly what the state says.
alter table plan add column signed int;
update plan set signed = case when random() < 0.15 then floor(random() * (required + 1))::int
                              when state = 'pending' then 0 when state = 'signed_partial' then greatest(required - 1, 0)
                              else required end;
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, state,
                            sla_deadline, closed_at)
select id, 'act', resource, (array['r1', 'r2', 'r3'])[1:required], required + (corruption = 4)::int, 'boss', state,
       timestamptz '2026-03-08 07:00:00+00', case when (state = 'withdrawn') <> odd_closed then timestamptz '2026-01-01' end
from plan;
insert into admin.signature (approval_id, signer_role, signer, approval_digest)
select id, case when corruption = 1 and k = signed then 'stranger' else 'r' || k end,
       case when corruption = 2 and k = signed then 'boss' else 'p' || k end,
       case when corruption = 3 and k = signed then decode(repeat('00', 32), 'hex') else admin.approval_digest(id) end
from plan, generate_series(1, signed) as k;
reset admin_ext.restoring;
create function pg_temp.oracle(p plan, out precedence int, out reason text, out ttl text) language plpgsql as $$
declare
    closed boolean := (p.state = 'withdrawn') <> p.odd_closed;
    expected int := case p.state when 'pending' then 0 when 'signed_full' then p.required end;
    sound boolean;
begin
    ttl := case when p.state = 'withdrawn' or closed then 'not-applicable'
                when p.age > interval '24 hours' then 'stale'
                when p.age >= interval '0' then 'expired'
                when p.state = 'signed_full' then 'valid' else 'not-applicable' end;
    sound := p.corruption <> 4
        and (p.corruption not in (1, 2, 3) or p.signed = 0)
        and case when p.state = 'signed_partial' then p.signed > 0 and p.signed < p.required else p.signed = expected end;
    precedence := case
        when p.state = 'withdrawn' or closed then 3
        when sound is not true then 4
        when p.asked_action <> 'act' then 5
        when p.asked_resource <> p.resource then 6
        when ttl = 'stale' then 7
        when ttl = 'expired' then 8
        when p.state <> 'signed_full' then 9
        else 10 end;
    reason := case precedence when 3 then 'approval_withdrawn' when 4 then 'approval_inconsistent' when 5 then 'action_mismatch'
        when 6 then 'resource_mismatch' when 7 then 'approval_expired' when 8 then 'approval_expired'
        when 9 then case when p.required >= 2 then 'dual_signers_required' else 'signature_required' end end;
end $$;
create temp table compared as
select p.*, o.precedence, o.reason, o.ttl,
       admin.sensitive_check_preview(p.id, p.asked_action, p.asked_resource, timestamptz '2026-03-08 07:00:00+00' + p.age)::jsonb as got
from plan as p, lateral pg_temp.oracle(p) as o;
select i, state, required, signed, corruption, odd_closed, age, precedence, reason, ttl, got from compared
where (got #>> '{meta,precedence}')::int <> precedence or got ->> 'reason' is distinct from reason
   or got ->> 'ttl_state' <> ttl or (got ->> 'decision' = 'valid') <> (precedence = 10)
   or (got #>> '{meta,operator_alert}')::boolean <> (precedence in (4, 7))
   or (got #>> '{meta,requestable}')::boolean <> (precedence = 9)
   or (got ->> 'valid_until' is not null) <> (precedence = 10)
   or (got ->> 'signature_count')::int <> signed
limit 5;
-- every precedence was there
select precedence, count(*) > 20 as many from compared group by 1 order by 1;
-- the explanation decides alike
select count(*) from compared as c
where i <= 1000 and c.precedence <> (select e.precedence from admin.explain_check(c.id, c.asked_action, c.asked_resource,
    timestamptz '2026-03-08 07:00:00+00' + c.age) as e where e.matched);
-- view and function agree
select count(*) from admin.approval_ttl_state as v join admin.approval as a using (approval_id)
where v.ttl_state <> admin.ttl_state(a.state, a.closed_at, a.sla_deadline, v.evaluated_at);
-- the answer does not depend on session settings
create temp table bare as select admin.sensitive_check_preview(id, at => '2026-03-07') ->> 'evaluated_at' as e from plan limit 1;
set datestyle = 'German'; set timezone = 'Asia/Kolkata'; set intervalstyle = 'sql_standard';
select e, e = admin.sensitive_check_preview((select id from plan limit 1), at => '2026-03-07 05:00:00+00') ->> 'evaluated_at' from bare;
drop extension admin_ext;
