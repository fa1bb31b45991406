-- Receipts of the archive.  No worker runs: positions and links of the delivery chain are recorded by hand.
set client_min_messages = error;
\set SHOW_CONTEXT never
create extension admin_ext;
create extension admin_ext_cutover;
select admin.create_audit_partitions() > 0 as partitions;
create role regress_archiver login;
create role regress_aud login;
create role regress_ops login;
select admin.grant_access('regress_archiver', 'archiver'), admin.grant_access('regress_aud', 'auditor'), admin.grant_access('regress_ops', 'operator');
-- What is set up by hand leaves no events here.
alter table admin.store disable trigger bookkeeping;
alter table admin.tick disable trigger bookkeeping;
alter table admin.sink_position disable trigger bookkeeping;
alter table admin.dead_letter disable trigger bookkeeping;
alter table admin_internal.delivery_link disable trigger bookkeeping;
alter table admin_internal.late_delivery disable trigger bookkeeping;
create table public.base as select max(audit_id) as id, (select store_id from admin.store) as store_id from admin.audit;
grant select on public.base to public;
create function pg_temp.rows(n int) returns bigint language sql volatile
as $$ select max((admin.sensitive_check('APP-000001-a') #>> '{audit,audit_id}')::bigint) - (select id from public.base) from generate_series(1, n) $$;
create function public.chain(sink text, number bigint) returns bytea language sql immutable as $$ select sha256(convert_to(format('%s %s', sink, number), 'UTF8')) $$;
\i sql/deliver.sql
-- The same, as a batch that ends with this delivery number.
create function pg_temp.deliver_number(sink text, number bigint, up_to bigint default null) returns void language plpgsql
as $$
begin
    perform pg_temp.deliver(sink, up_to);
    insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain, done, "window", window_audit_id, highest_audit_id, floor_audit_id, backfill_audit_id)
    select p.store_id, p.sink, number, number, public.chain(p.sink, number), t.snap, w.snap, p.window_audit_id, p.highest_audit_id, p.floor_audit_id, p.backfill_audit_id
    from admin.sink_position as p join admin.tick as t using (tick_id) left join admin.tick as w on w.tick_id = p.window_tick_id
    where p.sink = deliver_number.sink order by p.position_id desc limit 1;
end
$$;
create function public.receipt(sink text, number bigint, seal int default 0, store uuid default null) returns void language sql volatile
as $$ select admin.record_receipt(coalesce(store, admin.store_id()), sink, number, public.chain(sink, number), sha256(convert_to(seal::text, 'UTF8')), '2100-01-01 00:00Z', 's3://bucket/' || number) $$;
-- What a statement raises, without what differs from run to run.
create function public.attempt(statement text) returns text language plpgsql as $$
declare
    state text; message text; detail text; hint text;
begin
    execute statement;
    return 'done';
exception when others then
    get stacked diagnostics state = returned_sqlstate, message = message_text, detail = pg_exception_detail, hint = pg_exception_hint;
    return regexp_replace(concat_ws(E'\n', state || ' ' || message, nullif(detail, ''), nullif(hint, '')), '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'UUID', 'g');
end
$$;
create function pg_temp.archived(sink text default 'ndjson') returns text language sql
as $$ select string_agg(audit_id - id || ' ' || sink_status || case when archived then ' archived' else '' end, ', ' order by audit_id)
      from public.base, admin.audit_delivery as d where d.sink = archived.sink and audit_id > id $$;
create function pg_temp.events() returns setof text language sql
as $$ select regexp_replace(payload::text, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'UUID', 'g') from admin.audit where event_type = 'archive.receipt' order by audit_id $$;
create function pg_temp.d6() returns text language sql
as $$ select regexp_replace(regexp_replace(status || ': ' || detail, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', 'UUID', 'g'), 'came at [^;]*', 'came at TIME')
      from admin_internal.readiness_d6('{}') as r $$;
select pg_temp.d6();

-- Arguments.
select admin.sensitive_check('APP-000001-a') is not null as row;
select pg_temp.deliver_number('ndjson', 10);
select public.attempt(format('select admin.record_receipt(%s)', a)) as attempt from public.base, lateral (values
    (format('%L, null, 10, null, null, null, ''x''', store_id)),
    ('null, ''ndjson'', 10, null, null, null, ''x'''),
    ('''00000000-0000-0000-0000-000000000000'', ''ndjson'', 10, null, null, null, ''x'''),
    (format('%L, repeat(''n'', 100), 10, null, null, null, ''x''', store_id)),
    (format('%L, ''ndjson'', null, null, null, null, ''x''', store_id)),
    (format('%L, ''ndjson'', -1, null, null, null, ''x''', store_id)),
    (format('%L, ''ndjson'', 10, sha224(''x''), sha256(''x''), ''2100-01-01 00:00Z'', ''x''', store_id)),
    (format('%L, ''ndjson'', 10, null, sha256(''x''), ''2100-01-01 00:00Z'', ''x''', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), null, ''2100-01-01 00:00Z'', ''x''', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), '''', ''2100-01-01 00:00Z'', ''x''', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), sha256(''x''), null, ''x''', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), sha256(''x''), ''2001-01-01 00:00 UTC'', ''x''', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), sha256(''x''), ''infinity'', ''x''', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), sha256(''x''), ''2100-01-01 00:00Z'', null', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), sha256(''x''), ''2100-01-01 00:00Z'', repeat(''x'', 2049)', store_id)),
    (format('%L, ''ndjson'', 10, null, null, ''2100-01-01 00:00Z'', ''x''', store_id)),
    (format('%L, ''ndjson'', 10, null, null, null, ''''', store_id)),
    (format('%L, ''ndjson'', 10, sha256(''x''), sha256(''x''), ''2100-01-01 00:00Z'', E''s3://a\nstatus ok''', store_id)),
    (format('%L, ''ndjson'', 10, null, null, null, E''x\u0085y''', store_id)),
    (format('%L, ''ndjson'', 10, null, null, null, E''x\x7f''', store_id)),
    -- Numbers without a link.
    (format('%L, ''ndjson'', 11, null, null, null, ''x''', store_id)),
    (format('%L, ''ndjson'', 11, sha256(''x''), sha256(''x''), ''2100-01-01 00:00Z'', ''x''', store_id)),
    (format('%L, ''ndjson'', 9, sha256(''x''), sha256(''x''), ''2100-01-01 00:00Z'', ''x''', store_id))) as v(a);
select count(*) from admin.archive_receipt;

-- By an archiver: ok, the same again, a mismatch, broken.
set role regress_archiver;
select public.attempt($$select admin.record_receipt(admin.store_id(), 'ndjson', 10, public.chain('ndjson', 10), sha256('seal'), '2100-01-01 00:00Z', 's3://bucket/10')$$);
reset role;
select pg_temp.rows(1);
select pg_temp.deliver_number('ndjson', 12);
select public.receipt('ndjson', 12);
select public.receipt('ndjson', 12);
select pg_temp.deliver_number('ndjson', 14);
select public.attempt($$select public.receipt('ndjson', 13)$$);
-- The seal is another one, the chain is not.
select public.receipt('ndjson', 12, 1);
select pg_temp.d6();
set client_min_messages = warning;
\set VERBOSITY terse
select admin.record_receipt(store_id, 'ndjson', 14, sha256('forged'), sha256('seal'), '2100-01-01 00:00Z', 's3://bucket/14') from public.base;
select admin.record_receipt(store_id, 'ndjson', 14, sha256('forged'), sha256('seal'), '2100-01-01 00:00Z', 's3://bucket/14') from public.base;
select pg_temp.d6();
select admin.record_receipt(store_id, 'ndjson', 13, null, null, null, 'number 14 is missing') from public.base;
select admin.record_receipt(store_id, 'ndjson', 13, null, null, null, 'number 14 is missing') from public.base;
select admin.record_receipt(store_id, 'ndjson', 13, null, null, null, 'number 14 comes twice') from public.base;
select sink, last_number, octet_length(chain) as chain, octet_length(seal_sha256) as seal, retain_until at time zone 'UTC' as retain_until, location, status
from admin.archive_receipt order by received_at;
select pg_temp.events();
select pg_temp.d6();
select store_id = (select s.store_id from admin.store as s) as own, sink, is_present, archived_number, delivered_number, lag_rows, lag_seconds between 0 and 100 as lag, received_at > now() - interval '1 minute' as received,
       status, last_number, retain_until, location, mismatches, broken from admin.archive_status;
-- The next one that is ok proves what was before, too.
select pg_temp.deliver_number('ndjson', 20);
select public.receipt('ndjson', 20);
select pg_temp.d6();

-- Which rows are archived: a part of a window, one that was committed late, a dead letter, what is not delivered.
select max(audit_id) as id from admin.audit \gset
update public.base set id = :id;
begin;
select pg_temp.rows(1);
prepare transaction 'late';
select pg_temp.rows(4);
insert into admin.dead_letter (sink, audit_id, error) select 'ndjson', id + 2, 'too large' from public.base;
select pg_temp.deliver_number('ndjson', 21, 4);
select pg_temp.deliver_number('ndjson', 22);
select pg_temp.archived();
set session authorization regress_archiver;
select public.receipt('ndjson', 21, 0, admin.store_id());
reset session authorization;
select pg_temp.archived();
commit prepared 'late';
select public.receipt('ndjson', 22);
select pg_temp.archived();
select pg_temp.deliver_number('ndjson', 23);
select pg_temp.archived();
select public.receipt('ndjson', 23);
set role regress_aud;
select pg_temp.archived();
select sink, archived_number, lag_rows, lag_seconds from admin.archive_status;
reset role;
-- A link without a position: what the one before covers.
select pg_temp.rows(1);
insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain) select store_id, 'ndjson', 24, 24, public.chain('ndjson', 24) from public.base;
select public.receipt('ndjson', 24);
select pg_temp.deliver_number('ndjson', 25);
select right(pg_temp.archived(), 30);
-- Skipped rows are not archived, nor are they before a receipt that came after the resync that sends them.
select max(audit_id) as id from admin.audit \gset
update public.base set id = :id;
select pg_temp.rows(3);
select r ->> 'skipped' as skipped from public.base, admin.resync_sink('ndjson', id + 3) as r;
select pg_temp.deliver_number('ndjson', 30);
select public.receipt('ndjson', 30);
select pg_temp.archived();
select r ->> 'skipped' as skipped from public.base, admin.resync_sink('ndjson', id + 1) as r;
select left(pg_temp.archived(), 35);
select pg_temp.deliver_number('ndjson', 31);
select left(pg_temp.archived(), 47);
select public.receipt('ndjson', 31);
select left(pg_temp.archived(), 47);

-- What is sent again stays archived by the receipt of before; links of before that are sent later do not say more.
select max(audit_id) as id from admin.audit \gset
update public.base set id = :id;
select pg_temp.rows(4);
select pg_temp.deliver_number('ndjson', 40);
insert into admin_internal.delivery_link select (l).* from (select l from admin_internal.delivery_link as l where l.last_number = 40) as l on conflict do nothing;
select public.receipt('ndjson', 40);
select r ->> 'sent_again' as sent_again from public.base, admin.resync_sink('ndjson', id + 1) as r;
-- Two of them have been sent.
insert into admin.sink_position (sink, position_id, store_id, tick_id, highest_audit_id, floor_audit_id, backfill_audit_id, resent_audit_id)
select sink, position_id + 1, p.store_id, tick_id, highest_audit_id, floor_audit_id, id + 3, resent_audit_id from admin.sink_position as p, public.base where sink = 'ndjson' order by position_id desc limit 1;
insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain, done, highest_audit_id, floor_audit_id, backfill_audit_id)
select p.store_id, sink, 41, 42, public.chain('ndjson', 42), snap, highest_audit_id, floor_audit_id, backfill_audit_id
from admin.sink_position as p join admin.tick using (tick_id) where sink = 'ndjson' order by position_id desc limit 1;
select public.receipt('ndjson', 42);
select left(pg_temp.archived(), 82);
select count(*) from admin_internal.archive_base;
select pg_temp.deliver_number('ndjson', 44);
select public.receipt('ndjson', 44);
select left(pg_temp.archived(), 82);
select count(*) from admin_internal.archive_base;

-- Receipts that wait by themselves are no lag, and what comes behind them has not waited for as long.
create function pg_temp.lag() returns text language sql
as $$ select format('%s rows, %s', lag_rows, case when lag_seconds = 0 then 'none' when lag_seconds < 3600 then 'short' else 'long' end) from admin.archive_status where is_present $$;
select pg_temp.deliver_number('ndjson', 45);
update admin_internal.delivery_link set recorded_at = recorded_at - interval '1 day' where last_number = 45;
select pg_temp.lag(), pg_temp.d6();
select pg_temp.rows(1) > 0 as row;
select pg_temp.lag();
select pg_temp.deliver_number('ndjson', 46);
select pg_temp.lag();
update admin_internal.delivery_link set recorded_at = recorded_at - interval '61 minutes' where last_number in (45, 46);
select regexp_replace(pg_temp.d6(), '\d+ s behind', 'N s behind') as d6;
select public.receipt('ndjson', 46);
select pg_temp.lag();
-- More documents than receipts are rows that were sent again.
select pg_temp.deliver_number('ndjson', 48);
select pg_temp.lag();
select public.receipt('ndjson', 48);

-- A fork is another store: its receipts cover what it was sent, those of the old one what that was.
select max(audit_id) as id from admin.audit \gset
update public.base set id = :id;
select pg_temp.rows(2);
select pg_temp.deliver_number('ndjson', 50);
select public.receipt('ndjson', 44, 1);
select pg_temp.rows(2);
select max(audit_id) as late from admin.audit_delivery where sink = 'ndjson' and archived \gset
insert into admin_internal.late_delivery (sink, audit_id, store_id, delivery_number) select 'ndjson', :late, store_id, 51 from public.base;
update admin.store set store_id = gen_random_uuid();
select r ->> 'skipped' as skipped from public.base, admin.resync_sink('ndjson', (select min(audit_id) from admin.audit_delivery where sink_status = 'pending')) as r;
select pg_temp.deliver_number('ndjson', 1);
select public.receipt('ndjson', 1);
-- What the old store was delivered late, no receipt of the old one covers, whatever the new one confirms.
create function pg_temp.late(late bigint) returns text language sql
as $$ select format('%s notes, %s', count(e), case when bool_and(d.archived) then 'archived' else 'not archived' end)
      from admin.audit_delivery as d left join admin_internal.late_delivery as e using (sink, audit_id) where d.sink = 'ndjson' and d.audit_id = late $$;
begin;
select pg_temp.late(:late);
-- Only the old one's receipt for the number does, also where no position came after it.
insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain) select store_id, 'ndjson', 51, 51, public.chain('ndjson', 51) from public.base;
select public.receipt('ndjson', 50, 2, store_id) from public.base;
select pg_temp.late(:late);
select public.receipt('ndjson', 51, 0, store_id) from public.base;
select pg_temp.late(:late);
-- What the new store was delivered late, its receipt covers.
insert into admin_internal.late_delivery (sink, audit_id, store_id, delivery_number) values ('ndjson', :late, admin.store_id(), 2);
select pg_temp.deliver_number('ndjson', 2);
select public.receipt('ndjson', 1, 1);
select pg_temp.late(:late);
select public.receipt('ndjson', 2);
select pg_temp.late(:late);
rollback;
delete from admin_internal.late_delivery;
-- Rows 1 and 2 were sent by the old store.
select left(pg_temp.archived(), 68);
select public.receipt('ndjson', 50, 0, store_id) from public.base;
select left(pg_temp.archived(), 85);
-- What is wrong with an earlier store is said, and is no reason to fail for ever.
select admin.record_receipt(store_id, 'ndjson', 50, sha256('forged'), sha256('seal'), '2100-01-01 00:00Z', 's3://bucket/50') from public.base;
select pg_temp.d6();
-- A number of the old store that was lost; and one that is no longer known.
select public.attempt(format('select public.receipt(''ndjson'', 51, 0, %L)', store_id)) from public.base;
delete from admin_internal.delivery_link where last_number < 20 and sink = 'ndjson' and store_id = (select store_id from public.base);
select public.attempt(format('select public.receipt(''ndjson'', 19, 0, %L)', store_id)) from public.base;
-- The same receipt again, though the link is gone.
select public.receipt('ndjson', 12, 0, store_id) from public.base;
select is_present, archived_number, delivered_number, lag_rows from admin.archive_status order by 1;

-- Append-only, whoever asks; what is written by hand leaves its event, and readiness sees it.
select public.attempt(s) from unnest(array[
    'update admin.archive_receipt set status = ''ok''', 'update admin.archive_receipt set status = ''ok'' where false', 'delete from admin.archive_receipt', 'truncate admin.archive_receipt',
    'set local session_replication_role = replica; delete from admin.archive_receipt']) as s;
select pg_temp.d6() like 'pass: %' as passes;
insert into admin.archive_receipt select store_id, 'ndjson', 1000, chain, seal_sha256, retain_until, location, now() + interval '1 s', 'ok' from admin.archive_receipt where status = 'ok' and store_id = admin.store_id() limit 1;
select event_type, actor = session_user as by, payload ->> 'relation' as relation, payload #>> '{row,last_number}' as number from admin.audit where event_type = 'row.inserted' order by audit_id desc limit 1;
select archived_number from admin.archive_status where is_present;
select pg_temp.d6();
begin;
update admin_internal.archive_base set last_number = 1000;
select event_type, payload ->> 'relation' as relation from admin.audit where event_type = 'row.updated' order by audit_id desc limit 1;
rollback;
begin;
select admin_internal.record_archived(admin.store_id(), 'ndjson', 999, '2100-01-01 00:00Z');
select pg_temp.d6(), (select lag_rows from admin.archive_status where is_present);
rollback;
-- What the storage may delete is not archived; of several receipts of a number the longest counts.
begin;
select admin.record_receipt(admin.store_id(), 'ndjson', 1, public.chain('ndjson', 1), sha256('short'), now() + interval '1 s', 's3://bucket/1');
select max(retain_until) at time zone 'UTC' as retain_until from admin_internal.archive_base where store_id = admin.store_id();
update admin_internal.archive_base set retain_until = '2026-01-01 00:00Z';
select bool_or(archived) as archived from admin.audit_delivery;
select pg_temp.d6();
rollback;

select pg_temp.rows(1);
select pg_temp.deliver_number('ndjson', 2);

-- What has to be proved before a month is dropped, and its last delivery numbers: a receipt of whatever sink does.
select format('admin.%I', to_char(now() at time zone 'UTC', '"audit_y"YYYY"m"MM')) as month \gset
create function pg_temp.proved() returns text language sql
as $$ select regexp_replace(public.attempt(format('select admin_internal.prove_archived(%L)', to_char(now() at time zone 'UTC', '"admin.audit_y"YYYY"m"MM'))), 'audit_y\d+m\d+', 'MONTH') $$;
select min(audit_id) as first from admin.audit_delivery where not archived \gset
select replace(pg_temp.proved(), 'audit_id ' || :first, 'audit_id FIRST');
insert into admin.sink_position (sink, position_id, store_id, tick_id) select 'kafka', 1, store_id, 0 from admin.store;
select pg_temp.deliver_number('kafka', 100);
select public.receipt('kafka', 100);
select pg_temp.proved() like '%The first one is audit_id%' as not_of_the_receipts_event;
select pg_temp.deliver_number('kafka', 101);
select pg_temp.deliver_number('kafka', 102);
select admin_internal.last_delivery_numbers(:'month', max(audit_id))::jsonb #- '{kafka,store}' as last_numbers from admin.audit;
select public.receipt('kafka', 101);
-- Each receipt is an event, which the next one covers; all before it is archived.
select replace(pg_temp.proved(), 'audit_id ' || max(audit_id), 'audit_id LAST') from admin.audit;
insert into admin.dead_letter (sink, audit_id, error) values ('kafka', :first, 'too large');
select replace(pg_temp.proved(), 'audit_id ' || :first, 'audit_id FIRST');

-- While a dump is loaded nothing is recorded.
set admin_ext.restoring = on;
select public.attempt($$select public.receipt('ndjson', 2)$$);
reset admin_ext.restoring;
-- Receipts of another copy cover nothing before resync_sink() has said what the rows are.
begin;
update admin.store set adopted_at = null;
select bool_or(archived) from admin.audit_delivery;
rollback;
select bool_or(archived) from admin.audit_delivery;

-- An archiver can do that, and nothing else.
create function public.archiver_may() returns setof text language sql as $$
    select oid::regprocedure::text from pg_proc where pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and has_function_privilege('regress_archiver', oid, 'execute')
    union all select oid::regclass::text from pg_class where relnamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and relkind in ('r', 'p', 'v')
        and has_table_privilege('regress_archiver', oid, 'select, insert, update, delete, truncate')
    order by 1 $$;
select public.archiver_may();
set role regress_archiver;
select public.attempt(s) from unnest(array['select * from admin.archive_receipt', 'select * from admin.archive_status', 'select * from admin.audit_delivery', 'select * from admin_internal.delivery_link',
    'insert into admin.archive_receipt select']) as s;
reset role;
set role regress_ops;
select public.attempt('select admin.record_receipt(null, null, null, null, null, null, null)');
reset role;
select admin.revoke_access('regress_archiver', 'archiver');
select public.archiver_may();

-- A late delivery of the earlier store is no exception any more once the present one was sent the row again.
insert into admin_internal.late_delivery (sink, audit_id, store_id, delivery_number) select 'ndjson', :late, store_id, 2 from public.base;
select pg_temp.deliver_number('ndjson', 3);
select public.receipt('ndjson', 3);
select pg_temp.late(:late);
select r ->> 'skipped' as skipped from admin.resync_sink('ndjson', :late) as r;
select pg_temp.deliver_number('ndjson', 4);
select public.receipt('ndjson', 4);
select pg_temp.late(:late);

-- A superuser who switches the guard off first leaves an event for that, for each row, and for switching off what writes those.
alter table admin.archive_receipt disable trigger receipt_append_only, disable trigger receipt_append_only_statement;
delete from admin.archive_receipt where last_number = 10 and sink = 'ndjson';
truncate admin.archive_receipt;
alter table admin.archive_receipt disable trigger bookkeeping, disable trigger bookkeeping_truncate;
select event_type, actor = session_user as by, coalesce(payload ->> 'relation', payload ->> 'object') as what, payload #>> '{row,location}' as location, payload ->> 'text' as command
from admin.audit where event_type in ('row.deleted', 'row.truncated', 'guard.changed') and coalesce(payload ->> 'relation', payload ->> 'object') = 'admin.archive_receipt' order by audit_id;
drop function public.receipt, public.attempt, public.archiver_may, public.chain;
drop table public.base;
drop owned by regress_archiver, regress_aud, regress_ops;
drop role regress_archiver, regress_aud, regress_ops;
drop extension admin_ext_cutover;
drop extension admin_ext;
