-- admin_ext_cutover 1.0: joined from sql/install/cutover/*.sql by make; do not edit the joined file.
\echo Use "CREATE EXTENSION admin_ext_cutover" to load this file. \quit

-- Every name of the schema must be qualified.
set local search_path = pg_catalog, pg_temp;

-- ---------------------------------------------------------------------------
-- Imports the data of the file-backed store.
-- ---------------------------------------------------------------------------

create table admin.import_run (
    run_id      bigint generated always as identity primary key,
    run_at      timestamptz not null default clock_timestamp(),
    imported_by text        not null default session_user,
    imported    bigint      not null,
    advanced    bigint      not null default 0,
    unchanged   bigint      not null,
    rejected    bigint      not null
);

comment on table admin.import_run is
'Calls of admin.import_approvals() and admin.catch_up_approvals(), with their results. The newest row shows whether the import is complete.';
comment on column admin.import_run.run_id is 'Ascending number of the call.';
comment on column admin.import_run.run_at is 'When the call ended.';
comment on column admin.import_run.imported_by is 'The session user.';
comment on column admin.import_run.imported is 'Number of elements that were stored.';
comment on column admin.import_run.advanced is
'Number of elements by which an existing approval was signed or withdrawn; 0 for admin.import_approvals().';
comment on column admin.import_run.unchanged is 'Number of elements that were already stored.';
comment on column admin.import_run.rejected is
'Number of elements that were not stored. The call returned the reasons.';

create function admin_internal.import_text(element jsonb, key text, required boolean, max_bytes int)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    value text := element ->> key;
begin
    if value is null then
        if required then
            raise exception '"%" is missing', key using errcode = '22023';
        end if;
        return null;
    end if;
    if jsonb_typeof(element -> key) <> 'string' then
        raise exception '"%" is not a string', key using errcode = '22023';
    end if;
    if octet_length(value) > max_bytes then
        raise exception '"%" is too long: "%..." has % bytes, the limit is %', key, left(value, 64), octet_length(value), max_bytes
            using errcode = '22023';
    end if;
    return value;
end
$$;

comment on function admin_internal.import_text(jsonb, text, boolean, int) is
'A string member of an imported object. Null if it is absent and not required. Raises 22023 if it is absent and required, is not a string, or has more than max_bytes bytes.';

-- Every session reads an instant in the same way: one without a time zone is UTC.
create function admin_internal.import_instant(element jsonb, key text, loaded_at timestamptz)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set intervalstyle = 'postgres'
set timezone = 'UTC'
set timezone_abbreviations = 'Default'
as $$
declare
    value  text := admin_internal.import_text(element, key, false, 64);
    offset_from_load text := admin_internal.import_text(element, key || '_offset', false, 64);
    at     timestamptz;
begin
    if value is not null and offset_from_load is not null then
        raise exception '"%" is given twice, as an instant and as an offset', key using errcode = '22023';
    end if;
    if value !~* '^\d{4}-\d\d-\d\d([T ]([01]\d|2[0-3]):\d\d(:\d\d(\.\d+)?)?\s*(Z|[+-]\d\d(:?\d\d)?)?)?$' then
        raise exception '"%" is not a timestamp of RFC 3339: "%"', key, value using errcode = '22023';
    end if;
    at := coalesce(value::timestamptz, loaded_at + offset_from_load::interval);
    if at >= '10000-01-01' or at < '0001-01-01' then
        raise exception '"%" is not in the years 1 to 9999', key using errcode = '22023';
    end if;
    return at;
end
$$;

comment on function admin_internal.import_instant(jsonb, text, timestamptz) is
'An instant of an imported object. The value is the member itself (RFC 3339; UTC if it names no time zone), or the member with the suffix _offset, an interval relative to the load. Null if both are absent. Raises 22023 or 22007 if it is malformed.';

create function admin_internal.import_signature(element jsonb, loaded_at timestamptz)
returns admin.signature
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    signature admin.signature;
begin
    if jsonb_typeof(element) <> 'object' then
        raise exception 'a signature is not an object' using errcode = '22023';
    end if;
    signature.signer_role := admin_internal.import_text(element, 'signer_role', true, 128);
    signature.signer := admin_internal.import_text(element, 'signer', true, 256);
    signature.signed_at := admin_internal.import_instant(element, 'signed_at', loaded_at);
    signature.comment := admin_internal.import_text(element, 'comment', false, 4096);
    return signature;
end
$$;

comment on function admin_internal.import_signature(jsonb, timestamptz) is
'One signature of an imported approval, with the columns that the document gives. Raises 22023 if it is malformed.';

create function admin_internal.import_fields(element jsonb, loaded_at timestamptz)
returns admin.approval
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    approval admin.approval;
    roles    jsonb := element -> 'required_roles';
    count    jsonb := nullif(element -> 'required_signer_count', 'null');
begin
    if jsonb_typeof(element) <> 'object' then
        raise exception 'not an object' using errcode = '22023';
    end if;
    approval.approval_id := admin_internal.import_text(element, 'approval_id', true, 64);
    if approval.approval_id !~ '^APP-[0-9]{6}-[a-z0-9]+$' then
        raise exception '"approval_id" is not of the form APP-nnnnnn-name: "%"', approval.approval_id using errcode = '22023';
    end if;
    if jsonb_typeof(roles) is distinct from 'array' then
        raise exception '"required_roles" is not an array of strings' using errcode = '22023';
    end if;
    if exists (select from jsonb_array_elements(roles) as r where jsonb_typeof(r) <> 'string') then
        raise exception '"required_roles" is not an array of strings' using errcode = '22023';
    end if;
    if count <> to_jsonb(jsonb_array_length(roles)) then
        raise exception '"required_signer_count" is %, but "required_roles" names %', left(count::text, 64), jsonb_array_length(roles)
            using errcode = '22023';
    end if;
    approval.action := admin_internal.import_text(element, 'action', true, 256);
    approval.resource := admin_internal.import_text(element, 'resource', false, 2048);
    approval.required_roles := array(select jsonb_array_elements_text(roles));
    approval.required_signer_count := jsonb_array_length(roles);
    approval.requested_by := admin_internal.import_text(element, 'requested_by', true, 256);
    approval.state := coalesce(admin_internal.import_text(element, 'state', false, 64), 'pending');
    approval.sla_deadline := admin_internal.import_instant(element, 'sla_deadline', loaded_at);
    approval.created_at := admin_internal.import_instant(element, 'created_at', loaded_at);
    approval.closed_at := admin_internal.import_instant(element, 'closed_at', loaded_at);
    approval.closed_by := admin_internal.import_text(element, 'closed_by', false, 256);
    approval.close_reason := admin_internal.import_text(element, 'close_reason', false, 4096);
    if approval.state not in ('pending', 'signed_partial', 'signed_full', 'withdrawn') then
        raise exception 'state "%" is unknown', approval.state using errcode = '22023';
    end if;
    if approval.sla_deadline is null then
        raise exception '"sla_deadline" is missing' using errcode = '22023';
    end if;
    if approval.state <> 'withdrawn' and (approval.closed_by is not null or approval.close_reason is not null) then
        raise exception '"closed_by" and "close_reason" are for withdrawn approvals' using errcode = '22023';
    end if;
    if (approval.state = 'withdrawn') <> (approval.closed_at is not null) then
        raise exception '"closed_at" is set if and only if the state is withdrawn' using errcode = '22023';
    end if;
    return approval;
end
$$;

comment on function admin_internal.import_fields(jsonb, timestamptz) is
'The columns of an imported approval that the document gives. Raises 22023 if they are malformed.';

-- The first load fixed the values that the document leaves open or gives relative to a load.
create function admin_internal.import_same_request(existing admin.approval, incoming admin.approval, element jsonb)
returns boolean
language sql immutable
set search_path = pg_catalog, pg_temp
return (existing.action, existing.resource, existing.required_roles, existing.requested_by)
       is not distinct from
       (incoming.action, incoming.resource, incoming.required_roles, incoming.requested_by)
   and (element ->> 'sla_deadline' is null or existing.sla_deadline = incoming.sla_deadline)
   and (element ->> 'created_at' is null or existing.created_at = incoming.created_at);

comment on function admin_internal.import_same_request(admin.approval, admin.approval, jsonb) is
'Whether the request of an existing approval is the same as in the imported document.';

-- In plpgsql, because it keeps its plans and this function is called for every element.
create function admin_internal.import_new_signatures(approval_id text, signatures admin.signature[], element jsonb)
returns setof admin.signature
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select i.*
    from generate_subscripts(signatures, 1) as n, lateral (select (signatures[n]).*) as i
    where not exists (
        select from admin.signature as e
        where e.approval_id = import_new_signatures.approval_id and e.signer_role = i.signer_role and e.signer = i.signer
          and e.comment is not distinct from i.comment
          and (e.signed_at = i.signed_at or element -> 'signatures' -> (n - 1) ->> 'signed_at' is null))
    order by n;
end
$$;

comment on function admin_internal.import_new_signatures(text, admin.signature[], jsonb) is
'The signatures of an imported approval that are not stored, or are stored with other values than in the document. In the order of the document.';

create function admin_internal.import_agrees(existing admin.approval, incoming admin.approval, signatures admin.signature[], element jsonb)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
return admin_internal.import_same_request(existing, incoming, element)
   and (existing.state, existing.closed_by, existing.close_reason) is not distinct from (incoming.state, incoming.closed_by, incoming.close_reason)
   and (element ->> 'closed_at' is null or existing.closed_at = incoming.closed_at)
   and (select count(*) from admin.signature as s where s.approval_id = existing.approval_id) = cardinality(signatures)
   and (select count(distinct s.signer_role) from unnest(signatures) as s) = cardinality(signatures)
   and not exists (select from admin_internal.import_new_signatures(existing.approval_id, signatures, element));

comment on function admin_internal.import_agrees(admin.approval, admin.approval, admin.signature[], jsonb) is
'Whether an existing approval agrees with everything that the imported document says of it.';

-- The signatures of the document are each by another role.  If all that are not new are stored, it lacks no stored one.
create function admin_internal.import_leads_on(existing admin.approval, incoming admin.approval, signatures admin.signature[], element jsonb)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
return admin_internal.import_same_request(existing, incoming, element)
   and existing.state <> 'withdrawn'
   and (select count(distinct s.signer_role) from unnest(signatures) as s) = cardinality(signatures)
   and (select count(*) from admin.signature as s where s.approval_id = existing.approval_id)
       + (select count(*) from admin_internal.import_new_signatures(existing.approval_id, signatures, element)) = cardinality(signatures);

comment on function admin_internal.import_leads_on(admin.approval, admin.approval, admin.signature[], jsonb) is
'Whether an imported document contains everything that is stored of an open approval. If so, the approval can only have been signed or withdrawn since.';

create function admin_internal.import_state(incoming admin.approval, signatures admin.signature[], element jsonb, loaded_at timestamptz)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    reached text;
begin
    insert into admin.signature (approval_id, signer_role, signer, signed_at, comment)
    select incoming.approval_id, s.signer_role, s.signer, coalesce(s.signed_at, loaded_at), s.comment
    from admin_internal.import_new_signatures(incoming.approval_id, signatures, element) with ordinality as s order by s.ordinality;
    select state into reached from admin.approval where approval_id = incoming.approval_id;
    if incoming.state = 'withdrawn' then
        update admin.approval
        set state = 'withdrawn', closed_at = incoming.closed_at, closed_by = incoming.closed_by,
            close_reason = incoming.close_reason
        where approval_id = incoming.approval_id;
    elsif incoming.state <> reached then
        raise exception 'state is "%", but its signatures amount to "%"', incoming.state, reached using errcode = '22023';
    end if;
end
$$;

comment on function admin_internal.import_state(admin.approval, admin.signature[], jsonb, timestamptz) is
'Adds the signatures of an imported approval that are not stored, and withdraws the approval if the document says so. Raises 22023 if the signatures do not lead to its state.';

create function admin_internal.import_advance(incoming admin.approval, signatures admin.signature[], element jsonb, loaded_at timestamptz)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    existing admin.approval;
begin
    -- Nobody signs between what is compared and what is added.
    select * into existing from admin.approval where approval_id = incoming.approval_id for update;
    if admin_internal.import_agrees(existing, incoming, signatures, element) then
        return 'unchanged';
    elsif not admin_internal.import_leads_on(existing, incoming, signatures, element) then
        raise exception 'approval "%" is there already, and the document does not lead on from it', incoming.approval_id using errcode = '22023';
    end if;
    perform admin_internal.import_state(incoming, signatures, element, loaded_at);
    return 'advanced';
end
$$;

comment on function admin_internal.import_advance(admin.approval, admin.signature[], jsonb, timestamptz) is
'Stores the signatures or the withdrawal that an approval has received since it was imported. Returns advanced, or unchanged if another session has stored them meanwhile. Raises 22023 if the document differs in another way.';

create function admin_internal.import_approval(element jsonb, loaded_at timestamptz, may_add boolean, may_advance boolean)
returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    incoming   admin.approval := admin_internal.import_fields(element, loaded_at);
    existing   admin.approval;
    is_there   boolean;
    signed     jsonb := coalesce(nullif(element -> 'signatures', 'null'), '[]');
    signatures admin.signature[];
begin
    if jsonb_typeof(signed) <> 'array' then
        raise exception '"signatures" is not an array' using errcode = '22023';
    end if;
    if jsonb_array_length(signed) > incoming.required_signer_count then
        raise exception 'there are % signatures, but "required_roles" names %', jsonb_array_length(signed), incoming.required_signer_count
            using errcode = '22023';
    end if;
    signatures := array(select admin_internal.import_signature(s, loaded_at) from jsonb_array_elements(signed) with ordinality as t(s, n) order by n);
    select * into existing from admin.approval where approval_id = incoming.approval_id;
    is_there := found;
    if is_there then
        if admin_internal.import_agrees(existing, incoming, signatures, element) then
            return 'unchanged';
        elsif not may_advance then
            raise exception 'approval "%" is there already and differs', incoming.approval_id using errcode = '22023';
        end if;
    end if;

    -- No token vouches for who requested and signed it.
    if not may_add then
        raise exception 'approval "%" cannot be imported: superusers alone import while admin_ext.require_verified_jwt is on', incoming.approval_id
            using errcode = '42501';
    end if;

    if is_there then
        return admin_internal.import_advance(incoming, signatures, element, loaded_at);
    end if;
    insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count,
                                requested_by, sla_deadline, created_at, updated_at)
    values (incoming.approval_id, incoming.action, incoming.resource, incoming.required_roles, incoming.required_signer_count,
            incoming.requested_by, incoming.sla_deadline, coalesce(incoming.created_at, loaded_at), coalesce(incoming.created_at, loaded_at))
    on conflict (approval_id) do nothing;
    if not found then       -- somebody else has imported it meanwhile
        return admin_internal.import_approval(element, loaded_at, may_add, may_advance);
    end if;
    perform admin_internal.import_state(incoming, signatures, element, loaded_at);
    return 'imported';
end
$$;

comment on function admin_internal.import_approval(jsonb, timestamptz, boolean, boolean) is
'Stores one approval of an imported document, with its signatures. Returns imported, advanced or unchanged. Raises an error if the approval is not valid, and 42501 if there is something to add and may_add is false.';

-- Superusers, too, run it with the owner's rights.  So it counts as the extension's own code,
-- which leaves no row.* events.
create function admin_internal.import_all(document jsonb, may_add boolean, may_advance boolean)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    element   jsonb;
    position  bigint := -1;
    outcome   text;
    imported  bigint := 0;
    advanced  bigint := 0;
    unchanged bigint := 0;
    rejected  jsonb[] := '{}';
    reason    text;
    facts     text;
    violated  text;
begin
    if document is null or jsonb_typeof(document) <> 'array' then
        raise exception 'argument "document" is not a JSON array'
            using errcode = '22023',
                  detail = format('It is %s: %s', coalesce(jsonb_typeof(document), 'SQL null'),
                                  coalesce(left(document::text, 64), 'null'));
    end if;
    perform admin_internal.refuse_while_restoring(case when may_advance then 'admin.catch_up_approvals()' else 'admin.import_approvals()' end);
    -- An older snapshot would not see who has signed meanwhile, and the approval's lock does not tell.
    if may_advance and current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
        raise exception 'admin.catch_up_approvals() runs in a READ COMMITTED transaction only'
            using errcode = '55000', detail = format('This transaction is %s.', upper(current_setting('transaction_isolation'))),
                  hint = 'Call it in a transaction of its own.';
    end if;
    for element in select jsonb_array_elements(document) loop
        position := position + 1;
        begin
            outcome := admin_internal.import_approval(element, now(), may_add, may_advance);
            imported := imported + (outcome = 'imported')::int;
            advanced := advanced + (outcome = 'advanced')::int;
            unchanged := unchanged + (outcome = 'unchanged')::int;
        exception
            -- What is wrong with the element; trouble of the server's is no fault of it.
            when lock_not_available or object_in_use then
                raise;
            when data_exception or integrity_constraint_violation or no_data_found
                 or insufficient_privilege or object_not_in_prerequisite_state then
                get stacked diagnostics reason = message_text, facts = pg_exception_detail, violated = constraint_name;
                -- The guard's detail names what is missing; a table constraint's repeats the row.
                if sqlstate = '23514' and violated = '' then
                    reason := reason || ': ' || facts;
                end if;
                rejected := rejected || jsonb_build_object('index', position, 'error', left(reason, 256));
        end;
    end loop;
    insert into admin.import_run (imported, advanced, unchanged, rejected) values (imported, advanced, unchanged, cardinality(rejected));
    return jsonb_build_object('imported', imported, 'advanced', advanced, 'unchanged', unchanged, 'rejected', to_jsonb(rejected));
end
$$;

comment on function admin_internal.import_all(jsonb, boolean, boolean) is
'Does the work of admin.import_approvals() and admin.catch_up_approvals(), with the rights of its owner. No role may be granted this function: a caller can add approvals while tokens are required. Called by admin_internal.import_as_owner() and admin_internal.import_as_caller(). Raises the errors that admin.import_approvals() and admin.catch_up_approvals() document.';

create function admin_internal.import_as_owner(document jsonb, may_advance boolean)
returns jsonb
language sql
security definer
set search_path = pg_catalog, pg_temp
return admin_internal.import_all(document, not admin_internal.requires_tokens(), may_advance);

comment on function admin_internal.import_as_owner(jsonb, boolean) is
'The import for roles that are not superusers. Runs with the rights of its owner, and adds nothing while tokens are required.';

-- Runs with the caller's rights.  A SECURITY DEFINER function cannot distinguish a superuser from another user's
-- function that a superuser, or ANALYZE, happens to run.
create function admin_internal.import_as_caller(document jsonb, may_advance boolean)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if (select r.rolsuper from pg_roles as r where r.rolname = current_user) then
        return admin_internal.import_all(document, true, may_advance);
    end if;
    return admin_internal.import_as_owner(document, may_advance);
end
$$;

comment on function admin_internal.import_as_caller(jsonb, boolean) is
'Starts the import with the rights of the caller: a superuser may always add approvals, and any other role only while tokens are not required.';

create function admin.import_approvals(document jsonb)
returns jsonb
language sql
set search_path = pg_catalog, pg_temp
return admin_internal.import_as_caller(document, false) - 'advanced';

comment on function admin.import_approvals(jsonb) is
'Stores the approvals of the file-backed store. The argument is a JSON array of objects with the columns of admin.approval and "signatures". An instant may be given relative to the load, for example as "sla_deadline_offset". Members with other names are ignored. Returns {"imported", "unchanged", "rejected": [{"index", "error"}]}, with index from 0. Valid elements are stored, and invalid ones are listed in "rejected". A second run changes nothing. While admin_ext.require_verified_jwt is on, new approvals are rejected unless a superuser imports them. Raises 22023 if the document is not an array, 55000 while admin_ext.restoring is on.';

create function admin.catch_up_approvals(document jsonb)
returns jsonb
language sql
set search_path = pg_catalog, pg_temp
return admin_internal.import_as_caller(document, true);

comment on function admin.catch_up_approvals(jsonb) is
'Like admin.import_approvals(), but also stores signatures and withdrawals that the file-backed store has received since its approvals were imported. Returns {"imported", "advanced", "unchanged", "rejected": [{"index", "error"}]}. It undoes nothing: an approval is rejected if the document changes the request, lacks a stored signature, or has a withdrawn approval as open. While admin_ext.require_verified_jwt is on, only a superuser can add anything. Raises 22023 if the document is not an array, 55000 while admin_ext.restoring is on or unless the transaction is READ COMMITTED.';
