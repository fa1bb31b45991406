-- ---------------------------------------------------------------------------
-- Readiness for the cutover: 28 items, each computed when the view is asked.
--
-- An item is a function admin.readiness_<item>(findings) that gives its status and a detail.  What
-- raises, because what it looks at is gone, is a failure of that item and of no other.  Their bodies
-- are strings, so that what they look at can be dropped without them.
-- ---------------------------------------------------------------------------

create function admin.ttl_hash(approval_id text, ttl_state text, valid_until timestamptz)
returns bigint
as 'MODULE_PATHNAME', 'admin_ttl_hash'
language c immutable parallel safe;

comment on function admin.ttl_hash(text, text, timestamptz) is
'A hash of what is said of an approval; joined by bit_xor() over all of them it tells whether two sources say the same.';

create function admin.findings_add(internal, text, text, text, text[], smallint, text, text, timestamptz, timestamptz, timestamptz)
returns internal as 'MODULE_PATHNAME', 'admin_findings_add' language c stable parallel safe;

create function admin.findings_combine(internal, internal)
returns internal as 'MODULE_PATHNAME', 'admin_findings_combine' language c immutable parallel safe;

create function admin.findings_pack(internal)
returns bytea as 'MODULE_PATHNAME', 'admin_findings_pack' language c immutable strict parallel safe;

create function admin.findings_unpack(bytea, internal)
returns internal as 'MODULE_PATHNAME', 'admin_findings_unpack' language c immutable strict parallel safe;

create function admin.findings_result(internal)
returns json as 'MODULE_PATHNAME', 'admin_findings_result' language c immutable parallel safe;

comment on function admin.findings_add(internal, text, text, text, text[], smallint, text, text, timestamptz, timestamptz, timestamptz) is 'Of admin.approval_findings(): one more approval.';
comment on function admin.findings_combine(internal, internal) is 'Of admin.approval_findings(): what two processes have found.';
comment on function admin.findings_pack(internal) is 'Of admin.approval_findings(): from one process to another.';
comment on function admin.findings_unpack(bytea, internal) is 'Of admin.approval_findings(): from one process to another.';
comment on function admin.findings_result(internal) is 'Of admin.approval_findings(): what was found.';

create aggregate admin.approval_findings(
    approval_id text, action text, resource text, required_roles text[], required_signer_count smallint,
    requested_by text, state text, sla_deadline timestamptz, closed_at timestamptz, at timestamptz) (
    sfunc = admin.findings_add, stype = internal, sspace = 1024,
    combinefunc = admin.findings_combine, serialfunc = admin.findings_pack, deserialfunc = admin.findings_unpack,
    finalfunc = admin.findings_result, parallel = safe);

comment on aggregate admin.approval_findings(text, text, text, text[], smallint, text, text, timestamptz, timestamptz, timestamptz) is
'Every approval held against its signatures and an instant: {"approvals", "signatures", "valid", "said", and "inconsistent", "altered", "not_separate", "overdue", each {"count", "example"}}. "said" is admin.ttl_hash() of what the check says, joined by exclusive or. Cheapest when approvals come in the order of their ids.';

-- In the order of the ids, so that signatures are one walk along their index: the table's own order where that is
-- it, else that of the ids' index.  Of what stands in a function several processes share the query of a RETURN alone.
create function admin.find_in_approvals()
returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set parallel_setup_cost = 0
set parallel_tuple_cost = 0
set max_parallel_workers_per_gather = 4
set jit = off
as $$
begin
    -- Lasts as long as the function's own settings do.
    perform set_config('enable_seqscan', 'on', true) from pg_stats as s
    where s.schemaname = 'admin' and s.tablename = 'approval' and s.attname = 'approval_id' and s.correlation > 0.99;
    return (select admin.approval_findings(a.approval_id, a.action, a.resource, a.required_roles, a.required_signer_count, a.requested_by,
                                           a.state, a.sla_deadline, a.closed_at, statement_timestamp())
            from admin.approval as a where a.approval_id >= '');
end
$$;

comment on function admin.find_in_approvals() is 'admin.approval_findings() of all approvals, now.';

create function admin.find_in_view()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
set parallel_setup_cost = 0
set parallel_tuple_cost = 0
set max_parallel_workers_per_gather = 4
set jit = off
as $$
begin
    return (select jsonb_build_object('approvals', count(*),
                                      'said', coalesce(bit_xor(admin.ttl_hash(v.approval_id, v.ttl_state, v.valid_until)), 0))
            from admin.approval_ttl_state as v);
end
$$;

comment on function admin.find_in_view() is 'What the view admin.approval_ttl_state says of all approvals.';

create function admin.count_signatures()
returns bigint
language plpgsql stable
set search_path = pg_catalog, pg_temp
set parallel_setup_cost = 0
set parallel_tuple_cost = 0
set max_parallel_workers_per_gather = 4
set jit = off
set enable_indexonlyscan = off
as $$
begin
    return (select count(*) from admin.signature);
end
$$;

comment on function admin.count_signatures() is 'How many rows admin.signature has.';

-- Computed once for the items that need it.
create function admin.find_in_store()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object('check', admin.find_in_approvals(), 'view', admin.find_in_view(), 'signatures', admin.count_signatures());
exception when others then
    return jsonb_build_object('error', sqlerrm);
end
$$;

comment on function admin.find_in_store() is 'What all approvals and signatures amount to, for the items B3, B4, C1, C2 and F3; {"error"} where they cannot be read.';

create function admin.readiness_verdict(problems text[], fine text, out status text, out detail text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select case when cardinality(problems) > 0 then 'fail' else 'pass' end,
           case when cardinality(problems) > 0
                then array_to_string(problems[1:5], '; ') || case when cardinality(problems) > 5 then format('; and %s more', cardinality(problems) - 5) else '' end
                else fine end;
end;

comment on function admin.readiness_verdict(text[], text) is 'fail with the first of the problems, or pass with what is fine.';

create function admin.readiness_found(findings jsonb, kind text, what text, fine text, out status text, out detail text)
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    finding jsonb := findings -> 'check' -> kind;
begin
    if findings ? 'error' then
        raise exception '%', findings ->> 'error';
    end if;
    select * into status, detail from admin.readiness_verdict(
        case when (finding ->> 'count')::bigint > 0
             then array[format('%s of %s approvals: %s; one of them: %s', finding ->> 'count', findings -> 'check' ->> 'approvals', what, finding ->> 'example')]
        end, fine);
end
$$;

comment on function admin.readiness_found(jsonb, text, text, text) is 'The verdict on one kind of finding of admin.find_in_store().';

-- ---------------------------------------------------------------------------
-- A: the schema is what fixtures/persistence_schema.json describes.
-- ---------------------------------------------------------------------------

create function admin.persistence_schema()
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
return $spec$
@persistence_schema@
$spec$::jsonb;

comment on function admin.persistence_schema() is
'What the relations of the schema have to be: fixtures/persistence_schema.json of this version, {"version", "relations": [{"kind", "name", "columns", "constraints", "triggers"}]}.';

-- Relations, columns, constraints and triggers as lines that can be compared.
create function admin.schema_described()
returns table (relation text, kind text, line text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with r as materialized (select r ->> 'name' as name, r ->> 'kind' as kind, r from jsonb_array_elements(admin.persistence_schema() -> 'relations') as r)
    select r.name, r.kind, format('%s %s', r.kind, r.name) from r
    union all
    select r.name, r.kind, format('column %s.%s %s%s%s', r.name, c ->> 'name', c ->> 'type', case when (c ->> 'nullable')::boolean then '' else ' not null' end,
                                  ' default ' || (c ->> 'default'))
    from r, jsonb_array_elements(r.r -> 'columns') as c
    union all
    select r.name, r.kind, format('constraint %s.%s', r.name, c) from r, jsonb_array_elements_text(r.r -> 'constraints') as c
    union all
    select r.name, 'trigger', format('trigger %s.%s', r.name, t) from r, jsonb_array_elements_text(r.r -> 'triggers') as t
$$;

comment on function admin.schema_described() is 'admin.persistence_schema() as lines; triggers are a kind of their own.';

create function admin.schema_present()
returns table (relation text, kind text, line text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with r as materialized (select c.oid, c.relname::text as name, case c.relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' end as kind
                            from pg_class as c where c.relnamespace = 'admin'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition)
    select r.name, r.kind, format('%s %s', r.kind, r.name) from r
    union all
    select r.name, r.kind, format('column %s.%s %s%s%s', r.name, a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
                                  ' default ' || case when a.attidentity <> '' then 'identity' else pg_get_expr(d.adbin, d.adrelid) end)
    from r join pg_attribute as a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    union all
    select r.name, r.kind, format('constraint %s.%s %s', r.name, k.conname, pg_get_constraintdef(k.oid))
    from r join pg_constraint as k on k.conrelid = r.oid and k.contype <> 'n'
    union all
    select r.name, 'trigger', format('trigger %s.%s %s', r.name, t.tgname, t.tgenabled)
    from r join pg_trigger as t on t.tgrelid = r.oid and not t.tgisinternal
$$;

comment on function admin.schema_present() is 'The relations of the schema, partitions apart, in the same words.';

create function admin.schema_differences(kinds text[])
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with d as materialized (select * from admin.schema_described() where kind = any (kinds)),
         p as materialized (select * from admin.schema_present() where kind = any (kinds)),
         -- Of a relation that is not there at all, or should not be, its name says enough.
         differences as (select 'lacks' as how, d.*, exists (select from p where p.relation = d.relation) as is_part from d where d.line not in (select line from p)
                         union all
                         select 'has', p.*, exists (select from d where d.relation = p.relation) from p where p.line not in (select line from d))
    select format('%s %s', how, line) from differences where is_part or kind = 'trigger' or line = format('%s %s', kind, relation)
    order by how desc, line
$$;

comment on function admin.schema_differences(text[]) is 'What is described and not there, or there and not described, of these kinds: table, partitioned table, view, trigger.';

create function admin.readiness_a1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(array(select admin.schema_differences('{table}')),
        (select format('%s tables are as described', count(*)) from admin.schema_described() as d where d.line = 'table ' || d.relation)) as v
$$;

create function admin.readiness_a2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(
        array(select admin.schema_differences('{view}')
              union all
              select format('view %s is not the extension''s', c.relname) from pg_class as c
              where c.relnamespace = 'admin'::regnamespace and c.relkind = 'v'
                and not exists (select from pg_depend as d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')),
        (select format('%s views are as described', count(*)) from admin.schema_described() as d where d.line = 'view ' || d.relation)) as v
$$;

create function admin.readiness_a3(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(
        array(select admin.schema_differences('{partitioned table}')
              union all
              select format('partition %s lacks %s', p.partition, l) from admin.audit_partitions() as p, admin.audit_partition_lacks(p.partition) as l
              union all
              select format('partition %s: trigger %s is not enabled always', p.partition, t.tgname)
              from admin.audit_partitions() as p join pg_trigger as t on t.tgrelid = p.partition
              where t.tgfoid = 'admin.audit_append_only()'::regprocedure and t.tgenabled <> 'A'
              union all
              select 'there is no default partition' where not exists (select from admin.audit_partitions() as p where p.is_default)
              union all
              select 'this month has no partition; call admin.create_audit_partitions()'
              where not exists (select from admin.audit_partitions() as p where p.lower_bound <= now() and p.upper_bound > now())),
        (select format('%s partitions, each with its indexes and triggers; months up to %s', count(*), to_char(max(p.upper_bound) at time zone 'UTC', 'YYYY-MM-DD'))
         from admin.audit_partitions() as p)) as v
$$;

create function admin.readiness_a4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with e as (select e.oid, e.extversion, e.extowner, a.default_version, admin.persistence_schema() ->> 'version' as described
               from pg_extension as e left join pg_available_extensions as a on a.name = e.extname where e.extname = 'admin_ext')
    select v.* from admin.readiness_verdict(
        array(select format('the extension is at version %s, its description at %s', e.extversion, e.described) from e where e.extversion <> e.described
              union all
              select format('the server has version %s installed, this database %s; run ALTER EXTENSION admin_ext UPDATE', coalesce(e.default_version, 'none'), e.extversion)
              from e where e.default_version is distinct from e.extversion
              union all
              select format('function %s is not the extension''s', p.oid::regprocedure) from pg_proc as p
              where p.pronamespace = 'admin'::regnamespace
                and not exists (select from pg_depend as d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
              union all
              select format('function %s belongs to %s, the extension to %s', p.oid::regprocedure, p.proowner::regrole, e.extowner::regrole)
              from e, pg_proc as p where p.pronamespace = 'admin'::regnamespace and p.proowner <> e.extowner
              union all
              select format('function %s is not of the library', p.oid::regprocedure) from pg_proc as p
              join pg_language as l on l.oid = p.prolang
              where p.pronamespace = 'admin'::regnamespace and (l.lanname = 'c' and p.probin <> '$libdir/admin_ext'
                    or l.lanname <> 'c' and p.proname in ('sensitive_check', 'sensitive_check_preview', 'ttl_state', 'approval_digest', 'approval_guard',
                                                          'signature_guard', 'audit_append_only', 'audit_row_change', 'jwt_verify'))),
        (select format('version %s', e.extversion) from e)) as v
$$;

create function admin.readiness_a5(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(array(select admin.schema_differences('{trigger}')),
        (select format('%s triggers are there and enabled always', count(*)) from admin.schema_described() as d where d.kind = 'trigger')) as v
$$;

-- ---------------------------------------------------------------------------
-- B: the store holds what the file-backed one held, and answers alike.
-- ---------------------------------------------------------------------------

create function admin.readiness_b1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when r.run_id is null then 'not_configured' when r.rejected > 0 then 'fail' else 'pass' end,
           case when r.run_id is null then 'nothing has been imported'
                else format('run %s at %s: %s imported, %s there already, %s rejected', r.run_id, to_char(r.run_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                            r.imported, r.unchanged, r.rejected) end
    from (select) as one left join (select * from admin.import_run order by run_id desc limit 1) as r on true
$$;

create function admin.readiness_b2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with run as (select * from admin.parity_run order by run_id desc limit 1),
         shadow as (select exists (select from admin.shadow_check) as is_there,
                           (select count(*) from admin.shadow_difference) as differences,
                           (select d.shadow_id from admin.shadow_difference as d order by d.shadow_id limit 1) as first)
    select case when v.status = 'pass' and not s.is_there and not exists (select from run) then 'not_configured' else v.status end,
           case when v.status = 'pass' and not s.is_there and not exists (select from run) then 'no parity run has been recorded, and nobody asks in shadow mode' else v.detail end
    from shadow as s,
         admin.readiness_verdict(
             array(select format('parity run %s: %s of %s cases differ, %s left out', r.run_id, r.differences, r.cases, r.left_out) from run as r where r.differences > 0 or r.left_out > 0
                   union all
                   select format('parity run %s compared nothing', r.run_id) from run as r where r.cases = 0
                   union all
                   select format('%s answers in shadow mode differ and are not settled, the first is %s', s.differences, s.first) where s.differences > 0),
             concat_ws('; ', (select format('parity run %s: %s cases, none differs', r.run_id, r.cases) from run as r),
                       case when s.is_there then 'no answer in shadow mode differs' end)) as v
$$;

create function admin.readiness_b3(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    counted bigint := (findings ->> 'signatures')::bigint;
    judged  bigint := (findings -> 'check' ->> 'signatures')::bigint;
begin
    select * into status, detail from admin.readiness_found(findings, 'inconsistent', 'state, number of signatures and closed_at do not go together',
        format('%s approvals and their %s signatures go together', findings -> 'check' ->> 'approvals', judged));
    if status = 'pass' and counted <> judged then
        status := 'fail';
        detail := format('%s of %s signatures are of no approval, or not in the index that checks read', abs(counted - judged), counted);
    end if;
end
$$;

create function admin.readiness_b4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_found(findings, 'altered', 'a signature is of something else than the approval says now',
        format('all %s signatures are of what their approvals say', findings -> 'check' ->> 'signatures')) as v
$$;

-- ---------------------------------------------------------------------------
-- C: deadlines.
-- ---------------------------------------------------------------------------

create function admin.view_is_check(findings jsonb)
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

comment on function admin.view_is_check(jsonb) is 'Do view and check say the same of every approval, by admin.find_in_store()?';

create function admin.readiness_c1(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    example text;
begin
    if admin.view_is_check(findings) then
        status := 'pass';
        detail := format('view and check say the same of %s approvals', findings -> 'view' ->> 'approvals');
        return;
    end if;
    example := (select format('%s: %s until %s by the view, %s until %s by the check', v.approval_id, coalesce(v.ttl_state, 'null'), coalesce(v.valid_until::text, 'null'),
                              coalesce(c.answer ->> 'ttl_state', 'null'), coalesce(c.answer ->> 'valid_until', 'null'))
                from admin.approval_ttl_state as v, lateral (select admin.sensitive_check_preview(v.approval_id, null, null, statement_timestamp())) as c(answer)
                where v.ttl_state is distinct from c.answer ->> 'ttl_state'
                   or v.valid_until is distinct from (c.answer ->> 'valid_until')::timestamptz limit 1);
    status := 'fail';
    detail := format('not all of %s approvals in the view and %s in the table are told alike; %s', findings -> 'view' ->> 'approvals',
                     findings -> 'check' ->> 'approvals', coalesce('one of them is ' || example, 'their number differs'));
end
$$;

-- Where view and check say the same, what holds for the one holds for the other.
create function admin.readiness_c2(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    overdue bigint := case when not admin.view_is_check(findings)
                           then (select count(*) from admin.approval_ttl_state as v where (v.ttl_state = 'valid' or v.valid_until is not null) and v.sla_deadline <= v.evaluated_at) end;
begin
    select * into status, detail from admin.readiness_found(findings, 'overdue', 'valid by the check though the deadline has passed',
        format('%s approvals are valid, each before its deadline', findings -> 'check' ->> 'valid'));
    if status = 'pass' and overdue > 0 then
        status := 'fail';
        detail := format('%s approvals are valid by the view though the deadline has passed', overdue);
    end if;
end
$$;

create function admin.readiness_c3(findings jsonb, out status text, out detail text)
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
    select v.* from admin.readiness_verdict(
        array(select format('ttl_state of %s %s the deadline is %s, not %s', c.state,
                            case when c.at = d then 'at' when c.at < d then to_char(d - c.at, 'HH24:MI:SS.US') || ' before' else to_char(c.at - d, 'HH24:MI:SS.US') || ' after' end,
                            coalesce(t.ttl_state, 'null'), c.expected)
              from deadline, cases as c, lateral (select admin.ttl_state(c.state, c.closed_at, d, c.at)) as t(ttl_state)
              where t.ttl_state is distinct from c.expected),
        (select format('%s instants around a deadline, to the microsecond, also where clocks are put forward', count(*)) from cases)) as v
$$;

create function admin.readiness_c4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.*
    from admin.sweep_status_row() as s,
         admin.readiness_verdict(
             array(select format('nobody announces deadlines%s', ': ' || s.problem) where s.swept_by = 'nobody'
                   union all
                   select s.problem where s.swept_by <> 'nobody' and s.problem is not null
                   union all
                   select format('%s approvals wait to be announced, the first for %s s', s.due_rows, round(s.overdue_seconds::numeric))
                   where s.overdue_seconds > 300
                     -- What is imported may be long overdue: the worker announces it the next time.
                     and not (s.swept_by = 'worker' and exists (select from admin.sweep_by_worker() as w
                                                                where w.database = current_database() and w.swept_at > now() - interval '5 minutes'))),
             format('%s announces deadlines; %s are due now', s.swept_by, s.due_rows)) as v
$$;

-- ---------------------------------------------------------------------------
-- D: the trail gets to where it is kept.
-- ---------------------------------------------------------------------------

create function admin.workers_here()
returns setof admin.worker_status
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select w.* from admin.worker_status as w where w.database = current_database()
$$;

comment on function admin.workers_here() is 'admin.worker_status of this database.';

-- What is wrong with the worker of a sink.
create function admin.worker_problem(sink text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when admin.delivery_obstacle() is not null then admin.delivery_obstacle()
                when w.sink is null or w.pid is null then format('no worker runs for sink %s%s', s.sink, ': ' || w.last_error)
                when w.state not in ('idle', 'delivering') then format('the worker of sink %s is %s%s', s.sink, w.state, ': ' || w.last_error) end
    from (values (worker_problem.sink)) as s(sink) left join admin.workers_here() as w on w.sink = s.sink
$$;

comment on function admin.worker_problem(text) is 'What keeps the worker of a sink from delivering this database''s trail; null: nothing.';

create function admin.readiness_d1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(
        array(select distinct p from admin.enabled_sinks() as s(sink), admin.worker_problem(s.sink) as p where p is not null
              union all
              select 'admin_ext.sinks is empty' where not exists (select from admin.enabled_sinks())),
        (select string_agg(format('%s: %s since %s', w.sink, w.state, to_char(w.started_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), ', ' order by w.sink)
         from admin.workers_here() as w)) as v
$$;

-- A sink that need not be there: its own words for where it delivers, once its worker is well.
create function admin.readiness_of_sink(sink text, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when not s.is_enabled then 'not_configured' else v.status end,
           case when not s.is_enabled then format('sink %s is not in admin_ext.sinks', readiness_of_sink.sink) else v.detail end
    from (select exists (select from admin.enabled_sinks() as e(sink) where e.sink = readiness_of_sink.sink)) as s(is_enabled),
         admin.readiness_verdict(
             array(select p from admin.worker_problem(readiness_of_sink.sink) as p where s.is_enabled and p is not null),
             coalesce((select p.place from admin.sink_places() as p where p.database = current_database() and p.sink = readiness_of_sink.sink),
                      format('sink %s is open', readiness_of_sink.sink))) as v
$$;

comment on function admin.readiness_of_sink(text) is 'The verdict on a sink that is not there by default.';

create function admin.readiness_d2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_of_sink('kafka') as v
$$;

create function admin.readiness_d3(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when s.is_set then k.status else 'not_configured' end,
           case when k.status = 'not_configured' then k.detail
                when not s.is_set then 'admin_ext.schema_registry_url is not set: values carry no schema id' else k.detail end
    from admin.readiness_of_sink('kafka') as k,
         lateral (select k.status <> 'not_configured' and current_setting('admin_ext.schema_registry_url') <> '') as s(is_set)
$$;

create function admin.readiness_d4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(
        array(select format('sink %s is %s rows and %s s behind', w.sink, w.lag_rows, round(w.lag_seconds::numeric)) from admin.workers_here() as w where w.lag_seconds > 60
              union all
              select distinct p from admin.enabled_sinks() as s(sink), admin.worker_problem(s.sink) as p where p is not null),
        (select string_agg(format('%s: %s rows, %s s', w.sink, w.lag_rows, round(w.lag_seconds::numeric, 1)), ', ' order by w.sink) from admin.workers_here() as w)) as v
$$;

create function admin.readiness_d5(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(
        array(select format('sink %s rejected %s rows for good, the first is audit_id %s', d.sink, count(*), min(d.audit_id)) from admin.dead_letter as d group by d.sink order by d.sink),
        'no row was rejected') as v
$$;

-- What writes the trail to write-once storage tells of it by events of its own, whose source begins so.
create function admin.readiness_d6(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with archiver as (select s.source, s.last_seen_at, (select count(*) from admin.ingest_gap as g where g.source = s.source and g.filled_at is null) as gaps
                      from admin.ingest_source as s where s.source like '/archiver/%')
    select case when not exists (select from archiver) then 'not_configured' else v.status end,
           case when not exists (select from archiver) then 'no archiver has told of itself (no ingested event has a source /archiver/...)' else v.detail end
    from admin.readiness_verdict(
        array(select format('nothing was heard of %s since %s', a.source, to_char(a.last_seen_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) from archiver as a
              where a.last_seen_at < now() - interval '1 day'
              union all
              select format('%s gaps in what %s told', a.gaps, a.source) from archiver as a where a.gaps > 0),
        (select string_agg(format('%s was heard at %s', a.source, to_char(a.last_seen_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')), ', ') from archiver as a)) as v
$$;

-- ---------------------------------------------------------------------------
-- E: FF.
-- ---------------------------------------------------------------------------

create function admin.roles_who_may(function regprocedure)
returns setof regrole
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select r.oid::regrole from pg_roles as r
    where r.rolcanlogin and not r.rolsuper and has_function_privilege(r.oid, roles_who_may.function, 'execute') and has_schema_privilege(r.oid, 'admin', 'usage')
$$;

comment on function admin.roles_who_may(regprocedure) is 'Who can log in, is no superuser, and may call a function of this schema.';

create function admin.readiness_e1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    with f as (select 'admin.sensitive_check(text, text, text, text, text, text, text)'::regprocedure as f),
         checker as (select c::text as name from f, admin.roles_who_may(f.f) as c)
    select v.* from admin.readiness_verdict(
        array(select 'no role but superusers may call admin.sensitive_check(); see admin.grant_access()' where not exists (select from checker)
              union all
              select format('role %s may write to admin.%s', r.rolname, t) from pg_roles as r, unnest('{approval, signature, audit}'::text[]) as t
              where not r.rolsuper and r.rolname !~ '^pg_'
                and (has_table_privilege(r.oid, 'admin.' || t, 'delete, truncate') or has_any_column_privilege(r.oid, 'admin.' || t, 'insert, update'))
              union all
              select 'everybody (PUBLIC) may call admin.sensitive_check()' from pg_proc as p, f, aclexplode(p.proacl) as a where p.oid = f.f and a.grantee = 0),
        (select format('%s may check, nobody but superusers writes', string_agg(c.name, ', ' order by c.name)) from checker as c)) as v
$$;

create function admin.readiness_e2(findings jsonb, out status text, out detail text)
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

create function admin.readiness_e3(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when l.p99_ms is null then 'not_configured' when l.p99_ms > 1000 then 'fail' else 'pass' end,
           case when l.calls is null then 'admin_ext is not in shared_preload_libraries: nobody measures'
                when l.p99_ms is null then 'no check has been measured in the last hour'
                else format('of %s checks in the last hour 99 in 100 took at most %s ms, the longest %s ms; FF gives them 1000', l.calls,
                            round(l.p99_ms::numeric, 3), round(l.max_ms::numeric, 3)) end
    from (select) as one left join admin.check_latency as l on true
$$;

create function admin.readiness_e4(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_of_sink('redis') as v
$$;

create function admin.readiness_e5(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select case when s.sources = 0 then 'not_configured' else v.status end,
           case when s.sources = 0 then 'nothing has been ingested' else v.detail end
    from (select count(*) as sources, coalesce(sum(i.accepted), 0) as accepted from admin.ingest_source as i) as s,
         admin.readiness_verdict(
             array(select format('events %s to %s of %s are missing since %s', g.from_sequence, g.to_sequence, g.source,
                                 to_char(g.noticed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))
                   from admin.ingest_gap as g where g.filled_at is null order by g.noticed_at, g.source, g.from_sequence limit 1000),
             format('%s events of %s sources, without a gap', s.accepted, s.sources)) as v
$$;

-- ---------------------------------------------------------------------------
-- F: signers.
-- ---------------------------------------------------------------------------

create function admin.readiness_f1(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(
        array(select 'no issuer of tokens is trusted; see admin.add_jwt_issuer()' where not exists (select from admin.jwt_issuer)
              union all
              select format('issuer %s has no key that is good; see admin.import_jwks()', i.issuer) from admin.jwt_issuer as i
              where not exists (select from admin.jwt_key as k where k.issuer = i.issuer and k.revoked_at is null)),
        (select string_agg(format('%s: %s keys', k.issuer, k.keys), ', ' order by k.issuer)
         from (select k.issuer, count(*) as keys from admin.jwt_key as k where k.revoked_at is null group by k.issuer) as k)) as v
$$;

create function admin.readiness_f2(findings jsonb, out status text, out detail text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select v.* from admin.readiness_verdict(
        array(select 'admin_ext.require_verified_jwt is off' where not admin.requires_tokens()
              union all
              select 'admin_ext.require_verified_jwt is off for new sessions' from pg_settings as s
              where s.name = 'admin_ext.require_verified_jwt' and s.reset_val = 'off' and admin.requires_tokens()
              union all
              select format('admin_ext.require_verified_jwt is off%s%s', ' for role ' || nullif(o.setrole, 0)::regrole, case when o.setdatabase <> 0 then ' in this database' end)
              from pg_db_role_setting as o, unnest(o.setconfig) as c
              where (o.setdatabase = 0 or o.setdatabase = (select d.oid from pg_database as d where d.datname = current_database()))
                and split_part(c, '=', 1) = 'admin_ext.require_verified_jwt' and not split_part(c, '=', 2)::boolean),
        'issue, sign and withdraw take verified tokens only') as v
$$;

create function admin.readiness_f3(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    open_doors text[] := array(
        select format('constraint %s is not there', n) from unnest('{signature_one_per_role, signature_one_per_person}'::text[]) as n
        where not exists (select from pg_constraint as k where k.conrelid = 'admin.signature'::regclass and k.conname = n and k.contype = 'u' and k.convalidated)
        union all
        select format('trigger %s is not enabled', n) from unnest('{signature_guard, signature_guard_advance}'::text[]) as n
        where not exists (select from pg_trigger as t where t.tgrelid = 'admin.signature'::regclass and t.tgname = n and t.tgenabled = 'A'));
begin
    select * into status, detail from admin.readiness_found(findings, 'not_separate',
        'signed twice by a person or in a role, by the requester, or in a role that is not required',
        format('%s signatures: each in a required role, of different people, none of the requester', findings -> 'check' ->> 'signatures'));
    if status = 'pass' then
        select * into status, detail from admin.readiness_verdict(open_doors, detail);
    end if;
end
$$;

create function admin.readiness_f4(findings jsonb, out status text, out detail text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    come_back text[] := array(
        select format('approval %s was withdrawn, audit_id %s, and is %s now', w.approval_id, w.audit_id, coalesce(a.state, 'gone'))
        from admin.audit as w left join admin.approval as a using (approval_id)
        where w.event_type = 'approval.withdrawn' and a.state is distinct from 'withdrawn' order by w.audit_id limit 1000);
    open_doors text[] := array(
        select 'trigger approval_guard is not enabled'
        where not exists (select from pg_trigger as t where t.tgrelid = 'admin.approval'::regclass and t.tgname = 'approval_guard' and t.tgenabled = 'A')
        union all
        select 'constraint approval_closed_if_withdrawn is not there'
        where not exists (select from pg_constraint as k where k.conrelid = 'admin.approval'::regclass and k.conname = 'approval_closed_if_withdrawn' and k.convalidated));
begin
    select * into status, detail from admin.readiness_verdict(come_back || open_doors,
        format('%s withdrawals stand in the trail, and hold', (select count(*) from admin.audit as w where w.event_type = 'approval.withdrawn')));
end
$$;

-- ---------------------------------------------------------------------------
-- The view.
-- ---------------------------------------------------------------------------

create function admin.readiness_items()
returns table (item text, area text, title text)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    values ('A1', 'schema', 'tables are as described'),
           ('A2', 'schema', 'views are as described'),
           ('A3', 'schema', 'audit trail is partitioned, indexed and append-only'),
           ('A4', 'schema', 'version is the installed one, and nothing was slipped in'),
           ('A5', 'schema', 'triggers are enabled'),
           ('B1', 'store', 'import is complete'),
           ('B2', 'store', 'parity is clean'),
           ('B3', 'store', 'counts are consistent'),
           ('B4', 'store', 'digests match'),
           ('C1', 'TTL', 'view and check agree on every approval'),
           ('C2', 'TTL', 'nothing past its deadline is valid'),
           ('C3', 'TTL', 'boundaries of deadlines hold'),
           ('C4', 'TTL', 'sweep is alive'),
           ('D1', 'audit', 'workers are alive'),
           ('D2', 'audit', 'topic takes the trail'),
           ('D3', 'audit', 'schema is registered'),
           ('D4', 'audit', 'delivery keeps up'),
           ('D5', 'audit', 'there are no dead letters'),
           ('D6', 'audit', 'archive is written'),
           ('E1', 'FF', 'checker role can check, and nothing more'),
           ('E2', 'FF', 'calls are seen'),
           ('E3', 'FF', 'p99 is within the budget'),
           ('E4', 'FF', 'Redis publisher is alive'),
           ('E5', 'FF', 'ingest has no gaps'),
           ('F1', 'signers', 'issuers and keys are there'),
           ('F2', 'signers', 'tokens are required'),
           ('F3', 'signers', 'separation of duties holds'),
           ('F4', 'signers', 'withdrawals are terminal');
end;

comment on function admin.readiness_items() is 'The items of admin.cutover_readiness; fixtures/cutover_readiness_notes.json tells the owner, evidence and rollback step of each.';

do $$
begin
    execute (select string_agg(format('comment on function admin.readiness_%s(jsonb) is %L', lower(i.item), format('Item %s of admin.cutover_readiness: %s.', i.item, i.title)), '; ')
             from admin.readiness_items() as i);
end
$$;

create function admin.cutover_readiness_rows()
returns table (item text, area text, title text, status text, detail text)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
as $$
#variable_conflict use_column
declare
    findings jsonb := admin.find_in_store();
begin
    for item, area, title in select i.item, i.area, i.title from admin.readiness_items() as i loop
        begin
            execute format('select r.status, r.detail from admin.readiness_%s($1) as r', lower(item)) into strict status, detail using findings;
        exception when others then
            status := 'fail';
            detail := 'could not be looked at: ' || sqlerrm;
        end;
        return next;
    end loop;
end
$$;

comment on function admin.cutover_readiness_rows() is 'What admin.cutover_readiness shows.';

create view admin.cutover_readiness as select * from admin.cutover_readiness_rows();

comment on view admin.cutover_readiness is
'Is this database ready to take over from the file-backed store? 28 rows, each computed from the live database at the moment it is asked.';
comment on column admin.cutover_readiness.item is 'A1 to F4.';
comment on column admin.cutover_readiness.area is 'schema (A), store (B), TTL (C), audit (D), FF (E) or signers (F).';
comment on column admin.cutover_readiness.title is 'What has to hold.';
comment on column admin.cutover_readiness.status is 'pass; fail; or not_configured, where there is nothing to look at and somebody has to say whether that is meant.';
comment on column admin.cutover_readiness.detail is 'What was seen; for a failure, what is wrong.';
