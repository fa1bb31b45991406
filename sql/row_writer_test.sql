-- Rows that the extension adds in C: what somebody else has put on the trail and on
-- audit_attributes has its say, or the call fails.
set client_min_messages = error;
create extension admin_ext;
reset client_min_messages;
select admin.create_audit_partitions() > 0 as made;

set admin_ext.require_verified_jwt = off;

-- Runs DDL on the month that a check writes to.
create function public.on_month(command text) returns void language plpgsql as
$$
begin
    execute format(command, (select partition from admin.audit_partitions() where now() >= lower_bound and now() < upper_bound));
end
$$;
-- Runs SQL and answers how it ended, and how many rows the trail has got.
create function public.attempt(command text) returns text language plpgsql as
$$
declare
    before bigint := (select count(*) from admin.audit);
    outcome text := 'done';
begin
    begin
        execute command;
    exception when others then
        outcome := sqlstate || ' ' || regexp_replace(sqlerrm, 'audit_y\d+m\d+', 'audit_MONTH', 'g');
    end;
    return outcome || ', rows: ' || (select count(*) from admin.audit) - before;
end
$$;
create function public.check_once() returns text language sql as
$$select public.attempt($c$select admin.sensitive_check('APP-000001-a')$c$)$$;
create function public.ingest(id text) returns text language sql as
$$select public.attempt(format($c$select admin.audit_ingest('[{"specversion":"1.0","id":"%s","source":"/s","type":"t","sequence":"%s"}]')$c$, id, id))$$;
-- INSERTs that this session has planned for the trail and for audit_attributes.
create function public.statements() returns bigint language sql as
$$select count(distinct substr(ident, 1, 30)) from pg_backend_memory_contexts where ident like 'insert into admin.audit%'$$;
-- A column must not be null.
select public.on_month('alter table %s alter column actor set not null');
select public.check_once(), public.attempt($$select admin.sensitive_check('APP-000001-a', actor => 'r')$$);
select public.on_month('alter table %s alter column actor drop not null');
\c -
set admin_ext.require_verified_jwt = off;

-- Without any addition no INSERT is needed.
select public.check_once(), public.ingest('1');
select public.statements() as statements;

-- A check opens and locks the indexes that its row has an entry in, and none of the others.
begin;
select admin.sensitive_check('APP-000001-a') ->> 'reason' as reason;
select regexp_replace(c.relname, '^audit_y\d+m\d+', 'audit_MONTH') as written
from pg_locks as l join pg_class as c on c.oid = l.relation
where l.pid = pg_backend_pid() and l.mode = 'RowExclusiveLock' and c.relkind = 'i' order by written;
rollback;

-- An AFTER trigger fires for each row, and after the own guard has let the row pass.
create table public.seen (relation text, audit_id bigint);
create function public.note() returns trigger language plpgsql as
$$begin insert into public.seen values (tg_relid::regclass::text, new.audit_id); return null; end$$;
create trigger zz after insert on admin.audit for each row execute function public.note();
create trigger zz after insert on admin.audit_attributes for each row execute function public.note();
select public.check_once(), public.ingest('2');
select count(*) as seen, count(distinct s.audit_id) as different, count(a.audit_id) as in_trail
from public.seen as s left join admin.audit as a using (audit_id);
select public.statements() as statements;

-- A role without any right on what the trigger writes to: the INSERT is the owner's.
create role regress_rows_checker;
select admin.grant_access('regress_rows_checker', 'checker');
set role regress_rows_checker;
set search_path = public;
select admin.sensitive_check('APP-000001-a') ->> 'reason' as reason;
reset search_path;
reset role;
select count(*) as seen from public.seen;
drop trigger zz on admin.audit;
drop trigger zz on admin.audit_attributes;

-- A trigger that inserts into the trail by itself: that row is not the extension's.
create function public.forge() returns trigger language plpgsql as
$$
begin
    if new.event_type = 'sensitive.check.2b' then
        insert into admin.audit (xid, event_type, payload) values ('1', 'approval.issued', '{}');
    end if;
    return null;
end
$$;
create trigger forge after insert on admin.audit for each row execute function public.forge();
select split_part(public.check_once(), ' ', 1) as refused, right(public.check_once(), 7) as rows;
drop trigger forge on admin.audit;

-- A BEFORE trigger that discards the row, changes it, or leaves it as it is.
create function public.discard() returns trigger language plpgsql as $$begin return null; end$$;
create function public.change() returns trigger language plpgsql as $$begin new.actor := 'mallory'; return new; end$$;
create function public.keep() returns trigger language plpgsql as $$begin return new; end$$;
-- Outside a transaction the trigger itself is refused: the trail could not take the event of it.
\set VERBOSITY sqlstate
create trigger aa before insert on admin.audit for each row execute function public.discard();
\set VERBOSITY default
begin;
create trigger aa before insert on admin.audit for each row execute function public.discard();
select public.check_once(), public.ingest('3');
rollback;
begin;
create trigger aa before insert on admin.audit for each row execute function public.change();
select public.check_once(), public.ingest('3');
rollback;
create trigger zz before insert on admin.audit for each row execute function public.keep();
select public.check_once(), public.ingest('3');
drop trigger zz on admin.audit;
create trigger aa before insert on admin.audit_attributes for each row execute function public.discard();
select public.check_once(), public.ingest('4');
drop trigger aa on admin.audit_attributes;

-- A disabled trigger fires for no INSERT.  A trigger by statement on the trail fires once.
create function public.count_up() returns trigger language plpgsql as
$$begin insert into public.seen values ('statement', null); return null; end$$;
create trigger st after insert on admin.audit for each statement execute function public.count_up();
select public.check_once();
select count(*) from public.seen where relation = 'statement';
alter table only admin.audit disable trigger st;
select public.check_once();
select count(*) from public.seen where relation = 'statement';
drop trigger st on admin.audit;

-- Constraints on a partition, and on the attributes.
create table public.event_type (event_type text primary key);
select public.on_month('alter table %s add constraint no_ff check (actor is distinct from ''FF'')');
select public.check_once(), public.attempt($$select admin.sensitive_check('APP-000001-a', actor => 'FF')$$);
select public.on_month('alter table %s drop constraint no_ff');
insert into public.event_type values ('guard.changed');
select public.on_month('alter table %s add constraint fk foreign key (event_type) references public.event_type not valid');
select public.check_once();
insert into public.event_type values ('sensitive.check.2b');
select public.check_once(), public.ingest('5');
select public.on_month('alter table %s drop constraint fk');
alter table admin.audit_attributes add constraint small check (length(attributes::text) < 5) not valid;
select public.ingest('6');
alter table admin.audit_attributes drop constraint small;

-- Indexes: an expression, another access method, a predicate, an exclusion, one of a text.
select public.on_month('create unique index odd on %s ((request_id || ''x'')) where request_id <> ''''');
select public.attempt($$select admin.sensitive_check('APP-000001-a', request_id => 'once')$$),
       public.attempt($$select admin.sensitive_check('APP-000001-a', request_id => 'once')$$);
drop index admin.odd;
select public.on_month('create unique index once on %s (request_id) where event_type = ''sensitive.check.2b''');
select public.attempt($$select admin.sensitive_check('APP-000001-a', request_id => 'twice')$$),
       public.attempt($$select admin.sensitive_check('APP-000001-a', request_id => 'twice')$$), public.ingest('7');
drop index admin.once;

-- A rule, a policy, a column of another type, a further column.
begin;
create rule away as on insert to admin.audit do instead nothing;
select public.check_once();
rollback;
alter table admin.audit enable row level security;
select public.check_once();
alter table admin.audit disable row level security;
select public.check_once();
begin;
alter table admin.audit alter column actor type varchar(300);
select public.check_once();
rollback;
begin;
alter table admin.audit_attributes add column more int;
select public.ingest('8');
rollback;

-- The index of withdrawals has the rows that it is for, and no others.
select admin.issue_approval('pay', '{x}', now() + interval '1 day', null, 'APP-000002-a', 'ann') ->> 'state' as state;
select admin.withdraw_approval('APP-000002-a', 'test', 'ann') ->> 'state' as state;
do $$
declare
    month regclass := (select partition from admin.audit_partitions() where now() >= lower_bound and now() < upper_bound);
begin
    execute format('analyze %s', month);
    if (select c.reltuples from pg_index as i join pg_class as c on c.oid = i.indexrelid
        where i.indrelid = month and pg_get_expr(i.indpred, month) ~ 'withdrawn') is distinct from 1 then
        raise exception 'the index of withdrawals has not one row';
    end if;
end
$$;
set enable_seqscan = off;
set enable_bitmapscan = off;
select count(*) from admin.audit where event_type = 'approval.withdrawn' and approval_id >= 'APP';
reset enable_seqscan;
reset enable_bitmapscan;

set client_min_messages = error;
drop owned by regress_rows_checker;
drop role regress_rows_checker;
drop function public.on_month(text), public.attempt(text), public.check_once(), public.ingest(text), public.statements(), public.note(), public.forge(),
    public.discard(), public.change(), public.keep(), public.count_up();
drop table public.seen, public.event_type;
drop extension admin_ext;
