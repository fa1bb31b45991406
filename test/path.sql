select admin.set_action_policy('payout', '{finance,legal}', '30 days', true);         -- who has to sign a payout is not the requester's choice
select admin.issue_approval('payout', '{finance,legal}', now() + interval '5 seconds', 'account 7', 'APP-000007-path', 'ann');
select admin.sign_approval('APP-000007-path', 'finance', 'bob');
select admin.sign_approval('APP-000007-path', 'legal', 'eve');
select admin.sensitive_check('APP-000007-path', 'payout', 'account 7', 'FF');      -- valid: FF pays, and ships what it did
select admin.audit_ingest('[{"specversion": "1.0", "id": "1", "source": "/ff/eu-1", "type": "ptt.ff.approval.consumed", "sequence": "1",
    "time": "2026-11-23T20:00:00Z", "subject": "APP-000007-path", "data": {"amount": 100}}]');
select pg_sleep_until(sla_deadline) from admin.approval where approval_id = 'APP-000007-path';
select admin.sensitive_check('APP-000007-path', 'payout', 'account 7', 'FF');      -- deny, approval_expired
select admin.sweep_expired();                                                      -- or wait for the worker, a minute at most
select audit_id, event_type, actor, source from admin.audit where approval_id = 'APP-000007-path' order by audit_id;
