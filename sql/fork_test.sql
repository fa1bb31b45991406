-- What a worker does with admin_ext.on_divergence = fork: where delivery goes on.
\set VERBOSITY terse
set client_min_messages = error;
\set SHOW_CONTEXT never
create extension admin_ext;
select count(*) > 0 as has_months from admin.create_audit_partitions();
reset client_min_messages;
-- What is set up by hand leaves no events here.
alter table admin.tick disable trigger bookkeeping;
alter table admin.sink_position disable trigger bookkeeping;
create function check_once() returns bigint language sql as
$$ select (admin.sensitive_check('APP-000001-x') #>> '{audit,audit_id}')::bigint $$;

-- Two rows, of which the sink has got the first, and a second sink that has got nothing.
select position_id, tick_id from admin_internal.delivery_open('ndjson');
select position_id, tick_id from admin_internal.delivery_open('kafka');
select check_once() as first \gset
select tick_id from admin_internal.make_tick();
insert into admin.sink_position (sink, position_id, store_id, tick_id, highest_audit_id) select 'ndjson', 2, s.store_id, 1, :first from admin.store as s;
select check_once() as second \gset
select admin.store_id() as store \gset

-- Somebody has recorded another position, or forked: the worker looks again.
select count(*) as forks from admin_internal.fork_store('ndjson', 1, :'store') where new_store_id is not null;
select count(*) as forks from admin_internal.fork_store('ndjson', 2, gen_random_uuid()) where new_store_id is not null;
select count(*) as forks from admin_internal.fork_store('nosuch', 2, :'store') where new_store_id is not null;
select count(*) as events from admin.audit where event_type like 'sink.%';

-- No fork of the data has sent anything here, so the store keeps its id.
select from_audit_id = :second as from_second, lost_from, lost_to, new_store_id = :'store' as is_store
from admin_internal.fork_store('ndjson', 2, :'store');
select event_type, payload ->> 'sink' as sink, payload ->> 'old_store_id' = :'store' as is_old, (payload ->> 'from')::bigint = :second as from_second
from (select audit_id, event_type, payload::jsonb from admin.audit where event_type like 'sink.%') as a order by audit_id;
select distinct on (sink) sink, is_resync from admin.sink_position order by sink, position_id desc;
-- Its transaction waits for the disk alone.
select max(position_id) as newest from admin.sink_position where sink = 'ndjson' \gset
begin;
select count(*) as forks from admin_internal.fork_store('ndjson', :newest, :'store') where new_store_id is not null;
show synchronous_commit;
rollback;

-- No access may call it.
select has_function_privilege('public', 'admin_internal.fork_store(text, bigint, uuid)', 'execute') as may_call;

drop function check_once();
drop extension admin_ext;
