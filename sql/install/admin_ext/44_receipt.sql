-- ---------------------------------------------------------------------------
-- The archive: what it has confirmed to hold, and which rows of the trail this covers.
-- ---------------------------------------------------------------------------

create table admin.archive_receipt (
    store_id     uuid        not null,
    sink         text        not null,
    last_number  bigint      not null,
    chain        bytea,
    seal_sha256  bytea,
    retain_until timestamptz,
    location     text        not null,
    received_at  timestamptz not null default clock_timestamp(),
    status       text        not null,
    constraint archive_receipt_status check (status in ('ok', 'mismatch', 'broken')),
    constraint archive_receipt_number check (last_number >= 0),
    constraint archive_receipt_chain_length check (octet_length(chain) = 32),
    constraint archive_receipt_seal_length check (octet_length(seal_sha256) = 32),
    constraint archive_receipt_location_length check (octet_length(location) between 1 and 2048),
    constraint archive_receipt_complete
        check (status = 'broken' or (chain is not null and seal_sha256 is not null and retain_until is not null))
);

-- An archiver that restarts sends its newest receipt once more.
create unique index archive_receipt_once on admin.archive_receipt
    (store_id, sink, last_number, coalesce(chain, ''), coalesce(seal_sha256, ''), (case when status = 'broken' then location else '' end));
create index archive_receipt_newest on admin.archive_receipt (store_id, sink, received_at);
create index archive_receipt_problem on admin.archive_receipt (store_id, sink, last_number) where status <> 'ok';

-- Broken receipts have nulls, so the table has no primary key.  A publication still needs a replica identity.
alter table admin.archive_receipt replica identity full;

comment on table admin.archive_receipt is
'What an archiver has confirmed, one row for each receipt; see admin.record_receipt(). The table is append-only: UPDATE, DELETE and TRUNCATE are refused for everybody.';
comment on column admin.archive_receipt.store_id is 'The store whose documents the archive holds; see admin.store.';
comment on column admin.archive_receipt.sink is 'The sink that the archiver reads.';
comment on column admin.archive_receipt.last_number is 'The archive holds all documents up to this delivery number. In a broken receipt: the last number before the fault, or 0 if there is none.';
comment on column admin.archive_receipt.chain is 'The delivery chain after that number, as the archiver computed it; null in a broken receipt.';
comment on column admin.archive_receipt.seal_sha256 is 'SHA-256 of the seal of the newest object; null in a broken receipt.';
comment on column admin.archive_receipt.retain_until is 'The storage refuses to delete the newest object until this time; null in a broken receipt.';
comment on column admin.archive_receipt.location is 'Location of the newest object. In a broken receipt: the fault, as the archiver reported it.';
comment on column admin.archive_receipt.received_at is 'When the receipt was recorded.';
comment on column admin.archive_receipt.status is 'ok: the chain equals that of the database. mismatch: the chain differs, so the archive holds other documents than were delivered. broken: the archiver found a fault in what it reads, and stopped.';
comment on index admin.archive_receipt_once is 'A receipt that is sent again is not recorded again.';
comment on index admin.archive_receipt_newest is 'Finds the newest receipt.';
comment on index admin.archive_receipt_problem is 'Finds the receipts that are not ok.';

create function admin_internal.receipt_append_only()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'receipts of the archive are append-only'
        using errcode = '23001', detail = format('UPDATE, DELETE and TRUNCATE of "%s" are refused for everybody.', tg_table_name);
end
$$;

comment on function admin_internal.receipt_append_only() is
'Trigger of admin.archive_receipt: refuses UPDATE, DELETE and TRUNCATE with 23001.';

-- The row trigger also fires for changes that a subscription applies.
create trigger receipt_append_only
before update or delete on admin.archive_receipt
for each row execute function admin_internal.receipt_append_only();

create trigger receipt_append_only_statement
before update or delete or truncate on admin.archive_receipt
for each statement execute function admin_internal.receipt_append_only();

alter table admin.archive_receipt enable always trigger receipt_append_only;
alter table admin.archive_receipt enable always trigger receipt_append_only_statement;

comment on trigger receipt_append_only on admin.archive_receipt is 'Refuses UPDATE and DELETE.';
comment on trigger receipt_append_only_statement on admin.archive_receipt is 'Refuses UPDATE, DELETE and TRUNCATE.';

-- ---------------------------------------------------------------------------
-- What receipts cover, in terms of this copy of the data.
-- ---------------------------------------------------------------------------

create table admin_internal.archive_base (
    store_id          uuid        not null,
    sink              text        not null,
    last_number       bigint      not null,
    done              pg_snapshot,
    "window"          pg_snapshot,
    window_audit_id   bigint,
    highest_audit_id  bigint,
    floor_audit_id    bigint,
    backfill_audit_id bigint,
    recorded_at       timestamptz not null default clock_timestamp(),
    retain_until      timestamptz not null,
    primary key (store_id, sink, last_number)
);

comment on table admin_internal.archive_base is
'Which rows the receipts with status ok cover: the position of the newest link of the delivery chain up to the number of a receipt. The newest row of each store and sink stays, and older rows stay as long as rows are sent again. Only admin.record_receipt() writes to this table.';
comment on column admin_internal.archive_base.store_id is 'As in admin.archive_receipt.';
comment on column admin_internal.archive_base.sink is 'As in admin.archive_receipt.';
comment on column admin_internal.archive_base.last_number is 'As in admin.archive_receipt.';
comment on column admin_internal.archive_base.done is 'As in admin_internal.delivery_link; this also applies to the next five columns. Null: no position was recorded up to that number.';
comment on column admin_internal.archive_base."window" is 'The window that was being delivered; null between windows.';
comment on column admin_internal.archive_base.window_audit_id is 'Rows of that window up to this audit_id were delivered.';
comment on column admin_internal.archive_base.highest_audit_id is 'The highest audit_id that was delivered.';
comment on column admin_internal.archive_base.floor_audit_id is 'As in admin.sink_position.';
comment on column admin_internal.archive_base.backfill_audit_id is 'Rows visible in done from this audit_id on were not delivered yet.';
comment on column admin_internal.archive_base.recorded_at is 'When the receipt was recorded.';
comment on column admin_internal.archive_base.retain_until is 'The latest retain_until of the receipts with that number. After it they cover no rows.';

-- A position says that rows were delivered, but not in which store.
create table admin_internal.resync_record (
    sink               text        not null,
    position_id        bigint      not null,
    store_id           uuid        not null,
    begins_store       boolean     not null,
    from_audit_id      bigint      not null,
    unskipped_audit_id bigint,
    snap               pg_snapshot not null,
    floor_audit_id     bigint      not null,
    primary key (sink, position_id)
);

comment on table admin_internal.resync_record is
'Each call of admin.resync_sink(), for admin_internal.sink_archived(). It says which rows a store that the call began never delivers, and which rows had been skipped until then.';
comment on column admin_internal.resync_record.sink is 'Name of the sink.';
comment on column admin_internal.resync_record.position_id is 'The position that the call recorded.';
comment on column admin_internal.resync_record.store_id is 'The store from this call on.';
comment on column admin_internal.resync_record.begins_store is 'True if this is the first position of the sink in this store.';
comment on column admin_internal.resync_record.from_audit_id is 'Rows visible in snap, or up to floor_audit_id, are delivered from this audit_id on.';
comment on column admin_internal.resync_record.unskipped_audit_id is 'The lowest audit_id that had been skipped and is delivered after all; null if there is none.';
comment on column admin_internal.resync_record.snap is 'The snapshot of the tick of the call.';
comment on column admin_internal.resync_record.floor_audit_id is 'As in admin.sink_position.';

create table admin_internal.late_delivery (
    sink            text   not null,
    audit_id        bigint not null,
    store_id        uuid   not null,
    delivery_number bigint not null,
    xid             xid8   not null default pg_current_xact_id(),
    primary key (sink, audit_id)
);

comment on table admin_internal.late_delivery is
'Dead letters that were delivered after all, with a delivery number of that time. What was delivered up to a link covers such a row only if the snapshot of the link sees xid. The receipt that covers the number removes the row. So does a receipt for another store that was sent the row again. The row is also removed with the month of its audit row.';
comment on column admin_internal.late_delivery.sink is 'Name of the sink.';
comment on column admin_internal.late_delivery.audit_id is 'The row of admin.audit.';
comment on column admin_internal.late_delivery.store_id is 'The store that the row was delivered as.';
comment on column admin_internal.late_delivery.delivery_number is 'The delivery number in that store.';
comment on column admin_internal.late_delivery.xid is 'The transaction that recorded the delivery.';

create function admin_internal.is_archived(
    audit_id bigint, xid xid8, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
    highest_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint,
    begin_snap pg_snapshot, begin_floor_audit_id bigint, begin_audit_id bigint)
returns boolean
language sql immutable parallel safe
return admin_internal.is_delivered(audit_id, xid, done, "window", window_audit_id, highest_audit_id, floor_audit_id, backfill_audit_id)
    and case when audit_id >= begin_audit_id or begin_audit_id is null then true
             else audit_id > begin_floor_audit_id and not pg_visible_in_snapshot(xid, begin_snap) end;

comment on function admin_internal.is_archived(bigint, xid8, pg_snapshot, pg_snapshot, bigint, bigint, bigint, bigint, pg_snapshot, bigint, bigint) is
'Returns true if a receipt, as admin_internal.sink_archived() returns it, covers a row of the trail, unless the sink skipped or rejected the row.';

-- In doubt, a receipt covers less.  Rows loaded from a dump have an xid of another copy, so receipts
-- from before admin.resync_sink() set a floor do not count.
create function admin_internal.sink_archived()
returns table (sink text, done pg_snapshot, "window" pg_snapshot, window_audit_id bigint,
               highest_audit_id bigint, floor_audit_id bigint, backfill_audit_id bigint,
               begin_snap pg_snapshot, begin_floor_audit_id bigint, begin_audit_id bigint,
               late_first bigint, late_last bigint)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
    select b.sink, b.done, b."window", b.window_audit_id, b.highest_audit_id, b.floor_audit_id,
           least(b.backfill_audit_id, u.audit_id), s.snap, s.floor_audit_id, least(s.from_audit_id, l.audit_id), d.first, d.last
    from admin_internal.archive_base as b
    left join admin_internal.resync_record as s on s.sink = b.sink and s.store_id = b.store_id and s.begins_store
    cross join lateral (
        select min(r.from_audit_id) as audit_id from admin_internal.resync_record as r
        where r.sink = b.sink and r.store_id = b.store_id and not r.begins_store
          and (pg_snapshot_xmax(r.snap) < pg_snapshot_xmax(b.done) or r.snap::text = b.done::text)) as l
    cross join lateral (
        select min(r.unskipped_audit_id) as audit_id from admin_internal.resync_record as r
        where r.sink = b.sink and pg_snapshot_xmax(r.snap) >= pg_snapshot_xmax(b.done) and r.snap::text <> b.done::text) as u
    cross join lateral (
        select min(e.audit_id) as first, max(e.audit_id) as last from admin_internal.late_delivery as e
        where e.sink = b.sink and not pg_visible_in_snapshot(e.xid, b.done)) as d
    where b.done is not null
      and b.retain_until > clock_timestamp()
      and b.floor_audit_id = (select coalesce(max(p.floor_audit_id), 0) from admin.sink_position as p)
      and exists (select from admin.store as o where o.adopted_at is not null);
end;

comment on function admin_internal.sink_archived() is
'Returns which rows of the trail the receipts of the archive cover; see admin_internal.is_archived(). Returns one row for each store and sink, and more while rows are sent again. Returns no row once the storage may delete what it confirmed. Dead letters from late_first to late_last may have been delivered later.';

create view admin.audit_delivery as
with p as materialized (select * from admin_internal.sink_newest_position()),
     c as materialized (select * from admin_internal.sink_archived())
select a.audit_id,
       a.recorded_at,
       p.sink,
       case when exists (select from admin.dead_letter as d
                         where d.sink = p.sink and d.audit_id = a.audit_id) then 'failed'
            when a.audit_id >= p.skipped_first and a.audit_id < p.skipped_before
                 and admin_internal.is_skipped(p.sink, a.audit_id, a.xid) then 'skipped'
            when admin_internal.is_delivered(a.audit_id, a.xid, p.done, p."window", p.window_audit_id,
                                    p.highest_audit_id, p.floor_audit_id, p.backfill_audit_id) then 'delivered'
            else 'pending'
       end as sink_status,
       case when not exists (select from c
                             where c.sink = p.sink
                               and admin_internal.is_archived(a.audit_id, a.xid, c.done, c."window", c.window_audit_id, c.highest_audit_id,
                                                     c.floor_audit_id, c.backfill_audit_id, c.begin_snap, c.begin_floor_audit_id, c.begin_audit_id)
                               and case when a.audit_id between c.late_first and c.late_last
                                        then not exists (select from admin_internal.late_delivery as e
                                                         where e.sink = c.sink and e.audit_id = a.audit_id and not pg_visible_in_snapshot(e.xid, c.done))
                                        else true end) then false
            when exists (select from admin.dead_letter as d
                         where d.sink = p.sink and d.audit_id = a.audit_id) then false
            when a.audit_id >= p.skipped_first and a.audit_id < p.skipped_before
                 and admin_internal.is_skipped(p.sink, a.audit_id, a.xid) then false
            else true
       end as archived
from admin.audit as a cross join p;

comment on view admin.audit_delivery is
'Each row of the trail with its status at each enabled sink: pending, delivered, skipped (by a superuser''s resync), or failed (see admin.dead_letter). The status is derived from the position of the sink.';
comment on column admin.audit_delivery.audit_id is 'As in admin.audit.';
comment on column admin.audit_delivery.recorded_at is 'As in admin.audit.';
comment on column admin.audit_delivery.sink is 'Name of the sink.';
comment on column admin.audit_delivery.sink_status is 'pending, delivered, skipped or failed.';
comment on column admin.audit_delivery.archived is 'True if a receipt of the archive with status ok covers the row, as it was delivered to this sink. Always false for a skipped or failed row.';
