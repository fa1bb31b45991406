-- What was asked is in the trail, and a replay asks the same.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set admin_ext.require_verified_jwt = off;
select admin.issue_approval('payout', '{finance}', '2040-01-01', 'account 7', 'APP-000001-asked', 'ann') ->> 'state' as issued;
select admin.sign_approval('APP-000001-asked', 'finance', 'bob') ->> 'state' as signed;

-- The answer is the contract's, byte for byte; the trail has one more member at its end.
create temp table answer (n serial, what text, said json);
insert into answer (what, said) values
    ('named both', admin.sensitive_check('APP-000001-asked', 'payout', 'account 7')),
    ('named none', admin.sensitive_check('APP-000001-asked')),
    ('another action', admin.sensitive_check('APP-000001-asked', 'refund', 'account 7')),
    ('another resource', admin.sensitive_check('APP-000001-asked', 'payout', 'account 9')),
    ('names that need escapes', admin.sensitive_check('APP-000001-asked', E'"},"request":{"action":"x\\', E'tab\there')),
    ('an id that looks like the member', admin.sensitive_check('},"request":{"action":null}}', 'payout')),
    ('no id', admin.sensitive_check(null, null, 'account 7')),
    ('no such approval', admin.sensitive_check('APP-000002-asked', 'payout'));
select a.what, a.said ->> 'reason' as reason, r.payload -> 'request' as request,
       r.payload::text = left(a.said::text, -1) || ',"request":' || (r.payload ->> 'request') || '}' as is_answer_and_request
from answer as a join admin.audit as r on r.audit_id = (a.said #>> '{audit,audit_id}')::bigint order by a.n;

-- The replay decides with the recorded request; "recorded" is the answer that the caller had.
select a.what, p.replay -> 'equal' as equal, p.replay -> 'recorded' = a.said::jsonb as is_answer, p.replay -> 'request' as request
from answer as a, lateral (select admin.replay_check((a.said #>> '{audit,audit_id}')::bigint)) as p(replay) order by a.n;
select e.precedence, e.matched, e.detail from answer as a, lateral admin.explain_replay((a.said #>> '{audit,audit_id}')::bigint) as e
where a.what in ('named none', 'another resource') and e.precedence in (5, 6, 10) order by a.n, e.precedence;

-- Copies of a row under numbers of their own: a faithful one, one whose request was edited, and one
-- from before requests were recorded (there a recorded mismatch is taken to have been one).
create temp table original as
select r.event_type, r.approval_id, r.payload::text as payload, a.said::text as said, format('"audit_id":"%s"', r.audit_id) as number
from answer as a join admin.audit as r on r.audit_id = (a.said #>> '{audit,audit_id}')::bigint where a.what = 'another resource';
set admin_ext.restoring = on;
insert into admin.audit (audit_id, event_type, approval_id, payload) overriding system value
select c.audit_id, o.event_type, o.approval_id, replace(c.payload, o.number, format('"audit_id":"%s"', c.audit_id))::json
from original as o, lateral (values (1000000, o.payload), (1000001, replace(o.payload, '"resource":"account 9"', '"resource":"account 7"')),
                                    (1000002, o.said)) as c(audit_id, payload);
reset admin_ext.restoring;
select admin.replay_check(1000000) -> 'equal' as faithful, admin.replay_check(1000001) -> 'equal' as edited, admin.replay_check(1000002) -> 'equal' as without_request,
       admin.replay_check(1000002) ? 'request' as has_request;
select precedence, detail from admin.explain_replay(1000002) where precedence in (5, 6);

-- An answer from before a signature, given again after another check has seen the signature: no change in flight explains it.
select admin.issue_approval('payout', '{finance}', '2040-01-01', null, 'APP-000003-asked', 'ann') ->> 'state' as issued;
create temp table pair (n serial, said json);
insert into pair (said) values (admin.sensitive_check('APP-000003-asked'));
select admin.sign_approval('APP-000003-asked', 'finance', 'bob') ->> 'state' as signed;
insert into pair (said) values (admin.sensitive_check('APP-000003-asked'));
select said ->> 'decision' as decision from pair order by n;
set admin_ext.restoring = on;
insert into admin.audit (audit_id, event_type, approval_id, payload) overriding system value
select 2000000, r.event_type, r.approval_id,
       regexp_replace(replace(r.payload::text, format('"audit_id":"%s"', r.audit_id), '"audit_id":"2000000"'), '"evaluated_at":"[^"]*"', '"evaluated_at":"2039-01-01T00:00:00.000000Z"')::json
from pair as a join admin.audit as r on r.audit_id = (a.said #>> '{audit,audit_id}')::bigint where a.n = 1;
reset admin_ext.restoring;
select admin.replay_check(2000000) -> 'equal' as seen;
-- Without that other check the signature may have been in flight.
select admin.replay_check((said #>> '{audit,audit_id}')::bigint) -> 'equal' as equal from pair order by n;

-- A preview writes nothing, so it says nothing of the request.
select admin.sensitive_check_preview('APP-000001-asked', 'payout')::jsonb ? 'request' as has_request;
drop extension admin_ext;
