-- ---------------------------------------------------------------------------
-- The cutover from the file-backed store: records of the comparison of both engines, and the shadow
-- mode.  In shadow mode FF still decides with its file-backed engine, and the database answers the same
-- request.
-- ---------------------------------------------------------------------------

create table admin.parity_run (
    run_id      bigint generated always as identity primary key,
    run_at      timestamptz not null default clock_timestamp(),
    recorded_by text        not null default session_user,
    cases       bigint      not null,
    differences bigint      not null,
    left_out    bigint      not null,
    report      jsonb,
    constraint parity_run_counts check (cases >= 0 and differences between 0 and cases and left_out >= 0)
);

comment on table admin.parity_run is
'Runs of the parity harness (python -m admin_client.parity) against this database or an equivalent one. The newest row counts.';
comment on column admin.parity_run.run_id is 'Ascending number of the run.';
comment on column admin.parity_run.run_at is 'When the run was recorded.';
comment on column admin.parity_run.recorded_by is 'The session user.';
comment on column admin.parity_run.cases is 'Number of requests that both engines answered.';
comment on column admin.parity_run.differences is 'Number of these requests for which the answers differ.';
comment on column admin.parity_run.left_out is
'Number of elements of the store''s document that could not be imported, and therefore were not compared.';
comment on column admin.parity_run.report is 'Further output of the harness: files, seed, versions, examples.';

create function admin.record_parity_run(cases bigint, differences bigint, left_out bigint, report jsonb default null)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    recorded bigint;
begin
    if not coalesce(cases >= 0 and differences between 0 and cases and left_out >= 0, false) then
        raise exception 'the counts of a parity run are inconsistent'
            using errcode = '22023', detail = format('cases is %s, differences %s, left_out %s. None may be null or negative, and differences may not exceed cases.',
                                                     coalesce(cases::text, 'null'), coalesce(differences::text, 'null'), coalesce(left_out::text, 'null'));
    end if;
    if pg_column_size(report) > 8388608 then
        raise exception 'argument "report" is too long'
            using errcode = '22023', detail = format('It has %s bytes, the limit is 8388608.', pg_column_size(report));
    end if;
    insert into admin.parity_run (cases, differences, left_out, report)
    values (record_parity_run.cases, record_parity_run.differences, record_parity_run.left_out, record_parity_run.report)
    returning run_id into recorded;
    return recorded;
end
$$;

comment on function admin.record_parity_run(bigint, bigint, bigint, jsonb) is
'Records the result of a run of the parity harness, and returns its run_id. Raises 22023 for inconsistent counts, and for a report of more than 8388608 bytes.';

create table admin.shadow_check (
    shadow_id       bigint generated always as identity primary key,
    audit_id        bigint      not null,
    checked_at      timestamptz not null default clock_timestamp(),
    approval_id     text collate "C",
    differing       text[],
    file_answer     text,
    database_answer text
);

create index shadow_check_differing on admin.shadow_check (shadow_id) where differing is not null;

comment on table admin.shadow_check is
'Answers of admin.sensitive_check_shadow(): one row each, with both texts if they differ. Rows are only added. After the cutover the table can be emptied.';
comment on column admin.shadow_check.shadow_id is 'Ascending number of the answer.';
comment on column admin.shadow_check.audit_id is 'The row of the trail with the answer.';
comment on column admin.shadow_check.checked_at is 'When the answers were compared.';
comment on column admin.shadow_check.approval_id is 'The approval id of the request, cut to 64 characters.';
comment on column admin.shadow_check.differing is
'The keys that differ, or order, or text: see admin_internal.answer_differences(). Null if the answers are the same, byte for byte, except evaluated_at and audit.';
comment on column admin.shadow_check.file_answer is
'The answer of the file-backed engine, cut to 8192 characters; null if the answers are the same.';
comment on column admin.shadow_check.database_answer is 'The answer of the database; null if the answers are the same.';
comment on index admin.shadow_check_differing is 'Finds the answers that differ.';

create table admin.shadow_settled (
    shadow_id  bigint      primary key references admin.shadow_check on delete cascade,
    settled_at timestamptz not null default clock_timestamp(),
    settled_by text        not null default session_user,
    reason     text        not null,
    constraint shadow_settled_reason_length check (octet_length(reason) between 1 and 4096)
);

comment on table admin.shadow_settled is 'Differences in shadow mode that an operator has explained.';
comment on column admin.shadow_settled.shadow_id is 'The difference, a row of admin.shadow_check.';
comment on column admin.shadow_settled.settled_at is 'When it was explained.';
comment on column admin.shadow_settled.settled_by is 'The session user.';
comment on column admin.shadow_settled.reason is
'Why the answers differ, and why the difference is right; 1 to 4096 bytes.';

create view admin.shadow_difference as
select c.shadow_id, c.audit_id, c.checked_at, c.approval_id, c.differing, c.file_answer, c.database_answer
from admin.shadow_check as c
where c.differing is not null and not exists (select from admin.shadow_settled as s where s.shadow_id = c.shadow_id);

comment on view admin.shadow_difference is
'Answers in shadow mode that differ and that are not yet explained; see admin.settle_shadow_difference().';
comment on column admin.shadow_difference.shadow_id is 'As in admin.shadow_check.';
comment on column admin.shadow_difference.audit_id is 'As in admin.shadow_check.';
comment on column admin.shadow_difference.checked_at is 'As in admin.shadow_check.';
comment on column admin.shadow_difference.approval_id is 'As in admin.shadow_check.';
comment on column admin.shadow_difference.differing is 'As in admin.shadow_check.';
comment on column admin.shadow_difference.file_answer is 'As in admin.shadow_check.';
comment on column admin.shadow_difference.database_answer is 'As in admin.shadow_check.';

-- Masks the two values that may differ.  A key with its quotation marks cannot occur within a JSON string.
create function admin_internal.answer_masked(answer text, parsed json)
returns text
language sql immutable
set search_path = pg_catalog, pg_temp
return replace(replace(answer, '"evaluated_at":' || (parsed -> 'evaluated_at')::text, '"evaluated_at":*'),
               '"audit":' || (parsed -> 'audit')::text, '"audit":*');

comment on function admin_internal.answer_masked(text, json) is
'The text of an answer without the values of evaluated_at and audit.';

-- "number" distinguishes the occurrences of a repeated key.
create function admin_internal.answer_members(answer json)
returns table (key text, number bigint, value text, place bigint)
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
    select e.key, row_number() over (partition by e.key order by e.place), case when e.key not in ('evaluated_at', 'audit') then e.value::text else '*' end, e.place
    from json_each(answer) with ordinality as e(key, value, place);
end;

comment on function admin_internal.answer_members(json) is
'The members of an answer in their order, each with its value as written. The values of evaluated_at and audit are replaced by *.';

create function admin_internal.answer_differences(file_answer text, database_answer text)
returns text[]
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    ours   json := database_answer;
    theirs json;
    keys   text[];
begin
    theirs := file_answer;
    if json_typeof(theirs) is distinct from 'object' then
        return '{text}';
    end if;
    if admin_internal.answer_masked(file_answer, theirs) = admin_internal.answer_masked(database_answer, ours) then
        return null;
    end if;
    keys := array(select coalesce(t.key, o.key)
                  from admin_internal.answer_members(theirs) as t full join admin_internal.answer_members(ours) as o on (o.key, o.number) = (t.key, t.number)
                  where t.value is distinct from o.value
                  group by 1 order by min(coalesce(o.place, t.place)));
    return case when cardinality(keys) > 0 then keys
                when array(select t.key from admin_internal.answer_members(theirs) as t order by t.place)
                     <> array(select o.key from admin_internal.answer_members(ours) as o order by o.place) then '{order}'
                else '{text}' end;
exception when data_exception or program_limit_exceeded then
    -- No JSON, or none that can be taken apart.
    return '{text}';
end
$$;

comment on function admin_internal.answer_differences(text, text) is
'The keys in which a file-backed engine''s answer differs from the database''s, byte for byte, except evaluated_at and audit. {order} if the same keys are in another order. {text} if the answer is not a JSON object, or the same members are written differently. Null if the answers are the same.';

-- The engines read their clocks one after the other, and a deadline may lie in between.
create function admin_internal.answer_of_instant(file_answer text, approval_id text, action text, resource text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
declare
    at timestamptz;
begin
    at := file_answer::json ->> 'evaluated_at';
    if abs(extract(epoch from clock_timestamp() - at)) <= 10 then
        return admin.sensitive_check_preview(approval_id, action, resource, at);
    end if;
    return null;
exception when data_exception or program_limit_exceeded then
    return null;
end
$$;

comment on function admin_internal.answer_of_instant(text, text, text, text) is
'The database''s answer as of the evaluated_at of a file-backed engine''s answer. Null if evaluated_at is not an instant within ten seconds of the present.';

create function admin_internal.shadow_compare(file_answer text, database_answer text, approval_id text, action text, resource text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    keys          text[];
    then_answered text;
begin
    keys := admin_internal.answer_differences(file_answer, database_answer);
    if keys is not null then
        then_answered := admin_internal.answer_of_instant(file_answer, approval_id, action, resource);
        if then_answered is not null and admin_internal.answer_differences(file_answer, then_answered) is null then
            keys := null;
        end if;
    end if;
    insert into admin.shadow_check (audit_id, approval_id, differing, file_answer, database_answer)
    values ((database_answer::json #>> '{audit,audit_id}')::bigint, left(shadow_compare.approval_id, 64), keys,
            case when keys is not null then left(shadow_compare.file_answer, 8192) end,
            case when keys is not null then shadow_compare.database_answer end);
exception when others then
    -- Whoever asks gets the answer, and so does the trail.
    raise warning 'an answer in shadow mode could not be compared: %', sqlerrm using errcode = sqlstate;
end
$$;

comment on function admin_internal.shadow_compare(text, text, text, text, text) is
'Compares two answers, and records the result in admin.shadow_check. Raises a WARNING if it cannot compare or record.';

create function admin.sensitive_check_shadow(
    file_answer text,
    approval_id text,
    action      text default null,
    resource    text default null,
    actor       text default null,
    request_id  text default null,
    traceparent text default null,
    token       text default null)
returns json
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    answer json := admin.sensitive_check(approval_id, action, resource, actor, request_id, traceparent, token);
begin
    perform admin_internal.shadow_compare(file_answer, answer::text, approval_id, action, resource);
    return answer;
end
$$;

comment on function admin.sensitive_check_shadow(text, text, text, text, text, text, text, text) is
'admin.sensitive_check() for a caller that has a file-backed engine''s answer. Compares the two answers, byte for byte, except evaluated_at and audit, and records in admin.shadow_check whether they are the same. The answers also count as the same if they agree as of the file answer''s own evaluated_at. Returns the database''s answer, and raises the errors of admin.sensitive_check().';

create function admin_internal.settle_differences(shadow_ids bigint[], reason text)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    settled bigint;
    lowest  bigint;
    highest bigint;
begin
    with s as (insert into admin.shadow_settled (shadow_id, reason) select i, settle_differences.reason from unnest(shadow_ids) as i
               on conflict do nothing returning shadow_id)
    select count(*), min(s.shadow_id), max(s.shadow_id) into settled, lowest, highest from s;
    if settled > 0 then
        perform admin_internal.append_event('shadow.settled', format('{"differences":%s,"first":%s,"last":%s,"reason":%s}', settled, lowest, highest, to_json(reason))::json);
    end if;
    return settled;
end
$$;

comment on function admin_internal.settle_differences(bigint[], text) is
'Settles differences in shadow mode, and returns how many. If it settled any, appends shadow.settled to the trail: {"differences", "first", "last", "reason"}.';

create function admin.settle_shadow_difference(shadow_id bigint, reason text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform admin_internal.check_reason(settle_shadow_difference.reason);
    if not exists (select from admin.shadow_difference as d where d.shadow_id = settle_shadow_difference.shadow_id) then
        raise exception 'difference % does not exist', coalesce(settle_shadow_difference.shadow_id::text, 'null')
            using errcode = 'P0002', detail = 'There is none of this shadow_id that is not settled.', hint = 'admin.shadow_difference lists them.';
    end if;
    perform admin_internal.settle_differences(array[settle_shadow_difference.shadow_id], settle_shadow_difference.reason);
end
$$;

comment on function admin.settle_shadow_difference(bigint, text) is
'Explains a difference in shadow mode, so that it no longer counts as a difference. Appends shadow.settled to the trail. Raises P0002 if the difference does not exist or is already settled, 22023 for a reason that is not 1 to 4096 bytes.';

create function admin.settle_shadow_differences(up_to bigint, reason text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform admin_internal.check_reason(reason);
    if up_to is null then
        raise exception 'argument "up_to" is null'
            using errcode = '22023', hint = 'Name the last shadow_id to settle; admin.shadow_difference lists them.';
    end if;
    return admin_internal.settle_differences(array(select d.shadow_id from admin.shadow_difference as d where d.shadow_id <= up_to), reason);
end
$$;

comment on function admin.settle_shadow_differences(bigint, text) is
'Explains every difference in shadow mode up to a shadow_id that is not settled, and returns how many. If there are any, appends one shadow.settled to the trail: {"differences", "first", "last", "reason"}. Raises 22023 for a null up_to or a reason that is not 1 to 4096 bytes.';
