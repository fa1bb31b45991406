-- ---------------------------------------------------------------------------
-- Readiness, continued: what the database needs from other systems.
-- ---------------------------------------------------------------------------

-- ---------------------------------------------------------------------------
-- D: the trail reaches the systems that keep it.
-- ---------------------------------------------------------------------------

create function admin_internal.workers_here()
returns setof admin.worker_status
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select w.* from admin.worker_status as w where w.database = current_database()
$$;

comment on function admin_internal.workers_here() is 'The rows of admin.worker_status for this database.';

-- Reports a problem of the worker of a sink.
create function admin_internal.worker_problem(sink text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when admin_internal.delivery_obstacle() is not null then admin_internal.delivery_obstacle()
                when w.sink is null or w.pid is null then format('no worker runs for sink %s%s', s.sink, ': ' || w.last_error)
                when w.state not in ('idle', 'delivering') then format('the worker of sink %s is %s%s', s.sink, w.state, ': ' || w.last_error) end
    from (values (worker_problem.sink)) as s(sink) left join admin_internal.workers_here() as w on w.sink = s.sink
$$;

comment on function admin_internal.worker_problem(text) is
'What prevents the worker of a sink from delivering this database''s trail; null if there is no problem.';

create function admin_internal.readiness_d1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_verdict(
        array(select distinct p from admin_internal.enabled_sinks() as s(sink), admin_internal.worker_problem(s.sink) as p where p is not null
              union all
              select 'admin_ext.sinks is empty' where not exists (select from admin_internal.enabled_sinks())),
        (select string_agg(format('%s: %s since %s', w.sink, w.state, to_char(w.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), ', ' order by w.sink)
         from admin_internal.workers_here() as w)) as v
$$;

-- An optional sink.  If its worker has no problem, the detail is the place where the sink delivers.
create function admin_internal.readiness_of_sink(sink text, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when not s.is_enabled then 'not_configured' else v.status end,
           case when not s.is_enabled then format('sink %s is not in admin_ext.sinks', readiness_of_sink.sink) else v.detail end
    from (select exists (select from admin_internal.enabled_sinks() as e(sink) where e.sink = readiness_of_sink.sink)) as s(is_enabled),
         admin_internal.readiness_verdict(
             array(select p from admin_internal.worker_problem(readiness_of_sink.sink) as p where s.is_enabled and p is not null),
             coalesce((select p.place from admin.sink_places() as p where p.database = current_database() and p.sink = readiness_of_sink.sink),
                      format('sink %s is open', readiness_of_sink.sink))) as v
$$;

comment on function admin_internal.readiness_of_sink(text) is
'The verdict on an optional sink. not_configured if admin_ext.sinks does not list it.';

create function admin_internal.readiness_d2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_of_sink('kafka') as v
$$;

create function admin_internal.readiness_d3(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when s.is_set then k.status else 'not_configured' end,
           case when k.status = 'not_configured' then k.detail
                when not s.is_set then 'admin_ext.schema_registry_url is not set: values carry no schema id' else k.detail end
    from admin_internal.readiness_of_sink('kafka') as k,
         lateral (select k.status <> 'not_configured' and current_setting('admin_ext.schema_registry_url') <> '') as s(is_set)
$$;

create function admin_internal.readiness_d4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_verdict(
        array(select format('sink %s is %s rows and %s s behind', w.sink, w.lag_rows, round(w.lag_seconds::numeric)) from admin_internal.workers_here() as w where w.lag_seconds > 60
              union all
              select distinct p from admin_internal.enabled_sinks() as s(sink), admin_internal.worker_problem(s.sink) as p where p is not null
              union all
              select 'admin_ext.sinks is empty' where not exists (select from admin_internal.enabled_sinks())),
        (select string_agg(format('%s: %s rows, %s s', w.sink, w.lag_rows, round(w.lag_seconds::numeric, 1)), ', ' order by w.sink) from admin_internal.workers_here() as w)) as v
$$;

create function admin_internal.readiness_d5(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_verdict(
        array(select format('sink %s rejected %s rows for good, the first is audit_id %s', d.sink, count(*), min(d.audit_id)) from admin.dead_letter as d group by d.sink order by d.sink),
        'no row was rejected') as v
$$;

create function admin_internal.archive_problems()
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with s as materialized (select * from admin_internal.archive_status_rows()),
         -- Some sinks are not read by an archiver.
         archived as materialized (select * from s where s.sink in (select r.sink from s as r where r.received_at is not null)),
         most as (select interval '1 hour' as lag)
    select format('%s receipts for sink %s of store %s have another delivery chain than the database: the archive does not hold what was delivered', a.mismatches, a.sink, a.store_id)
    from archived as a where a.is_present and a.mismatches > 0
    union all
    select format('the archiver of sink %s has stopped after number %s of store %s: %s', b.sink, b.last_number, b.store_id, b.location)
    from archived as a
    cross join lateral (select r.* from admin.archive_receipt as r where r.store_id = a.store_id and r.sink = a.sink and r.status = 'broken'
                        order by r.received_at desc limit 1) as b
    where a.is_present and a.broken > 0
    union all
    -- A copy that was loaded from a dump has receipts of stores that it cannot compare with.
    select format('a receipt says that sink %s is archived up to number %s, and admin.record_receipt() has recorded %s: it was written by hand', a.sink, m.last_number, coalesce(a.archived_number::text, 'none'))
    from archived as a
    cross join lateral (select max(r.last_number) as last_number from admin.archive_receipt as r where r.store_id = a.store_id and r.sink = a.sink and r.status = 'ok') as m
    where a.is_present and m.last_number > coalesce(a.archived_number, -1)
    union all
    select format('sink %s counts as archived up to number %s, which %s: it was written by hand', b.sink, b.last_number,
                  case when r.is_there then 'was not delivered' else 'no receipt says' end)
    from admin.store as o
    join admin_internal.archive_base as b using (store_id)
    cross join lateral (select exists (select from admin.archive_receipt as r
                                       where r.store_id = b.store_id and r.sink = b.sink and r.last_number = b.last_number and r.status = 'ok') as is_there,
                               exists (select from admin_internal.delivery_link as l
                                       where l.store_id = b.store_id and l.sink = b.sink and l.last_number >= b.last_number) as is_delivered) as r
    where not (r.is_there and r.is_delivered)
    union all
    select format('the storage may delete the archive of sink %s: it was to be kept until %s', b.sink, to_char(b.retain_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
    from archived as a join admin_internal.archive_base as b on b.store_id = a.store_id and b.sink = a.sink and b.last_number = a.archived_number
    where a.is_present and b.retain_until <= now()
    union all
    select format('the archive of sink %s is %s rows and %s s behind', a.sink, a.lag_rows, round(a.lag_seconds::numeric))
    from archived as a, most where a.is_present and make_interval(secs => a.lag_seconds) > most.lag
    union all
    select 'admin_ext.archive_required is on, and no archiver has sent a receipt'
    where current_setting('admin_ext.archive_required')::boolean and not exists (select from admin.archive_receipt)
$$;

comment on function admin_internal.archive_problems() is
'Reports receipts of the present store that do not fit or that admin.record_receipt() has not recorded. Also reports archived objects that the storage may delete, archivers that have stopped, and an archive that is more than an hour behind.';

create function admin_internal.readiness_d6(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when n.is_there then v.status else 'not_configured' end,
           case when n.is_there then v.detail else 'no archiver has sent a receipt to this database; its role needs admin.grant_access(role, ''archiver'')' end
    from (select exists (select from admin.archive_receipt) or current_setting('admin_ext.archive_required')::boolean as is_there) as n,
         admin_internal.readiness_verdict(
             array(select p from admin_internal.archive_problems() as p),
             coalesce((select string_agg(format('sink %s: archived up to number %s, %s rows and %s s behind; the newest receipt came at %s', s.sink, coalesce(s.archived_number::text, 'none'),
                                                coalesce(s.lag_rows, 0), round(coalesce(s.lag_seconds, 0)::numeric), to_char(s.received_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), '; ' order by s.sink)
                       from admin_internal.archive_status_rows() as s where s.received_at is not null and s.is_present),
                      'nothing of the present store has been archived yet')
             -- Nobody can mend a store that has ended.
             || coalesce((select string_agg(format('; receipts of the earlier store %s for sink %s: %s with another delivery chain, %s broken', e.store_id, e.sink, e.mismatches, e.broken), '' order by e.sink, e.store_id)
                          from admin_internal.archive_status_rows() as e where not e.is_present and e.mismatches + e.broken > 0), '')) as v
$$;

-- ---------------------------------------------------------------------------
-- E: FF.
-- ---------------------------------------------------------------------------

create function admin_internal.roles_who_may(function regprocedure)
returns setof regrole
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.oid::regrole from pg_roles as r
    where r.rolcanlogin and not r.rolsuper and has_function_privilege(r.oid, roles_who_may.function, 'execute') and has_schema_privilege(r.oid, 'admin', 'usage')
$$;

comment on function admin_internal.roles_who_may(regprocedure) is
'Roles that can log in, are not superusers, and may call a function of the schema admin.';

create function admin_internal.readiness_e1(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    with f as (select 'admin.sensitive_check(text, text, text, text, text, text, text)'::regprocedure as f),
         checker as (select c::text as name from f, admin_internal.roles_who_may(f.f) as c)
    select v.* into status, detail from admin_internal.readiness_verdict(
        array(select 'no role but superusers may call admin.sensitive_check(); see admin.grant_access()' where not exists (select from checker)
              union all
              select format('%s has %s on %s: %s; run %s', f.grantee, f.privilege, f.object, f.problem, f.remedy)
              from admin_internal.foreign_privileges() as f),
        (select format('%s may check; all privileges are those that admin.grant_access() gave', string_agg(c.name, ', ' order by c.name)) from checker as c)
        || coalesce('; by membership: ' || (select string_agg(format('%I has %s of %I', m.member, m.access, m.through), ', ' order by m.access, m.member, m.through)
                                                || case when max(m.all_of_them) > 20 then format(' and %s more', max(m.all_of_them) - 20) else '' end
                                            from (select a.*, count(*) over () as all_of_them from admin_internal.access_by_membership() as a
                                                  order by a.access, a.member, a.through limit 20) as m), '')) as v;
end
$$;

create function admin_internal.readiness_e2(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    last record;
begin
    select a.recorded_at, a.actor into last
    from (select * from admin.audit order by audit_id desc limit 10000) as a where a.event_type = 'sensitive.check.2b' order by a.audit_id desc limit 1;
    status := case when last.recorded_at > now() - interval '1 day' then 'pass' else 'fail' end;
    detail := case when last.recorded_at is null then 'no check stands among the last 10000 rows of the trail'
                   else format('the last check was recorded at %s, asked by %s', to_char(last.recorded_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                               coalesce(last.actor, 'nobody in particular')) end;
end
$$;

create function admin_internal.readiness_e3(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when l.p99_ms is null then 'not_configured' when l.p99_ms > 1000 then 'fail' else 'pass' end,
           case when l.calls is null then 'checks are not measured: admin_ext is not in shared_preload_libraries, or 16 other databases are measured'
                when l.p99_ms is null then 'no check has been measured in the last hour'
                else format('of %s checks in the last hour 99 in 100 took at most %s ms, the longest %s ms; FF gives them 1000', l.calls,
                            round(l.p99_ms::numeric, 3), round(l.max_ms::numeric, 3)) end
    from (select) as one left join admin.check_latency as l on true
$$;

create function admin_internal.readiness_e4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_of_sink('redis') as v
$$;

create function admin_internal.readiness_e5(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when s.sources = 0 then 'not_configured' else v.status end,
           case when s.sources = 0 then 'nothing has been ingested' else v.detail end
    from (select count(*) as sources, coalesce(sum(i.accepted), 0) as accepted from admin.ingest_source as i) as s,
         admin_internal.readiness_verdict(
             array(select format('events %s to %s of %s are missing since %s', g.from_sequence, g.to_sequence, g.source,
                                 to_char(g.noticed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                   from admin.ingest_gap as g where g.filled_at is null order by g.noticed_at, g.source, g.from_sequence limit 1000),
             format('%s events of %s sources, without a gap%s', s.accepted, s.sources,
                    (select '; ' || nullif(sum(i.conflicting), 0) || ' were rejected, their ids had other content' from admin.ingest_source as i))) as v
$$;

-- ---------------------------------------------------------------------------
-- F: signers.
-- ---------------------------------------------------------------------------

create function admin_internal.readiness_f1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_verdict(
        array(select 'no issuer of tokens is trusted; see admin.add_jwt_issuer()' where not exists (select from admin.jwt_issuer)
              union all
              select format('issuer %s has no key that is good; see admin.import_jwks()', i.issuer) from admin.jwt_issuer as i
              where not exists (select from admin.jwt_key as k where k.issuer = i.issuer and k.revoked_at is null)),
        (select string_agg(format('%s: %s keys', k.issuer, k.keys), ', ' order by k.issuer)
         from (select k.issuer, count(*) as keys from admin.jwt_key as k where k.revoked_at is null group by k.issuer) as k)
        -- A stolen token is good for as long.  Only the issuer knows how long its tokens live, so this is advice.
        || coalesce((select '; tokens may live longer than 24 hours: ' || string_agg(i.issuer, ', ' order by i.issuer) || '; call admin.set_jwt_issuer_max_life()'
                     from admin.jwt_issuer as i where i.max_token_life > make_interval(hours => 24)), '')) as v
$$;

create function admin_internal.readiness_f2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_verdict(
        array(select s from admin_internal.setting_found('admin_ext.require_verified_jwt', 'off') as s
              union all
              select 'admin_ext.require_verified_jwt is off' where not admin_internal.requires_tokens() and current_setting('admin_ext.require_verified_jwt', true) is null),
        'issue, sign and withdraw take verified tokens only') as v
$$;

create function admin_internal.readiness_f3(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    open_doors text[] := array(
        select format('constraint %s is not there', n) from unnest('{signature_one_per_role, signature_one_per_person}'::text[]) as n
        where not exists (select from pg_constraint as k where k.conrelid = 'admin.signature'::regclass and k.conname = n and k.contype = 'u' and k.convalidated)
        union all
        select format('trigger %s is not ENABLE ALWAYS; call admin.restore_guards()', n) from unnest('{signature_guard, signature_guard_advance}'::text[]) as n
        where not exists (select from pg_trigger as t where t.tgrelid = 'admin.signature'::regclass and t.tgname = n and t.tgenabled = 'A'));
    unruled    text := (select 'actions without a policy: ' || string_agg(format('"%s"', u), ', ' order by u)
                               || case when (findings #>> '{check,without_policy,more}')::boolean then ' and more' else '' end
                        from jsonb_array_elements_text(findings #> '{check,without_policy,actions}') as u);
begin
    select * into status, detail from admin_internal.readiness_found(findings, 'not_separate',
        'signed twice by a person or in a role, by the requester, or in a role that is not required',
        format('%s signatures: each in a required role, of different people, none of the requester', findings -> 'check' ->> 'signatures'));
    if status = 'pass' then
        select * into status, detail from admin_internal.readiness_verdict(open_doors, detail);
    end if;
    if status = 'pass' then
        select * into status, detail from admin_internal.readiness_found(findings, 'against_policy', 'do not meet the policy of their action; withdraw them, or change the policy', detail);
    end if;
    if status = 'pass' then
        select * into status, detail from admin_internal.readiness_verdict(
            array(select s || ': approvals of actions without a policy are issued there' from admin_internal.setting_found('admin_ext.require_action_policy', 'off') as s
                  where exists (select from admin_internal.setting_found('admin_ext.require_action_policy', 'on') as o where o like '% of a configuration file')), detail);
    end if;
    if status = 'pass' and unruled <> '' then
        select * into status, detail from admin_internal.readiness_verdict(
            array(select 'admin_ext.require_action_policy is on, and open approvals are of ' || unruled where current_setting('admin_ext.require_action_policy')::boolean),
            detail || '; ' || unruled);
    end if;
end
$$;

create function admin_internal.readiness_f4(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    withdrawn  bigint;
    come_back  text[];
    open_doors text[] := array(
        select 'trigger approval_guard is not ENABLE ALWAYS; call admin.restore_guards()'
        where not exists (select from pg_trigger as t where t.tgrelid = 'admin.approval'::regclass and t.tgname = 'approval_guard' and t.tgenabled = 'A')
        union all
        select 'constraint approval_closed_if_withdrawn is not there'
        where not exists (select from pg_constraint as k where k.conrelid = 'admin.approval'::regclass and k.conname = 'approval_closed_if_withdrawn' and k.convalidated));
begin
    -- Each by its own two index entries: neither the trail nor the approvals are read as a whole.
    select count(*), array_agg(format('approval %s was withdrawn, and is %s now', w.approval_id, coalesce(a.state, 'gone')) order by w.approval_id)
                     filter (where a.state is distinct from 'withdrawn')
    into withdrawn, come_back
    from admin.audit as w left join admin.approval as a using (approval_id) where w.event_type = 'approval.withdrawn' and w.approval_id is not null;
    select * into status, detail from admin_internal.readiness_verdict(come_back || open_doors, format('%s withdrawals stand in the trail, and hold', withdrawn));
end
$$;
