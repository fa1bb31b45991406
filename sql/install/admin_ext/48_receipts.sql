-- ---------------------------------------------------------------------------
-- Receipts: an archiver reports which documents it holds, and the database compares.
-- ---------------------------------------------------------------------------

create function admin_internal.check_receipt_place(store_id uuid, sink text, last_number bigint)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
    if not exists (select from admin.store as s where s.store_id = check_receipt_place.store_id)
       and not exists (select from admin_internal.delivery_link as l where l.store_id = check_receipt_place.store_id)
       and not exists (select from admin.archive_receipt as r where r.store_id = check_receipt_place.store_id) then
        raise exception 'store "%" is unknown', coalesce(check_receipt_place.store_id::text, 'null')
            using errcode = '22023', hint = 'The store is part of each document''s source: "/admin_ext/<store id>".';
    end if;
    if not exists (select from admin_internal.delivery_link as l
                   where l.store_id = check_receipt_place.store_id and l.sink = check_receipt_place.sink) then
        perform admin_internal.check_sink(check_receipt_place.sink);
    end if;
    if last_number is null or last_number < 0 then
        raise exception 'argument "last_number" is out of range'
            using errcode = '22023', detail = format('Its value %s is not 0 or more.', coalesce(last_number::text, 'null'));
    end if;
end
$$;

comment on function admin_internal.check_receipt_place(uuid, text, bigint) is
'Raises 22023 for a store or sink that the database does not know, and for a number below 0.';

create function admin_internal.check_receipt_proof(chain bytea, seal_sha256 bytea, retain_until timestamptz, location text)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
    is_broken boolean := chain is null and seal_sha256 is null;
begin
    if not is_broken and octet_length(chain) is distinct from 32 then
        raise exception 'argument "chain" is not 32 bytes'
            using errcode = '22023', detail = case when chain is null then 'It is null.' else format('It has %s bytes.', octet_length(chain)) end;
    end if;
    if not is_broken and octet_length(seal_sha256) is distinct from 32 then
        raise exception 'argument "seal_sha256" is not 32 bytes'
            using errcode = '22023', detail = case when seal_sha256 is null then 'It is null.' else format('It has %s bytes.', octet_length(seal_sha256)) end;
    end if;
    if not is_broken and not coalesce(isfinite(retain_until) and retain_until > now(), false) then
        raise exception 'argument "retain_until" is not a finite time in the future'
            using errcode = '22023', detail = format('Its value is %s.', coalesce(retain_until::text, 'null'));
    end if;
    if is_broken and retain_until is not null then
        raise exception 'argument "retain_until" is not null' using errcode = '22023', detail = 'A broken receipt has neither chain, seal nor retention.';
    end if;
    if not coalesce(octet_length(location) between 1 and 2048, false) then
        raise exception 'argument "location" is not 1 to 2048 bytes'
            using errcode = '22023', detail = case when location is null then 'It is null.' else format('It has %s bytes.', octet_length(location)) end,
                  hint = 'It says where the newest object is, or, where chain and seal are null, what is wrong.';
    end if;
    if admin_internal.has_control_character(location) then
        raise exception 'argument "location" has a control character' using errcode = '22023', detail = 'It is shown on one line.';
    end if;
end
$$;

comment on function admin_internal.check_receipt_proof(bytea, bytea, timestamptz, text) is
'Raises 22023 for a chain or seal that is not 32 bytes, a retention that is not a finite time in the future, or a location that is not 1 to 2048 bytes or has a control character.';

create function admin_internal.refuse_receipt(store_id uuid, sink text, last_number bigint)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
as $$
declare
    first  bigint;
    last   bigint;
    is_own boolean := exists (select from admin.store as s where s.store_id = refuse_receipt.store_id);
begin
    select min(l.last_number), max(l.last_number) into first, last
    from admin_internal.delivery_link as l where l.store_id = refuse_receipt.store_id and l.sink = refuse_receipt.sink;
    if last_number > coalesce(last, 0) then
        raise exception 'delivery number % of sink "%" is not known', last_number, left(sink, 64)
            using errcode = case when is_own then '55000' else 'P0002' end,
                  detail = format('The newest one that the database knows of store %s is %s.', store_id, coalesce(last, 0)),
                  hint = case when is_own then 'Send the receipt again: the worker records within seconds what it has delivered.'
                              else 'The store is not the present one any more, so that no number is added to it. Do not send the receipt again.' end;
    end if;
    if last_number < first then
        raise exception 'delivery number % of sink "%" is not known any more', last_number, left(sink, 64)
            using errcode = 'P0002', detail = format('The oldest one that the database knows of store %s is %s.', store_id, first),
                  hint = 'A receipt of a later number covers it, for the chain covers all documents before. Do not send the receipt again.';
    end if;
    raise exception 'delivery number % of sink "%" is not the end of a batch that the database knows', last_number, left(sink, 64)
        using errcode = '55000', detail = format('It knows the ends of batches of store %s from %s to %s, but not this one.', store_id, first, last),
              hint = 'The next receipt covers it, for the chain covers all documents before.';
end
$$;

comment on function admin_internal.refuse_receipt(uuid, text, bigint) is
'Raises an error that says why a delivery number has no link of the delivery chain: 55000 if a later receipt, or the same one, can be compared; P0002 if this receipt can never be compared.';

create function admin_internal.append_receipt_event(receipt admin.archive_receipt, expected bytea)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
set datestyle = 'ISO, YMD'
set timezone = 'UTC'
as $$
begin
    perform admin_internal.append_event('archive.receipt', json_build_object(
        'store', receipt.store_id, 'sink', receipt.sink, 'last_number', receipt.last_number::text, 'status', receipt.status,
        'chain', encode(receipt.chain, 'hex'), 'expected', case when receipt.status = 'mismatch' then encode(expected, 'hex') end, 'seal_sha256', encode(receipt.seal_sha256, 'hex'),
        'retain_until', receipt.retain_until, 'location', receipt.location));
end
$$;

comment on function admin_internal.append_receipt_event(admin.archive_receipt, bytea) is
'Appends archive.receipt to the trail: {"store", "sink", "last_number", "status", "chain", "expected", "seal_sha256", "retain_until", "location"}. expected is the database''s own chain if the receipt is a mismatch.';

-- Once the archive holds a late delivery, receipts for older numbers, or of other stores, may cover the row by its
-- place in the trail.  A row that was sent again for another store is covered like any other row of that store.
create function admin_internal.forget_late_deliveries(sink text, store_id uuid, last_number bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
begin
    -- What another session is removing need not be waited for.
    delete from admin_internal.late_delivery as d
    where d.sink = sink
      and d.audit_id in (
          with c as materialized (select s.* from admin_internal.sink_archived() as s where s.sink = forget_late_deliveries.sink)
          select e.audit_id from admin_internal.late_delivery as e
          where e.sink = forget_late_deliveries.sink
            and (e.store_id = forget_late_deliveries.store_id and e.delivery_number <= forget_late_deliveries.last_number
                 or exists (select from c cross join lateral (select a.xid from admin.audit as a where a.audit_id = e.audit_id limit 1) as a
                            where pg_visible_in_snapshot(e.xid, c.done)
                              and admin_internal.is_archived(e.audit_id, a.xid, c.done, c."window", c.window_audit_id, c.highest_audit_id, c.floor_audit_id,
                                                    c.backfill_audit_id, c.begin_snap, c.begin_floor_audit_id, c.begin_audit_id)))
          for update of e skip locked);
end
$$;

comment on function admin_internal.forget_late_deliveries(text, uuid, bigint) is
'Removes the late deliveries of a sink that the archive holds. Call it once the archive holds all documents of this store up to a delivery number.';

create function admin_internal.record_archived(store_id uuid, sink text, last_number bigint, retain_until timestamptz)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    base admin_internal.archive_base;
begin
    insert into admin_internal.archive_base as b (store_id, sink, last_number, done, "window", window_audit_id, highest_audit_id, floor_audit_id, backfill_audit_id, retain_until)
    select store_id, sink, last_number, l.done, l."window", l.window_audit_id, l.highest_audit_id, l.floor_audit_id, l.backfill_audit_id, retain_until
    from (select) as always
    left join lateral (select k.* from admin_internal.delivery_link as k
                       where k.store_id = record_archived.store_id and k.sink = record_archived.sink
                         and k.last_number <= record_archived.last_number and k.done is not null
                       order by k.last_number desc limit 1) as l on true
    on conflict on constraint archive_base_pkey do update set retain_until = greatest(b.retain_until, excluded.retain_until)
    returning b.* into base;
    -- What it does not cover yet an older one may.  What another session is removing need not be waited for.
    if base.done is not null and base.backfill_audit_id is null then
        delete from admin_internal.archive_base as b
        where b.store_id = base.store_id and b.sink = base.sink
          and b.last_number in (select o.last_number from admin_internal.archive_base as o
                                where o.store_id = base.store_id and o.sink = base.sink and o.last_number < base.last_number
                                for update skip locked);
    end if;
    perform admin_internal.forget_late_deliveries(sink, store_id, last_number);
end
$$;

comment on function admin_internal.record_archived(uuid, text, bigint, timestamptz) is
'Records which rows a receipt with status ok covers, and removes the records that this one replaces.';

create function admin.record_receipt(
    store_id uuid, sink text, last_number bigint, chain bytea, seal_sha256 bytea, retain_until timestamptz, location text)
returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set lock_timeout = '200ms'
as $$
#variable_conflict use_variable
declare
    receipt  admin.archive_receipt;
    expected bytea;
    status   text;
begin
    perform admin_internal.refuse_while_restoring('admin.record_receipt()');
    perform admin_internal.check_receipt_place(store_id, sink, last_number);
    perform admin_internal.check_receipt_proof(chain, seal_sha256, retain_until, location);
    select r.status into status from admin.archive_receipt as r
    where r.store_id = record_receipt.store_id and r.sink = record_receipt.sink and r.last_number = record_receipt.last_number
      and coalesce(r.chain, '') = coalesce(record_receipt.chain, '') and coalesce(r.seal_sha256, '') = coalesce(record_receipt.seal_sha256, '')
      and (record_receipt.chain is not null or r.location = record_receipt.location);
    if status is null then
        select l.chain into expected from admin_internal.delivery_link as l
        where l.store_id = record_receipt.store_id and l.sink = record_receipt.sink and l.last_number = record_receipt.last_number;
        -- A stream cannot break above what was delivered.
        if expected is null and (chain is not null
                                 or last_number > coalesce((select max(l.last_number) from admin_internal.delivery_link as l
                                                            where l.store_id = record_receipt.store_id and l.sink = record_receipt.sink), 0)) then
            perform admin_internal.refuse_receipt(store_id, sink, last_number);
        end if;
        status := case when chain is null then 'broken' when chain = expected then 'ok' else 'mismatch' end;
        insert into admin.archive_receipt as r (store_id, sink, last_number, chain, seal_sha256, retain_until, location, status)
        values (store_id, sink, last_number, chain, seal_sha256, retain_until, location, status)
        on conflict do nothing
        returning r.* into receipt;
    end if;
    -- Nothing where another session has recorded it meanwhile.
    if receipt.store_id is not null then
        perform admin_internal.append_receipt_event(receipt, expected);
        if status = 'ok' then
            perform admin_internal.record_archived(store_id, sink, last_number, retain_until);
        end if;
    end if;
    if status = 'mismatch' then
        raise warning 'the archive does not hold what sink "%" was delivered up to number %', left(sink, 64), last_number
            using detail = format('Store %s: the delivery chain of the archive is not the database''s. The receipt was recorded as a mismatch.', store_id),
                  hint = 'Compare the archive with the topic and the database: python -m admin_client.verify.';
    end if;
exception when lock_not_available then
    raise exception 'could not record the receipt of sink "%" up to number % in time', left(sink, 64), last_number
        using errcode = '55P03', detail = 'Another transaction records the same receipt, or has locked a table that it needs.', hint = 'Send the receipt again a second later.';
end
$$;

comment on function admin.record_receipt(uuid, text, bigint, bytea, bytea, timestamptz, text) is
'For an archiver (access "archiver"). States that the archive holds all documents of a store and sink up to a delivery number. Gives the delivery chain after that number, the SHA-256 of the newest seal, and the time until which the object is locked. Records the receipt in admin.archive_receipt with status ok if the chain equals the database''s own, else as mismatch, with a WARNING. Appends archive.receipt to the trail. A repeated receipt changes nothing. If chain, seal_sha256 and retain_until are null, the receipt states that the archiver has stopped after that number; location says why, and the status is broken. Raises 22023 for a store or sink that the database does not know and for arguments out of range. Raises 55000 if the database does not know the number yet (send the receipt again a second later) or never knew it as the end of a batch (send the next receipt). Raises 55P03 if another transaction was in the way for 200 ms (send the receipt again a second later). Raises P0002 if the database will never know the number. Raises 55000 while admin_ext.restoring is on.';

-- ---------------------------------------------------------------------------
-- Status of the archive.
-- ---------------------------------------------------------------------------

create function admin_internal.archive_waits_since(store_id uuid, sink text, archived_number bigint, delivered_number bigint)
returns timestamptz
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
#variable_conflict use_variable
declare
    base     admin_internal.archive_base;
    other_at timestamptz;
    since    timestamptz;
    receipts bigint;
begin
    select b.* into base from admin_internal.archive_base as b
    where b.store_id = archive_waits_since.store_id and b.sink = archive_waits_since.sink and b.last_number = archived_number
      and exists (select from admin.store as o where o.store_id = b.store_id);
    if base.done is not null then
        select a.recorded_at into other_at from admin.audit as a
        where a.xid >= pg_snapshot_xmin(base.done) and a.event_type <> 'archive.receipt'
          and not admin_internal.is_delivered(a.audit_id, a.xid, base.done, base."window", base.window_audit_id, base.highest_audit_id, base.floor_audit_id, base.backfill_audit_id)
        order by a.xid, a.audit_id limit 1;
        select l.recorded_at into since from admin_internal.delivery_link as l
        where l.store_id = archive_waits_since.store_id and l.sink = archive_waits_since.sink and l.last_number > archived_number and l.recorded_at >= other_at
        order by l.last_number limit 1;
        if since is not null then
            return since;
        end if;
        -- What is sent again is in the snapshot already: then there are more documents than receipts.
        select count(*) filter (where a.event_type = 'archive.receipt') into receipts
        from (select a.event_type from admin.audit as a
              where a.xid >= pg_snapshot_xmin(base.done)
                and not admin_internal.is_delivered(a.audit_id, a.xid, base.done, base."window", base.window_audit_id, base.highest_audit_id, base.floor_audit_id, base.backfill_audit_id)
              order by a.xid, a.audit_id limit delivered_number - archived_number) as a;
        if receipts = delivered_number - archived_number then
            return null;
        end if;
    end if;
    return (select l.recorded_at from admin_internal.delivery_link as l
            where l.store_id = archive_waits_since.store_id and l.sink = archive_waits_since.sink and l.last_number > coalesce(archived_number, 0)
            order by l.last_number limit 1);
end
$$;

comment on function admin_internal.archive_waits_since(uuid, text, bigint, bigint) is
'The time since which a document of a store and sink waits to be archived; for a store and sink with more delivered than archived documents. Null if only receipts wait: the archiver keeps them until another document comes, for at most a day.';

create function admin_internal.archive_status_rows(
    out store_id uuid, out sink text, out is_present boolean, out archived_number bigint, out delivered_number bigint,
    out lag_rows bigint, out lag_seconds double precision, out received_at timestamptz, out status text,
    out last_number bigint, out retain_until timestamptz, out location text, out mismatches bigint, out broken bigint)
returns setof record
language sql stable security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
rows 4
begin atomic
    with recursive place (store_id, sink) as (
        -- One index entry for each store and sink, of however many receipts.
        (select r.store_id, r.sink from admin.archive_receipt as r order by r.store_id, r.sink limit 1)
        union all
        select n.store_id, n.sink from place as p
        cross join lateral (select r.store_id, r.sink from admin.archive_receipt as r
                            where (r.store_id, r.sink) > (p.store_id, p.sink) order by r.store_id, r.sink limit 1) as n),
    looked as (
        select p.store_id, p.sink from place as p
        union
        select o.store_id, e.sink from admin.store as o cross join admin_internal.enabled_sinks() as e(sink)
        cross join lateral (select from admin_internal.delivery_link as l where l.store_id = o.store_id and l.sink = e.sink limit 1) as l)
    select p.store_id, p.sink, exists (select from admin.store as o where o.store_id = p.store_id),
           b.last_number, d.last_number, case when l.since is not null then greatest(d.last_number - coalesce(b.last_number, 0), 0) when d.last_number is not null then 0 end,
           case when l.since is not null then extract(epoch from clock_timestamp() - l.since)::double precision when d.last_number is not null then 0 end,
           n.received_at, n.status, n.last_number, n.retain_until, n.location, w.mismatches, w.broken
    from looked as p
    left join lateral (select max(a.last_number) as last_number from admin_internal.archive_base as a where a.store_id = p.store_id and a.sink = p.sink) as b on true
    left join lateral (select max(l.last_number) as last_number from admin_internal.delivery_link as l where l.store_id = p.store_id and l.sink = p.sink) as d on true
    cross join lateral (select case when d.last_number > coalesce(b.last_number, 0)
                                    then admin_internal.archive_waits_since(p.store_id, p.sink, b.last_number, d.last_number) end as since) as l
    left join lateral (select r.* from admin.archive_receipt as r where r.store_id = p.store_id and r.sink = p.sink order by r.received_at desc limit 1) as n on true
    cross join lateral (
        select count(*) filter (where r.status = 'mismatch') as mismatches, count(*) filter (where r.status = 'broken') as broken
        from admin.archive_receipt as r
        where r.store_id = p.store_id and r.sink = p.sink and r.status <> 'ok'
          -- A later receipt that is ok proves all that came before.
          and not exists (select from admin_internal.archive_base as a
                          where a.store_id = r.store_id and a.sink = r.sink and a.last_number >= r.last_number and a.recorded_at > r.received_at)) as w;
end;

comment on function admin_internal.archive_status_rows() is 'The rows of admin.archive_status.';

create view admin.archive_status as select * from admin_internal.archive_status_rows();

comment on view admin.archive_status is
'How far the archive has progressed: one row for each store and sink that has a receipt, and for each enabled sink whose delivery chain the database knows. archived_number relies on the comparisons of admin.record_receipt(), not on the rows of admin.archive_receipt.';
comment on column admin.archive_status.store_id is 'The store.';
comment on column admin.archive_status.sink is 'The sink.';
comment on column admin.archive_status.is_present is 'Whether this is the present store.';
comment on column admin.archive_status.archived_number is
'The highest delivery number that a receipt proves to be archived; null if there is no such number.';
comment on column admin.archive_status.delivered_number is 'The highest delivery number that the database knows.';
comment on column admin.archive_status.lag_rows is
'Number of documents that were delivered and are not proved to be archived. 0 if all of them are events archive.receipt, null if no delivery number is known.';
comment on column admin.archive_status.lag_seconds is
'Time in seconds since the delivery of the first such document that is not an event archive.receipt; 0 if there is none.';
comment on column admin.archive_status.received_at is 'When the newest receipt was recorded.';
comment on column admin.archive_status.status is
'Status of the newest receipt: ok, mismatch or broken; null if there is no receipt.';
comment on column admin.archive_status.last_number is 'Delivery number of the newest receipt.';
comment on column admin.archive_status.retain_until is 'Until when the storage keeps the object of the newest receipt.';
comment on column admin.archive_status.location is
'Location of the newest receipt''s object; in a broken receipt, what is wrong.';
comment on column admin.archive_status.mismatches is
'Number of receipts whose chain differs from the database''s and which no later receipt with status ok covers.';
comment on column admin.archive_status.broken is
'Number of receipts which state that the archiver has stopped and which no later receipt with status ok covers.';

-- ---------------------------------------------------------------------------
-- For months that are dropped: which rows are archived, and the last delivery numbers.
-- ---------------------------------------------------------------------------

create function admin_internal.prove_archived(partition regclass)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    missing bigint;
begin
    execute format('with c as materialized (select * from admin_internal.sink_archived()) select min(a.audit_id) from %s as a '
                   'where not exists (select from c where admin_internal.is_archived(a.audit_id, a.xid, c.done, c."window", c.window_audit_id, '
                   'c.highest_audit_id, c.floor_audit_id, c.backfill_audit_id, c.begin_snap, c.begin_floor_audit_id, c.begin_audit_id) '
                   'and not exists (select from admin_internal.late_delivery as e where e.sink = c.sink and e.audit_id = a.audit_id '
                   'and not pg_visible_in_snapshot(e.xid, c.done)) '
                   'and not exists (select from admin.dead_letter as d where d.sink = c.sink and d.audit_id = a.audit_id) '
                   'and not (exists (select from admin.sink_skipped as s where s.sink = c.sink) and admin_internal.is_skipped(c.sink, a.audit_id, a.xid)))',
                   partition)
    into missing;
    if missing is not null then
        raise exception 'partition "%" holds rows that have no receipt of the archive', partition
            using errcode = '55000', detail = format('The first one is audit_id %s. admin_ext.archive_required is on. Nothing was dropped.', missing),
                  hint = 'See admin.archive_status, and archived in admin.audit_delivery.';
    end if;
end
$$;

comment on function admin_internal.prove_archived(regclass) is
'Raises 55000, naming the first one, if this partition has rows that no receipt of the archive covers. A receipt for any sink counts.';

create function admin_internal.last_delivery_numbers(partition regclass, last_audit_id bigint)
returns json
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
    newest xid8;
begin
    execute format('select a.xid from %s as a order by a.xid desc limit 1', partition) into newest;
    return (select coalesce(json_object_agg(n.sink, json_build_object('store', n.store_id, 'last_number', n.last_number::text) order by n.sink), '{}')
            from (select distinct on (l.sink) l.sink, l.store_id, l.last_number
                  from admin_internal.delivery_link as l
                  where l.done is not null and l.backfill_audit_id is null and l.highest_audit_id >= last_audit_id
                    and (last_audit_id <= l.floor_audit_id or newest < pg_snapshot_xmin(l.done))
                  order by l.sink, pg_snapshot_xmax(l.done), l.last_number) as n);
end
$$;

comment on function admin_internal.last_delivery_numbers(regclass, bigint) is
'For each sink, a store and the lowest known delivery number that covers every row of a partition: {sink: {"store", "last_number"}}.';
