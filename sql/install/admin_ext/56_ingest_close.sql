-- ---------------------------------------------------------------------------
-- Closes gaps of ingested sources that no event will fill.
-- ---------------------------------------------------------------------------

create function admin_internal.check_reason(reason text)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if not coalesce(octet_length(reason) between 1 and 4096, false) then
        raise exception 'argument "reason" is out of range'
            using errcode = '22023', detail = format('It has %s bytes; 1 to 4096 are allowed.', coalesce(octet_length(reason)::text, 'no'));
    end if;
end
$$;

comment on function admin_internal.check_reason(text) is 'Raises 22023 if the reason is not 1 to 4096 bytes long.';

create function admin.close_ingest_gaps(source text, up_to bigint, reason text)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
-- An open transaction that ingests from this source holds the lock of the source's row.
set lock_timeout = '3s'
as $$
#variable_conflict use_column
declare
    closed  bigint;
    missing numeric;
    lowest  bigint;
    highest bigint;
begin
    perform admin_internal.check_reason(close_ingest_gaps.reason);
    if up_to is null then
        raise exception 'argument "up_to" is null'
            using errcode = '22023', hint = 'Name the last sequence that is not expected any more.';
    end if;
    -- As admin.audit_ingest() does: of an event that comes now and this call, one is first.
    perform from admin.ingest_source as s where s.source = close_ingest_gaps.source for no key update;
    if not found then
        raise exception 'source "%" does not exist', coalesce(left(close_ingest_gaps.source, 64), 'null')
            using errcode = 'P0002', hint = 'admin.ingest_source lists the sources.';
    end if;
    -- What lies above stays open.
    insert into admin.ingest_gap (source, from_sequence, to_sequence, noticed_at)
    select g.source, least(close_ingest_gaps.up_to, 9223372036854775806) + 1, g.to_sequence, g.noticed_at from admin.ingest_gap as g
    where g.source = close_ingest_gaps.source and g.filled_at is null and g.from_sequence <= close_ingest_gaps.up_to and g.to_sequence > close_ingest_gaps.up_to;
    with gone as (
        update admin.ingest_gap as g
        set to_sequence = least(g.to_sequence, close_ingest_gaps.up_to), filled_at = clock_timestamp(), closed_by = session_user, close_reason = close_ingest_gaps.reason
        where g.source = close_ingest_gaps.source and g.filled_at is null and g.from_sequence <= close_ingest_gaps.up_to
        returning g.from_sequence, g.to_sequence)
    select count(*), coalesce(sum(gone.to_sequence::numeric - gone.from_sequence + 1), 0), min(gone.from_sequence), max(gone.to_sequence)
    into closed, missing, lowest, highest from gone;
    if closed > 0 then
        perform admin_internal.append_event('gap.closed', format('{"source":%s,"up_to":%s,"gaps":%s,"first":%s,"last":%s,"missing":%s,"reason":%s}',
            to_json(close_ingest_gaps.source), up_to, closed, lowest, highest, missing, to_json(close_ingest_gaps.reason))::json);
    end if;
    return closed;
end
$$;

comment on function admin.close_ingest_gaps(text, bigint, text) is
'Closes the open gaps of a source up to a sequence, because those events will not come. Returns how many gaps it closed. A gap that continues above the sequence is split. If it closed gaps, it appends gap.closed to the trail: {"source", "up_to", "gaps", "first", "last", "missing", "reason"}. Raises P0002 for a source that does not exist, 22023 for a null up_to or a reason that is not 1 to 4096 bytes, 55P03 after 3 seconds if an open transaction ingests from the source.';
