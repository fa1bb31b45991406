-- What users see, held against the catalog: names, types, arguments, defaults, triggers, comments.
begin;
create extension pgtap;
set local client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
select no_plan();

select is(extversion, '1.0', 'admin_ext has version 1.0') from pg_extension where extname = 'admin_ext';
select ok(not extrelocatable and extnamespace = 'admin'::regnamespace, 'admin_ext is in schema admin, and not relocatable')
from pg_extension where extname = 'admin_ext';
select ok(superuser and not trusted, 'superusers alone may install admin_ext') from pg_available_extension_versions where name = 'admin_ext';
select ok(not e.extrelocatable and e.extnamespace = 'admin'::regnamespace and v.superuser and not v.trusted and v.requires = '{admin_ext}',
          'admin_ext_cutover is in schema admin, for superusers alone, and requires admin_ext')
from pg_extension as e join pg_available_extension_versions as v on v.name = e.extname and v.version = e.extversion where e.extname = 'admin_ext_cutover';
select set_eq($$select coalesce(p.proname, c.relname)::text
                from pg_depend as d join pg_extension as e on e.oid = d.refobjid
                left join pg_proc as p on d.classid = 'pg_proc'::regclass and p.oid = d.objid and p.pronamespace = 'admin'::regnamespace
                left join pg_class as c on d.classid = 'pg_class'::regclass and c.oid = d.objid and c.relnamespace = 'admin'::regnamespace and c.relkind <> 'S'
                where d.refclassid = 'pg_extension'::regclass and d.deptype = 'e' and e.extname = 'admin_ext_cutover' and coalesce(p.oid, c.oid) is not null$$,
              array['import_approvals', 'catch_up_approvals', 'sensitive_check_shadow', 'settle_shadow_difference', 'settle_shadow_differences', 'record_parity_run',
                    'cutover_readiness', 'import_run', 'parity_run', 'shadow_check', 'shadow_settled', 'shadow_difference'],
              'what the schema admin has of admin_ext_cutover');
select set_eq($$select proname::text from pg_proc where pronamespace = 'admin'::regnamespace and prorettype <> 'trigger'::regtype$$,
              array[
                    'add_jwt_issuer', 'approval_digest', 'attach_audit', 'audit_ingest',
                    'audit_partitions', 'catch_up_approvals', 'close_ingest_gaps',
                    'create_audit_partitions', 'delivery_chain', 'detach_audit',
                    'drop_action_policy', 'drop_audit_partitions', 'explain_check',
                    'explain_replay', 'grant_access', 'import_approvals', 'import_jwks',
                    'issue_approval', 'jws_verify', 'jwt_verify',
                    'record_parity_run', 'record_receipt', 'renew_store', 'replay_check',
                    'restore_guards', 'resync_proposal', 'resync_sink', 'retry_dead_letter',
                    'revoke_access', 'revoke_jwt_key', 'schedule_sweep', 'sensitive_check',
                    'sensitive_check_preview', 'sensitive_check_shadow', 'set_action_policy',
                    'set_jwt_issuer_max_life', 'set_jwt_one_use', 'settle_shadow_difference',
                    'settle_shadow_differences', 'sign_approval', 'sink_backlog', 'sink_places',
                    'store_id', 'sweep_expired', 'ttl_state', 'unschedule_sweep',
                    'verify_approval', 'withdraw_approval'],
              'functions of the schema admin: what users call, and no helper');
select set_eq($$select proname::text from pg_proc where pronamespace = 'admin'::regnamespace and prorettype = 'trigger'::regtype$$,
              array['approval_guard', 'signature_guard', 'audit_append_only', 'audit_row_change'],
              'trigger functions of the schema admin');

-- Relations.
select is((select array_agg(attname || ' ' || format_type(atttypid, atttypmod) order by attnum)
           from pg_attribute where attrelid = ('admin.' || relation)::regclass and attnum > 0 and not attisdropped),
          columns, 'columns of ' || relation)
from (values
    ('approval', array['approval_id text', 'action text', 'resource text', 'required_roles text[]', 'required_signer_count smallint',
        'requested_by text', 'state text', 'sla_deadline timestamp with time zone', 'created_at timestamp with time zone',
        'updated_at timestamp with time zone', 'closed_at timestamp with time zone', 'closed_by text', 'close_reason text']),
    ('signature', array['signature_id bigint', 'approval_id text', 'signer_role text', 'signer text', 'signed_at timestamp with time zone',
        'approval_digest bytea', 'token_issuer text', 'token_key_id text', 'token_id text', 'token_sha256 bytea', 'comment text']),
    ('approval_ttl_state', array['approval_id text', 'state text', 'sla_deadline timestamp with time zone', 'ttl_state text',
        'valid_until timestamp with time zone', 'evaluated_at timestamp with time zone']),
    ('audit', array['audit_id bigint', 'xid xid8', 'recorded_at timestamp with time zone', 'occurred_at timestamp with time zone',
        'event_type text', 'approval_id text', 'actor text', 'source text', 'source_event_id text', 'request_id text',
        'traceparent text', 'payload json']),
    ('audit_delivery', array['audit_id bigint', 'recorded_at timestamp with time zone', 'sink text', 'sink_status text', 'archived boolean']),
    ('archive_receipt', array['store_id uuid', 'sink text', 'last_number bigint', 'chain bytea', 'seal_sha256 bytea',
        'retain_until timestamp with time zone', 'location text', 'received_at timestamp with time zone', 'status text']),
    ('archive_status', array['store_id uuid', 'sink text', 'is_present boolean', 'archived_number bigint', 'delivered_number bigint',
        'lag_rows bigint', 'lag_seconds double precision', 'received_at timestamp with time zone', 'status text', 'last_number bigint',
        'retain_until timestamp with time zone', 'location text', 'mismatches bigint', 'broken bigint']),
    ('delivery_link', array['store_id uuid', 'sink text', 'first_number bigint', 'last_number bigint', 'chain bytea',
        'recorded_at timestamp with time zone']),
    ('worker_status', array['database name', 'sink text', 'pid integer', 'state text', 'delivered_rows bigint', 'delivered_bytes bigint',
        'batches bigint', 'dead_letters bigint', 'last_audit_id bigint', 'last_delivery_at timestamp with time zone', 'lag_rows bigint',
        'lag_seconds double precision', 'last_error text', 'last_error_at timestamp with time zone', 'started_at timestamp with time zone']),
    ('check_latency', array['calls bigint', 'failed bigint', 'p50_ms double precision', 'p95_ms double precision', 'p99_ms double precision',
        'max_ms double precision', 'last_call_at timestamp with time zone', 'calls_since_start bigint']),
    ('dead_letter', array['sink text', 'audit_id bigint', 'error text', 'failed_at timestamp with time zone', 'attempts integer']),
    ('ingest_gap', array['source text', 'from_sequence bigint', 'to_sequence bigint', 'noticed_at timestamp with time zone',
        'filled_at timestamp with time zone', 'closed_by text', 'close_reason text']),
    ('ingest_source', array['source text', 'first_sequence bigint', 'last_sequence bigint', 'accepted bigint', 'duplicates bigint',
        'conflicting bigint', 'unexpected bigint', 'first_seen_at timestamp with time zone', 'last_seen_at timestamp with time zone']),
    ('sweep_status', array['swept_by text', 'job_id bigint', 'schedule text', 'problem text', 'due_rows bigint',
        'overdue_seconds double precision', 'next_due_at timestamp with time zone']),
    ('granted_access', array['role_name text', 'access text', 'source_prefix text', 'granted_by text', 'granted_at timestamp with time zone',
        'role_oid oid', 'system_identifier bigint']),
    ('action_policy', array['action text', 'required_roles text[]', 'max_ttl interval', 'resource_required boolean',
        'added_at timestamp with time zone', 'added_by text']),
    ('jwt_issuer', array['issuer text', 'audience text', 'roles_claim text', 'subject_claim text', 'max_token_life interval']),
    ('jwt_key', array['issuer text', 'kid text', 'alg text', 'jwk jsonb', 'added_at timestamp with time zone', 'revoked_at timestamp with time zone'])
) as r(relation, columns);
select has_column('admin', 'store', name, 'store has ' || name)
from unnest(array['store_id', 'system_identifier', 'database_oid', 'timeline', 'adopted_at']) as name;
select col_is_pk('admin', 'approval', 'approval_id', 'key of approval');
select col_is_pk('admin', 'signature', 'signature_id', 'key of signature');
select fk_ok('admin', 'signature', 'approval_id', 'admin', 'approval', 'approval_id');
select col_is_unique('admin', 'signature', array['approval_id', 'signer_role'], 'one signature per role');
select col_is_unique('admin', 'signature', array['approval_id', 'signer'], 'one signature per person');
select is_partitioned('admin', 'audit', 'the trail is partitioned');
select is_partition_of('admin', 'audit_default', 'admin', 'audit', 'the trail has a default partition');
select results_eq('select count(*) from admin.store', array[1::bigint], 'one store');

-- Functions: arguments with their names and defaults, result, volatility.
select is(pg_get_function_arguments(p.oid) || ' -> ' || pg_get_function_result(p.oid) || ', ' || p.provolatile::text, signature, name)
from (values
    ('ttl_state', 'state text, closed_at timestamp with time zone, sla_deadline timestamp with time zone, at timestamp with time zone -> text, i'),
    ('approval_digest', 'approval_id text -> bytea, s'),
    ('sensitive_check', 'approval_id text, action text DEFAULT NULL::text, resource text DEFAULT NULL::text, actor text DEFAULT NULL::text, '
        'request_id text DEFAULT NULL::text, traceparent text DEFAULT NULL::text, token text DEFAULT NULL::text -> json, v'),
    ('sensitive_check_preview', 'approval_id text, action text DEFAULT NULL::text, resource text DEFAULT NULL::text, '
        'at timestamp with time zone DEFAULT NULL::timestamp with time zone -> json, s'),
    ('explain_check', 'approval_id text, action text DEFAULT NULL::text, resource text DEFAULT NULL::text, '
        'at timestamp with time zone DEFAULT NULL::timestamp with time zone '
        '-> TABLE(precedence integer, rule text, matched boolean, detail text), s'),
    ('sensitive_check_shadow', 'file_answer text, approval_id text, action text DEFAULT NULL::text, resource text DEFAULT NULL::text, actor text DEFAULT NULL::text, '
        'request_id text DEFAULT NULL::text, traceparent text DEFAULT NULL::text, token text DEFAULT NULL::text -> json, v'),
    ('record_parity_run', 'cases bigint, differences bigint, left_out bigint, report jsonb DEFAULT NULL::jsonb -> bigint, v'),
    ('settle_shadow_difference', 'shadow_id bigint, reason text -> void, v'),
    ('settle_shadow_differences', 'up_to bigint, reason text -> bigint, v'),
    ('close_ingest_gaps', 'source text, up_to bigint, reason text -> bigint, v'),
    ('import_approvals', 'document jsonb -> jsonb, v'),
    ('catch_up_approvals', 'document jsonb -> jsonb, v'),
    ('audit_ingest', 'events jsonb -> jsonb, v'),
    ('sweep_expired', 'max_rows integer DEFAULT 10000 -> bigint, v'),
    ('schedule_sweep', 'schedule text DEFAULT ''* * * * *''::text -> text, v'),
    ('unschedule_sweep', ' -> text, v'),
    ('attach_audit', 'relation regclass -> void, v'),
    ('detach_audit', 'relation regclass -> void, v'),
    ('create_audit_partitions', 'ahead integer DEFAULT 3 -> integer, v'),
    ('drop_audit_partitions', 'older_than interval -> integer, v'),
    ('resync_sink', 'sink text, from_audit_id bigint -> jsonb, v'),
    ('resync_proposal', 'sink text -> TABLE(from_audit_id bigint, reason text), v'),
    ('renew_store', ' -> void, v'),
    ('delivery_chain', 'sink text -> TABLE(store_id uuid, last_number bigint, chain bytea), s'),
    ('grant_access', 'role regrole, access text, source_prefix text DEFAULT NULL::text -> void, v'),
    ('revoke_access', 'role regrole, access text -> void, v'),
    ('set_action_policy', 'action text, required_roles text[], max_ttl interval DEFAULT NULL::interval, resource_required boolean DEFAULT false -> void, v'),
    ('drop_action_policy', 'action text -> void, v'),
    ('store_id', ' -> uuid, s'),
    ('record_receipt', 'store_id uuid, sink text, last_number bigint, chain bytea, seal_sha256 bytea, retain_until timestamp with time zone, location text -> void, v'),
    ('add_jwt_issuer', 'issuer text, audience text, roles_claim text DEFAULT ''roles''::text, subject_claim text DEFAULT ''sub''::text -> void, v'),
    ('explain_replay', 'audit_id bigint -> TABLE(precedence integer, rule text, matched boolean, detail text), s'),
    ('import_jwks', 'issuer text, jwks jsonb -> jsonb, v'),
    ('issue_approval', 'action text, required_roles text[], sla_deadline timestamp with time zone, resource text DEFAULT NULL::text, approval_id text DEFAULT NULL::text, requested_by text DEFAULT NULL::text, token text DEFAULT NULL::text -> jsonb, v'),
    ('jws_verify', 'jws text, jwk jsonb -> bytea, i'),
    ('jwt_verify', 'token text -> jsonb, v'),
    ('replay_check', 'audit_id bigint -> jsonb, s'),
    ('revoke_jwt_key', 'issuer text, kid text -> void, v'),
    ('set_jwt_issuer_max_life', 'issuer text, max_token_life interval -> void, v'),
    ('set_jwt_one_use', 'issuer text, one_use boolean DEFAULT true -> void, v'),
    ('sign_approval', 'approval_id text, signer_role text, signer text DEFAULT NULL::text, comment text DEFAULT NULL::text, token text DEFAULT NULL::text, expected_digest bytea DEFAULT NULL::bytea -> jsonb, v'),
    ('verify_approval', 'approval_id text -> TABLE(item text, fits boolean, detail text), s'),
    ('withdraw_approval', 'approval_id text, reason text, actor text DEFAULT NULL::text, token text DEFAULT NULL::text -> jsonb, v')
) as f(name, signature)
left join pg_proc as p on p.pronamespace = 'admin'::regnamespace and p.proname = f.name;
select is(proparallel::text, 's', proname || ' is parallel safe') from pg_proc
where pronamespace = 'admin'::regnamespace and proname in ('ttl_state', 'sensitive_check_preview');

-- Guards hold whatever session_replication_role says.
select is(tgenabled::text, 'A', tgrelid::regclass || '.' || tgname || ' is always enabled')
from pg_trigger where tgrelid in (select oid from pg_class where relnamespace = 'admin'::regnamespace) and not tgisinternal;
select has_trigger('admin', relation, trigger, relation || ' has ' || trigger) from (values
    ('approval', 'approval_guard'), ('approval', 'approval_guard_truncate'), ('approval', 'audit_row_change'),
    ('signature', 'signature_guard'), ('signature', 'signature_guard_truncate'), ('signature', 'audit_row_change'),
    ('jwt_issuer', 'audit_row_change'), ('jwt_key', 'audit_row_change'),
    ('archive_receipt', 'receipt_append_only'), ('archive_receipt', 'receipt_append_only_statement'),
    ('audit', 'audit_append_only'), ('audit', 'audit_append_only_statement'), ('audit_default', 'audit_append_only_statement')
) as t(relation, trigger);

-- The 28 items of readiness, in order.
select results_eq('select item, status in (''pass'', ''fail'', ''not_configured'') and detail is not null from admin.cutover_readiness',
                  'select item, true from admin_internal.readiness_items()', 'each item of readiness has a status and a detail');
select results_eq('select area, count(*) from admin_internal.readiness_items() group by 1 order by min(item)',
                  $$values ('schema', 5::bigint), ('store', 4), ('TTL', 4), ('audit', 6), ('FF', 5), ('signers', 4)$$, 'readiness has the promised number of items in each area');

-- Everything says what it is.
select is(array(select oid::regprocedure::text from pg_proc where pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace)
                and obj_description(oid, 'pg_proc') is null), '{}', 'no function without a comment');
select is(array(select c.relname || '.' || a.attname
                from pg_class as c join pg_attribute as a on a.attrelid = c.oid
                where c.relnamespace = 'admin'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
                  and a.attnum > 0 and not a.attisdropped and col_description(c.oid, a.attnum) is null),
          '{}', 'no column without a comment');
select is(array(select relname from pg_class where relnamespace = 'admin'::regnamespace and relkind in ('r', 'p', 'v')
                and obj_description(oid, 'pg_class') is null), '{}', 'no relation without a comment');
select * from finish();
rollback;
