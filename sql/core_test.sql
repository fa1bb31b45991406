-- Fixtures decide as they say, the guard holds, the trail is append-only.
\set VERBOSITY terse
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
set client_min_messages = warning;
\set doc `cat fixtures/approval_examples.json`
select admin.import_approvals(:'doc');
select admin.import_approvals(:'doc');
select j ->> 'fixture' as fixture, c ->> 'decision' as decision, c ->> 'reason' as reason, c ->> 'ttl_state' as ttl,
       (select bool_and(e.v = coalesce(c -> e.k, c -> 'meta' -> e.k)) from jsonb_each(j -> 'expected') as e(k, v)) as as_expected
from jsonb_array_elements(:'doc') as j, lateral (select admin.sensitive_check(j ->> 'approval_id')::jsonb as c) as x;
-- every answer has its row, byte for byte
select count(*) as checks, bool_and(payload #>> '{audit,audit_id}' = audit_id::text) as rows_match from admin.audit where event_type = 'sensitive.check.2b';
select admin.sensitive_check_preview('APP-100003-partial', at => '2026-01-01 00:00:00.000001+00')::text;
select admin.sensitive_check_preview(id) ->> 'reason' from unnest(array[null, '', 'app-100001-abcd', 'APP-100001-abcd' || E'\n', 'APP-100001-é', 'APP-100001-' || repeat('a', 54)]) as id;
select admin.ttl_state('signed_full', null, d, d + i) from (values (timestamptz '2026-01-01')) as t(d),
  unnest(array[interval '-1 us', '0', '24 hours', '24 hours 1 us']) as i;
-- each digest is the SHA-256 of the approval's fields, each after its length
create function pg_temp.field(value text) returns bytea language sql
return coalesce(int4send(octet_length(value)) || convert_to(value, 'UTF8'), '\xffffffff');
select count(*) as approvals, bool_and(admin.approval_digest(a.approval_id) = sha256(
    pg_temp.field(a.approval_id) || pg_temp.field(a.action) || pg_temp.field(a.resource) || int4send(cardinality(a.required_roles))
    || (select string_agg(pg_temp.field(r), '' order by n) from unnest(a.required_roles) with ordinality as u(r, n)) || pg_temp.field(a.requested_by)
    || pg_temp.field(to_char(a.sla_deadline at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))) as digests_fit
from admin.approval as a;
-- the guard, with session_replication_role either way
set session_replication_role = replica;
update admin.approval set state = 'signed_full' where approval_id = 'APP-100003-partial';
update admin.approval set action = 'x' where approval_id = 'APP-100003-partial';
update admin.approval set closed_at = now() where approval_id = 'APP-100005-withdrawn';
delete from admin.approval;
delete from admin.signature;
truncate admin.audit;
truncate admin.audit_default;
update admin.audit set actor = 'x';
insert into admin.audit (event_type, payload, xid) values ('x', '{}', '5');
reset session_replication_role;
insert into admin.signature (approval_id, signer_role, signer) values ('APP-100003-partial', 'legal_gate', 'requester@example.com');
insert into admin.signature (approval_id, signer_role, signer) values ('APP-100003-partial', 'other', 'x');
insert into admin.signature (approval_id, signer_role, signer) values ('APP-100005-withdrawn', 'product_owner', 'x');
insert into admin.signature (approval_id, signer_role, signer) values ('APP-999999-none', 'product_owner', 'x');
insert into admin.signature (approval_id, signer_role, signer) values ('APP-100003-partial', 'legal_gate', 'lee');
select event_type, actor from admin.audit where approval_id = 'APP-100003-partial' order by audit_id desc limit 2;
-- an update that changes nothing leaves no row
update admin.approval set action = action where approval_id = 'APP-100003-partial';
select event_type as newest from admin.audit where approval_id = 'APP-100003-partial' order by audit_id desc limit 1;
-- read-only
begin read only;
select admin.sensitive_check('APP-100001-abcd');
rollback;
-- partitions, import errors, access
select admin.create_audit_partitions(), admin.create_audit_partitions();
select count(*) from admin.audit_default;
select admin.import_approvals('[1, {"approval_id": "x"}]');
select admin.import_approvals('{}');
create role regress_checker;
select admin.grant_access('regress_checker', 'checker');
set role regress_checker;
select admin.sensitive_check('APP-100001-abcd') ->> 'decision' as decision;
select count(*) from admin.approval;
reset role;
drop owned by regress_checker;
drop role regress_checker;
drop extension admin_ext_cutover;
drop extension admin_ext;
