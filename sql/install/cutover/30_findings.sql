-- ---------------------------------------------------------------------------
-- Compares all approvals at once with their signatures, the clock, and the answers of the check.
-- ---------------------------------------------------------------------------

create function admin_internal.ttl_hash(approval_id text, ttl_state text, valid_until timestamptz)
returns bigint
as 'MODULE_PATHNAME', 'admin_ttl_hash'
language c immutable parallel safe;

comment on function admin_internal.ttl_hash(text, text, timestamptz) is
'A hash of the answer of a check for one approval. Two sources give the same answers for all approvals if the bit_xor() of these hashes is equal.';

create function admin_internal.findings_add(internal, text, text, text, text[], smallint, text, text, timestamptz, timestamptz, timestamptz, timestamptz)
returns internal as 'MODULE_PATHNAME', 'admin_findings_add' language c stable parallel safe;

create function admin_internal.findings_combine(internal, internal)
returns internal as 'MODULE_PATHNAME', 'admin_findings_combine' language c immutable parallel safe;

create function admin_internal.findings_pack(internal)
returns bytea as 'MODULE_PATHNAME', 'admin_findings_pack' language c immutable strict parallel safe;

create function admin_internal.findings_unpack(bytea, internal)
returns internal as 'MODULE_PATHNAME', 'admin_findings_unpack' language c immutable strict parallel safe;

create function admin_internal.findings_result(internal)
returns json as 'MODULE_PATHNAME', 'admin_findings_result' language c immutable parallel safe;

comment on function admin_internal.findings_add(internal, text, text, text, text[], smallint, text, text, timestamptz, timestamptz, timestamptz, timestamptz) is 'Transition function of admin_internal.approval_findings(): adds one approval.';
comment on function admin_internal.findings_combine(internal, internal) is 'Combine function of admin_internal.approval_findings(): adds the findings of another process.';
comment on function admin_internal.findings_pack(internal) is 'Serialization function of admin_internal.approval_findings().';
comment on function admin_internal.findings_unpack(bytea, internal) is 'Deserialization function of admin_internal.approval_findings().';
comment on function admin_internal.findings_result(internal) is 'Final function of admin_internal.approval_findings(): returns the findings.';

create aggregate admin_internal.approval_findings(
    approval_id text, action text, resource text, required_roles text[], required_signer_count smallint,
    requested_by text, state text, sla_deadline timestamptz, created_at timestamptz, closed_at timestamptz, at timestamptz) (
    sfunc = admin_internal.findings_add, stype = internal, sspace = 1024,
    combinefunc = admin_internal.findings_combine, serialfunc = admin_internal.findings_pack, deserialfunc = admin_internal.findings_unpack,
    finalfunc = admin_internal.findings_result, parallel = safe);

comment on aggregate admin_internal.approval_findings(text, text, text, text[], smallint, text, text, timestamptz, timestamptz, timestamptz, timestamptz) is
'Compares every approval with its signatures at an instant. Returns {"approvals", "signatures", "valid", "said"}, and "inconsistent", "altered", "not_separate", "overdue", "against_policy", each {"count", "example"}, and "without_policy": {"actions", "more"}. "without_policy" lists the actions of open approvals that have no policy. "said" is admin_internal.ttl_hash() of the answers of the check, combined by exclusive or. Fastest if approvals arrive in the order of their ids.';

-- Reads approvals in the order of their ids, so that the signatures need one walk along their index:
-- in the table's order if that is the same, else by the index of the ids.
-- In a function only the query of a RETURN can run in parallel.
create function admin_internal.find_in_approvals()
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
    return (select admin_internal.approval_findings(a.approval_id, a.action, a.resource, a.required_roles, a.required_signer_count, a.requested_by,
                                           a.state, a.sla_deadline, a.created_at, a.closed_at, statement_timestamp())
            from admin.approval as a where a.approval_id >= '');
end
$$;

comment on function admin_internal.find_in_approvals() is
'The result of admin_internal.approval_findings() for all approvals, at the present time.';

create function admin_internal.find_in_view()
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
                                      'said', coalesce(bit_xor(admin_internal.ttl_hash(v.approval_id, v.ttl_state, v.valid_until)), 0))
            from admin.approval_ttl_state as v);
end
$$;

comment on function admin_internal.find_in_view() is
'The number of approvals in the view admin.approval_ttl_state, and the combined admin_internal.ttl_hash() of its rows.';

create function admin_internal.count_signatures()
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

comment on function admin_internal.count_signatures() is 'The number of rows of admin.signature.';

-- Computed once for the items that need it.
create function admin_internal.find_in_store()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object('check', admin_internal.find_in_approvals(), 'view', admin_internal.find_in_view(), 'signatures', admin_internal.count_signatures());
exception when others then
    return jsonb_build_object('error', sqlerrm);
end
$$;

comment on function admin_internal.find_in_store() is
'The findings of all approvals and signatures, for the items B3, B4, C1, C2 and F3 of admin.cutover_readiness. Returns {"error"} if they cannot be read.';

-- Compares what the library ships with what is in the database.  The library has the comparison and the
-- list: see src/cutover/shipped.c.
create function admin_internal.objects_present()
returns table (item text, kind text, name text, facet text, value text)
as 'MODULE_PATHNAME', 'admin_objects_present'
language c stable;

comment on function admin_internal.objects_present() is
'The objects of both extensions in this database, one row per object and facet. "make manifest" writes src/cutover/shipped_*.inc from these rows.';

create function admin_internal.shipped_differences()
returns table (item text, problem text)
as 'MODULE_PATHNAME', 'admin_shipped_differences'
language c stable;

comment on function admin_internal.shipped_differences() is
'Differences between this database and what this version of the library ships: functions, views, tables, triggers, policies, rules, owners. One row per difference, with the readiness item that it belongs to.';
