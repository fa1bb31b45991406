-- Who may do what, by the catalog: PUBLIC nothing, seven kinds of access, none of them writes a table.
begin;
create extension pgtap;
set local client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions();
create role tap_none; create role tap_checker; create role tap_signer; create role tap_auditor; create role tap_operator;
create role tap_monitor; create role tap_archiver; create role tap_policy;
select admin.grant_access('tap_checker', 'checker'), admin.grant_access('tap_signer', 'signer'),
       admin.grant_access('tap_auditor', 'auditor'), admin.grant_access('tap_operator', 'operator'),
       admin.grant_access('tap_monitor', 'monitor'), admin.grant_access('tap_archiver', 'archiver'), admin.grant_access('tap_policy', 'policy');
select no_plan();

-- Functions of the interface.
create temp table interface (name text);
insert into interface values ('ttl_state'), ('approval_digest'), ('sensitive_check'), ('sensitive_check_preview'), ('explain_check'),
    ('import_approvals'), ('catch_up_approvals'), ('attach_audit'), ('detach_audit'), ('create_audit_partitions'), ('drop_audit_partitions'),
    ('resync_sink'), ('resync_proposal'), ('renew_store'), ('retry_dead_letter'), ('grant_access'), ('revoke_access'), ('issue_approval'), ('sign_approval'), ('withdraw_approval'),
    ('jwt_verify'), ('jws_verify'), ('add_jwt_issuer'), ('set_jwt_one_use'), ('set_jwt_issuer_max_life'), ('import_jwks'), ('revoke_jwt_key'),
    ('sensitive_check_shadow'), ('record_parity_run'), ('settle_shadow_difference'), ('settle_shadow_differences'), ('close_ingest_gaps'),
    ('replay_check'), ('explain_replay'), ('verify_approval'), ('audit_ingest'), ('sweep_expired'), ('schedule_sweep'), ('unschedule_sweep'),
    ('set_action_policy'), ('drop_action_policy'), ('record_receipt');
select set_eq(format('select proname::text from pg_proc join interface on name = proname
                      where pronamespace = ''admin''::regnamespace and has_function_privilege(%L, pg_proc.oid, ''execute'')', role),
              functions, role || ' may call the functions of its access, and no others')
from (values
    ('tap_none', '{}'::text[]), ('tap_monitor', '{}'), ('tap_archiver', '{record_receipt}'),
    ('tap_policy', '{set_action_policy, drop_action_policy}'),
    ('tap_checker', '{sensitive_check, sensitive_check_shadow, sensitive_check_preview, audit_ingest, jwt_verify, jws_verify}'),
    ('tap_signer', '{approval_digest, issue_approval, sign_approval, withdraw_approval, jwt_verify, jws_verify}'),
    ('tap_auditor', '{ttl_state, approval_digest, sensitive_check_preview, explain_check, replay_check, explain_replay, verify_approval, jws_verify, resync_proposal}'),
    ('tap_operator', '{ttl_state, approval_digest, sensitive_check, sensitive_check_preview, explain_check, import_approvals, catch_up_approvals, attach_audit,
                       detach_audit, create_audit_partitions, drop_audit_partitions, resync_sink, resync_proposal, retry_dead_letter,
                       replay_check, explain_replay, verify_approval, revoke_jwt_key, jwt_verify, jws_verify,
                       audit_ingest, sweep_expired, schedule_sweep, unschedule_sweep,
                       sensitive_check_shadow, record_parity_run, settle_shadow_difference, settle_shadow_differences, close_ingest_gaps}')
) as r(role, functions);

select is(array(select format('%s: %s on %s', role, privilege, oid::regclass)
                from pg_class, unnest(array['insert', 'update', 'delete', 'truncate', 'references', 'trigger']) as privilege
                where relnamespace = 'admin'::regnamespace and relkind in ('r', 'p', 'v') and has_table_privilege(role, oid, privilege)),
          '{}', role || ' has no write rights on a table')
from unnest(array['tap_none', 'tap_checker', 'tap_signer', 'tap_auditor', 'tap_operator', 'tap_monitor', 'tap_archiver', 'tap_policy']) as role;
select is(array(select oid::regclass::text from pg_class
                where relnamespace = 'admin'::regnamespace and relkind = 'S'
                  and (has_sequence_privilege(role, oid, 'usage') or has_sequence_privilege(role, oid, 'update'))),
          '{}', role || ' may use no sequence')
from unnest(array['tap_none', 'tap_checker', 'tap_signer', 'tap_auditor', 'tap_operator', 'tap_monitor', 'tap_archiver', 'tap_policy']) as role;
select is(bool_or(has_table_privilege(role, oid, 'select')), false, role || ' reads no table')
from pg_class, unnest(array['tap_none', 'tap_checker', 'tap_signer', 'tap_archiver']) as role
where relnamespace = 'admin'::regnamespace and relkind in ('r', 'p', 'v') group by role;
select is(bool_and(has_table_privilege(role, oid, 'select')), true, role || ' reads every table and view')
from pg_class, unnest(array['tap_auditor', 'tap_operator']) as role
where relnamespace = 'admin'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition group by role;
select set_eq($$select relname::text from pg_class where relnamespace = 'admin'::regnamespace and relkind in ('r', 'p', 'v') and has_table_privilege('tap_monitor', oid, 'select')$$,
              array['worker_status', 'batch_latency', 'check_latency', 'sweep_status', 'archive_status'], 'tap_monitor reads status and counters alone');
select is(array(select role from unnest(array['tap_none', 'tap_checker', 'tap_signer', 'tap_auditor', 'tap_operator', 'tap_monitor', 'tap_archiver', 'tap_policy']) as role
                where has_schema_privilege(role, 'admin_internal', 'usage')),
          '{tap_operator}', 'operators alone may use the schema admin_internal');
select is(array(select format('%s: %s', role, c.oid::regclass)
                from pg_class as c, unnest(array['tap_none', 'tap_checker', 'tap_signer', 'tap_auditor', 'tap_operator', 'tap_monitor', 'tap_archiver', 'tap_policy']) as role
                where c.relnamespace = 'admin_internal'::regnamespace and c.relkind in ('r', 'p', 'v')
                  and has_table_privilege(role, c.oid, 'select, insert, update, delete, truncate')),
          '{}', 'no access reads or writes a table of admin_internal');
-- Views and functions that run with their caller's rights call helpers, too.
select set_eq(format('select proname::text from pg_proc where pronamespace = ''admin_internal''::regnamespace and has_function_privilege(%L, oid, ''execute'')', role),
              functions, role || ' may call of admin_internal what it needs')
from (values
    ('tap_none', '{}'::text[]), ('tap_checker', '{}'), ('tap_signer', '{}'), ('tap_archiver', '{}'), ('tap_policy', '{}'),
    ('tap_monitor', '{worker_status_rows, batch_latency_rows, check_latency_row, sweep_status_row, archive_status_rows, sink_backlog_row}'),
    ('tap_auditor', '{worker_status_rows, batch_latency_rows, check_latency_row, sweep_status_row, archive_status_rows, sink_backlog_row,
                      is_delivered, is_skipped, is_archived, enabled_sinks, sink_newest_position, sink_archived, cutover_readiness_rows, readiness_items}'),
    ('tap_operator', '{worker_status_rows, batch_latency_rows, check_latency_row, sweep_status_row, archive_status_rows, sink_backlog_row,
                       is_delivered, is_skipped, is_archived, enabled_sinks, sink_newest_position, sink_archived, cutover_readiness_rows, readiness_items,
                       cron_is_here, warn_without_cron, check_cron_usage, sweep_job_name, sweep_command, check_attachable, import_as_caller, import_as_owner}')
) as r(role, functions);
select is(array(select f::text from admin_internal.foreign_privileges() as f where f.object not like 'role %'), '{}', 'every privilege is one that grant_access gave');
select is(has_schema_privilege('tap_none', 'admin', 'usage'), false, 'PUBLIC has no usage of the schema');
select is(array(select oid::regprocedure::text from pg_proc where pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and has_function_privilege('tap_none', oid, 'execute')),
          '{}', 'PUBLIC may call nothing');

-- Nothing runs with a search_path that a caller could bend.
select is(array(select oid::regprocedure::text from pg_proc
                where pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace)
                  and (prosecdef or prolang in (select oid from pg_language where lanname in ('plpgsql', 'sql')))
                  and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)
                  and prosqlbody is null),
          '{}', 'every function pins its search_path');
select is(array(select oid::regprocedure::text from pg_proc where pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace)
                and prosecdef and not coalesce('search_path=pg_catalog, pg_temp' = any (proconfig), false)),
          '{}', 'every SECURITY DEFINER function pins its search_path');
select * from finish();
rollback;
