-- Bad input: the error interface.md promises, or a deny; and nothing is lost.
\set VERBOSITY default
\set SHOW_CONTEXT never
set client_min_messages = error;
set intervalstyle = postgres;
create extension admin_ext;
create extension admin_ext_cutover;
set client_min_messages = warning;
select admin.sensitive_check_preview(id) ->> 'reason' as reason, left(id, 20) as id
from unnest(array[null, '', ' ', 'APP-000001-a ', 'app-000001-a', 'APP-00001-a', 'APP-000001-', 'APP-000001-A', 'APP-000001-ä', repeat('x', 65), repeat('APP-', 1000)]) as id;
select admin.sensitive_check(repeat('x', 65537));
select admin.sensitive_check('x', action => repeat('a', 5000));
select admin.sensitive_check('x', traceparent => repeat('a', 5000));
select admin.sensitive_check('x', token => 'abc');
select admin.sensitive_check_preview('x', at => 'infinity');
select admin.sensitive_check_preview('x', at => '-infinity');
select admin.import_approvals(null);
select admin.import_approvals('"x"');
select jsonb_pretty(admin.import_approvals('[null, 1, "x", [], {}, {"approval_id": 5},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": "x", "sla_deadline": "2030-01-01"},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": [1], "sla_deadline": "2030-01-01"},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "infinity"},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "no date"},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": ["x"]},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "2030-01-01", "state": "done"},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "2030-01-01", "state": "signed_full"},
 {"approval_id": "APP-000001-a", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "2030-01-01", "signatures": [{"signer_role": "x", "signer": "r"}]},
 {"approval_id": "bad id", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "2030-01-01"},
 {"approval_id": "APP-000002-b", "action": "a", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "2030-01-01"},
 {"approval_id": "APP-000002-b", "action": "other", "requested_by": "r", "required_roles": ["x"], "sla_deadline": "2030-01-01"}]'));
select count(*) from admin.approval;
select admin.create_audit_partitions(-1);
select admin.create_audit_partitions(null);
select admin.create_audit_partitions(1000000);
select admin.drop_audit_partitions('0');
select admin.drop_audit_partitions(null);
select admin.drop_audit_partitions('-1 year');
select admin.resync_sink('nowhere', 1);
select admin.resync_sink(null, 1);
select admin.resync_sink('ndjson', 0);
select admin.resync_sink('ndjson', null);
select admin.retry_dead_letter('ndjson', 4711);
select admin.retry_dead_letter('nowhere', 4711);
select admin.retry_dead_letter('nowhere', null);
select admin.retry_dead_letter(null, 1);
select admin.sink_backlog('nowhere');
select admin.sink_backlog(null);
select lag_rows > 0 as is_counted from admin_internal.sink_backlog_row('nowhere');
select admin.attach_audit('pg_class');
select admin.attach_audit('admin.approval');
select admin.grant_access('pg_monitor', 'god');
select admin.approval_digest('APP-000099-x') is null as no_digest;
-- the trail of a table of the user's
create table thing (id int primary key, note text);
select admin.attach_audit('thing');
insert into thing values (1, 'a'); update thing set note = 'b'; delete from thing; truncate thing;
select event_type, payload from admin.audit where event_type like 'row.%' order by audit_id;
select admin.detach_audit('thing');
drop table thing;
-- four kinds of access, and none
create role regress_checker; create role regress_signer; create role regress_auditor; create role regress_operator; create role regress_none;
select admin.grant_access('regress_checker', 'checker'), admin.grant_access('regress_signer', 'signer'),
       admin.grant_access('regress_auditor', 'auditor'), admin.grant_access('regress_operator', 'operator');
create function pg_temp.may(role text, command text) returns text language plpgsql as $$
begin
    execute format('set local role %I', role);
    execute command;
    execute 'reset role';
    return 'yes';
exception when insufficient_privilege then return 'no';
          when others then return 'yes, ' || sqlstate;
end $$;
\pset format unaligned
select command, string_agg(pg_temp.may(role, command), ' | ' order by n) as "none | checker | signer | auditor | operator"
from unnest(array[$$select admin.sensitive_check('x')$$, $$select admin.sensitive_check_preview('x')$$, $$select * from admin.explain_check('x')$$,
  $$select admin.approval_digest('APP-000002-b')$$, $$select * from admin.approval$$, $$select * from admin.audit$$, $$select * from admin.audit_delivery$$,
  $$select * from admin.worker_status$$, $$select * from admin.check_latency$$, $$select * from admin.approval_ttl_state$$, $$select * from admin.store$$,
  $$insert into admin.audit (event_type, payload) values ('x', '{}')$$,
  $$insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline) values ('APP-000003-b', 'a', '{a}', 1, 'b', now())$$,
  $$update admin.approval set state = state$$, $$insert into admin.signature (approval_id, signer_role, signer) values ('APP-000002-b', 'x', 'y')$$,
  $$insert into admin.sink_position (sink, position_id, store_id, tick_id) values ('x', 1, gen_random_uuid(), 0)$$, $$delete from admin.tick$$,
  $$select admin.import_approvals('[]')$$, $$select admin.create_audit_partitions()$$, $$select admin.drop_audit_partitions('8 years')$$,
  $$select admin.resync_sink('none', 1)$$, $$select admin.attach_audit('pg_class')$$, $$set admin_ext.restoring = on$$, $$select admin_internal.make_tick()$$,
  $$select admin.grant_access('regress_none', 'operator')$$, $$select nextval('admin.audit_audit_id_seq')$$]) with ordinality as c(command, o),
 unnest(array['regress_none', 'regress_checker', 'regress_signer', 'regress_auditor', 'regress_operator']) with ordinality as r(role, n)
group by o, command order by o;
\pset format aligned
drop owned by regress_checker, regress_signer, regress_auditor, regress_operator;
drop role regress_checker, regress_signer, regress_auditor, regress_operator, regress_none;
drop extension admin_ext_cutover;
drop extension admin_ext;
