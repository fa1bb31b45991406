-- Numbers of the trail go up, whatever somebody does to the sequence.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as made;
select count(*) from (select admin.sensitive_check('APP-000001-n') from generate_series(1, 10)) as c;
create view public.readiness as
select p from admin_internal.number_problems() as p;

-- setval() of a superuser leaves an event, and the sequence is moved on.
select setval('admin.audit_audit_id_seq', 3);
do $$ begin perform setval('admin.audit_audit_id_seq', 4, false); end $$;
begin;
select setval('admin.audit_audit_id_seq', 5);
rollback;
-- What was rolled back stays: setval() is no part of a transaction.  The next row mends it.
select admin.sensitive_check('APP-000001-n') ->> 'reason' as reason;
select setval('admin.audit_audit_id_seq', 9000000);
alter sequence admin.audit_audit_id_seq restart;
select audit_id, payload ->> 'command' as command, payload ->> 'found' as found, payload ->> 'moved_to' as moved_to, actor = session_user as by_me
from admin.audit where event_type = 'guard.changed' order by audit_id;
select * from public.readiness;
-- The event of a sequence that was moved comes, though the transaction is rolled back.
begin;
select setval('admin.audit_audit_id_seq', 20000000);
rollback;
select admin.sensitive_check('APP-000001-n') ->> 'reason' as reason;
begin;
select setval('admin.audit_audit_id_seq', 40000000);
select admin.sensitive_check('APP-000001-n') ->> 'reason' as reason;
rollback;
begin;
select setval('admin.audit_audit_id_seq', 60000000);
prepare transaction 'regress_numbers';
rollback prepared 'regress_numbers';
begin;
select setval('admin.audit_audit_id_seq', 5);
select admin.sensitive_check('APP-000001-n') ->> 'reason' as reason;
rollback;
select true as written;
select audit_id, payload ->> 'found' as found, payload ->> 'moved_to' as moved_to
from admin.audit where event_type = 'guard.changed' and audit_id > 10000000 order by audit_id;
-- A sequence that counts down gives no number that is new.
alter sequence admin.audit_audit_id_seq increment by -1;
select count(distinct audit_id) = count(*) as are_distinct from admin.audit;
-- setval() of another sequence is no event of the trail.
create sequence public.other;
select setval('public.other', 100), setval('public.other', 1);
select count(*) from admin.audit where payload ->> 'object' like '%other%';
-- The last number is near: readiness says so before checks fail.
select setval('admin.audit_audit_id_seq', 9223372036854775000);
select * from public.readiness;
-- Sequences of other tables that are behind are named.
set admin_ext.require_verified_jwt = off;
select admin.issue_approval('pay', '{r,s}', now() + interval '1 day', null, 'APP-000001-n', 'ann') ->> 'state' as state;
select admin.sign_approval('APP-000001-n', 'r', 'bob') ->> 'state' as state;
select setval('admin.signature_signature_id_seq', 1, false);
select p from public.readiness where p like '%signature%';
select fault from admin.restore_guards();
select admin.sign_approval('APP-000001-n', 's', 'eve') ->> 'state' as state;
-- After DROP EXTENSION another sequence begins with 1.
drop view public.readiness;
drop sequence public.other;
drop extension admin_ext_cutover;
drop extension admin_ext;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as made;
select admin.sensitive_check('APP-000001-n') -> 'audit' ->> 'audit_id' as audit_id;
drop extension admin_ext_cutover;
drop extension admin_ext;
