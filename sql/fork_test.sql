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

-- Three rows, each seen by a tick of its own, and one that none sees; no sink has got any.
select position_id, tick_id from admin.delivery_open('ndjson');
-- Ticks 1 and 2 were made before a promotion.
select check_once() as first \gset
insert into admin.tick (tick_id, snap, timeline) values (1, admin.tick_snapshot(), 0);
select check_once() as second \gset
insert into admin.tick (tick_id, snap, timeline) values (2, admin.tick_snapshot(), 0);
select check_once() as third \gset
select tick_id from admin.make_tick();
select timeline from admin.tick where tick_id = 3;
select check_once() as fourth \gset

-- Where the row is of this list; one transaction each, undone.
create function row_of(first bigint, second bigint, third bigint, fourth bigint, from_audit_id bigint) returns text
language sql as $$ select case from_audit_id when first then 'first' when second then 'second' when third then 'third' when fourth then 'fourth' else case when from_audit_id < first then 'an earlier one' end end $$;
\set from 'row_of(:first, :second, :third, :fourth, from_audit_id) as goes_on_at'

-- The sink says nothing of itself: its position, which covers nothing.
begin;
select :from, lost_from, lost_to, new_store_id = admin.store_id() as is_store from admin_internal.fork_store('ndjson', 0);
rollback;

-- What an earlier timeline's tick sees is in both forks.
begin;
select :from from admin_internal.fork_store('ndjson', 1);
rollback;
begin;
select :from from admin_internal.fork_store('ndjson', 2);
rollback;
-- A later one the database has lost; its own tick of that number is another.
begin;
select :from from admin_internal.fork_store('ndjson', 3);
select event_type, payload ->> 'sink' as sink, payload ? 'old_store_id' as has_stores, (payload ->> 'from')::bigint = :third as from_third
from (select audit_id, event_type, payload::jsonb from admin.audit where event_type like 'sink.%') as a order by audit_id;
rollback;

-- What is being sent again is not passed.
select admin.resync_sink('ndjson', :first) ->> 'from' = :'first' as is_first;
begin;
select :from from admin_internal.fork_store('ndjson', 2);
rollback;

-- No access may call it.
select has_function_privilege('public', 'admin_internal.fork_store(text, bigint)', 'execute') as may_call;

drop function check_once(), row_of(bigint, bigint, bigint, bigint, bigint);
drop extension admin_ext;
