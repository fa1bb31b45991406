-- ---------------------------------------------------------------------------
-- Readiness of the trail and the settings: months, numbers, events, switches.
-- ---------------------------------------------------------------------------

-- admin.drop_audit_partitions() drops only the oldest months, so a missing month in between is always a fault.
create function admin_internal.month_problems()
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set datestyle = 'ISO, YMD'
as $$
    with p as materialized (select * from admin.audit_partitions())
    select 'this month has no partition; call admin.create_audit_partitions()'
    where not exists (select from p where p.lower_bound <= now() and p.upper_bound > now())
    union all
    select 'next month has no partition; call admin.create_audit_partitions()'
    where exists (select from p where p.lower_bound <= now() and p.upper_bound > now())
      and not exists (select from p where p.lower_bound <= now() + interval '1 month' and p.upper_bound > now() + interval '1 month')
    union all
    select format('partitions are missing from %s to %s; admin.drop_audit_partitions() makes no hole: attach them again, or restore them from a backup', h.last_upper::date, h.lower_bound::date)
    from (select p.lower_bound, lag(p.upper_bound) over (order by p.lower_bound) as last_upper from p where not p.is_default) as h
    where h.lower_bound > h.last_upper
$$;

comment on function admin_internal.month_problems() is
'Reports a missing partition of the current or the next month, and missing partitions between the existing ones.';

-- Within a partition audit_id is unique.  In two partitions, only ids of their common range can be
-- duplicates.  A common range is normal around midnight, and after a step of the clock.
-- The function looks up the side with fewer rows in that range in the other one.
create function admin_internal.number_problems()
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    parts   regclass[] := array(select p.partition from admin.audit_partitions() as p);
    lows    bigint[];
    highs   bigint[];
    low     bigint;
    high    bigint;
    double  bigint;
    looked  bigint;
    most constant int := 10000;
begin
    for i in 1 .. cardinality(parts) loop
        execute format('select min(a.audit_id), max(a.audit_id) from %s as a', parts[i]) into low, high;
        lows[i] := low;
        highs[i] := high;
    end loop;
    for i in 1 .. cardinality(parts) loop
        for j in 1 .. cardinality(parts) loop
            low := greatest(lows[i], lows[j]);
            high := least(highs[i], highs[j]);
            continue when i = j or lows[i] is null or lows[j] is null or low > high;
            execute format('select count(*), min(a.audit_id) filter (where exists (select from %s as b where b.audit_id = a.audit_id))
                            from (select a.audit_id from %s as a where a.audit_id between $1 and $2 limit $3) as a', parts[j], parts[i])
            into looked, double using low, high, most;
            if double is not null and i < j then
                return next format('audit_id %s is in %s and in %s: one of the rows was not written by the extension', double, parts[i], parts[j]);
            elsif double is not null and looked = most then
                return next format('audit_id %s is in %s and in %s: one of the rows was not written by the extension', double, parts[j], parts[i]);
            end if;
        end loop;
    end loop;
    return query
        select format('audit_id %s was never drawn: the last number is %s; after a restore call admin.resync_sink() and admin.restore_guards()', max(h), s.last_value)
        from unnest(highs) as h, admin.audit_audit_id_seq as s group by s.last_value having max(h) > s.last_value
        union all
        select format('sequence %s is behind %s, which a row of %s has; call admin.restore_guards()', b.sequence, b.highest, b.relation)
        from admin_internal.sequences_behind() as b where b.relation <> 'admin.audit'::regclass
        union all
        -- Checks fail when the last one was drawn; nothing but setval() comes near it.
        select format('sequence admin.audit_audit_id_seq is at %s: few numbers are left', s.last_value)
        from admin.audit_audit_id_seq as s where s.last_value > 9000000000000000000;
end
$$;

comment on function admin_internal.number_problems() is
'Reports numbers of the trail that are in two partitions or above the last number drawn. Also reports sequences that are behind their tables, and a sequence of the trail that is near its end. If partitions share a long range of numbers, it looks up 10000 rows of each.';

-- Samples approvals: all of a small store; of a large one the newest, and others at random.
create function admin_internal.approvals_sampled(newest int, others int)
returns table (approval_id text, created_at timestamptz, signatures bigint)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    pages bigint := pg_relation_size('admin.approval') / current_setting('block_size')::bigint;
    -- A page holds 20 approvals and more.
    last_pages bigint := greatest(pages - ceil(newest / 20.0)::bigint, 0);
begin
    return query
        select a.approval_id, a.created_at, (select count(*) from admin.signature as s where s.approval_id = a.approval_id)
        from (select a.approval_id, a.created_at from admin.approval as a where a.ctid >= format('(%s,0)', last_pages)::tid
              union
              (select a.approval_id, a.created_at from admin.approval as a tablesample system (least(100, 100.0 * ceil(others / 20.0) / greatest(pages, 1))) limit others)) as a;
end
$$;

comment on function admin_internal.approvals_sampled(int, int) is
'A sample of approvals, with their number of signatures: those of the last pages of the table, and some at random. If the table is small, all approvals.';

-- Reads all events of an approval, because a checker could append any number of checks.
-- A million events take about a second.
create function admin_internal.event_problems()
returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
set jit = off
as $$
declare
    -- What a lawful drop took along was recorded before the first month that is left.
    first_month timestamptz := case when (select d.below from admin.audit_dropped as d) > 0
                                    then (select min(p.lower_bound) from admin.audit_partitions() as p) else '-infinity' end;
begin
    return query
        with looked as materialized (
            select a.approval_id, a.created_at, a.signatures, e.*, json_populate_record(null::admin.approval, admin_internal.readable_row(e.last_row)) is distinct from present as is_other_row
            from admin_internal.approvals_sampled(500, 500) as a join admin.approval as present using (approval_id),
                 lateral (select count(*) filter (where e.event_type = 'approval.issued') as issued,
                                 count(*) filter (where e.event_type = 'signature.added') as added,
                                 (array_agg(e.payload -> 'row' order by e.audit_id desc)
                                  filter (where e.event_type <> 'signature.added'))[1] as last_row,
                                 min(e.payload ->> 'by') filter (where e.event_type = 'signature.added' and e.payload #>> '{row,token_sha256}' is not null) as forger
                          from admin.audit as e
                          where e.approval_id = a.approval_id
                            and e.event_type in ('approval.issued', 'approval.signed_partial', 'approval.signed_full', 'approval.withdrawn', 'approval.altered', 'signature.added')) as e)
        select format('%s of %s approvals that were looked at have no event approval.issued in the trail: they were not issued through the extension; one of them: %s',
                      count(*), (select count(*) from looked), min(l.approval_id))
        from looked as l where l.issued = 0 and l.created_at >= first_month having count(*) > 0
        union all
        select format('%s approvals have more than one event approval.issued; one of them: %s', count(*), min(l.approval_id))
        from looked as l where l.issued > 1 having count(*) > 0
        union all
        select format('%s approvals have not as many events signature.added as signatures; one of them: %s has %s events and %s signatures',
                      count(*), min(l.approval_id), (array_agg(l.added order by l.approval_id))[1], (array_agg(l.signatures order by l.approval_id))[1])
        from looked as l where l.added <> l.signatures and l.issued = 1 having count(*) > 0
        union all
        select format('%s of %s approvals that were looked at are not what their last event left: they were altered behind their triggers; one of them: %s',
                      count(*), (select count(*) from looked), min(l.approval_id))
        from looked as l where l.is_other_row and l.last_row is not null having count(*) > 0
        union all
        select format('%s approvals have signatures that name a token and were written by hand, so that no token was verified; one of them: %s, by role "%s"',
                      count(*), min(l.approval_id), (array_agg(l.forger order by l.approval_id))[1])
        from looked as l where l.forger is not null having count(*) > 0;
end
$$;

comment on function admin_internal.event_problems() is
'Reports approvals of admin_internal.approvals_sampled() whose events do not fit. approval.issued is missing or repeated, or the number of signature.added differs from the number of signatures. Or the row differs from the last event, or a signature that names a token was written by hand. Reads every event of these approvals.';

-- ---------------------------------------------------------------------------
-- Finds settings that have a forbidden value.
-- ---------------------------------------------------------------------------

create function admin_internal.setting_is(value text, what text)
returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case when what in ('on', 'off') then value::boolean = what::boolean else lower(value) = what end;
exception when others then
    return false;
end
$$;

comment on function admin_internal.setting_is(text, text) is
'Whether a value of a setting means the other value. "on" and "off" have several spellings.';

create function admin_internal.setting_found(name text, what text)
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select format('%s is %s in this session', name, what) where admin_internal.setting_is(current_setting(name, true), what)
    union all
    select format('%s is %s for new sessions', name, what) from pg_settings as s
    where s.name = setting_found.name and admin_internal.setting_is(s.reset_val, what) and not admin_internal.setting_is(s.setting, what)
    union all
    select format('%s is %s in line %s of a configuration file', name, what, f.sourceline) from pg_file_settings as f
    where lower(f.name) = setting_found.name and admin_internal.setting_is(f.setting, what)
      and f.seqno = (select max(g.seqno) from pg_file_settings as g where lower(g.name) = setting_found.name)
    union all
    select format('%s is %s%s%s; run ALTER %s RESET %s', name, what, ' for role ' || nullif(o.setrole, 0)::regrole, case when o.setdatabase <> 0 then ' in this database' end,
                  case when o.setrole = 0 then format('DATABASE %I', current_database())
                       else concat_ws(' ', 'ROLE', o.setrole::regrole, case when o.setdatabase <> 0 then format('IN DATABASE %I', current_database()) end) end, name)
    from pg_db_role_setting as o, unnest(o.setconfig) as c
    where (o.setdatabase = 0 or o.setdatabase = (select d.oid from pg_database as d where d.datname = current_database()))
      and lower(split_part(c, '=', 1)) = setting_found.name and admin_internal.setting_is(substr(c, strpos(c, '=') + 1), what)
    union all
    select format('%s is %s within function %s; run ALTER FUNCTION %s RESET %s', name, what, p.oid::regprocedure, p.oid::regprocedure, name)
    from pg_proc as p, unnest(p.proconfig) as c
    where lower(split_part(c, '=', 1)) = setting_found.name and admin_internal.setting_is(substr(c, strpos(c, '=') + 1), what)
$$;

comment on function admin_internal.setting_found(text, text) is
'Places where a setting has a value: this session, new sessions, the configuration files, a role, this database, or a function of this database.';
