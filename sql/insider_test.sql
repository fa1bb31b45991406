-- What a superuser does by hand, and what the trail says of it.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
-- The events since the last look, without what differs from run to run.
create table public.looked (audit_id bigint);
insert into public.looked values (0);
create function public.look(out event_type text, out payload json) returns setof record language plpgsql as $$
begin
    return query select a.event_type, a.payload from admin.audit as a
                 where a.audit_id > (select max(l.audit_id) from public.looked as l) and a.actor = session_user order by a.audit_id;
    insert into public.looked select coalesce(max(a.audit_id), 0) from admin.audit as a;
end
$$;

-- INSERT by hand is refused, in the trail, in a partition of it, and in what belongs to it.
select admin.create_audit_partitions(0) > 0 as made;
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.issued', 'APP-000001-x', 'ann', '{}');
select format('admin.%I', relname) as month from pg_class where relnamespace = 'admin'::regnamespace and relname ~ '^audit_y.*[0-9]$' and relkind = 'r' \gset
insert into :month (audit_id, recorded_at, event_type, payload) overriding system value select 1, now(), 'approval.issued', '{}';
insert into admin.audit_default (audit_id, event_type, payload) overriding system value values (1, 'x', '{}');
insert into admin.audit_attributes values (1, '{}');
select admin_internal.append_event('signature.added', '{}');
select * from public.look();

-- Rows that are loaded have no trail of their own: the store is marked, and the trail says what was loaded.
select adopted_at is not null as adopted from admin.store;
set admin_ext.restoring = on;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, state, sla_deadline)
select format('APP-00000%s-forged', n), 'pay', '{r}', 1, 'req', 'signed_full', '2040-01-01' from generate_series(1, 2) as n;
select adopted_at is not null as adopted from admin.store;
select * from public.look();
insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-000001-forged', 'r', 'ann', admin.approval_digest('APP-000001-forged'));
-- A savepoint that is rolled back takes its count with it.
begin;
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.issued', 'APP-000001-forged', 'req', '{}');
savepoint a;
insert into admin.audit (event_type, approval_id, actor, payload) values ('approval.issued', 'APP-000002-forged', 'req', '{}');
rollback to a;
insert into admin.jwt_issuer (issuer, audience) values ('https://forged', 'us');
insert into admin.jwt_used (issuer, token_id, expires_at) values ('https://forged', 't', now());
insert into admin.ingest_source (source) values ('/forged');
insert into admin.dead_letter (sink, audit_id, error) values ('ndjson', 1, 'x');
commit;
reset admin_ext.restoring;
select * from public.look();
-- Numbers of the events are above those that were loaded.
set admin_ext.restoring = on;
insert into admin.audit (audit_id, event_type, payload) overriding system value values (1000000, 'loaded', '{}');
reset admin_ext.restoring;
select max(audit_id) > 1000000 as above from admin.audit;
select * from public.look();

-- A step that is taken meanwhile would leave no trail: it is refused.
begin;
set local admin_ext.restoring = on;
savepoint a;
select admin.issue_approval('pay', '{r}', now() + interval '1 day', requested_by => 'req');
rollback to a;
select admin.sign_approval('APP-000001-forged', 'r', 'bob');
rollback to a;
select admin.withdraw_approval('APP-000001-forged', 'x', 'req');
rollback to a;
select admin.import_approvals('[]');
rollback to a;
select admin.catch_up_approvals('[]');
rollback to a;
select admin.audit_ingest('[]');
rollback to a;
select admin.sweep_expired();
rollback;

-- What a session switches off for a moment only.
begin;
set local admin_ext.require_verified_jwt = off;
set local admin_ext.require_verified_jwt = on;
commit;
select set_config('admin_ext.restoring', 'on', true);
select set_config('admin_ext.require_verified_jwt', 'off', false);
reset admin_ext.require_verified_jwt;
select * from public.look();
-- Of a transaction that is rolled back nothing is left; one that cannot write hands it on.
begin;
set admin_ext.require_verified_jwt = off;
rollback;
begin read only;
set admin_ext.require_verified_jwt = off;
commit;
select * from public.look();
reset admin_ext.require_verified_jwt;
select * from public.look();

drop table public.looked;
drop function public.look();
drop extension admin_ext;
