-- Delivery numbers and the delivery chain in the database: where they begin, go on and begin anew.
\set VERBOSITY terse
set client_min_messages = error;
\set SHOW_CONTEXT never
create extension admin_ext;
select count(*) > 0 as has_months from admin.create_audit_partitions();
reset client_min_messages;
-- What is set up by hand leaves no events here.
alter table admin.store disable trigger bookkeeping;
alter table admin.tick disable trigger bookkeeping;
alter table admin.sink_position disable trigger bookkeeping;
alter table admin_internal.delivery_link disable trigger bookkeeping;

-- The beginning.
select admin_internal.chain_start('7d1f2c60-5b1e-4d0a-9a63-0a7b3d1c2e4f', 'kafka') =
       sha256(convert_to('admin_ext delivery chain 1' || '7d1f2c60-5b1e-4d0a-9a63-0a7b3d1c2e4f' || 'kafka', 'UTF8')) as is_start;
select count(*) as chains from admin.delivery_chain('ndjson');
-- An unknown sink is no sink without documents: it is an error that names the sinks that there are.
\set VERBOSITY default
select * from admin.delivery_chain('ndjsn');
select * from admin.delivery_chain(null);
select * from admin.delivery_chain(repeat('n', 100));
\set VERBOSITY terse
select last_number, chain = encode(admin_internal.chain_start(store_id, 'ndjson'), 'hex') as is_start, continued_store_id, continued_number, continued_chain
from admin_internal.delivery_open('ndjson');
select store_id = admin.store_id() as is_store, last_number, chain = admin_internal.chain_start(store_id, 'ndjson') as is_start
from admin.delivery_chain('ndjson');

-- Neither a number without a chain, nor a chain of another length.
insert into admin.sink_position (sink, position_id, store_id, tick_id, last_number) select 'x', 1, admin.store_id(), 0, 1;
insert into admin.sink_position (sink, position_id, store_id, tick_id, last_number, chain) select 'x', 1, admin.store_id(), 0, 1, '\x00';
insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain) values (admin.store_id(), 'x', 1, 1, '\x00');
insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain) values (admin.store_id(), 'x', 2, 1, sha256(''));

-- A resync that keeps the store goes on.
select tick_id from admin_internal.make_tick();
insert into admin.sink_position (sink, position_id, store_id, tick_id, last_number, chain, delivered_rows)
select 'ndjson', 2, admin.store_id(), 1, 41, sha256('41'), 41;
select admin.store_id() as store \gset
select admin.resync_sink('ndjson', 1) ->> 'store_id' = :'store' as same_store;
select store_id = :'store' as same_store, last_number, chain = sha256('41') as same_chain from admin.delivery_chain('ndjson');
select continued_store_id, continued_number, continued_chain from admin_internal.delivery_open('ndjson');

-- One that makes a new store begins anew, and names the old one.
update admin.store set adopted_at = null;
select admin.resync_sink('ndjson', 1) ->> 'store_id' <> :'store' as new_store;
select store_id = admin.store_id() as new_store, last_number, chain = admin_internal.chain_start(store_id, 'ndjson') as is_start from admin.delivery_chain('ndjson');
select continued_store_id = :'store' as is_old, continued_number, continued_chain = encode(sha256('41'), 'hex') as same_chain from admin_internal.delivery_open('ndjson');
select payload ->> 'new_store_id' = :'store' as same_store, payload ->> 'old_last_number' as old_last_number,
       payload ->> 'old_chain' = encode(sha256('41'), 'hex') as old_chain
from (select audit_id, payload::jsonb from admin.audit where event_type = 'sink.resynced') as a order by audit_id;
-- So does the next one, without a document in between.
select admin.resync_sink('ndjson', 1) ->> 'store_id' = admin.store_id()::text as same_store;
select continued_store_id = :'store' as is_old, continued_number from admin_internal.delivery_open('ndjson');

-- Each call records what was delivered, and removes at most twice as many of the sink's oldest links; the last one of a store stays.
create or replace function admin_internal.links_kept() returns bigint language sql immutable parallel safe return 100;
create function pg_temp.record(sink text, added int) returns bigint language plpgsql
as $$
declare
    last   bigint := (select coalesce(max(l.last_number), 0) from admin_internal.delivery_link as l where l.sink = record.sink and l.store_id = admin.store_id());
    before bigint := (select count(*) from admin_internal.delivery_link);
begin
    perform admin_internal.record_links(record.sink, array(select generate_series(last + 1, last + added)), array(select generate_series(last + 1, last + added)),
                                        array_fill(sha256(''), array[added]));
    return before + added - (select count(*) from admin_internal.delivery_link);
end
$$;
create view pg_temp.links as
select sink, store_id = admin.store_id() as is_own, min(last_number), max(last_number), count(*) from admin_internal.delivery_link group by 1, 2;
insert into admin.sink_position (sink, position_id, store_id, tick_id) select 'kafka', 1, admin.store_id(), 1;
select count(*) as calls, sum(pg_temp.record('kafka', 2)) as removed from generate_series(1, 20);
select count(*) as calls, sum(pg_temp.record('ndjson', 2)) as removed from generate_series(1, 50);
select count(*) as calls, min(n) as least, max(n) as most from (select pg_temp.record('ndjson', 2) as n from generate_series(1, 50)) as n;
select * from pg_temp.links order by 1, 2;
create or replace function admin_internal.links_kept() returns bigint language sql immutable parallel safe return 10;
select count(*) as calls, min(n) as least, max(n) as most from (select pg_temp.record('ndjson', 1) as n from generate_series(1, 90)) as n;
select * from pg_temp.links order by 1, 2;
select pg_temp.record('ndjson', 30) as removed_by_many, pg_temp.record('ndjson', 1) as removed_next;
select count(*) as calls, min(n) as least, max(n) as most from (select pg_temp.record('ndjson', 1) as n from generate_series(1, 30)) as n;
select * from pg_temp.links order by 1, 2;
-- A number that is given out again has the newer link, which is not the oldest any more.
select admin_internal.record_links('ndjson', array[min(last_number)], array[min(last_number)], array[sha256('again')]) from admin_internal.delivery_link where sink = 'ndjson';
select link_number = max(link_number) over () as is_newest, count(*) over () from admin_internal.delivery_link where sink = 'ndjson' order by chain = sha256('again') desc limit 1;
-- A link that somebody wrote by hand is not removed, nor does it keep others from it.
insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain) select admin.store_id(), 'ndjson', n, n, sha256('by hand') from generate_series(1, 3) as n;
select count(*) as calls, sum(pg_temp.record('ndjson', 5)) as removed from generate_series(1, 10);
select count(*), count(link_number) as by_worker from admin_internal.delivery_link where sink = 'ndjson';
-- After a resync that makes a new store those of the old one go, too, in the same steps.
update admin.store set adopted_at = null;
select admin.resync_sink('ndjson', 1) ->> 'store_id' <> :'store' as new_store;
select count(*) as calls, min(n) as least, max(n) as most from (select pg_temp.record('ndjson', 1) as n from generate_series(1, 9)) as n;
delete from admin_internal.delivery_link where link_number is null;
select count(*) as calls, max(n) as most from (select pg_temp.record('ndjson', 1) as n from generate_series(1, 20)) as n;
select sink, is_own, count from pg_temp.links order by 1, 2;
drop view pg_temp.links;

-- Who may ask, and who may write.
create role regress_chain;
select access, (select count(*) from admin_internal.access_functions() as f where f.signature = 'admin.delivery_chain(text)' and f.access = a.access) as may
from unnest(array['checker', 'signer', 'auditor', 'operator', 'monitor', 'archiver']) as a(access);
select has_table_privilege('regress_chain', 'admin_internal.delivery_link', 'select, insert, update, delete, truncate') as has_any;
drop role regress_chain;
drop extension admin_ext;
