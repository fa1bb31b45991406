-- ---------------------------------------------------------------------------
-- Readiness for the cutover: 28 items.  Each query of the view computes them.
--
-- An item is a function admin_internal.readiness_<item>(findings) that returns its status and a detail.  If the
-- function raises an error, because an object that it reads is gone, only that item fails.  The function bodies
-- are strings, so that the objects that they read can be dropped without them.
-- ---------------------------------------------------------------------------

create function admin_internal.readiness_verdict(problems text[], fine text, out status text, out detail text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select case when cardinality(problems) > 0 then 'fail' else 'pass' end,
           case when cardinality(problems) > 0
                then array_to_string(problems[1:5], '; ') || case when cardinality(problems) > 5 then format('; and %s more', cardinality(problems) - 5) else '' end
                else fine end;
end;

comment on function admin_internal.readiness_verdict(text[], text) is
'Returns fail with the first five problems, or pass with the text "fine" if there is no problem.';

create function admin_internal.readiness_found(findings jsonb, kind text, what text, fine text, out status text, out detail text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    finding jsonb  := findings -> 'check' -> kind;
    counted bigint := (findings ->> 'signatures')::bigint;
    judged  bigint := (findings -> 'check' ->> 'signatures')::bigint;
begin
    if findings ? 'error' then
        raise exception '%', findings ->> 'error';
    end if;
    -- A verdict covers only the signatures that the walk has met.
    select * into status, detail from admin_internal.readiness_verdict(
        array(select format('%s of %s approvals: %s; one of them: %s', finding ->> 'count', findings -> 'check' ->> 'approvals', what, finding ->> 'example')
              where (finding ->> 'count')::bigint > 0
              union all
              select format('%s of %s signatures are of no approval, or not in the index that checks read', abs(counted - judged), counted)
              where counted is distinct from judged), fine);
end
$$;

comment on function admin_internal.readiness_found(jsonb, text, text, text) is
'The verdict on one kind of finding of admin_internal.find_in_store(). Raises an error if the findings could not be read.';

-- ---------------------------------------------------------------------------
-- A: the schema equals what this version ships.  The library compares it (src/cutover/shipped.c) and adds the
-- differences to these items.  The functions here check objects that are not shipped, and word the pass.
-- ---------------------------------------------------------------------------

create function admin_internal.readiness_relations(kinds "char"[])
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select count(*) from pg_class as c
    where c.relnamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and c.relkind = any (kinds) and not c.relispartition
$$;

comment on function admin_internal.readiness_relations("char"[]) is
'The number of relations of these kinds, without partitions.';

create function admin_internal.readiness_a1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'pass', format('%s tables are as shipped', admin_internal.readiness_relations('{r}'))
$$;

create function admin_internal.readiness_a2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select 'pass', format('%s views are as shipped', admin_internal.readiness_relations('{v}'))
$$;

create function admin_internal.readiness_a3(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_verdict(
        array(select format('partition %s lacks %s; call admin.create_audit_partitions()', p.partition, l) from admin.audit_partitions() as p, admin_internal.audit_partition_lacks(p.partition) as l
              union all
              select 'there is no default partition' where not exists (select from admin.audit_partitions() as p where p.is_default)
              union all
              select m from admin_internal.month_problems() as m
              union all
              select n from admin_internal.number_problems() as n),
        (select format('%s partitions, each with its indexes and triggers; months up to %s', count(*), to_char(max(p.upper_bound) at time zone 'UTC', 'YYYY-MM-DD'))
         from admin.audit_partitions() as p)) as v
$$;

create function admin_internal.readiness_a4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with e as (select e.extname, e.extversion, a.default_version from pg_extension as e left join pg_available_extensions as a on a.name = e.extname
               where e.extname in ('admin_ext', 'admin_ext_cutover'))
    select v.* from admin_internal.readiness_verdict(
        array(select format('the server has version %s of %s installed, this database %s; run ALTER EXTENSION %s UPDATE', coalesce(e.default_version, 'none'), e.extname, e.extversion, e.extname)
              from e where e.default_version is distinct from e.extversion order by e.extname),
        (select format('version %s', e.extversion) from e where e.extname = 'admin_ext')) as v
$$;

create function admin_internal.readiness_a5(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_verdict(
        array(select format('partition %s: trigger %s is not enabled always; call admin.restore_guards()', p.partition, t.tgname)
              from admin.audit_partitions() as p join pg_trigger as t on t.tgrelid = p.partition and not (t.tgisinternal and t.tgparentid = 0)
              where t.tgenabled <> 'A'
              union all
              select format('table %s: trigger %s is not enabled always; call admin.attach_audit(''%s'')', t.tgrelid::regclass, t.tgname, t.tgrelid::regclass)
              from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
              where t.tgfoid = 'admin.audit_row_change()'::regprocedure and t.tgenabled <> 'A' and c.relnamespace <> 'admin'::regnamespace
              union all
              -- Those of these names; others may be of somebody who wants less.
              select format('table %s: trigger %s has other events or a condition; call admin.attach_audit(''%s'')', t.tgrelid::regclass, t.tgname, t.tgrelid::regclass)
              from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
              where t.tgfoid = 'admin.audit_row_change()'::regprocedure and c.relnamespace <> 'admin'::regnamespace
                and t.tgname in ('audit_row_change', 'audit_row_change_truncate') and t.tgparentid = 0
                and (t.tgtype <> case t.tgname when 'audit_row_change' then 1 + 4 + 8 + 16 else 32 end or t.tgqual is not null or t.tgattr::text <> '')
              union all
              select r || ': guards and events stand aside' from admin_internal.setting_found('admin_ext.restoring', 'on') as r
              union all
              select r || ': foreign keys are not checked' from admin_internal.setting_found('session_replication_role', 'replica') as r),
        (select format('%s triggers are enabled always', count(*)) from pg_trigger as t join pg_class as c on c.oid = t.tgrelid
         where c.relnamespace = 'admin'::regnamespace and not c.relispartition and not t.tgisinternal)) as v
$$;

-- ---------------------------------------------------------------------------
-- B: the store holds the data of the file-backed store, and gives the same answers.
-- ---------------------------------------------------------------------------

-- Approvals are never deleted, so all imported ones must exist.
create function admin_internal.approvals_missing(findings jsonb)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s approvals have been imported in all, and %s are there', r.imported, findings -> 'check' ->> 'approvals')
    from (select sum(imported) as imported from admin.import_run) as r where r.imported > (findings -> 'check' ->> 'approvals')::bigint
$$;

comment on function admin_internal.approvals_missing(jsonb) is
'Reports if there are fewer approvals than have been imported; null if there are not fewer.';

create function admin_internal.readiness_b1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when r.run_id is null then 'not_configured' else v.status end,
           case when r.run_id is null then 'nothing has been imported' else v.detail end
    from (select) as one left join (select * from admin.import_run order by run_id desc limit 1) as r on true,
         lateral (select format('run %s at %s: %s imported, %s advanced, %s there already, %s rejected', r.run_id, to_char(r.run_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                                r.imported, r.advanced, r.unchanged, r.rejected)) as t(told),
         admin_internal.readiness_verdict(array(select t.told where r.rejected > 0 union all select m from admin_internal.approvals_missing(findings) as m where m is not null), t.told) as v
$$;

create function admin_internal.readiness_b2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with run as (select * from admin.parity_run order by run_id desc limit 1),
         shadow as (select exists (select from admin.shadow_check) as is_there,
                           (select count(*) from admin.shadow_difference) as differences,
                           (select d.shadow_id from admin.shadow_difference as d order by d.shadow_id limit 1) as first)
    select case when v.status = 'pass' and not s.is_there and not exists (select from run) then 'not_configured' else v.status end,
           case when v.status = 'pass' and not s.is_there and not exists (select from run) then 'no parity run has been recorded, and no check was made in shadow mode' else v.detail end
    from shadow as s,
         admin_internal.readiness_verdict(
             array(select format('parity run %s: %s of %s cases differ, %s left out', r.run_id, r.differences, r.cases, r.left_out) from run as r where r.differences > 0 or r.left_out > 0
                   union all
                   select format('parity run %s compared nothing', r.run_id) from run as r where r.cases = 0
                   union all
                   select format('%s answers in shadow mode differ and are not settled, the first is %s', s.differences, s.first) where s.differences > 0),
             concat_ws('; ', (select format('parity run %s: %s cases, none differs', r.run_id, r.cases) from run as r),
                       case when s.is_there then 'no answer in shadow mode differs' end)) as v
$$;

create function admin_internal.readiness_b3(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    select * into status, detail from admin_internal.readiness_found(findings, 'inconsistent', 'state, number of signatures and closed_at do not go together',
        format('%s approvals and their %s signatures go together', findings -> 'check' ->> 'approvals', findings -> 'check' ->> 'signatures'));
    if status = 'pass' and admin_internal.approvals_missing(findings) is not null then
        status := 'fail';
        detail := admin_internal.approvals_missing(findings);
    end if;
    if status = 'pass' then
        select * into status, detail from admin_internal.readiness_verdict(array(select e from admin_internal.event_problems() as e), detail);
    end if;
end
$$;

create function admin_internal.readiness_b4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin_internal.readiness_found(findings, 'altered', 'a signature is of something else than the approval says now',
        format('all %s signatures are of what their approvals say', findings -> 'check' ->> 'signatures')) as v
$$;

-- ---------------------------------------------------------------------------
-- C: deadlines.
-- ---------------------------------------------------------------------------

create function admin_internal.view_is_check(findings jsonb)
returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if findings ? 'error' then
        raise exception '%', findings ->> 'error';
    end if;
    return (findings -> 'view' -> 'said', findings -> 'view' -> 'approvals') = (findings -> 'check' -> 'said', findings -> 'check' -> 'approvals');
end
$$;

comment on function admin_internal.view_is_check(jsonb) is
'Whether the view and the check agree on every approval, according to admin_internal.find_in_store().';

create function admin_internal.readiness_c1(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    example text;
begin
    if admin_internal.view_is_check(findings) then
        status := 'pass';
        detail := format('view and check say the same of %s approvals', findings -> 'view' ->> 'approvals');
        return;
    end if;
    example := (select format('%s: %s until %s by the view, %s until %s by the check', v.approval_id, coalesce(v.ttl_state, 'null'), coalesce(v.valid_until::text, 'null'),
                              coalesce(c.answer ->> 'ttl_state', 'null'), coalesce(c.answer ->> 'valid_until', 'null'))
                from admin.approval_ttl_state as v, lateral (select admin.sensitive_check_preview(v.approval_id, null, null, statement_timestamp())) as c(answer)
                where v.ttl_state is distinct from c.answer ->> 'ttl_state'
                   or v.valid_until is distinct from admin_internal.readable_instant(c.answer ->> 'valid_until')::timestamptz limit 1);
    status := 'fail';
    detail := format('not all of %s approvals in the view and %s in the table are told alike; %s', findings -> 'view' ->> 'approvals',
                     findings -> 'check' ->> 'approvals', coalesce('one of them is ' || example, 'their number differs'));
end
$$;

-- If the view and the check agree, a finding on one applies to the other.
create function admin_internal.readiness_c2(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    overdue bigint := case when not admin_internal.view_is_check(findings)
                           then (select count(*) from admin.approval_ttl_state as v where (v.ttl_state = 'valid' or v.valid_until is not null) and v.sla_deadline <= v.evaluated_at) end;
begin
    select * into status, detail from admin_internal.readiness_found(findings, 'overdue', 'valid by the check though the deadline has passed',
        format('%s approvals are valid, each before its deadline', findings -> 'check' ->> 'valid'));
    if status = 'pass' and overdue > 0 then
        status := 'fail';
        detail := format('%s approvals are valid by the view though the deadline has passed', overdue);
    end if;
end
$$;

create function admin_internal.readiness_c3(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with deadline as (select timestamptz '2026-03-29 00:59:59.999999+00' as d),
         cases as (select c.* from deadline, lateral (values
             ('signed_full', null::timestamptz, d - interval '1 microsecond', 'valid'),
             ('signed_full', null, d, 'expired'),
             ('signed_full', null, d + interval '24 hours', 'expired'),
             ('signed_full', null, d + interval '24:00:00.000001', 'stale'),
             ('pending', null, d - interval '1 microsecond', 'not-applicable'),
             ('signed_partial', null, d - interval '1 microsecond', 'not-applicable'),
             ('pending', null, d, 'expired'),
             ('withdrawn', d, d - interval '1 microsecond', 'not-applicable'),
             ('withdrawn', d, d + interval '48 hours', 'not-applicable')) as c(state, closed_at, at, expected))
    select v.* from admin_internal.readiness_verdict(
        array(select format('ttl_state of %s %s the deadline is %s, not %s', c.state,
                            case when c.at = d then 'at' when c.at < d then to_char(d - c.at, 'HH24:MI:SS.US') || ' before' else to_char(c.at - d, 'HH24:MI:SS.US') || ' after' end,
                            coalesce(t.ttl_state, 'null'), c.expected)
              from deadline, cases as c, lateral (select admin.ttl_state(c.state, c.closed_at, d, c.at)) as t(ttl_state)
              where t.ttl_state is distinct from c.expected),
        (select format('%s instants around a deadline, to the microsecond, also where clocks are put forward', count(*)) from cases)) as v
$$;

create function admin_internal.readiness_c4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.*
    from admin_internal.sweep_status_row() as s,
         admin_internal.readiness_verdict(
             array(select format('nobody announces deadlines%s%s', ': ' || nullif(concat_ws('; ', s.problem, admin_internal.delivery_obstacle()), ''),
                                 case when current_setting('admin_ext.sweep_interval') = '0' then '; set admin_ext.sweep_interval, or call admin.schedule_sweep()'
                                      when not exists (select from admin_internal.workers_here() as w where w.pid is not null)
                                      then '; list the database in admin_ext.databases, or call admin.schedule_sweep()' end)
                   where s.swept_by = 'nobody'
                   union all
                   select s.problem where s.swept_by <> 'nobody' and s.problem is not null
                   union all
                   select format('%s approvals wait to be announced, the first for %s s', s.due_rows, round(s.overdue_seconds::numeric))
                   where s.overdue_seconds > 300
                     -- What is imported may be long overdue: the worker announces it the next time.
                     and not (s.swept_by = 'worker' and exists (select from admin_internal.sweep_by_worker() as w
                                                                where w.database = current_database() and w.swept_at > now() - interval '5 minutes'))),
             format('%s announces deadlines; %s are due now', s.swept_by, s.due_rows)) as v
$$;
