-- ---------------------------------------------------------------------------
-- Events that happened at FF, in the same trail.
-- ---------------------------------------------------------------------------

create table admin.audit_attributes (
    audit_id   bigint not null primary key,
    attributes json   not null
);

comment on table admin.audit_attributes is
'Context attributes of ingested events (CloudEvents 1.0, section 3) that admin.audit has no column for: sequence, a subject that is no approval, extensions. Delivered with the event, and removed with its partition.';
comment on column admin.audit_attributes.audit_id is 'The row of admin.audit.';
comment on column admin.audit_attributes.attributes is 'JSON object of the attributes, as they came.';

create table admin.ingest_source (
    source         text        collate "C" not null primary key,
    first_sequence bigint,
    last_sequence  bigint,
    accepted       bigint      not null default 0,
    duplicates     bigint      not null default 0,
    unexpected     bigint      not null default 0,
    first_seen_at  timestamptz not null default clock_timestamp(),
    last_seen_at   timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

comment on table admin.ingest_source is
'One row per source of ingested events. A call of admin.audit_ingest() locks the rows of its sources to the end of its transaction: that is what makes an event of two connections one.';
comment on column admin.ingest_source.source is 'CloudEvents source.';
comment on column admin.ingest_source.first_sequence is 'The lowest sequence that came; null: none did.';
comment on column admin.ingest_source.last_sequence is 'The highest sequence that came; null: none did.';
comment on column admin.ingest_source.accepted is 'Events that were appended to the trail.';
comment on column admin.ingest_source.duplicates is 'Events that the trail had already.';
comment on column admin.ingest_source.unexpected is 'Of those accepted, events under a sequence that another event had had: the source counts anew, or wrong.';
comment on column admin.ingest_source.first_seen_at is 'When the first of its events came.';
comment on column admin.ingest_source.last_seen_at is 'When the last of its calls came.';

create table admin.ingest_gap (
    source        text        collate "C" not null references admin.ingest_source,
    from_sequence bigint      not null,
    to_sequence   bigint      not null,
    noticed_at    timestamptz not null default clock_timestamp(),
    filled_at     timestamptz,
    primary key (source, from_sequence),
    constraint ingest_gap_order check (from_sequence <= to_sequence)
);

create index ingest_gap_open on admin.ingest_gap (source, to_sequence) where filled_at is null;

comment on table admin.ingest_gap is
'Sequences that a source has passed over. Where some of them come late, a gap narrows, or becomes two; the row that the last of them fills stays with what it was then.';
comment on column admin.ingest_gap.source is 'CloudEvents source.';
comment on column admin.ingest_gap.from_sequence is 'The first sequence that is missing.';
comment on column admin.ingest_gap.to_sequence is 'The last one.';
comment on column admin.ingest_gap.noticed_at is 'When a later event came.';
comment on column admin.ingest_gap.filled_at is 'When the last one missing came; null: the gap is open.';
comment on index admin.ingest_gap_open is 'Open gaps that a batch may fill.';

create function admin.audit_attributes_guard()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' then
        if not exists (select from admin.audit as a where a.audit_id = old.audit_id) then
            return old;
        end if;
    end if;
    raise exception 'the attributes of the audit trail are append-only'
        using errcode = '23001', detail = 'They go when the row of admin.audit that they belong to has gone.',
              hint = 'Free space with admin.drop_audit_partitions().';
end
$$;

comment on function admin.audit_attributes_guard() is
'Trigger of admin.audit_attributes: refuses UPDATE, TRUNCATE, and DELETE while the row of the trail is there, with 23001.';

create trigger audit_attributes_guard
before update or delete on admin.audit_attributes
for each row execute function admin.audit_attributes_guard();

create trigger audit_attributes_guard_truncate
before truncate on admin.audit_attributes
for each statement execute function admin.audit_attributes_guard();

alter table admin.audit_attributes enable always trigger audit_attributes_guard;
alter table admin.audit_attributes enable always trigger audit_attributes_guard_truncate;

comment on trigger audit_attributes_guard on admin.audit_attributes is 'Append-only, as the trail is.';
comment on trigger audit_attributes_guard_truncate on admin.audit_attributes is 'Refuses TRUNCATE.';

-- Called under the lock of the source.  Sequences are ranges here: a batch is seldom more than one.
create function admin.ingest_note(source text, accepted bigint, duplicates bigint, sequences bigint[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    came    int8multirange := (select coalesce(range_agg(int8range(s, s, '[]')), '{}') from unnest(sequences) as s);
    known   int8multirange;         -- from the first to the last that came before
    missing int8multirange;         -- of those, and within reach of this batch
    passed  int8multirange;         -- newly passed over
    gap     record;
    rest    int8multirange;
    repeated bigint := 0;
begin
    if cardinality(sequences) > 0 then
        select case when s.first_sequence is null then '{}' else int8multirange(int8range(s.first_sequence, s.last_sequence, '[]')) end
        into strict known from admin.ingest_source as s where s.source = ingest_note.source;
        missing := '{}';
        for gap in
            select g.from_sequence, int8multirange(int8range(g.from_sequence, g.to_sequence, '[]')) as span, g.noticed_at
            from admin.ingest_gap as g
            where g.source = ingest_note.source and g.filled_at is null
              and g.from_sequence < upper(came) and g.to_sequence >= lower(came)
        loop
            missing := missing + gap.span;
            rest := gap.span - came;
            continue when rest = gap.span;
            if isempty(rest) then
                update admin.ingest_gap as g set filled_at = clock_timestamp()
                where g.source = ingest_note.source and g.from_sequence = gap.from_sequence;
            else
                delete from admin.ingest_gap as g where g.source = ingest_note.source and g.from_sequence = gap.from_sequence;
                insert into admin.ingest_gap (source, from_sequence, to_sequence, noticed_at)
                select ingest_note.source, lower(r), upper(r) - 1, gap.noticed_at from unnest(rest) as r;
            end if;
        end loop;
        passed := int8multirange(range_merge(came + known)) - known - came;
        insert into admin.ingest_gap (source, from_sequence, to_sequence)
        select ingest_note.source, lower(r), upper(r) - 1 from unnest(passed) as r;
        repeated := cardinality(sequences)
            - (select coalesce(sum(upper(r) - lower(r)), 0) from unnest(came - (known - missing)) as r);
    end if;
    update admin.ingest_source as s
    set accepted = s.accepted + ingest_note.accepted, duplicates = s.duplicates + ingest_note.duplicates,
        unexpected = s.unexpected + repeated,
        first_sequence = coalesce(lower(came + known), s.first_sequence),
        last_sequence = coalesce(upper(came + known) - 1, s.last_sequence),
        last_seen_at = clock_timestamp()
    where s.source = ingest_note.source;
end
$$;

comment on function admin.ingest_note(text, bigint, bigint, bigint[]) is
'For admin.audit_ingest(): counts what came of a source, opens the gaps that it leaves and closes those that it fills.';

create function admin.audit_ingest(events jsonb)
returns jsonb
as 'MODULE_PATHNAME', 'admin_audit_ingest'
language c volatile parallel unsafe;

comment on function admin.audit_ingest(jsonb) is
'Appends events that happened elsewhere to the trail: a JSON array of up to 10000 CloudEvents 1.0 (JSON format, structured), each once per source and id, as event_type ingest.<type>. It is told from those that came within admin_ext.ingest_window before, or before its own time. Returns {"accepted", "duplicates", "rejected": [{"index", "id", "error"}]}, index from 0: the sound part is stored, the rest named. Limits in bytes: id 256, source 512, type 256, data 262144, attributes without a column 8192; "sequence" is a number from 0, by which gaps are noticed (admin.ingest_gap). Raises 22023 when the argument is no such array.';
