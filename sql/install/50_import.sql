-- ---------------------------------------------------------------------------
-- The file-backed store's data.
-- ---------------------------------------------------------------------------

create function admin.import_text(element jsonb, key text, required boolean)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if element -> key is null or jsonb_typeof(element -> key) = 'null' then
        if required then
            raise exception '"%" is missing', key using errcode = '22023';
        end if;
        return null;
    end if;
    if jsonb_typeof(element -> key) <> 'string' then
        raise exception '"%" is not a string', key using errcode = '22023';
    end if;
    return element ->> key;
end
$$;

comment on function admin.import_text(jsonb, text, boolean) is
'A string member of an imported object; null when it is absent and need not be there. Raises 22023.';

create function admin.import_instant(element jsonb, key text, loaded_at timestamptz)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if element ? (key || '_offset') then
        return loaded_at + admin.import_text(element, key || '_offset', true)::interval;
    end if;
    return admin.import_text(element, key, false)::timestamptz;
end
$$;

comment on function admin.import_instant(jsonb, text, timestamptz) is
'An instant of an imported object: the member itself, or the member with the suffix _offset, an interval relative to the load.';

-- True when the approval was stored, false when it was there already and says the same.
create function admin.import_approval(element jsonb, loaded_at timestamptz)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    id       text;
    roles    text[];
    stated   text;
    existing admin.approval;
    incoming admin.approval;
    signed   jsonb := coalesce(nullif(element -> 'signatures', 'null'), '[]');
    sig      jsonb;
    reached  text;
begin
    if jsonb_typeof(element) <> 'object' then
        raise exception 'not an object' using errcode = '22023';
    end if;
    id := admin.import_text(element, 'approval_id', true);
    if jsonb_typeof(element -> 'required_roles') is distinct from 'array'
       or exists (select from jsonb_array_elements(element -> 'required_roles') as r where jsonb_typeof(r) <> 'string') then
        raise exception '"required_roles" is not an array of strings' using errcode = '22023';
    end if;
    if jsonb_typeof(signed) <> 'array' then
        raise exception '"signatures" is not an array' using errcode = '22023';
    end if;
    roles := array(select jsonb_array_elements_text(element -> 'required_roles'));
    stated := coalesce(admin.import_text(element, 'state', false), 'pending');
    if stated not in ('pending', 'signed_partial', 'signed_full', 'withdrawn') then
        raise exception 'state "%" is unknown', left(stated, 64) using errcode = '22023';
    end if;

    incoming.approval_id := id;
    incoming.action := admin.import_text(element, 'action', true);
    incoming.resource := admin.import_text(element, 'resource', false);
    incoming.required_roles := roles;
    incoming.required_signer_count := coalesce((element ->> 'required_signer_count')::smallint, cardinality(roles));
    incoming.requested_by := admin.import_text(element, 'requested_by', true);
    incoming.sla_deadline := admin.import_instant(element, 'sla_deadline', loaded_at);
    incoming.created_at := coalesce(admin.import_instant(element, 'created_at', loaded_at), loaded_at);
    incoming.closed_at := admin.import_instant(element, 'closed_at', loaded_at);
    incoming.closed_by := admin.import_text(element, 'closed_by', false);
    incoming.close_reason := admin.import_text(element, 'close_reason', false);
    if incoming.sla_deadline is null then
        raise exception '"sla_deadline" is missing' using errcode = '22023';
    end if;
    if (stated = 'withdrawn') <> (incoming.closed_at is not null) then
        raise exception '"closed_at" is set if and only if the state is withdrawn' using errcode = '22023';
    end if;

    select * into existing from admin.approval where approval_id = id;
    if found then
        -- What is given relative to a load was fixed by the first one.
        if (existing.action, existing.requested_by, existing.required_roles, existing.state)
               is distinct from (incoming.action, incoming.requested_by, roles, stated)
           or existing.resource is distinct from incoming.resource
           or (element ? 'sla_deadline' and existing.sla_deadline <> incoming.sla_deadline)
           or (select count(*) from admin.signature as s where s.approval_id = id) <> jsonb_array_length(signed) then
            raise exception 'approval "%" is there already and differs', id using errcode = '22023';
        end if;
        return false;
    end if;

    insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count,
                                requested_by, sla_deadline, created_at, updated_at)
    values (id, incoming.action, incoming.resource, roles, incoming.required_signer_count,
            incoming.requested_by, incoming.sla_deadline, incoming.created_at, incoming.created_at);
    for sig in select jsonb_array_elements(signed) loop
        if jsonb_typeof(sig) <> 'object' then
            raise exception 'a signature is not an object' using errcode = '22023';
        end if;
        insert into admin.signature (approval_id, signer_role, signer, signed_at, comment)
        values (id, admin.import_text(sig, 'signer_role', true), admin.import_text(sig, 'signer', true),
                coalesce(admin.import_instant(sig, 'signed_at', loaded_at), loaded_at),
                admin.import_text(sig, 'comment', false));
    end loop;
    select state into reached from admin.approval where approval_id = id;
    if stated = 'withdrawn' then
        update admin.approval
        set state = 'withdrawn', closed_at = incoming.closed_at, closed_by = incoming.closed_by,
            close_reason = incoming.close_reason
        where approval_id = id;
    elsif stated <> reached then
        raise exception 'state is "%", but its signatures amount to "%"', stated, reached using errcode = '22023';
    end if;
    return true;
end
$$;

comment on function admin.import_approval(jsonb, timestamptz) is
'Stores one approval of an imported document, with its signatures; raises when it is not sound.';

create function admin.import_approvals(document jsonb)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    element   jsonb;
    position  bigint := -1;
    imported  bigint := 0;
    unchanged bigint := 0;
    rejected  jsonb[] := '{}';
    reason    text;
begin
    if document is null or jsonb_typeof(document) <> 'array' then
        raise exception 'argument "document" is not a JSON array'
            using errcode = '22023',
                  detail = format('It is %s: %s', coalesce(jsonb_typeof(document), 'SQL null'),
                                  coalesce(left(document::text, 64), 'null'));
    end if;
    for element in select jsonb_array_elements(document) loop
        position := position + 1;
        begin
            if admin.import_approval(element, now()) then
                imported := imported + 1;
            else
                unchanged := unchanged + 1;
            end if;
        exception
            when query_canceled or serialization_failure or deadlock_detected then
                raise;
            when others then
                get stacked diagnostics reason = message_text;
                rejected := rejected || jsonb_build_object('index', position, 'error', reason);
        end;
    end loop;
    return jsonb_build_object('imported', imported, 'unchanged', unchanged, 'rejected', to_jsonb(rejected));
end
$$;

comment on function admin.import_approvals(jsonb) is
'Stores the file-backed store''s approvals: a JSON array of objects with the columns of admin.approval and "signatures". An instant may be given relative to the load, as "sla_deadline_offset" and so on. Returns {"imported", "unchanged", "rejected": [{"index", "error"}]}, index from 0: the sound part is stored, the rest named; a second run changes nothing. Raises 22023 when the document is no array.';
