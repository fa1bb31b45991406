-- ---------------------------------------------------------------------------
-- Privileges: PUBLIC can do nothing; four kinds of access.
-- ---------------------------------------------------------------------------

create function admin.grant_access(role regrole, access text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Which functions each access may call, by name, as far as this version has them.
    functions text[] := case access
        when 'checker' then array['sensitive_check', 'sensitive_check_shadow', 'sensitive_check_preview', 'audit_ingest', 'jwt_verify', 'jws_verify']
        when 'signer' then array['issue_approval', 'sign_approval', 'withdraw_approval', 'approval_digest', 'jwt_verify', 'jws_verify']
        when 'auditor' then array['sensitive_check_preview', 'explain_check', 'replay_check', 'explain_replay', 'verify_approval', 'ttl_state',
                                  'approval_digest', 'jws_verify', 'audit_partitions', 'is_delivered', 'enabled_sinks',
                                  'sink_newest_position', 'worker_status_rows', 'batch_latency_rows', 'sweep_status_row', 'cutover_readiness_rows',
                                  'sink_places', 'readiness_items', 'check_latency_row']
        when 'operator' then array['sensitive_check', 'sensitive_check_shadow', 'sensitive_check_preview', 'explain_check', 'replay_check', 'explain_replay', 'verify_approval',
                                   'ttl_state', 'approval_digest', 'audit_partitions', 'is_delivered',
                                   'enabled_sinks', 'sink_newest_position', 'worker_status_rows', 'batch_latency_rows', 'sweep_status_row', 'cutover_readiness_rows',
                                   'sink_places', 'readiness_items', 'check_latency_row',
                                   'audit_ingest', 'sweep_expired', 'schedule_sweep', 'unschedule_sweep', 'cron_is_here', 'warn_without_cron', 'check_cron_usage',
                                   'sweep_job_name', 'sweep_command', 'import_approvals', 'catch_up_approvals', 'import_as_caller', 'import_as_owner', 'attach_audit', 'detach_audit', 'check_attachable', 'audit_row_change',
                                   'create_audit_partitions', 'drop_audit_partitions', 'resync_sink',
                                   'retry_dead_letter', 'record_parity_run', 'settle_shadow_difference', 'revoke_jwt_key', 'jwt_verify', 'jws_verify']
    end;
    relation regclass;
    function regprocedure;
begin
    if access is null or functions is null then
        raise exception 'access "%" is unknown', coalesce(left(access, 64), 'null')
            using errcode = '22023', detail = 'One of checker, signer, auditor, operator can be granted.';
    end if;
    if role is null or not exists (select from pg_roles as r where r.oid = role) then
        raise exception 'role "%" does not exist', coalesce(role::text, 'null')
            using errcode = '22023', hint = 'Access is granted to an existing role.';
    end if;
    execute format('grant usage on schema admin to %s', role);
    for function in
        select p.oid from pg_proc as p
        where p.pronamespace = 'admin'::regnamespace and p.proname = any (functions)
    loop
        execute format('grant execute on function %s to %s', function, role);
    end loop;
    if access in ('auditor', 'operator') then
        for relation in
            select c.oid from pg_class as c
            where c.relnamespace = 'admin'::regnamespace and c.relkind in ('r', 'p', 'v')
        loop
            execute format('grant select on table %s to %s', relation, role);
        end loop;
    end if;
end
$$;

comment on function admin.grant_access(regrole, text) is
'Gives a role one kind of access: checker (the check, its preview, and the ingest of events), signer (issue, sign, withdraw), auditor (read everything, explain, replay), operator (what checkers and auditors may, and operations: partitions, sinks, the sweep, keys to revoke). None has write rights on a table. Raises 22023 for another kind.';

revoke all on all tables in schema admin from public;
revoke all on all functions in schema admin from public;
revoke all on all functions in schema admin_internal from public;
