-- ---------------------------------------------------------------------------
-- The delivery chain, link by link.  A receipt of an archive is compared with it.
-- ---------------------------------------------------------------------------

create table admin_internal.delivery_link (
    store_id          uuid        not null,
    sink              text        not null,
    first_number      bigint      not null,
    last_number       bigint      not null,
    chain             bytea       not null,
    done              pg_snapshot,
    "window"          pg_snapshot,
    window_audit_id   bigint,
    highest_audit_id  bigint,
    floor_audit_id    bigint,
    backfill_audit_id bigint,
    recorded_at       timestamptz not null default clock_timestamp(),
    link_number       bigint,
    purged_number     bigint,
    primary key (store_id, sink, last_number),
    constraint delivery_link_numbers check (first_number between 1 and last_number),
    constraint delivery_link_chain_length check (octet_length(chain) = 32)
);

-- The highest link_number says how many links there are.  The lowest ones are removed first.  No link in between is read.
create unique index delivery_link_order on admin_internal.delivery_link (sink, link_number);

comment on table admin_internal.delivery_link is
'One row for each batch delivered to a sink, written together with the position of the sink. If the sink keeps its own position, the rows of several batches are written at once. After a crash, the rows since the recorded position are then missing, except the newest one. The worker keeps the newest links of each sink, as many as admin_internal.links_kept() says, and the last link of each store.';
comment on column admin_internal.delivery_link.store_id is 'The store whose delivery numbers these are; see admin.store.';
comment on column admin_internal.delivery_link.sink is 'Name of the sink.';
comment on column admin_internal.delivery_link.first_number is 'Delivery number of the first document of the batch.';
comment on column admin_internal.delivery_link.last_number is 'Delivery number of the last document of the batch.';
comment on column admin_internal.delivery_link.chain is 'The delivery chain after the batch; see doc/evidence.md.';
comment on column admin_internal.delivery_link.done is 'In a row written together with a recorded position: rows visible in this snapshot were delivered; see admin_internal.is_delivered(). Null in other rows.';
comment on column admin_internal.delivery_link."window" is 'The window that was being delivered; null between windows.';
comment on column admin_internal.delivery_link.window_audit_id is 'Rows of that window up to this audit_id were delivered.';
comment on column admin_internal.delivery_link.highest_audit_id is 'The highest audit_id that was delivered. Null if done is null.';
comment on column admin_internal.delivery_link.floor_audit_id is 'As in admin.sink_position. Null if done is null.';
comment on column admin_internal.delivery_link.backfill_audit_id is 'As in admin.sink_position: rows visible in done from this audit_id on were not delivered yet.';
comment on column admin_internal.delivery_link.recorded_at is 'When the row was written.';
comment on column admin_internal.delivery_link.link_number is '1, 2, 3, ... for each sink, across all stores, in the order in which the rows were written. Null if the worker did not write the row.';
comment on column admin_internal.delivery_link.purged_number is 'The links of the sink up to this link_number had been removed when the row was written, except for the last one of each store.';
comment on index admin_internal.delivery_link_order is 'Finds the newest link of a sink, and the oldest ones to be removed.';

create view admin.delivery_link as
select l.store_id, l.sink, l.first_number, l.last_number, l.chain, l.recorded_at from admin_internal.delivery_link as l;

comment on view admin.delivery_link is
'The delivery chain, batch by batch, as the database has recorded it. A verifier compares it with the batches of an archive. For a sink that keeps its own position, batches delivered in the second before a crash may be missing. Batches older than the newest million of a sink are missing, too.';
comment on column admin.delivery_link.store_id is 'The store whose delivery numbers these are; see admin.store.';
comment on column admin.delivery_link.sink is 'Name of the sink.';
comment on column admin.delivery_link.first_number is 'Delivery number of the first document of the batch.';
comment on column admin.delivery_link.last_number is 'Delivery number of the last document of the batch.';
comment on column admin.delivery_link.chain is 'The delivery chain after the batch; see doc/evidence.md.';
comment on column admin.delivery_link.recorded_at is 'When the database recorded the batch.';

create function admin_internal.links_kept()
returns bigint
language sql immutable parallel safe
return 1000000;

comment on function admin_internal.links_kept() is
'Returns how many links of the delivery chain the worker keeps for each sink.';

-- A delivery number that was lost with a position may be assigned again: the newer link then replaces the older one.
-- The function does not count the links.  The newest link stores how far links were purged.  So a call reads no link that
-- stays, and a restarted worker continues where the one before it stopped.  The plans are generic and suit a table of any
-- size: planning each call would take longer than executing it.
create function admin_internal.record_links(sink text, firsts bigint[], lasts bigint[], chains bytea[])
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
    added  constant bigint := cardinality(lasts);
    newest bigint;
    purged bigint;
    cut    bigint;
begin
    select l.link_number, l.purged_number into newest, purged from admin_internal.delivery_link as l
    where l.sink = record_links.sink and l.link_number is not null order by l.link_number desc limit 1;
    newest := coalesce(newest, 0);
    purged := coalesce(purged, 0);
    cut := least(newest - 1, newest + added - admin_internal.links_kept(), purged + 2 * added);
    if cut > purged then
        -- A subquery with LIMIT is never planned as a join, which would read all links.
        delete from admin_internal.delivery_link as l
        where l.sink = record_links.sink and l.link_number > purged and l.link_number <= cut
          and (select n.last_number from admin_internal.delivery_link as n
               where n.store_id = l.store_id and n.sink = l.sink and n.last_number > l.last_number
               order by n.last_number limit 1) is not null;
        purged := cut;
    end if;
    insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain, done, "window", window_audit_id,
                                              highest_audit_id, floor_audit_id, backfill_audit_id, link_number, purged_number)
    select n.store_id, n.sink, l.first, l.last, l.chain, t.snap, w.snap, k.window_audit_id,
           k.highest_audit_id, k.floor_audit_id, k.backfill_audit_id, newest + l.place, purged
    from unnest(firsts, lasts, chains) with ordinality as l(first, last, chain, place)
    cross join (select * from admin.sink_position as p where p.sink = record_links.sink order by p.position_id desc limit 1) as n
    left join lateral (select n.* where n.last_number = l.last) as k on true
    left join admin.tick as t on t.tick_id = k.tick_id
    left join admin.tick as w on w.tick_id = k.window_tick_id
    on conflict on constraint delivery_link_pkey do update
    set first_number = excluded.first_number, chain = excluded.chain, done = excluded.done, "window" = excluded."window",
        window_audit_id = excluded.window_audit_id, highest_audit_id = excluded.highest_audit_id, floor_audit_id = excluded.floor_audit_id,
        backfill_audit_id = excluded.backfill_audit_id, recorded_at = excluded.recorded_at, link_number = excluded.link_number,
        purged_number = excluded.purged_number;
end
$$;

comment on function admin_internal.record_links(text, bigint[], bigint[], bytea[]) is
'For the worker, in the transaction that records a position: records the batches that were delivered since the preceding position. The last one also records what the position covers. Removes the oldest links beyond admin_internal.links_kept(), at most twice as many as it adds.';

create function admin.delivery_chain(sink text)
returns table (store_id uuid, last_number bigint, chain bytea)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    perform admin_internal.check_sink(delivery_chain.sink);
    return query
        select p.store_id, p.last_number, coalesce(p.chain, admin_internal.chain_start(p.store_id, p.sink))
        from admin.sink_position as p
        where p.sink = delivery_chain.sink
        order by p.position_id desc limit 1;
end
$$;

comment on function admin.delivery_chain(text) is
'Returns how far the database has recorded the delivery chain of a sink: the store, the delivery number of the last document, and the chain after it. Returns one row, or no row for a sink without a position. Raises 22023 for an unknown sink. If the sink keeps its own position, as Kafka does, a running worker records it once a second. The topic may then be up to one second ahead.';
