-- ---------------------------------------------------------------------------
-- Access: which privileges admin.grant_access() gives, and which roles it gave them to.
-- ---------------------------------------------------------------------------

-- One row per function and access.  The key is the signature, not the name: an overload has its own row.
create function admin_internal.access_functions()
returns table (signature text, access text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select f.signature, a.access
    from (values
        ('admin.sensitive_check(text, text, text, text, text, text, text)', '{checker, operator}'::text[]),
        ('admin.sensitive_check_preview(text, text, text, timestamptz)', '{checker, auditor, operator}'),
        ('admin.audit_ingest(jsonb)', '{checker, operator}'),
        ('admin.jwt_verify(text)', '{checker, signer, operator}'),
        ('admin.jws_verify(text, jsonb)', '{checker, signer, auditor, operator}'),
        ('admin.issue_approval(text, text[], timestamptz, text, text, text, text)', '{signer}'),
        ('admin.sign_approval(text, text, text, text, text, bytea)', '{signer}'),
        ('admin.withdraw_approval(text, text, text, text)', '{signer}'),
        ('admin.approval_digest(text)', '{signer, auditor, operator}'),
        ('admin.ttl_state(text, timestamptz, timestamptz, timestamptz)', '{auditor, operator}'),
        ('admin.explain_check(text, text, text, timestamptz)', '{auditor, operator}'),
        ('admin.replay_check(bigint)', '{auditor, operator}'),
        ('admin.explain_replay(bigint)', '{auditor, operator}'),
        ('admin.verify_approval(text)', '{auditor, operator}'),
        ('admin.audit_partitions()', '{auditor, operator}'),
        -- Views call these under the reader's name.
        ('admin_internal.is_delivered(bigint, xid8, pg_snapshot, pg_snapshot, bigint, bigint, bigint, bigint)', '{auditor, operator}'),
        ('admin_internal.is_skipped(text, bigint, xid8)', '{auditor, operator}'),
        ('admin.sink_backlog(text)', '{auditor, operator, monitor}'),
        ('admin_internal.sink_backlog_row(text)', '{auditor, operator, monitor}'),
        ('admin_internal.enabled_sinks()', '{auditor, operator}'),
        ('admin_internal.sink_newest_position()', '{auditor, operator}'),
        ('admin_internal.is_archived(bigint, xid8, pg_snapshot, pg_snapshot, bigint, bigint, bigint, bigint, pg_snapshot, bigint, bigint)', '{auditor, operator}'),
        ('admin_internal.sink_archived()', '{auditor, operator}'),
        ('admin_internal.archive_status_rows()', '{auditor, operator, monitor}'),
        ('admin.sink_places()', '{auditor, operator}'),
        ('admin_internal.worker_status_rows()', '{auditor, operator, monitor}'),
        ('admin_internal.batch_latency_rows()', '{auditor, operator, monitor}'),
        ('admin_internal.check_latency_row()', '{auditor, operator, monitor}'),
        ('admin_internal.sweep_status_row()', '{auditor, operator, monitor}'),
        ('admin.sweep_expired(int)', '{operator}'),
        ('admin.schedule_sweep(text)', '{operator}'),
        ('admin.unschedule_sweep()', '{operator}'),
        ('admin_internal.cron_is_here()', '{operator}'),
        ('admin_internal.warn_without_cron(text)', '{operator}'),
        ('admin_internal.check_cron_usage()', '{operator}'),
        ('admin_internal.sweep_job_name()', '{operator}'),
        ('admin_internal.sweep_command()', '{operator}'),
        ('admin.attach_audit(regclass)', '{operator}'),
        ('admin.detach_audit(regclass)', '{operator}'),
        ('admin_internal.check_attachable(regclass)', '{operator}'),
        ('admin.audit_row_change()', '{operator}'),
        ('admin.create_audit_partitions(int)', '{operator}'),
        ('admin.drop_audit_partitions(interval)', '{operator}'),
        ('admin.resync_sink(text, bigint)', '{operator}'),
        ('admin.resync_proposal(text)', '{auditor, operator}'),
        ('admin.retry_dead_letter(text, bigint)', '{operator}'),
        ('admin.close_ingest_gaps(text, bigint, text)', '{operator}'),
        ('admin.revoke_jwt_key(text, text)', '{operator}'),
        -- Functions that another part of this version makes: a row counts once its function exists.
        ('admin.set_action_policy(text, text[], interval, boolean)', '{policy}'),
        ('admin.drop_action_policy(text)', '{policy}'),
        ('admin.record_receipt(uuid, text, bigint, bytea, bytea, timestamptz, text)', '{archiver}'),
        ('admin.store_id()', '{checker, auditor, operator, monitor, archiver}'),
        ('admin.delivery_chain(text)', '{auditor, operator, monitor}')
    ) as f(signature, accesses), unnest(f.accesses) as a(access);
end;

comment on function admin_internal.access_functions() is
'Which functions each access may call: one row per function and access. signature includes the schema.';

-- Partitions of the trail are read through admin.audit.
create function admin_internal.access_relations()
returns table (relation text, access text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select r.relation, a.access
    from (values
        ('admin.worker_status', '{auditor, operator, monitor}'::text[]),
        ('admin.batch_latency', '{auditor, operator, monitor}'),
        ('admin.check_latency', '{auditor, operator, monitor}'),
        ('admin.sweep_status', '{auditor, operator, monitor}'),
        ('admin.archive_status', '{auditor, operator, monitor}'),
        ('admin.archive_receipt', '{auditor, operator}'),
        ('admin.delivery_link', '{auditor, operator}'),
        ('admin.approval', '{auditor, operator}'),
        ('admin.signature', '{auditor, operator}'),
        ('admin.approval_ttl_state', '{auditor, operator}'),
        ('admin.audit', '{auditor, operator}'),
        ('admin.audit_attributes', '{auditor, operator}'),
        ('admin.audit_delivery', '{auditor, operator}'),
        ('admin.audit_dropped', '{auditor, operator}'),
        ('admin.store', '{auditor, operator}'),
        ('admin.tick', '{auditor, operator}'),
        ('admin.sink_position', '{auditor, operator}'),
        ('admin.sink_skipped', '{auditor, operator}'),
        ('admin.dead_letter', '{auditor, operator}'),
        ('admin.dead_letter_retry', '{auditor, operator}'),
        ('admin.jwt_issuer', '{auditor, operator}'),
        ('admin.jwt_key', '{auditor, operator}'),
        ('admin.jwt_one_use', '{auditor, operator}'),
        ('admin.jwt_used', '{auditor, operator}'),
        ('admin.granted_access', '{auditor, operator}'),
        ('admin.action_policy', '{auditor, operator, policy}'),
        ('admin.ingest_source', '{auditor, operator}'),
        ('admin.ingest_gap', '{auditor, operator}'),
        ('admin.sweep_due', '{auditor, operator}')
    ) as r(relation, accesses), unnest(r.accesses) as a(access);
end;

comment on function admin_internal.access_relations() is
'Which tables and views each access may read: one row per relation and access. relation includes the schema. No access may write to a relation.';

-- An extension that builds on this one has a function admin_internal.<its name>_access(), which lists its part of
-- each access: the kind of object in the words of GRANT, its name with the schema, and the access.
-- DROP EXTENSION removes the function.
create function admin_internal.access_of_extensions()
returns table (kind text, name text, access text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    function regprocedure;
begin
    for function in
        select p.oid from pg_extension as e join pg_proc as p on p.proname = e.extname || '_access' and p.pronamespace = 'admin_internal'::regnamespace and p.pronargs = 0
        where admin_internal.is_our_extension(e.extname)
    loop
        return query execute format('select a.kind, a.name, a.access from %s as a', function);
    end loop;
end
$$;

comment on function admin_internal.access_of_extensions() is
'Which objects of extensions that build on this one each access may use: one row per object and access. kind is "routine" or "table".';

create function admin_internal.access_privileges()
returns table (access text, privilege text, object text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with named as (
        select f.access, 'routine' as kind, f.signature as name from admin_internal.access_functions() as f
        union all select r.access, 'table', r.relation from admin_internal.access_relations() as r
        union all select e.access, e.kind, e.name from admin_internal.access_of_extensions() as e
    )
    select n.access, case n.kind when 'routine' then 'EXECUTE' else 'SELECT' end, format('%s %s', n.kind, o.name)
    from named as n,
         lateral (select case n.kind when 'routine' then to_regprocedure(n.name)::text else to_regclass(n.name)::text end) as o(name)
    where o.name is not null
    union
    -- A function with its caller's rights looks helpers up by name, if its body is a text.  Views and parsed bodies do not.
    select n.access, 'USAGE', format('schema %I', split_part(n.name, '.', 1)) from named as n
    where split_part(n.name, '.', 1) <> 'admin_internal' or n.access = 'operator'
$$;

comment on function admin_internal.access_privileges() is
'The privileges that each access consists of, in the words of GRANT: GRANT privilege ON object. A function or relation that does not exist is left out.';

-- ---------------------------------------------------------------------------
-- Which role has which access.
-- ---------------------------------------------------------------------------

create table admin.granted_access (
    role_name         text        not null,
    access            text        not null,
    source_prefix     text        collate "C",
    granted_by        text        not null default session_user,
    granted_at        timestamptz not null default clock_timestamp(),
    role_oid          oid         not null,
    system_identifier bigint      not null,
    constraint granted_access_prefix_length check (octet_length(source_prefix) between 1 and 512)
);

create trigger bookkeeping
after insert or update or delete on admin.granted_access
for each row execute function admin_internal.bookkeeping();

create trigger bookkeeping_truncate
after truncate on admin.granted_access
for each statement execute function admin_internal.bookkeeping();

alter table admin.granted_access enable always trigger bookkeeping, enable always trigger bookkeeping_truncate;
comment on trigger bookkeeping on admin.granted_access is 'Notes rows that a dump brings, and changes by hand.';
comment on trigger bookkeeping_truncate on admin.granted_access is 'Appends row.truncated to the trail.';

create unique index granted_access_once on admin.granted_access (role_oid, system_identifier, access, coalesce(source_prefix, ''));
-- No primary key can contain the null of source_prefix, and the index has an expression.  A publication FOR ALL TABLES
-- needs a replica identity for deleted rows.
alter table admin.granted_access replica identity full;

comment on table admin.granted_access is
'Grants of admin.grant_access(): one row per role, access and source prefix. A row of this cluster refers to the role by its oid, whatever the current name of the role is. A row that a dump brought from another cluster refers to the role by its name.';
comment on column admin.granted_access.role_name is
'The role''s name when the row was written. The next call of admin.grant_access() or admin.revoke_access() updates it; role_oid::regrole is the current name.';
comment on column admin.granted_access.access is 'checker, signer, auditor, operator, monitor, archiver or policy.';
comment on column admin.granted_access.source_prefix is
'admin.audit_ingest() accepts sources that begin with this prefix from the role; null if the row grants no source.';
comment on column admin.granted_access.granted_by is 'The session user who granted it.';
comment on column admin.granted_access.granted_at is 'When it was first granted.';
comment on column admin.granted_access.role_oid is 'Oid of the role, in the cluster of system_identifier.';
comment on column admin.granted_access.system_identifier is
'Identifier of the cluster in which the row was written (pg_control_system()).';
comment on index admin.granted_access_once is 'Ensures one row per role, access and source prefix.';

create function admin_internal.access_holders()
returns table (role oid, access text, source_prefix text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.oid, g.access, g.source_prefix
    from admin_internal.store_identity() as i
    cross join admin.granted_access as g
    join pg_roles as r on case when g.system_identifier = i.system_identifier then r.oid = g.role_oid else r.rolname = g.role_name end
$$;

comment on function admin_internal.access_holders() is
'The rows of admin.granted_access whose role exists, with the oid of the role in this cluster.';

-- A later role with the name of a dropped role must not get the access of the dropped one.
create function admin_internal.tidy_granted_access()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    here bigint := (select i.system_identifier from admin_internal.store_identity() as i);
begin
    delete from admin.granted_access as g
    where g.system_identifier = here and not exists (select from pg_roles as r where r.oid = g.role_oid);
    delete from admin.granted_access as g
    using pg_roles as r, admin.granted_access as known
    where g.system_identifier <> here and r.rolname = g.role_name
      and known.system_identifier = here and known.role_oid = r.oid and known.access = g.access
      and known.source_prefix is not distinct from g.source_prefix;
    update admin.granted_access as g set role_oid = r.oid, system_identifier = here
    from pg_roles as r where g.system_identifier <> here and r.rolname = g.role_name;
    update admin.granted_access as g set role_name = r.rolname
    from pg_roles as r where r.oid = g.role_oid and g.system_identifier = here and g.role_name <> r.rolname;
end
$$;

comment on function admin_internal.tidy_granted_access() is
'Removes rows of admin.granted_access whose role was dropped. Updates rows that a dump brought, or whose role was renamed, to the role of this cluster.';

create function admin_internal.is_own_source(source text)
returns boolean
as 'MODULE_PATHNAME', 'admin_is_own_source'
language c immutable strict;

comment on function admin_internal.is_own_source(text) is
'Whether a CloudEvents source is reserved for events of this database: admin_ext, or a source below /admin_ext.';

create function admin_internal.check_access(role regrole, access text, source_prefix text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    accesses text[] := '{checker, signer, auditor, operator, monitor, archiver, policy}';
begin
    if access is null or access <> all (accesses) then
        raise exception 'access "%" is unknown', coalesce(left(access, 64), 'null')
            using errcode = '22023', detail = format('One of %s can be granted.', array_to_string(accesses, ', '));
    end if;
    if role is null or not exists (select from pg_roles as r where r.oid = role) then
        raise exception 'role "%" does not exist', coalesce(role::text, 'null')
            using errcode = '22023', hint = 'Access is granted to an existing role.';
    end if;
    if octet_length(source_prefix) not between 1 and 512 then
        raise exception 'argument "source_prefix" is out of range'
            using errcode = '22023', detail = format('"%s" has %s bytes; 1 to 512 are allowed.', left(source_prefix, 64), octet_length(source_prefix));
    end if;
    if admin_internal.has_control_character(source_prefix) then
        raise exception 'argument "source_prefix" has a control character' using errcode = '22023', detail = 'admin.audit_ingest() takes no source that has one.';
    end if;
    if source_prefix is not null and not exists (select from admin_internal.access_functions() as f
                                                 where f.access = check_access.access and f.signature = 'admin.audit_ingest(jsonb)') then
        raise exception 'access "%" takes no source prefix', access
            using errcode = '22023', detail = 'It may not call admin.audit_ingest().',
                  hint = format('Grant checker with that prefix as well: select admin.grant_access(%L, ''checker'', %L)', role, source_prefix);
    end if;
    if admin_internal.is_own_source(source_prefix) then
        raise exception 'source prefix "%" is reserved for what happens here', left(source_prefix, 64)
            using errcode = '22023', detail = 'admin.audit_ingest() takes no source that begins so.';
    end if;
end
$$;

comment on function admin_internal.check_access(regrole, text, text) is
'Raises 22023 for an unknown access or role. Raises 22023 also for a source prefix that is not 1 to 512 bytes, is reserved, has a control character, or that the access cannot use.';

create function admin_internal.append_access_event(event_type text, role regrole, access text, source_prefix text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform admin_internal.append_event(event_type, format('{"role":%s,"access":%s,"source_prefix":%s}',
        to_json((select r.rolname::text from pg_roles as r where r.oid = role)), to_json(access),
        coalesce(to_json(source_prefix)::text, 'null'))::json);
end
$$;

comment on function admin_internal.append_access_event(text, regrole, text, text) is
'Appends access.granted or access.revoked: {"role", "access", "source_prefix"}.';

create function admin.grant_access(role regrole, access text, source_prefix text default null)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
begin
    perform admin_internal.check_access(role, access, source_prefix);
    lock table admin.granted_access in share row exclusive mode;
    perform admin_internal.tidy_granted_access();
    insert into admin.granted_access (role_name, access, source_prefix, role_oid, system_identifier)
    select r.rolname, grant_access.access, grant_access.source_prefix, r.oid, i.system_identifier
    from pg_roles as r, admin_internal.store_identity() as i where r.oid = role
    on conflict do nothing;
    for statement in
        select format('grant %s on %s to %s', p.privilege, p.object, role) from admin_internal.access_privileges() as p
        where p.access = grant_access.access
    loop
        execute statement;
    end loop;
    perform admin_internal.append_access_event('access.granted', role, access, source_prefix);
end
$$;

comment on function admin.grant_access(regrole, text, text) is
'Gives a role one kind of access. checker: the check, its preview, and the ingest of events. signer: issue, sign, withdraw. auditor: read everything, explain, replay. operator: everything that checkers and auditors may do, and operations (partitions, sinks, the sweep, keys to revoke). monitor: only status and counters. archiver: only receipts of the archive. policy: the policies of actions. No access has write privileges on a table. admin.audit_ingest() accepts from the role the sources that begin, byte by byte, with a source_prefix granted to it; end a prefix with "/". Each call can add a prefix. Records the grant in admin.granted_access, and appends access.granted to the trail. Raises 22023 for an access or role that does not exist, for a prefix that is reserved (admin_ext), and for a prefix with an access that cannot ingest.';

create function admin.revoke_access(role regrole, access text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    statement text;
    prefixes  text[];
    is_held   boolean;
begin
    perform admin_internal.check_access(role, access, null);
    lock table admin.granted_access in share row exclusive mode;
    perform admin_internal.tidy_granted_access();
    with gone as (delete from admin.granted_access as g
                  where g.role_oid = role and g.access = revoke_access.access returning g.source_prefix)
    select array_agg(gone.source_prefix order by gone.source_prefix) into prefixes from gone;
    -- By a GRANT that was not ours, for example.
    is_held := exists (select from admin_internal.access_privileges() as p
                       join admin_internal.object_privileges() as o on o.object = p.object and o.privilege = p.privilege and o.grantee = role
                       where p.access = revoke_access.access
                         and not exists (select from admin_internal.expected_privileges() as e
                                         where e.grantee = role and e.object = p.object and e.privilege = p.privilege));
    for statement in
        select format('revoke %s on %s from %s cascade', p.privilege, p.object, role) from admin_internal.access_privileges() as p
        where p.access = revoke_access.access
          and not exists (select from admin_internal.expected_privileges() as e
                          where e.grantee = role and e.object = p.object and e.privilege = p.privilege)
    loop
        execute statement;
    end loop;
    if prefixes is null and not is_held then
        raise notice 'role "%" does not have access "%"', (select r.rolname from pg_roles as r where r.oid = role), access
            using detail = 'Nothing was revoked.';
    elsif prefixes is null then
        perform admin_internal.append_access_event('access.revoked', role, access, null);
    else
        perform admin_internal.append_access_event('access.revoked', role, access, p.prefix) from unnest(prefixes) as p(prefix);
    end if;
end
$$;

comment on function admin.revoke_access(regrole, text) is
'Revokes from a role what admin.grant_access() gave it for one kind of access, with every source prefix. Privileges that another access of the role also needs stay. Appends access.revoked to the trail for each row of admin.granted_access that it removes. If there is no such row but the role had privileges of the access, it revokes them and appends access.revoked once. If the role has no privilege of the access, it raises a NOTICE and appends no event. Raises 22023 for an access or role that does not exist.';
