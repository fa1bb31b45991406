-- A superuser's attempts to bend the guard and the trail: the SQLSTATE of each, with
-- session_replication_role set either way.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
create function pg_temp.attempt(command text) returns text language plpgsql as $$
begin
    execute command;
    raise exception using errcode = 'P0000', message = 'went through';
exception when others then
    return case when sqlstate = 'P0000' then 'WENT THROUGH' else sqlstate end;
end $$;
select admin.create_audit_partitions();
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
values ('APP-000001-p', 'pay', null, '{a,b}', 2, 'boss', '2030-01-01'),
       ('APP-000002-s', 'pay', 'r', '{a,b}', 2, 'boss', '2030-01-01'),
       ('APP-000003-f', 'pay', 'r', '{a}', 1, 'boss', '2030-01-01'),
       ('APP-000004-w', 'pay', 'r', '{a}', 1, 'boss', '2030-01-01');
insert into admin.signature (approval_id, signer_role, signer) values ('APP-000002-s', 'a', 'ann'), ('APP-000003-f', 'a', 'ann');
update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss' where approval_id = 'APP-000004-w';
create temp table attempts (n int generated always as identity, expected text, command text);
insert into attempts (expected, command) values
('55000', $$update admin.approval set state = 'signed_full' where approval_id = 'APP-000001-p'$$),
('55000', $$update admin.approval set state = 'signed_partial' where approval_id = 'APP-000001-p'$$),
('55000', $$update admin.approval set state = 'signed_full' where approval_id = 'APP-000002-s'$$),
('55000', $$update admin.approval set state = 'pending' where approval_id = 'APP-000002-s'$$),
('55000', $$update admin.approval set state = 'signed_partial' where approval_id = 'APP-000003-f'$$),
('55000', $$update admin.approval set state = 'pending', closed_at = null where approval_id = 'APP-000004-w' and false or approval_id = 'APP-000003-f'$$),
('23001', $$update admin.approval set state = 'pending', closed_at = null where approval_id = 'APP-000004-w'$$),
('23001', $$update admin.approval set closed_at = closed_at + interval '1 us' where approval_id = 'APP-000004-w'$$),
('55000', $$update admin.approval set close_reason = 'changed my mind' where approval_id = 'APP-000004-w'$$),
('55000', $$update admin.approval set sla_deadline = '2040-01-01' where approval_id = 'APP-000004-w'$$),
('23514', $$update admin.approval set state = 'withdrawn' where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set closed_at = now() where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set state = 'approved' where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set state = '' where approval_id = 'APP-000001-p'$$),
('23502', $$update admin.approval set state = null where approval_id = 'APP-000001-p'$$),
('23001', $$update admin.approval set action = 'else' where approval_id = 'APP-000002-s'$$),
('23001', $$update admin.approval set resource = null where approval_id = 'APP-000002-s'$$),
('23001', $$update admin.approval set required_roles = '{b,a}' where approval_id = 'APP-000002-s'$$),
('23001', $$update admin.approval set required_roles = '{a}', required_signer_count = 1 where approval_id = 'APP-000002-s'$$),
('23001', $$update admin.approval set requested_by = 'x' where approval_id = 'APP-000002-s'$$),
('23001', $$update admin.approval set sla_deadline = sla_deadline + interval '1 us' where approval_id = 'APP-000002-s'$$),
('23001', $$update admin.approval set approval_id = 'APP-000009-z' where approval_id = 'APP-000001-p'$$),
('23001', $$update admin.approval set created_at = '2020-01-01' where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set sla_deadline = 'infinity' where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set required_roles = '{a,a}' where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set required_roles = '{a,""}' where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set required_roles = '{a,null}' where approval_id = 'APP-000001-p'$$),
('23514', $$update admin.approval set required_signer_count = 1 where approval_id = 'APP-000001-p'$$),
('23001', $$delete from admin.approval where approval_id = 'APP-000001-p'$$),
('23001', $$truncate admin.approval, admin.signature$$),
('23001', $$truncate admin.approval cascade$$),
('23001', $$delete from admin.signature$$),
('23001', $$update admin.signature set comment = 'x'$$),
('23001', $$update admin.signature set signer = 'x'$$),
('23001', $$truncate admin.signature$$),
('23505', $$insert into admin.signature (approval_id, signer_role, signer) values ('APP-000002-s', 'a', 'bob')$$),
('23505', $$insert into admin.signature (approval_id, signer_role, signer) values ('APP-000002-s', 'b', 'ann')$$),
('42501', $$insert into admin.signature (approval_id, signer_role, signer) values ('APP-000002-s', 'b', 'boss')$$),
('22023', $$insert into admin.signature (approval_id, signer_role, signer) values ('APP-000002-s', 'c', 'bob')$$),
('55000', $$insert into admin.signature (approval_id, signer_role, signer) values ('APP-000004-w', 'a', 'bob')$$),
('P0002', $$insert into admin.signature (approval_id, signer_role, signer) values ('APP-000099-x', 'a', 'bob')$$),
('22023', $$insert into admin.signature (approval_id, signer_role, signer, approval_digest) values ('APP-000002-s', 'b', 'bob', decode(repeat('ab', 32), 'hex'))$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-1-x', 'a', '{a}', 1, 'b', now())$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('app-000001-x', 'a', '{a}', 1, 'b', now())$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values (E'APP-000008-x\n', 'a', '{a}', 1, 'b', now())$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000008-' || repeat('x', 60), 'a', '{a}', 1, 'b', now())$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000008-x', 'a', '{}', 0, 'b', now())$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000008-x', 'a', '{1,2,3,4,5,6,7,8,9}', 9, 'b', now())$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000008-x', 'a', '{{a},{b}}', 2, 'b', now())$$),
('23514', $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000008-x', 'a', '{a}', 1, 'b', '-infinity')$$),
('23001', $$update admin.audit set payload = '{}'$$),
('23001', $$update admin.audit set recorded_at = now()$$),
('23001', $$delete from admin.audit$$),
('23001', $$delete from admin.audit_default$$),
('23001', $$truncate admin.audit$$),
('23001', $$truncate admin.audit_default$$),
('23001', $$do 'begin execute format(''truncate admin.%I'', (select relname from pg_class where oid = (select max(partition) from admin.audit_partitions() where not is_default))); end'$$),
('23001', $$insert into admin.audit (event_type, payload, xid) values ('x', '{}', '3')$$),
('23001', $$insert into admin.audit (event_type, payload, xid) values ('x', '{}', '99999999999')$$),
('428C9', $$insert into admin.audit (audit_id, event_type, payload) values (1, 'x', '{}')$$),
('23001', $$insert into admin.approval as a select * from admin.approval where approval_id = 'APP-000002-s' on conflict (approval_id) do update set action = 'evil'$$),
('42501', $$select admin.approval_digest(null); set local role pg_monitor; select * from admin.approval$$);
select n, expected, pg_temp.attempt(command) as got, left(command, 90) as command from attempts
where pg_temp.attempt(command) <> expected order by n;
set session_replication_role = replica;
select n, expected, pg_temp.attempt(command) as got, left(command, 90) as command from attempts
where pg_temp.attempt(command) <> expected and expected not in ('P0002') order by n;
set session_replication_role = local;
select count(*) as attempts, count(*) filter (where pg_temp.attempt(command) = 'WENT THROUGH') as went_through from attempts;
reset session_replication_role;
-- nothing of it all has left a trace
select state, count(*) from admin.approval group by 1 order by 1;
select event_type, count(*) from admin.audit group by 1 order by 1;
-- what is legal still is
update admin.approval set action = 'pay more', required_roles = '{c}', required_signer_count = 1 where approval_id = 'APP-000001-p';
insert into admin.signature (approval_id, signer_role, signer) values ('APP-000001-p', 'c', 'cid');
update admin.approval set state = 'withdrawn', closed_at = clock_timestamp() where approval_id = 'APP-000001-p';
select event_type, payload ->> 'op' as op, payload #> '{changed,state}' as state from admin.audit where approval_id = 'APP-000001-p' order by audit_id;
-- a forged state is accepted, audited, and counts for nothing
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline, state)
values ('APP-000007-x', 'pay', '{a}', 1, 'boss', '2030-01-01', 'signed_full');
select admin.sensitive_check('APP-000007-x') ->> 'reason';
-- A row by hand names whom it likes; the event says whose hand it was.
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
values ('APP-000009-hand', 'pay', '{r}', 1, 'ann', '2040-01-01');
insert into admin.signature (approval_id, signer_role, signer) values ('APP-000009-hand', 'r', 'bob');
select a.event_type, a.actor, a.payload ->> 'by' = session_user as by_me, a.payload -> 'verified' as verified from admin.audit as a where a.approval_id = 'APP-000009-hand' order by audit_id;
drop extension admin_ext;
