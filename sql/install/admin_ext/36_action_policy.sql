-- ---------------------------------------------------------------------------
-- Policies of actions: the policy, not only the requester, decides which roles must sign.
-- ---------------------------------------------------------------------------

create table admin.action_policy (
    action            text collate "C" primary key,
    required_roles    text[]      not null,
    max_ttl           interval,
    resource_required boolean     not null default false,
    added_at          timestamptz not null default now(),
    added_by          text        not null default session_user,
    constraint action_policy_action_length check (octet_length(action) between 1 and 256),
    constraint action_policy_required_roles
        check (cardinality(required_roles) <= 8 and coalesce(array_ndims(required_roles), 1) = 1 and array_position(required_roles, null) is null),
    constraint action_policy_max_ttl check (max_ttl > make_interval() and max_ttl <= make_interval(years => 100))
);

comment on table admin.action_policy is
'Minimum requirements for the approvals of an action. The trigger approval_guard checks them on every path by which an approval is inserted or changed. Written by admin.set_action_policy() and admin.drop_action_policy().';
comment on column admin.action_policy.action is 'The action; 1 to 256 bytes.';
comment on column admin.action_policy.required_roles is 'Roles that required_roles of an approval must contain; at most 8, and may be empty.';
comment on column admin.action_policy.max_ttl is 'Longest allowed time from created_at to sla_deadline, in the calendar of UTC. Null: no limit.';
comment on column admin.action_policy.resource_required is 'True if an approval must name its resource.';
comment on column admin.action_policy.added_at is 'When the policy got its present values.';
comment on column admin.action_policy.added_by is 'The session user who set the present values.';

-- The trail records changes of issuers, keys and policies.
do $$
declare
    relation text;
begin
    foreach relation in array array['admin.jwt_issuer', 'admin.jwt_key', 'admin.jwt_one_use', 'admin.action_policy'] loop
        execute format('create trigger audit_row_change after insert or update or delete on %s for each row execute function admin.audit_row_change()', relation);
        execute format('create trigger audit_row_change_statement after truncate on %s for each statement execute function admin.audit_row_change()', relation);
        execute format('alter table %s enable always trigger audit_row_change, enable always trigger audit_row_change_statement', relation);
        execute format('comment on trigger audit_row_change on %s is %L', relation, 'Appends row.* events to the trail.');
        execute format('comment on trigger audit_row_change_statement on %s is %L', relation, 'Appends row.truncated to the trail.');
    end loop;
end
$$;

create function admin_internal.action_policy_violation(approval admin.approval)
returns text
as 'MODULE_PATHNAME', 'admin_action_policy_violation'
language c stable strict parallel safe;

comment on function admin_internal.action_policy_violation(admin.approval) is
'Returns, in sentences, what an approval lacks according to the policy of its action. Returns null if it lacks nothing or its action has no policy.';

create function admin_internal.check_policy_roles(roles text[])
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    role text;
begin
    if roles is null or coalesce(array_ndims(roles), 1) <> 1 or cardinality(roles) > 8 then
        raise exception 'argument "required_roles" is not an array of at most 8 roles'
            using errcode = '22023',
                  detail = case when roles is null then 'It is null.' else format('It has %s elements in %s dimensions.', cardinality(roles), array_ndims(roles)) end;
    end if;
    foreach role in array roles loop
        if role is null or octet_length(role) not between 1 and 128 then
            raise exception 'argument "required_roles" has a role that is not 1 to 128 bytes'
                using errcode = '22023', detail = format('The role is %s.', coalesce(quote_literal(left(role, 64)), 'null'));
        end if;
        if admin_internal.has_control_character(role) then
            raise exception 'argument "required_roles" has a role with a control character' using errcode = '22023', detail = 'It is shown on one line.';
        end if;
    end loop;
    if (select count(distinct r collate "C") from unnest(roles) as r) < cardinality(roles) then
        raise exception 'argument "required_roles" names a role twice' using errcode = '22023', detail = format('It is %s.', roles);
    end if;
end
$$;

comment on function admin_internal.check_policy_roles(text[]) is 'Raises 22023 unless the argument is at most 8 distinct roles of 1 to 128 bytes without control characters.';

create function admin.set_action_policy(action text, required_roles text[], max_ttl interval default null, resource_required boolean default false)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
begin
    if action is null or octet_length(action) not between 1 and 256 then
        raise exception 'argument "action" is not 1 to 256 bytes'
            using errcode = '22023', detail = case when action is null then 'It is null.' else format('It has %s bytes.', octet_length(action)) end;
    end if;
    if admin_internal.has_control_character(action) then
        raise exception 'argument "action" has a control character' using errcode = '22023', detail = 'It is shown on one line.';
    end if;
    perform admin_internal.check_policy_roles(required_roles);
    -- Each part by itself: an interval of mixed sign has no length of its own.
    if not (max_ttl > interval '0' and max_ttl <= interval '100 years'
            and extract(year from max_ttl) >= 0 and extract(month from max_ttl) >= 0 and extract(day from max_ttl) >= 0
            and extract(hour from max_ttl) >= 0 and extract(minute from max_ttl) >= 0 and extract(second from max_ttl) >= 0) then
        raise exception 'argument "max_ttl" is out of range'
            using errcode = '22023', detail = format('Its value %s is not a positive time of at most 100 years.', max_ttl);
    end if;
    if resource_required is null then
        raise exception 'argument "resource_required" is null' using errcode = '22023';
    end if;
    insert into admin.action_policy as p (action, required_roles, max_ttl, resource_required)
    values (set_action_policy.action, set_action_policy.required_roles, set_action_policy.max_ttl, set_action_policy.resource_required)
    on conflict on constraint action_policy_pkey do update
    set required_roles = excluded.required_roles, max_ttl = excluded.max_ttl, resource_required = excluded.resource_required,
        added_at = excluded.added_at, added_by = excluded.added_by
    where (p.required_roles, p.max_ttl, p.resource_required) is distinct from (excluded.required_roles, excluded.max_ttl, excluded.resource_required);
end
$$;

comment on function admin.set_action_policy(text, text[], interval, boolean) is
'Sets the policy of an action. After the commit, an approval of the action is refused with 23514 if it does not meet the policy. Its required_roles must contain these roles, and its deadline must lie within max_ttl of created_at. It must name a resource if resource_required is true. Omitted arguments are set to their defaults, also for an existing policy. Existing approvals stay as they are; admin.verify_approval() says whether one meets the policy. For superusers and the access "policy". Appends row.inserted or row.updated to the trail. Raises 22023 for an argument out of range.';

create function admin.drop_action_policy(action text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from admin.action_policy as p where p.action = drop_action_policy.action;
    if not found then
        raise exception 'action "%" has no policy', coalesce(left(action, 64), 'null') using errcode = 'P0002', hint = 'See admin.action_policy.';
    end if;
end
$$;

comment on function admin.drop_action_policy(text) is
'Removes the policy of an action. For superusers and the access "policy". Appends row.deleted to the trail. Raises P0002 if the action has no policy.';
