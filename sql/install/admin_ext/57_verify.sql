-- ---------------------------------------------------------------------------
-- Verification: compares an approval with its signatures and its trail.
-- ---------------------------------------------------------------------------

create function admin_internal.trail_of(approval_id text)
returns table (audit_id bigint, event_type text, approval admin.approval, signature admin.signature, changed jsonb, verified boolean, token jsonb)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select a.audit_id, a.event_type,
           case when a.event_type <> 'signature.added' then json_populate_record(null::admin.approval, admin_internal.readable_row(a.payload -> 'row')) end,
           case when a.event_type = 'signature.added' then json_populate_record(null::admin.signature, admin_internal.readable_row(a.payload -> 'row')) end,
           (a.payload -> 'changed')::jsonb,
           (a.payload ->> 'verified')::boolean,
           (a.payload -> 'token')::jsonb
    from admin.audit as a
    where a.approval_id = trail_of.approval_id
      and a.event_type in ('approval.issued', 'approval.signed_partial', 'approval.signed_full', 'approval.withdrawn',
                           'approval.altered', 'signature.added')
    order by a.audit_id;
end;

comment on function admin_internal.trail_of(text) is
'The steps of an approval that the trail has recorded, in order, each with the row after the step.';

create function admin_internal.verify_row(a admin.approval)
returns table (item text, fits boolean, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    with s as (select * from admin.signature as s where s.approval_id = a.approval_id)
    select 'state', a.state = case when a.closed_at is not null then 'withdrawn'
                                   when (select count(*) from s) = 0 then 'pending'
                                   when (select count(*) from s) < a.required_signer_count then 'signed_partial'
                                   when (select count(*) from s) = a.required_signer_count then 'signed_full' end,
           format('state %s, %s of %s signatures, closed_at %s', a.state, (select count(*) from s), a.required_signer_count,
                  coalesce(a.closed_at::text, 'not set'))
    union all
    select 'roles', coalesce(bool_and(s.signer_role = any (a.required_roles)), true)
                    and count(distinct s.signer_role) = count(*)
                    and cardinality(a.required_roles) = a.required_signer_count,
           format('required %s, signed in %s', a.required_roles, coalesce(array_agg(s.signer_role order by s.signature_id)::text, 'none'))
    from s
    union all
    select 'people', coalesce(bool_and(s.signer <> a.requested_by), true) and count(distinct s.signer) = count(*),
           format('requested by %s, signed by %s', a.requested_by, coalesce(array_agg(s.signer order by s.signature_id)::text, 'nobody'))
    from s
    union all
    select 'digest', coalesce(bool_and(s.approval_digest = admin.approval_digest(a.approval_id)), true),
           format('%s of %s signatures are of what the approval says now',
                  count(*) filter (where s.approval_digest = admin.approval_digest(a.approval_id)), count(*))
    from s
    union all
    -- A policy does not bind what was issued before it was set.
    select 'policy', lacks is null or p.added_at > a.created_at,
           case when p.action is null then format('action "%s" has no policy', a.action)
                when lacks is null then format('meets the policy of action "%s"', a.action)
                when p.added_at > a.created_at then format('was issued before the policy of action "%s", and need not meet it: %s', a.action, lacks)
                else format('does not meet the policy of action "%s": %s', a.action, lacks) end
    from (select admin_internal.action_policy_violation(a)) as v(lacks)
    left join admin.action_policy as p on p.action = a.action;
end;

comment on function admin_internal.verify_row(admin.approval) is
'Compares an approval with its signatures (state, roles, people, digests) and with the policy of its action. Returns one row per item.';

create function admin_internal.verify_trail(a admin.approval)
returns table (item text, fits boolean, detail text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    with t as materialized (select * from admin_internal.trail_of(a.approval_id)),
         changes as (select t.*, lag((t.approval).state) over w as state_before, row_number() over w as step
                     from t where t.event_type <> 'signature.added' window w as (order by t.audit_id)),
         added as (select * from t where t.event_type = 'signature.added'),
         s as (select * from admin.signature as s where s.approval_id = a.approval_id)
    select 'trail: issued', coalesce((select c.event_type = 'approval.issued' from changes as c where c.step = 1), false),
           coalesce((select format('the trail begins with %s, audit_id %s', c.event_type, c.audit_id) from changes as c where c.step = 1),
                    'the trail has nothing of this approval')
    union all
    select 'trail: row', coalesce((select c.approval is not distinct from a from changes as c order by c.step desc limit 1), false),
           coalesce((select format('the row is%s what audit_id %s left', case when c.approval is not distinct from a then '' else ' not' end, c.audit_id)
                     from changes as c order by c.step desc limit 1), 'the trail has no row of this approval')
    union all
    select 'trail: steps', coalesce(bool_and(case when c.step = 1 then (c.approval).state = 'pending'
                                                else c.changed -> 'state' is null or c.changed -> 'state' ->> 0 = c.state_before end), true),
           coalesce(string_agg(format('%s (%s)', c.event_type, (c.approval).state), ', ' order by c.step), 'none')
    from changes as c
    union all
    select 'trail: signatures',
           not exists (select from s where not exists (select from added as t where t.signature is not distinct from s))
           and not exists (select from added as t where not exists (select from s where t.signature is not distinct from s)),
           format('%s signatures, %s of them as the trail tells; the trail has %s', (select count(*) from s),
                  (select count(*) from s where exists (select from added as t where t.signature is not distinct from s)),
                  (select count(*) from added))
    union all
    select 'requester',
           coalesce((select not (coalesce(c.verified, false) and (c.approval).requested_by <> a.requested_by) from changes as c where c.step = 1), true),
           coalesce((select format('%s %s%s', (c.approval).requested_by,
                                   case when c.verified then format('was verified by a token of %s, key %s', c.token ->> 'issuer', c.token ->> 'key_id')
                                        else 'was not verified by a token' end,
                                   case when (c.approval).requested_by <> a.requested_by then format('; altered to %s since', a.requested_by) end)
                     from changes as c where c.step = 1), 'the trail does not say')
    union all
    (select format('signature of %s', t.signer_role),
           t.reason is null,
           format('%s %s%s', t.signer, case when t.verified then format('was verified by a token of %s, key %s', t.token ->> 'issuer', t.token ->> 'key_id')
                                            else 'was not verified by a token' end,
                  coalesce('; ' || t.reason, case when t.revoked_at is not null then format('; the key has been revoked since, at %s', t.revoked_at) end))
    from (select added.*, (added.signature).signer, (added.signature).signer_role, key.revoked_at,
                 case when coalesce(added.verified, false) <> ((added.signature).token_sha256 is not null) then 'the signature names a token, the trail does not, or the reverse'
                      when not added.verified or added.verified is null then null
                      when (added.token ->> 'sha256', added.token ->> 'issuer', added.token ->> 'key_id')
                           is distinct from (encode((added.signature).token_sha256, 'hex'), (added.signature).token_issuer, (added.signature).token_key_id)
                           then 'the signature names another token than the trail'
                      when key.kid is null then 'the key is not there'
                      when key.revoked_at <= (added.signature).signed_at then format('the key was revoked at %s, before it was signed, though perhaps committed later', key.revoked_at) end as reason
          from added left join admin.jwt_key as key on key.issuer = added.token ->> 'issuer' and key.kid = added.token ->> 'key_id') as t
     order by t.audit_id);
end;

comment on function admin_internal.verify_trail(admin.approval) is
'Compares an approval and its signatures with each step in the trail, and the tokens with the keys. Returns one row per item.';

create function admin.verify_approval(approval_id text)
returns table (item text, fits boolean, detail text)
language plpgsql stable
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    a admin.approval;
begin
    select * into a from admin.approval as x where x.approval_id = verify_approval.approval_id;
    if not found then
        raise exception 'approval "%" does not exist', coalesce(left(verify_approval.approval_id, 64), 'null') using errcode = 'P0002', detail = 'There is no such row in admin.approval.', hint = 'Check the id: its letters are lower case.';
    end if;
    return query select v.item, coalesce(v.fits, false), v.detail from admin_internal.verify_row(a) as v;
    return query select v.item, coalesce(v.fits, false), v.detail from admin_internal.verify_trail(a) as v;
end
$$;

comment on function admin.verify_approval(text) is
'Recomputes everything that an approval depends on. Returns one row per item, with whether it fits and a detail. From the rows it verifies state, roles, people and digests, and that the approval meets the policy of its action. From the trail it verifies that the approval was issued, that the steps follow each other, and that the row and signatures are what the steps left. For each signature it verifies whether a token was used and its key was valid. Raises P0002 for an unknown approval.';
