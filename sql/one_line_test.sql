-- What names something is shown on one line: action, resource, roles and persons have no control characters.
\set SHOW_CONTEXT never
set client_min_messages = error;
create extension admin_ext;
set client_min_messages = warning;
select count(*) > 0 as has_months from admin.create_audit_partitions();
set admin_ext.require_verified_jwt = off;

-- Which texts have one.  In UTF8: C0, DEL, C1, the separators of lines and of paragraphs.
select string_agg(to_hex(code), ' ' order by code) as refused
from generate_series(1, 55295) as code where admin_internal.has_control_character('a' || chr(code) || 'b');
select admin_internal.has_control_character(text) as has from unnest(array['', 'a b', 'Zoë', '承認', E'a\u0300', E'\U0001f510', null, E'a\n', E'\na', E'\u2029']) with ordinality as t(text, n) order by n;

-- The functions.
select admin.issue_approval(E'pay\nall', '{r}', '2100-01-01', requested_by => 'boss');
select admin.issue_approval('pay', '{r}', '2100-01-01', E'account\u0085 7', requested_by => 'boss');
select admin.issue_approval('pay', '{r}', '2100-01-01', requested_by => E'bo\x1bss');
select admin.issue_approval('pay', array['a', E'r\u2028'], '2100-01-01', requested_by => 'boss');
select count(*) from admin.approval;
select admin.issue_approval('payer à vue', '{rôle}', '2100-01-01', 'compte №7', 'APP-000001-a', requested_by => 'Änne') ->> 'state' as state;
select admin.sign_approval('APP-000001-a', 'rôle', E'ann\t');
select admin.withdraw_approval('APP-000001-a', 'over', E'Änne\r');
-- A comment and a reason may have lines.
select admin.sign_approval('APP-000001-a', 'rôle', 'Zoë', E'read\nand signed') ->> 'state' as state;
select admin.withdraw_approval('APP-000001-a', E'one\ntwo', 'Änne') ->> 'state' as state;

-- Rows by hand.
create function pg_temp.insert_approval(id text, action text = 'pay', resource text = null, roles text[] = '{r}', requested_by text = 'boss') returns void language sql
as $$ insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
      values (id, action, resource, roles, cardinality(roles), requested_by, '2100-01-01') $$;
select pg_temp.insert_approval('APP-000002-b', action => E'pay\n');
select pg_temp.insert_approval('APP-000002-b', resource => E'\x7f');
select pg_temp.insert_approval('APP-000002-b', roles => array['r', E's\t']);
select pg_temp.insert_approval('APP-000002-b', requested_by => E'boss\u2029');
select pg_temp.insert_approval('APP-000002-b');
update admin.approval set action = E'pay\n' where approval_id = 'APP-000002-b';
update admin.approval set resource = E'\n' where approval_id = 'APP-000002-b';
update admin.approval set required_roles = array[E'r\n'] where approval_id = 'APP-000002-b';
update admin.approval set requested_by = E'boss\n' where approval_id = 'APP-000002-b';
update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = E'boss\n' where approval_id = 'APP-000002-b';
insert into admin.signature (approval_id, signer_role, signer) values ('APP-000002-b', 'r', E'ann\n');
select state, count(*) from admin.approval group by 1 order by 1;

-- A row that is there, from a dump say, can still be signed and withdrawn.
set admin_ext.restoring = on;
select pg_temp.insert_approval('APP-000003-c', E'pay\n', E'account\n7', array[E'r\n'], E'boss\n');
set admin_ext.restoring = off;
insert into admin.signature (approval_id, signer_role, signer) values ('APP-000003-c', E'r\n', 'ann');
update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss' where approval_id = 'APP-000003-c';
select state from admin.approval where approval_id = 'APP-000003-c';

drop extension admin_ext;
