-- The README's lines of SQL: test/doc/readme_page.py compares what is printed here with the page.
set client_min_messages = error;
create extension admin_ext;
reset client_min_messages;
set admin_ext.require_verified_jwt = off;     -- to try it; people sign with tokens
select admin.issue_approval('payout', '{finance,legal}', now() + interval '1 day', 'account 7', 'APP-000001-a', 'ann') ->> 'state' as state;
select admin.sign_approval('APP-000001-a', 'finance', 'bob') ->> 'state' as state;
select c ->> 'decision' as decision, c ->> 'reason' as reason from admin.sensitive_check('APP-000001-a', 'payout', 'account 7', 'FF') as c;
select admin.sign_approval('APP-000001-a', 'legal', 'eve') ->> 'state' as state;
select c ->> 'decision' as decision, c ->> 'reason' as reason from admin.sensitive_check('APP-000001-a', 'payout', 'account 7', 'FF') as c;
select event_type, actor from admin.audit where approval_id = 'APP-000001-a' order by audit_id;
update admin.audit set actor = 'ann';         -- as superuser
drop extension admin_ext;
