-- The key that positions kept by a sink are authenticated with: nobody reads it, and it goes with the store.
set client_min_messages = error;
\set SHOW_CONTEXT never
create extension admin_ext;
select admin.create_audit_partitions() > 0 as months;
create view pg_temp.state as
select (select count(*) from admin_internal.store_key) as keys, (select octet_length(k.key) from admin_internal.store_key as k) as bytes,
       (select k.store_id = s.store_id from admin_internal.store_key as k, admin.store as s) as of_this_store;
select * from pg_temp.state;
create temp table known as select * from admin_internal.store_key;
select admin_internal.position_key() = key as the_same_again from known;

-- Neither an access nor a role that reads all data reads it.
create role regress_reader in role pg_read_all_data;
create role regress_access;
select count(admin.grant_access('regress_access', access)) as accesses
from unnest('{checker,signer,auditor,operator,monitor,archiver,policy}'::text[]) as access;
select has_table_privilege('regress_access', 'admin_internal.store_key', 'select, insert, update, delete, truncate, references, trigger') as has_any,
       has_function_privilege('regress_access', 'admin_internal.position_key()', 'execute') as may_call;
set role regress_reader;
select count(*) > 0 as reads_the_store from admin.store;
select count(*) as reads_keys from admin_internal.store_key;
select admin_internal.position_key();
set role regress_access;
select key from admin_internal.store_key;
reset role;
-- Attached to the trail, its rows would be shown there.
select admin.attach_audit('admin_internal.store_key');
-- A dump is another copy: it has another store id, and another key.
select 'admin_internal.store_key'::regclass = any (extconfig) as is_dumped from pg_extension where extname = 'admin_ext';

-- A resync that keeps the store keeps the key; one that renews the store renews it.
select count(*) as position from admin_internal.delivery_open('ndjson');
select (admin.resync_sink('ndjson', 1) ->> 'store_id')::uuid = store_id as same_store, admin_internal.position_key() = key as same_key from known;
update admin.store set adopted_at = null;
select (admin.resync_sink('ndjson', 1) ->> 'store_id')::uuid = store_id as same_store from known;
select * from pg_temp.state;
select k.key = known.key as same_key from admin_internal.store_key as k, known;
-- A store that was renewed by hand, and one whose key is gone, get a new one.
update admin.store set store_id = gen_random_uuid();
select admin_internal.position_key() = key as same_key from known;
select * from pg_temp.state;
delete from admin_internal.store_key;
select octet_length(admin_internal.position_key()) as bytes;
select * from pg_temp.state;
drop owned by regress_access;
drop role regress_access, regress_reader;
drop view pg_temp.state;
drop extension admin_ext cascade;
