-- resync_sink and resync_proposal in each state of a sink.  No worker runs: positions are recorded by hand.
set client_min_messages = error;
\set SHOW_CONTEXT never
create extension admin_ext;
select admin.create_audit_partitions() > 0 as partitions;
create role regress_ops login;
create role regress_aud login;
select admin.grant_access('regress_ops', 'operator');
select admin.grant_access('regress_aud', 'auditor');
-- What is set up by hand leaves no events here.
alter table admin.store disable trigger bookkeeping;
alter table admin.tick disable trigger bookkeeping;
alter table admin.sink_position disable trigger bookkeeping;
alter table admin.dead_letter disable trigger bookkeeping;
alter table admin.dead_letter_retry disable trigger bookkeeping;
-- Numbers are counted from here.
create table public.base as select max(audit_id) as id from admin.audit;
grant select on public.base to public;
-- Writes so many rows.
create function pg_temp.rows(n int) returns bigint language sql volatile
as $$ select max((admin.sensitive_check('APP-000001-a') #>> '{audit,audit_id}')::bigint) - (select id from public.base) from generate_series(1, n) $$;
create function pg_temp.resync(sink text, n bigint) returns text language sql volatile
as $$ select format('from %s, first_undelivered %s, sent_again %s, skipped %s, store_id %s', (r ->> 'from')::bigint - id, (r ->> 'first_undelivered')::bigint - id,
                    r -> 'sent_again', r -> 'skipped', r ->> 'store_id' = (select store_id::text from admin.store))
      from public.base cross join lateral admin.resync_sink(sink, id + n) as r $$;
create function pg_temp.proposal(sink text) returns text language sql volatile
as $$ select p.from_audit_id - id || ': ' || regexp_replace(p.reason, '(audit_id|tick) \d+', '\1 N', 'gi') from public.base, admin.resync_proposal(sink) as p $$;
\i sql/deliver.sql
create function pg_temp.statuses(sink text default 'ndjson') returns text language sql
as $$ select string_agg(audit_id - id || ' ' || sink_status, ', ' order by audit_id) from public.base, admin.audit_delivery as d where d.sink = statuses.sink and audit_id > id $$;
create view pg_temp.said as select actor, array(select jsonb_object_keys(payload::jsonb)) as keys, payload ->> 'sink' as sink, payload ->> 'skipped' as skipped,
    payload ->> 'old_store_id' = payload ->> 'new_store_id' as same_store from admin.audit where event_type = 'sink.resynced' order by audit_id desc limit 1;

-- A sink without a position.
select pg_temp.rows(3);
select pg_temp.proposal('ndjson');
select pg_temp.statuses(), admin.sink_backlog('ndjson') is not null as counted, (admin.sink_backlog('ndjson')).lag_rows;
select position_id, tick_id, done from admin_internal.delivery_open('ndjson');

-- One that is intact: everything delivered, a part of a window, a row that was committed late.
select pg_temp.deliver('ndjson');
select pg_temp.proposal('ndjson');
begin;
select pg_temp.rows(1);
prepare transaction 'late';
select pg_temp.rows(4);
select pg_temp.deliver('ndjson', 6);
select pg_temp.proposal('ndjson');
select pg_temp.deliver('ndjson');
commit prepared 'late';
select pg_temp.statuses(), (admin.sink_backlog('ndjson')).lag_rows;
select pg_temp.proposal('ndjson');
set role regress_aud;
select pg_temp.proposal('ndjson');
select admin.resync_sink('ndjson', 1);
reset role;

-- An operator cannot skip the one row that was committed late, and sends it alone with those behind it.
set role regress_ops;
\set VERBOSITY terse
select pg_temp.resync('ndjson', 5);
\set VERBOSITY default
begin;
select pg_temp.resync('ndjson', 4);
rollback;
-- A superuser can, and only that row was skipped.
reset role;
select pg_temp.resync('ndjson', 7);
select pg_temp.statuses();
select * from pg_temp.said;
select first_audit_id - id as first, before_audit_id - id as before, skipped_by = session_user as by_us from public.base, admin.sink_skipped;
select pg_temp.deliver('ndjson');
select pg_temp.statuses();
select pg_temp.proposal('ndjson');

-- A second sink, and its ticks are removed.
insert into admin.sink_position (sink, position_id, store_id, tick_id) select 'kafka', 1, store_id, 0 from admin.store;
select pg_temp.proposal('kafka');
select pg_temp.resync('kafka', 1);
select pg_temp.deliver('kafka');
select pg_temp.rows(2);
select pg_temp.deliver('kafka');
select pg_temp.rows(1);
delete from admin.tick where tick_id = (select max(tick_id) from admin.tick);
select pg_temp.proposal('kafka');
delete from admin.tick where tick_id > 0;
select pg_temp.proposal('kafka');

-- A transaction that has written to the trail; numbers that are out of reach.
begin;
select pg_temp.rows(1);
select admin.resync_sink('kafka', 1);
rollback;
begin isolation level repeatable read;
select admin.resync_sink('kafka', 1);
rollback;
\set VERBOSITY sqlstate
select admin.resync_sink('kafka', 1000000);
\set VERBOSITY default
begin;
select admin.resync_sink('kafka', 1) ->> 'skipped', admin.resync_sink('ndjson', 1) ->> 'skipped';
rollback;

-- A copy that was loaded or whose store is renewed, one of another database, a position of another store, ticks of another copy.
set role regress_ops;
select admin.renew_store();
reset role;
begin;
set local admin_ext.restoring = on;
select admin.renew_store();
rollback;
begin;
select admin.renew_store();
select pg_temp.proposal('ndjson');
select pg_temp.resync('ndjson', 1);
select same_store from pg_temp.said;
select pg_temp.proposal('kafka');
select floor_audit_id > 0 as has_floor, backfill_audit_id from admin.sink_position where sink = 'ndjson' order by position_id desc limit 1;
rollback;
begin;
update admin.store set database_oid = 1;
select pg_temp.proposal('ndjson');
rollback;
begin;
update admin.tick set ticked_at = ticked_at;
insert into admin.tick (tick_id, snap, tick_xid) values (1000, '5:5:', '3');
select pg_temp.proposal('ndjson');
select pg_temp.resync('ndjson', 1);
select tick_id > 1000 as is_above, tick_xid = pg_current_xact_id() as is_ours from admin.tick order by tick_id desc limit 1;
rollback;

-- Superusers skip everything; the rows stay skipped when positions are removed.
select admin.resync_sink('ndjson', (select max(audit_id) + 1 from admin.audit)) ->> 'skipped' = count(*)::text as all_are_skipped
from admin.audit_delivery where sink = 'ndjson' and sink_status = 'pending';
select count(*) filter (where sink_status = 'skipped') > 0 as some_are_skipped from admin.audit_delivery where sink = 'ndjson';
create temp table skipped as select audit_id from admin.audit_delivery where sink = 'ndjson' and sink_status = 'skipped';
select pg_temp.deliver('ndjson');
delete from admin.sink_position where position_id < (select max(position_id) from admin.sink_position as p where p.sink = sink_position.sink);
select * from (select audit_id from admin.audit_delivery where sink_status = 'skipped' except select * from skipped) as more
union all select * from (select * from skipped except select audit_id from admin.audit_delivery where sink_status = 'skipped') as fewer;
select sink_status, count(*) = (select count(*) from skipped) from admin.audit_delivery where sink_status <> 'delivered' group by 1;

-- What a sink says about itself has to fit the database.
select pg_temp.rows(3);
select pg_temp.deliver('ndjson');
create temp table newest as select p.*, (select t.nonce::text from admin.tick as t where t.tick_id = p.tick_id) as nonce
from admin.sink_position as p where sink = 'ndjson' order by position_id desc limit 1;
select pg_temp.rows(2);
select case_name, p.problem is null and p.known = 1 as taken, regexp_replace(p.problem, '\d+', 'N', 'g') as problem, p.known
from newest as n cross join lateral (values
    ('as it is', 1, 0, 0, 0, 0, 0, 0, 0, n.nonce),
    ('a floor above all', 1, 0, 9000000000000000000, 0, 0, 0, 0, 0, n.nonce),
    ('rows that are sent again', 1, 0, 0, 5, 0, 0, 0, 0, n.nonce),
    ('a number that was not drawn', 1, 9000000000000000000 - n.highest_audit_id, 0, 0, 0, 0, 0, 0, n.nonce),
    ('a number that a fork may have', 1, 1000, 0, 0, 0, 0, 0, 0, n.nonce),
    ('a number below', 1, -1, 0, 0, 0, 0, 0, 0, n.nonce),
    ('rows that were not delivered', 1, 0, 0, 0, 2, 0, 0, 0, n.nonce),
    ('a number left out', 1, 0, 0, 0, 0, 0, 0, 1, n.nonce),
    ('an earlier tick', 1, 0, 0, 0, 0, -n.tick_id, 0, 0, (select t.nonce::text from admin.tick as t where t.tick_id = 0)),
    ('no tick named', 1, 0, 0, 0, 0, -1, 0, 0, '-'),
    ('an unknown tick', 1, 0, 0, 0, 0, 5, 0, 0, 'x'),
    ('a position far ahead', 100000000, 0, 0, 0, 0, 0, 0, 0, n.nonce),
    ('another resync', 4294967296, 0, 0, 0, 0, 0, 0, 0, n.nonce)) as c(case_name, ids, highest, floor, backfill, delivered, ticks, retried, number, nonce)
cross join lateral admin_internal.position_problem('ndjson', n.position_id + c.ids, n.tick_id + c.ticks, 0, 0, n.highest_audit_id + c.highest,
    n.floor_audit_id + c.floor, c.backfill, n.delivered_rows + c.delivered, c.retried, n.last_number + c.delivered + c.number, c.nonce) as p;
-- A dead letter that was asked for again may be named as delivered, another not.
insert into admin.dead_letter (sink, audit_id, error) values ('ndjson', 1, 'test');
select p.problem from newest as n, admin_internal.position_problem('ndjson', n.position_id + 1, n.tick_id, 0, 0, n.highest_audit_id, n.floor_audit_id, 0, n.delivered_rows + 1, 1, n.last_number + 1, n.nonce) as p;
select admin.retry_dead_letter('ndjson', 1);
select p.problem from newest as n, admin_internal.position_problem('ndjson', n.position_id + 1, n.tick_id, 0, 0, n.highest_audit_id, n.floor_audit_id, 0, n.delivered_rows + 1, 1, n.last_number + 1, n.nonce) as p;
select actor = session_user as actor, payload ->> 'sink' as sink, payload ->> 'audit_id' as audit_id, payload ->> 'error' as error
from admin.audit where event_type = 'dead_letter.retried';
select admin.retry_dead_letter('ndjson', 1);
select count(*) from admin.audit where event_type = 'dead_letter.retried';
-- Removed by hand, or turned into another, a dead letter was still never delivered.
update admin.dead_letter set error = 'another reason';
delete from admin.dead_letter_retry;
update admin.dead_letter set audit_id = 2 where audit_id = 1;
delete from admin.dead_letter;
truncate admin.dead_letter cascade;
select audit_id, sink_status from admin.audit_delivery where audit_id in (1, 2);
delete from admin.dead_letter where audit_id = 4711;
select admin.resync_sink('ndjson', 1) ->> 'skipped' as skipped;
select distinct sink_status from admin.audit_delivery where audit_id in (1, 2);
drop table public.base;
drop owned by regress_ops, regress_aud;
drop role regress_ops, regress_aud;
drop extension admin_ext cascade;
