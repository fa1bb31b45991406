-- ---------------------------------------------------------------------------
-- Where delivery to a sink resumes: the operator decides, and the database proposes.
-- ---------------------------------------------------------------------------

create function admin_internal.sink_trouble(
    sink text, out highest_sent bigint, out has_lost boolean, out last_error text)
as 'MODULE_PATHNAME', 'admin_sink_trouble'
language c volatile strict;

comment on function admin_internal.sink_trouble(text) is
'What the worker of this database found at a sink. highest_sent: the highest audit_id that another fork of the data sent; 0 if there is no fork. has_lost: whether the sink has lost rows that were delivered to it. last_error: the last error.';

create function admin_internal.wait_for_writers(timeout_ms int)
returns boolean
as 'MODULE_PATHNAME', 'admin_wait_for_writers'
language c volatile strict;

comment on function admin_internal.wait_for_writers(int) is
'Waits until every other transaction that has drawn an audit_id so far has ended. Takes no lock, so new writers continue. Returns false if the timeout, in milliseconds, expires first.';

create function admin_internal.known_audit_id(sink text)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    own     bigint;
    claimed bigint;
begin
    select greatest(coalesce(max(a.audit_id), 0), (select case when s.is_called then s.last_value else 0 end from admin.audit_audit_id_seq as s))
    into own from admin.audit as a;
    select greatest(t.highest_sent, (select max(p.highest_audit_id) from admin.sink_position as p where p.sink = known_audit_id.sink))
    into claimed from admin_internal.sink_trouble(known_audit_id.sink) as t;
    if admin_internal.marker_problem(claimed) is not null then
        raise exception 'sink "%" claims to hold audit_id %', left(known_audit_id.sink, 64), claimed
            using errcode = '55000',
                  detail = format('The highest of this database is %s, and no fork of it can be so far ahead.', own),
                  hint = 'Find out who else writes to the sink.';
    end if;
    return greatest(own, claimed);
end
$$;

comment on function admin_internal.known_audit_id(text) is
'The highest audit_id that this database has given out or that a fork of it has sent to the sink. Raises 55000 if the sink claims a number that is out of reach.';

create function admin_internal.check_resync(sink text, from_audit_id bigint)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    known bigint;
begin
    perform admin_internal.check_sink(check_resync.sink);
    if from_audit_id is null or from_audit_id < 1 then
        raise exception 'argument "from_audit_id" is out of range'
            using errcode = '22023', detail = format('Its value %s is not 1 or more.', coalesce(from_audit_id::text, 'null')),
                  hint = format('admin.resync_proposal(%L) names the number that loses nothing.', check_resync.sink);
    end if;
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'admin.resync_sink() runs in a READ COMMITTED transaction only' using errcode = '25001';
    end if;
    -- Rows of another copy may carry the same xid; they were recorded earlier.
    if pg_current_xact_id_if_assigned() is not null
       and exists (select from admin.audit as a where a.xid = pg_current_xact_id_if_assigned()
                   and a.recorded_at >= now() and a.event_type <> 'sink.resynced') then
        raise exception 'admin.resync_sink() cannot run in a transaction that has written to the audit trail'
            using errcode = '25001', hint = 'Commit first, then call it in a transaction of its own.';
    end if;
    known := admin_internal.known_audit_id(check_resync.sink);
    if from_audit_id > known + 1 then
        raise exception 'argument "from_audit_id" is out of range'
            using errcode = '22023',
                  detail = format('Its value %s is above %s, the number after the highest known audit_id.', from_audit_id, known + 1),
                  hint = format('admin.resync_proposal(%L) names the number that loses nothing.', check_resync.sink);
    end if;
end
$$;

comment on function admin_internal.check_resync(text, bigint) is
'Checks the arguments of admin.resync_sink() and the caller''s transaction, and raises the errors that admin.resync_sink() documents for them.';

-- Never moves the sequence back, because other sessions draw from it at the same time.
create function admin_internal.advance_audit_id(known bigint)
returns bigint
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    last bigint;
begin
    select case when s.is_called then s.last_value else 0 end into last from admin.audit_audit_id_seq as s;
    if known - last > 1000 then
        -- Others cannot draw that many numbers between the two statements.
        perform setval('admin.audit_audit_id_seq', known + 100000);
    elsif known > last then
        perform nextval('admin.audit_audit_id_seq') from generate_series(1, known - last);
    end if;
    select case when s.is_called then s.last_value else 0 end into last from admin.audit_audit_id_seq as s;
    return last;
end
$$;

comment on function admin_internal.advance_audit_id(bigint) is
'Ensures that from now on no audit_id up to the given one is given out. Returns the last audit_id that was given out.';

create function admin_internal.has_foreign_ticks()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
    select coalesce((select t.tick_id > 0
                            and (t.xmin::text <> (t.tick_xid::text::numeric % 4294967296)::text
                                 or pg_snapshot_xmax(t.snap) > pg_snapshot_xmax(pg_current_snapshot()))
                     from admin.tick as t order by t.tick_id desc limit 1), true);
end;

comment on function admin_internal.has_foreign_ticks() is
'Whether the ticks belong to another copy of the data: they were loaded from a dump, are ahead of the transactions of this cluster, or are missing.';

-- Rows that are visible in the tick were there before the resync.  Ticks follow each other.
-- Workers wait until the caller commits.
create function admin_internal.resync_tick(is_foreign boolean, out tick_id bigint, out snap pg_snapshot)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    last bigint;
begin
    perform from admin.tick as t where t.tick_id = 0 for no key update;
    -- A number is not given out twice: positions of other sinks name ticks by it.
    select greatest(coalesce(max(t.tick_id), 0), (select max(greatest(p.tick_id, p.window_tick_id)) from admin.sink_position as p))
    into last from admin.tick as t;
    if is_foreign then
        delete from admin.tick as t where t.tick_id > 0;
        insert into admin.tick (tick_id, snap) values (0, '1:1:') on conflict do nothing;
    end if;
    insert into admin.tick as t (tick_id, snap) values (coalesce(last, 0) + 1, admin_internal.tick_snapshot())
    returning t.tick_id, t.snap into tick_id, snap;
end
$$;

comment on function admin_internal.resync_tick(boolean) is
'Creates the tick that a resync starts from, and removes ticks of another copy.';

-- Is the calling role a superuser?  The rights of the function's owner do not count.
create function admin_internal.is_caller_superuser()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
return (select r.rolsuper from pg_roles as r
        where r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user));

comment on function admin_internal.is_caller_superuser() is
'Whether the session''s role, after SET ROLE, is a superuser. Inside a SECURITY DEFINER function this role is the caller.';

create function admin_internal.record_resync(
    sink text, from_audit_id bigint, store_id uuid, tick_id bigint, snap pg_snapshot, floor bigint,
    out first_undelivered bigint, out skipped bigint, out sent_again bigint, out old_number bigint, out old_chain text)
language plpgsql
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
#variable_conflict use_variable
declare
    base    record;
    newest  admin.sink_position;
    highest bigint;
    resent  bigint;
    next_id bigint;
begin
    select * into base from (select) as always left join admin_internal.sink_base(sink) on true;
    select * into newest from admin.sink_position as p where p.sink = record_resync.sink order by p.position_id desc limit 1;
    old_number := newest.last_number;
    old_chain := encode(coalesce(newest.chain, admin_internal.chain_start(newest.store_id, newest.sink)), 'hex');
    select min(u.audit_id), count(*) filter (where u.audit_id < from_audit_id) into first_undelivered, skipped
    from admin_internal.undelivered_rows(sink, base.done, base."window", base.window_audit_id,
                                         base.highest_audit_id, base.floor_audit_id, base.backfill_audit_id) as u
    where u.audit_id <= floor or pg_visible_in_snapshot(u.xid, snap);
    if skipped > 0 and not admin_internal.is_caller_superuser() then
        raise exception 'must be superuser to skip rows of the audit trail'
            using errcode = '42501',
                  detail = format('Sink "%s" would never get %s rows below audit_id %s; the first is %s.', sink, skipped, from_audit_id, first_undelivered),
                  hint = format('Call admin.resync_proposal(%L) for the number that skips nothing.', sink);
    end if;
    select count(*) into sent_again from admin.audit as a
    where a.audit_id >= from_audit_id and (a.audit_id <= floor or pg_visible_in_snapshot(a.xid, snap))
      and admin_internal.is_delivered(a.audit_id, a.xid, base.done, base."window", base.window_audit_id,
                             base.highest_audit_id, base.floor_audit_id, base.backfill_audit_id)
      and not (exists (select from admin.sink_skipped as s where s.sink = record_resync.sink)
               and admin_internal.is_skipped(sink, a.audit_id, a.xid));

    -- A sink that keeps positions may hold later ones than are recorded: numbers go on far above.
    next_id := ((coalesce(newest.position_id, 0) >> 32) + 1) << 32;
    select coalesce(max(a.audit_id), 0) into highest from admin.audit as a;
    select least(coalesce(first_undelivered, highest + 1), min(greatest(s.first_audit_id, from_audit_id))) into resent
    from admin.sink_skipped as s where s.sink = record_resync.sink and s.before_audit_id > from_audit_id;
    -- Receipts for what was delivered before do not cover rows that were skipped then.
    insert into admin_internal.resync_record (sink, position_id, store_id, begins_store, from_audit_id, unskipped_audit_id, snap, floor_audit_id)
    values (sink, next_id, store_id, newest.store_id is distinct from store_id, from_audit_id,
            (select min(greatest(s.first_audit_id, from_audit_id)) from admin.sink_skipped as s
             where s.sink = record_resync.sink and s.before_audit_id > from_audit_id),
            snap, floor);
    delete from admin.sink_skipped as s where s.sink = record_resync.sink and s.first_audit_id >= from_audit_id;
    update admin.sink_skipped as s set before_audit_id = from_audit_id
    where s.sink = record_resync.sink and s.before_audit_id > from_audit_id;
    if skipped > 0 then
        insert into admin.sink_skipped values (sink, next_id, first_undelivered, from_audit_id, snap, floor, base.done, base."window",
            base.window_audit_id, base.highest_audit_id, base.floor_audit_id, base.backfill_audit_id, clock_timestamp(), session_user);
    end if;
    insert into admin.sink_position (sink, position_id, store_id, tick_id, highest_audit_id, floor_audit_id, backfill_audit_id,
                                     resent_audit_id, sink_detail, delivered_rows, is_resync,
                                     last_number, chain, continued_store_id, continued_number, continued_chain)
    values (sink, next_id, store_id, tick_id, greatest(highest, newest.highest_audit_id), floor,
            case when from_audit_id <= highest then from_audit_id end,
            case when from_audit_id <= highest and resent > from_audit_id then resent end,
            -- What another store wrote is not cut back.
            case when newest.store_id = store_id then newest.sink_detail else '' end, coalesce(newest.delivered_rows, 0), true,
            case when newest.store_id = store_id then newest.last_number else 0 end,
            case when newest.store_id = store_id then newest.chain end,
            case when newest.store_id = store_id then newest.continued_store_id else newest.store_id end,
            case when newest.store_id = store_id then newest.continued_number else newest.last_number end,
            case when newest.store_id = store_id then newest.continued_chain else decode(old_chain, 'hex') end);
end
$$;

comment on function admin_internal.record_resync(text, bigint, uuid, bigint, pg_snapshot, bigint) is
'Records the position that a resync asks for, and the rows that it skips. Raises 42501 if it skips rows and the caller is not a superuser.';

-- If another fork has fed a sink, the sink has seen numbers that this copy would give out again.  One resync
-- renews the store for all sinks: the next resync finds its position in the old store.
create function admin_internal.adopt_store(sink text, out store_id uuid, out old_store_id uuid, out is_foreign boolean)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    store admin.store;
    here  record;
    is_fork boolean;
begin
    select * into strict store from admin.store for update;
    select * into here from admin_internal.store_identity();
    old_store_id := store.store_id;
    is_foreign := store.adopted_at is null or store.database_oid <> here.database_oid or store.system_identifier <> here.system_identifier;
    is_fork := (select t.highest_sent > 0 from admin_internal.sink_trouble(adopt_store.sink) as t)
        and store.store_id = (select p.store_id from admin.sink_position as p
                              where p.sink = adopt_store.sink order by p.position_id desc limit 1);
    if is_foreign or is_fork then
        update admin.store set store_id = gen_random_uuid(), system_identifier = here.system_identifier,
            database_oid = here.database_oid, timeline = here.timeline, adopted_at = now()
        returning * into store;
        -- In the same transaction: a store without its key could not prove what it has sent.
        perform admin_internal.position_key();
    end if;
    store_id := store.store_id;
end
$$;

comment on function admin_internal.adopt_store(text) is
'Makes this copy of the data the store. The store gets a new id if the copy was loaded or moved, or if another fork has fed the sink. is_foreign: whether the copy was loaded or moved.';

create function admin.resync_sink(sink text, from_audit_id bigint)
returns jsonb
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    has_foreign_ticks boolean;
    store record;
    tick  record;
    done  record;
    floor bigint;
    last  bigint;
begin
    perform admin_internal.check_resync(resync_sink.sink, resync_sink.from_audit_id);
    set local synchronous_commit = on;
    -- No worker records a position meanwhile.  Writers of the trail wait for nothing: the tick divides their rows.
    lock table admin.sink_position in share row exclusive mode;
    has_foreign_ticks := admin_internal.has_foreign_ticks();
    store := admin_internal.adopt_store(resync_sink.sink);
    last := admin_internal.advance_audit_id(admin_internal.known_audit_id(resync_sink.sink));
    select coalesce(max(p.floor_audit_id), 0) into floor from admin.sink_position as p;
    -- Rows of another copy are known by their number alone, so no row below the floor may still be on its way.
    if store.is_foreign or has_foreign_ticks then
        if not admin_internal.wait_for_writers(10000) then
            raise exception 'transactions that write to the audit trail are still open'
                using errcode = '55P03', detail = 'This copy of the data was loaded or moved, so all of its rows have to be committed first.',
                      hint = 'Call admin.resync_sink() again when they have ended.';
        end if;
        floor := greatest(floor, last);
    end if;
    tick := admin_internal.resync_tick(has_foreign_ticks);
    done := admin_internal.record_resync(resync_sink.sink, resync_sink.from_audit_id, store.store_id, tick.tick_id, tick.snap, floor);
    -- A dead letter that was being sent again may be in the sink: the operator has to ask for it again.
    delete from admin.dead_letter_retry as r where r.sink = resync_sink.sink;
    perform admin_internal.append_event('sink.resynced', json_build_object(
        'sink', resync_sink.sink, 'from', resync_sink.from_audit_id, 'first_undelivered', done.first_undelivered,
        'sent_again', done.sent_again, 'skipped', done.skipped,
        'old_store_id', store.old_store_id, 'new_store_id', store.store_id,
        'old_last_number', done.old_number, 'old_chain', done.old_chain));
    return jsonb_build_object('first_undelivered', done.first_undelivered, 'from', resync_sink.from_audit_id,
                              'sent_again', done.sent_again, 'skipped', done.skipped, 'store_id', store.store_id);
end
$$;

comment on function admin.resync_sink(text, bigint) is
'Decides where delivery to a sink resumes. Rows that are committed now are delivered from this audit_id on, once, in order of audit_id. Rows that commit later are delivered as usual, whatever their number. Rows in the range that the sink already has are sent again. If the history has forked, the store gets a new id, and audit_ids continue above the highest one that was ever sent. Only superusers can skip rows that have not been delivered to the sink. Returns first_undelivered (null if there is no such row), from, sent_again, skipped and store_id. Appends sink.resynced to the trail. Writers do not wait for this call. Raises 42501 if an operator would skip rows; 22023 for an unknown sink, or an audit_id below 1 or above the next one; 25001 in a transaction that has written to the trail; 55P03 if a loaded copy still has open transactions.';

create function admin.resync_proposal(sink text)
returns table (from_audit_id bigint, reason text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    base    record;
    trouble record;
    problem text;
    first   bigint;
begin
    perform admin_internal.check_sink(resync_proposal.sink);
    select * into base from (select) as always left join admin_internal.sink_base(resync_proposal.sink) on true;
    select * into trouble from admin_internal.sink_trouble(resync_proposal.sink);
    problem := admin_internal.delivery_problem(resync_proposal.sink);
    select min(u.audit_id) into first
    from admin_internal.undelivered_rows(resync_proposal.sink, base.done, base."window", base.window_audit_id,
                                         base.highest_audit_id, base.floor_audit_id, base.backfill_audit_id) as u;
    if trouble.has_lost and problem is null then
        select min(a.audit_id) into first from admin.audit as a;
    end if;
    from_audit_id := coalesce(first, admin_internal.known_audit_id(resync_proposal.sink) + 1);
    reason := case
        when problem is not null then format('Delivery is stopped: %s. ', problem)
        when trouble.highest_sent > 0 then format('The sink holds rows up to audit_id %s of another fork of this database. The store gets a new id, and audit_ids go on above that. ', trouble.highest_sent)
        when trouble.has_lost then format('The sink has lost rows that were delivered to it: %s. ', split_part(trouble.last_error, '; ', 1))
        else 'The position of the sink is intact: no resync is needed. '
    end || case
        when trouble.has_lost and problem is null then 'The database cannot tell which rows the sink still has, so all rows of the trail are sent. Begin later only if an archive has the rows before.'
        when base.done is null or (not base.is_exact and first = (select min(a.audit_id) from admin.audit as a)) then 'Nothing proves that the sink has received a row, so the trail is sent from its first row on.'
        when first is null then 'Every row has been delivered; delivery goes on with the next one.'
        when not base.is_exact then format('The newest older tick proves that rows up to audit_id %s have been delivered or skipped; later ones are sent.', first - 1)
        else format('Audit_id %s is the lowest row that the position does not cover.', first)
    end;
    return next;
end
$$;

comment on function admin.resync_proposal(text) is
'Proposes the audit_id for admin.resync_sink(), with the reason. With this audit_id no row is lost, and as few rows are sent again as can be proved. Returns one row and changes nothing. Raises 22023 for an unknown sink.';

-- insider_own.c does not list this function, so its change leaves the same event as a change by hand.
create function admin.renew_store()
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform admin_internal.refuse_while_restoring('admin.renew_store()');
    update admin.store as s set adopted_at = null where s.adopted_at is not null;
    if not found then
        raise notice 'the store is already waiting for admin.resync_sink()' using detail = 'Nothing was changed.';
    end if;
end
$$;

comment on function admin.renew_store() is
'For superusers. Use it if a sink has lost documents that were delivered to it and an archive needs all delivery numbers. Stops delivery to all sinks. The next admin.resync_sink() gives the store a new id, with delivery numbers from 1. Call admin.resync_sink() for each sink. Appends row.updated of admin.store to the trail. A second call changes nothing. Raises 55000 while admin_ext.restoring is on.';

-- The worker calls this if admin_ext.on_divergence is fork.  Delivery cannot resume from a position in the old
-- store, so the other sinks are resynced too.  A sink that has lost rows is left to an operator.
create function admin_internal.fork_store(
    sink text, position_id bigint, store_id uuid,
    out new_store_id uuid, out from_audit_id bigint, out lost_from bigint, out lost_to bigint)
language plpgsql
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
#variable_conflict use_column
declare
    newest admin.sink_position;
    start  bigint;
    other  text;
begin
    -- Whoever forks or resyncs first decides: the worker looks again.
    lock table admin.sink_position in share row exclusive mode;
    select * into newest from admin.sink_position as p where p.sink = fork_store.sink order by p.position_id desc limit 1;
    if (newest.position_id, newest.store_id) is distinct from (fork_store.position_id, fork_store.store_id)
       or fork_store.store_id is distinct from admin.store_id() then
        return;
    end if;
    select t.highest_sent into lost_to from admin_internal.sink_trouble(fork_store.sink) as t;
    -- What the position's tick sees is here.
    select least(coalesce((select a.audit_id from admin.audit as a
                           where a.audit_id <= lost_to and pg_visible_in_snapshot(a.xid, b.done)
                           order by a.audit_id desc limit 1), 0) + 1, lost_to)
    into lost_from from admin_internal.sink_base(fork_store.sink) as b;
    for other in select p.sink from admin.sink_position as p
                 where p.sink = fork_store.sink or not (admin_internal.sink_trouble(p.sink)).has_lost
                 group by p.sink order by p.sink <> fork_store.sink, p.sink loop
        select p.from_audit_id into start from admin.resync_proposal(other) as p;
        if other = fork_store.sink then
            from_audit_id := start;
        end if;
        perform admin.resync_sink(other, start);
    end loop;
    new_store_id := admin.store_id();
    perform admin_internal.append_event('sink.diverged', json_build_object(
        'sink', fork_store.sink, 'from', from_audit_id, 'lost_from', lost_from, 'lost_to', lost_to,
        'old_store_id', fork_store.store_id, 'new_store_id', new_store_id,
        'old_last_number', newest.last_number,
        'old_chain', encode(coalesce(newest.chain, admin_internal.chain_start(newest.store_id, newest.sink)), 'hex')));
    -- resync_sink() has set it; a worker waits for standbys by itself, where it can be told something else meanwhile.
    set local synchronous_commit = local;
end
$$;

comment on function admin_internal.fork_store(text, bigint, uuid) is
'For the worker. Gives the store a new id if a sink holds rows that this database has lost. The sink, and each other sink that has not lost rows, resumes at the first row that it is not known to have. A sink that has lost rows is left to an operator. position_id and store_id are the values that the worker has read; returns nulls if they are not the newest ones. Appends sink.resynced for each sink that resumes, and sink.diverged. The lost rows are in the range from lost_from to lost_to.';

-- A dead letter that is removed by hand was never delivered.  Only the worker removes one after delivery.
create function admin_internal.is_delivery_worker()
returns boolean
as 'MODULE_PATHNAME', 'admin_is_delivery_worker'
language c stable;

comment on function admin_internal.is_delivery_worker() is 'Whether this process is a delivery worker.';

create function admin_internal.keep_undelivered()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    letter admin.dead_letter;
begin
    if admin_internal.is_delivery_worker() then
        return null;
    end if;
    for letter in select o.* from removed as o loop
        insert into admin.sink_skipped (sink, position_id, first_audit_id, before_audit_id, snap, floor_audit_id, skipped_by)
        select letter.sink, -letter.audit_id, letter.audit_id, letter.audit_id + 1, '1:1:', letter.audit_id, session_user
        where exists (select from admin.audit as a where a.audit_id = letter.audit_id)
          and not exists (select from admin.dead_letter as d where d.sink = letter.sink and d.audit_id = letter.audit_id)
        on conflict do nothing;
    end loop;
    return null;
end
$$;

comment on function admin_internal.keep_undelivered() is
'Trigger of admin.dead_letter: records in admin.sink_skipped each row that is removed by hand, so that the row is never shown as delivered.';

create function admin_internal.refuse_truncate()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'table "%" cannot be truncated', tg_relname
        using errcode = '23001', detail = 'Its rows tell which rows of the audit trail a sink never got.', hint = 'Use DELETE.';
end
$$;

comment on function admin_internal.refuse_truncate() is 'Trigger that refuses TRUNCATE: raises 23001.';

create trigger keep_undelivered_deleted after delete on admin.dead_letter
referencing old table as removed for each statement execute function admin_internal.keep_undelivered();
create trigger keep_undelivered_updated after update on admin.dead_letter
referencing old table as removed for each statement execute function admin_internal.keep_undelivered();
create trigger keep_undelivered_truncated before truncate on admin.dead_letter
for each statement execute function admin_internal.refuse_truncate();
comment on trigger keep_undelivered_deleted on admin.dead_letter is
'Records a dead letter that is deleted by hand as skipped.';
comment on trigger keep_undelivered_updated on admin.dead_letter is
'Records a dead letter as skipped if an UPDATE by hand turns it into another one.';
comment on trigger keep_undelivered_truncated on admin.dead_letter is 'Refuses TRUNCATE.';
alter table admin.dead_letter enable always trigger keep_undelivered_deleted, enable always trigger keep_undelivered_updated,
    enable always trigger keep_undelivered_truncated;
