-- ---------------------------------------------------------------------------
-- Stores events that happened at FF in the same trail.
-- ---------------------------------------------------------------------------

create table admin.audit_attributes (
    audit_id   bigint not null primary key,
    attributes json   not null,
    constraint audit_attributes_object check (json_typeof(attributes) = 'object')
);

comment on table admin.audit_attributes is
'Context attributes of ingested events (CloudEvents 1.0, section 3) for which admin.audit has no column: sequence, a subject that is not an approval, extensions. Delivered with the event, and removed with its partition.';
comment on column admin.audit_attributes.audit_id is 'The row of admin.audit.';
comment on column admin.audit_attributes.attributes is 'JSON object of the attributes, as received.';

create table admin.ingest_source (
    source         text        collate "C" not null primary key,
    first_sequence bigint,
    last_sequence  bigint,
    accepted       bigint      not null default 0,
    duplicates     bigint      not null default 0,
    conflicting    bigint      not null default 0,
    unexpected     bigint      not null default 0,
    first_seen_at  timestamptz not null default clock_timestamp(),
    last_seen_at   timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

comment on table admin.ingest_source is
'One row per source of ingested events. A call of admin.audit_ingest() locks the rows of its sources until the end of its transaction. This lock deduplicates an event that two connections send.';
comment on column admin.ingest_source.source is 'CloudEvents source.';
comment on column admin.ingest_source.first_sequence is
'The lowest sequence received; null if no sequence was received.';
comment on column admin.ingest_source.last_sequence is
'The highest sequence received; null if no sequence was received.';
comment on column admin.ingest_source.accepted is 'Number of events that were appended to the trail.';
comment on column admin.ingest_source.duplicates is
'Number of events that the trail already had, with the same content.';
comment on column admin.ingest_source.conflicting is
'Number of events that were rejected because the trail has their id with other content.';
comment on column admin.ingest_source.unexpected is
'Number of accepted events whose sequence another event had used, or whose gap was closed by hand. The source has restarted its count, or counts wrongly.';
comment on column admin.ingest_source.first_seen_at is 'When the first event of the source was received.';
comment on column admin.ingest_source.last_seen_at is 'When the last call with an event of the source was received.';

create table admin.ingest_gap (
    source        text        collate "C" not null references admin.ingest_source,
    from_sequence bigint      not null,
    to_sequence   bigint      not null,
    noticed_at    timestamptz not null default clock_timestamp(),
    filled_at     timestamptz,
    closed_by     text,
    close_reason  text,
    primary key (source, from_sequence),
    constraint ingest_gap_order check (from_sequence <= to_sequence),
    constraint ingest_gap_closed check ((closed_by is null) = (close_reason is null)),
    constraint ingest_gap_closed_when check (closed_by is null or filled_at is not null),
    constraint ingest_gap_reason_length check (octet_length(close_reason) between 1 and 4096)
);

comment on table admin.ingest_gap is
'Sequences that a source has left out. If some of them arrive late, the gap narrows or is split in two. When the last one arrives, the gap is closed, and its row stays unchanged for admin_ext.ingest_window.';
comment on column admin.ingest_gap.source is 'CloudEvents source.';
comment on column admin.ingest_gap.from_sequence is 'The first sequence that is missing.';
comment on column admin.ingest_gap.to_sequence is 'The last sequence that is missing.';
comment on column admin.ingest_gap.noticed_at is 'When the later event that revealed the gap was received.';
comment on column admin.ingest_gap.filled_at is
'When the last missing event was received, or an operator closed the gap; null while the gap is open.';
comment on column admin.ingest_gap.closed_by is
'The session user who closed the gap with admin.close_ingest_gaps(); null if events filled it, or it is open.';
comment on column admin.ingest_gap.close_reason is 'Why the operator closed the gap; 1 to 4096 bytes.';

create table admin.audit_dropped (
    below bigint not null primary key
);

create unique index audit_dropped_one_row on admin.audit_dropped ((true));

comment on table admin.audit_dropped is
'One row: the audit_id up to which admin.drop_audit_partitions() has dropped months of the trail. The attributes of the dropped rows are removed later.';
comment on column admin.audit_dropped.below is 'The trail has no row with an audit_id below this one.';
comment on index admin.audit_dropped_one_row is 'Ensures that the table has one row.';

-- A dump contains the row; for a dump without it see admin.restore_guards().
insert into admin.audit_dropped (below)
select 0 where current_setting('admin_ext.restoring', true) is distinct from 'on';

create function admin_internal.audit_attributes_guard()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' then
        if not exists (select from gone as g cross join admin.audit_dropped as d where g.audit_id >= d.below) then
            return null;
        end if;
    end if;
    raise exception 'the attributes of the audit trail are append-only'
        using errcode = '23001', detail = 'They go after the month of admin.audit that they belong to has gone.',
              hint = 'Free space with admin.drop_audit_partitions().';
end
$$;

comment on function admin_internal.audit_attributes_guard() is
'Trigger of admin.audit_attributes. Refuses UPDATE and TRUNCATE, and DELETE of attributes whose row the trail may still have. Raises 23001.';

create trigger audit_attributes_guard
before update or truncate on admin.audit_attributes
for each statement execute function admin_internal.audit_attributes_guard();

create trigger audit_attributes_guard_delete
after delete on admin.audit_attributes
referencing old table as gone
for each statement execute function admin_internal.audit_attributes_guard();

create function admin_internal.audit_attributes_insert()
returns trigger
as 'MODULE_PATHNAME', 'admin_audit_attributes_insert'
language c;

comment on function admin_internal.audit_attributes_insert() is
'Trigger of admin.audit_attributes: refuses INSERT by hand with 23001, unless admin_ext.restoring is on.';

create trigger audit_attributes_insert
before insert on admin.audit_attributes
for each row execute function admin_internal.audit_attributes_insert();

alter table admin.audit_attributes enable always trigger audit_attributes_insert;
alter table admin.audit_attributes enable always trigger audit_attributes_guard;
alter table admin.audit_attributes enable always trigger audit_attributes_guard_delete;

comment on trigger audit_attributes_insert on admin.audit_attributes is 'Refuses INSERT by hand, like the trail.';
comment on trigger audit_attributes_guard on admin.audit_attributes is 'Makes the table append-only, like the trail.';
comment on trigger audit_attributes_guard_delete on admin.audit_attributes is
'Allows DELETE only of attributes of dropped months.';

create function admin_internal.ingest_tidy(max_rows int)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    attributes bigint;
    gaps       bigint;
begin
    delete from admin.audit_attributes as x
    where x.audit_id in (select a.audit_id from admin.audit_attributes as a
                         where a.audit_id < (select d.below from admin.audit_dropped as d) order by a.audit_id limit max_rows);
    get diagnostics attributes = row_count;
    delete from admin.ingest_gap as g
    where g.ctid in (select c.ctid from admin.ingest_gap as c where c.filled_at < now() - admin_internal.ingest_window() limit max_rows);
    get diagnostics gaps = row_count;
    return attributes + gaps;
end
$$;

comment on function admin_internal.ingest_tidy(int) is
'For the worker and admin.drop_audit_partitions(). Removes attributes of dropped months, and gaps that were closed longer ago than admin_ext.ingest_window. Returns how many rows it removed.';

create function admin_internal.ingest_window()
returns interval
language sql stable
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
return coalesce((select s.setting::bigint * interval '1 second' from pg_settings as s where s.name = 'admin_ext.ingest_window'), interval '7 days');

comment on function admin_internal.ingest_window() is
'The setting admin_ext.ingest_window, or its default if the library has not been loaded.';

-- Sequences are kept as ranges, because a batch seldom has more than one.  Gaps, open and closed ones, do not
-- overlap.  So only the last gap that does not begin after a number can contain it: one index lookup is
-- sufficient, however many gaps there are.
create function admin_internal.ingest_fill(source text, came int8multirange)
returns bigint
language sql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_bitmapscan = off
begin atomic
    with hit as materialized (
        select g.from_sequence, g.to_sequence, g.noticed_at, r as run
        from unnest(came) as r
        cross join lateral (
            select o.* from admin.ingest_gap as o
            where o.source = ingest_fill.source and o.from_sequence > lower(r) and o.from_sequence < upper(r)
            union all
            (select o.* from admin.ingest_gap as o
             where o.source = ingest_fill.source and o.from_sequence <= lower(r)
             order by o.from_sequence desc limit 1)) as g
        where g.filled_at is null and g.to_sequence >= lower(r)),
    gap as materialized (
        select from_sequence, noticed_at, to_sequence - from_sequence + 1 as missing,
               array(select p from unnest(int8multirange(int8range(from_sequence, to_sequence, '[]')) - range_agg(run)) as p) as pieces
        from hit group by from_sequence, to_sequence, noticed_at),
    narrowed as (
        update admin.ingest_gap as g
        set from_sequence = coalesce(lower(gap.pieces[1]), g.from_sequence), to_sequence = coalesce(upper(gap.pieces[1]) - 1, g.to_sequence),
            filled_at = case when cardinality(gap.pieces) = 0 then clock_timestamp() end
        from gap where g.source = ingest_fill.source and g.from_sequence = gap.from_sequence),
    parted as (
        insert into admin.ingest_gap (source, from_sequence, to_sequence, noticed_at)
        select ingest_fill.source, lower(p), upper(p) - 1, gap.noticed_at from gap cross join unnest(gap.pieces[2:]) as p)
    select coalesce(sum(gap.missing - (select coalesce(sum(upper(p) - lower(p)), 0) from unnest(gap.pieces) as p)), 0)::bigint from gap;
end;

comment on function admin_internal.ingest_fill(text, int8multirange) is
'For admin_internal.ingest_note(). Narrows, splits or closes the open gaps of a source by the sequences received. Returns how many of these sequences had been missing.';

-- The caller holds the lock of the source.
create function admin_internal.ingest_note(source text, accepted bigint, duplicates bigint, conflicting bigint, sequences bigint[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    came       int8multirange := (select coalesce(range_agg(int8range(s, s, '[]')), '{}') from unnest(sequences) as s);
    known      int8multirange;      -- from the first to the last that came before
    expected   bigint := 0;         -- numbers that had not come before
begin
    select case when s.first_sequence is null then '{}' else int8multirange(int8range(s.first_sequence, s.last_sequence, '[]')) end
    into strict known from admin.ingest_source as s where s.source = ingest_note.source;
    if not isempty(came) then
        expected := admin_internal.ingest_fill(source, came)
            + (select coalesce(sum(upper(r) - lower(r)), 0) from unnest(came - known) as r);
        insert into admin.ingest_gap (source, from_sequence, to_sequence)
        select ingest_note.source, lower(r), upper(r) - 1 from unnest(int8multirange(range_merge(came + known)) - known - came) as r;
    end if;
    update admin.ingest_source as s
    set accepted = s.accepted + ingest_note.accepted, duplicates = s.duplicates + ingest_note.duplicates,
        conflicting = s.conflicting + ingest_note.conflicting,
        unexpected = s.unexpected + cardinality(sequences) - expected,
        first_sequence = coalesce(lower(came + known), s.first_sequence),
        last_sequence = coalesce(upper(came + known) - 1, s.last_sequence),
        last_seen_at = clock_timestamp()
    where s.source = ingest_note.source;
end
$$;

comment on function admin_internal.ingest_note(text, bigint, bigint, bigint, bigint[]) is
'For admin.audit_ingest(). Counts the events received from a source, opens the gaps that they leave and closes the gaps that they fill.';

create function admin_internal.ingest_prefixes(caller oid)
returns setof text
language sql stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct h.source_prefix from admin_internal.access_holders() as h
    where h.source_prefix is not null and pg_has_role(ingest_prefixes.caller, h.role, 'usage')
$$;

comment on function admin_internal.ingest_prefixes(oid) is
'For admin.audit_ingest(). Returns the source prefixes of a role and of the roles whose privileges it inherits.';

-- The lock on the grants makes two sessions of a role count one after the other, not at the same time.
create function admin_internal.ingest_room(caller oid, sources text[], most int)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    prefixes text[] := array(select admin_internal.ingest_prefixes(caller));
    known    bigint;
begin
    perform from admin.granted_access as g where g.source_prefix = any (prefixes)
    order by g.source_prefix, g.role_oid, g.access for no key update;
    select count(*) into known from admin.ingest_source as s
    where exists (select from unnest(prefixes) as p(prefix) where starts_with(s.source, p.prefix));
    return array(select u.source from unnest(sources) with ordinality as u(source, n)
                 order by u.n limit greatest(most - known, 0));
end
$$;

comment on function admin_internal.ingest_room(oid, text[], int) is
'For admin.audit_ingest(). Returns those of the new sources that still fit if the caller''s prefixes may have this many sources.';

create function admin.audit_ingest(events jsonb)
returns jsonb
as 'MODULE_PATHNAME', 'admin_audit_ingest'
language c volatile parallel unsafe;

comment on function admin.audit_ingest(jsonb) is
'Appends events that happened elsewhere to the trail. The argument is a JSON array of up to 10000 CloudEvents 1.0 (JSON format, structured). Each event is stored once per source and id, as event_type ingest.<type>. An event is compared with the events that were received within admin_ext.ingest_window before it, or before its own time. If the content is the same, the event is a duplicate; if it differs, the event is rejected. From a role that is not a superuser the function accepts only sources that begin with a prefix granted to the role by admin.grant_access(), at most 1000 such sources. Returns {"accepted", "duplicates", "rejected": [{"index", "id", "error"}]}, with index from 0. Valid events are stored, and invalid ones are listed in "rejected". Limits in bytes: id 256, source 512, type 256, data 262144, attributes without a column 8192. "sequence" is a number from 0; gaps in it are recorded in admin.ingest_gap. Raises 22023 if the argument is not such an array, 25006 in a read-only transaction, 40001 if a concurrent transaction conflicts with a REPEATABLE READ transaction. Raises 55000 while admin_ext.restoring is on.';
