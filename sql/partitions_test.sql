-- Months of the trail: what may be dropped, what is made whatever a session has set, and what stands in the way.
set client_min_messages = error;
create extension admin_ext;
reset client_min_messages;
set timezone = 'UTC';
\set VERBOSITY terse
-- The default partition is there from the start, goes into dumps as the months do, and goes with the extension.
select p.partition::text, p.is_default from admin.audit_partitions() as p;
select count(*) from pg_depend where classid = 'pg_class'::regclass and objid = 'admin.audit_default'::regclass and deptype = 'e';
select count(*) from pg_extension where extname = 'admin_ext' and 'admin.audit_default'::regclass = any (extconfig);

-- The interval: each part counts.  Nothing is younger than the setting says.
show admin_ext.retention;
create function horizon(i interval) returns text language plpgsql as $$
begin
    return admin_internal.drop_horizon(i) <= now() - interval '7 years';
exception when others then
    return sqlstate;
end $$;
select i, horizon(i) from unnest(array['-1000 months 30001 days', '1000 months -1 day', '30000 days -1 hours', '-1 day 100 years', '0', '-1 year', null,
    '1 day', '6 years 11 months', '2000 days', '7 years', '84 months', '7 years 1 second', '100 years', '170000000 years']::interval[]) as i;
drop function horizon;
select admin.drop_audit_partitions('1000 months -1 day');
select admin.drop_audit_partitions('6 years 364 days');
-- The setting takes years, months, weeks and days.
alter system set admin_ext.retention = '1 fortnight';
alter system set admin_ext.retention = '-1 year';
alter system set admin_ext.retention = '';
alter system set admin_ext.retention = '7';
alter system set admin_ext.retention = '7 years 6 months 2 weeks 1 day';
alter system reset admin_ext.retention;
set admin_ext.retention = '1 day';

-- Settings of a session have no say in what is made.
set quote_all_identifiers = on;
set datestyle = 'SQL, DMY';
set timezone = 'Asia/Tokyo';
set standard_conforming_strings = off;
set escape_string_warning = off;
set transform_null_equals = on;
set array_nulls = off;
set search_path = nowhere;
select admin.create_audit_partitions(1) > 0 as made;
select admin.create_audit_partitions(1);
select p.partition, l from admin.audit_partitions() as p, admin_internal.audit_partition_lacks(p.partition) as l;
reset all;
set timezone = 'UTC';
\set VERBOSITY terse
select bool_and(c.reltablespace = 0 and a.amname = 'heap') from admin.audit_partitions() as p join pg_class as c on c.oid = p.partition join pg_am as a on a.oid = c.relam;
select to_char(now(), '"audit_y"YYYY"m"MM') as month \gset

-- An index that somebody dropped, or replaced by another one, is made again.
select format('drop index admin.%I', c.relname) from pg_index as i join pg_class as c on c.oid = i.indexrelid
where i.indrelid = format('admin.%I', :'month')::regclass and i.indpred is null and not i.indisprimary order by 1 limit 1 \gset gone_
:gone_format;
create index other on admin.:month (approval_id) where event_type = 'other';
select admin_internal.audit_partition_lacks(('admin.' || :'month')::regclass);
select admin.create_audit_partitions(1);
select admin_internal.audit_partition_lacks(('admin.' || :'month')::regclass);

-- The current month, detached: it says so, and what to do works.
alter table admin.audit detach partition admin.:month;
select admin.sensitive_check('APP-000001-a') ->> 'reason' as reason;
set client_min_messages = error;
select admin.create_audit_partitions(1), admin_internal.has_strange_months();
reset client_min_messages;
select count(*) > 0 as caught from admin.audit_default;
select format('alter table admin.audit attach partition admin.%I for values from (%L) to (%L)', :'month', admin_internal.month_start(0), min(recorded_at)) as attach
from admin.audit_default \gset
:attach;
select admin.create_audit_partitions(1);
select count(*) from admin.audit_default;
select count(*) = 3 as parts, bool_and(gapless) as gapless from
    (select upper_bound = coalesce(lead(lower_bound) over (order by lower_bound), admin_internal.month_start(1)) as gapless
     from admin.audit_partitions() where lower_bound < admin_internal.month_start(1)) as m;
select admin.sensitive_check('APP-000001-a') ->> 'reason' as reason;
select count(*) from admin.audit_default;

-- What depends on an old month is named, with its owner.
set admin_ext.restoring = on;
insert into admin.audit (audit_id, event_type, recorded_at, payload) overriding system value values (1000, 'old', '2015-03-04 05:06', '{}');
reset admin_ext.restoring;
select admin.create_audit_partitions(1);
create role regress_viewer;
grant usage on schema admin to regress_viewer;
create schema regress_views authorization regress_viewer;
set role regress_viewer;
create view regress_views.v as select 1 as one from (select null::admin.audit_y2015m03) as t;
create table regress_views.t (m admin.audit_y2015m03[]);
create function regress_views.f(admin.audit_y2015m03) returns int language sql as 'select 1';
reset role;
\set VERBOSITY default
\set SHOW_CONTEXT never
select admin.drop_audit_partitions('8 years');
\set VERBOSITY terse
drop schema regress_views cascade;
-- Not delivered; and then it is.
select admin.drop_audit_partitions('8 years');
drop owned by regress_viewer;
drop role regress_viewer;

-- A guard is known by what it does.
create function pass() returns trigger language plpgsql as $$ begin return null; end $$;
create function guard(bent text) returns table (lacks text, made int, mended boolean) language plpgsql as $$
begin
    execute format('drop trigger audit_append_only_statement on %I.%I', 'admin', to_char(now(), '"audit_y"YYYY"m"MM'));
    execute format(bent, format('on %I.%I', 'admin', to_char(now(), '"audit_y"YYYY"m"MM')));
    lacks := (select string_agg(l, ', ') from admin.audit_partitions() as p, admin_internal.audit_partition_lacks(p.partition) as l);
    made := admin.create_audit_partitions(1);
    mended := not exists (select from admin.audit_partitions() as p, admin_internal.audit_partition_lacks(p.partition)) and
              (select bool_and(t.tgenabled = 'A') from admin.audit_partitions() as p join pg_trigger as t on t.tgrelid = p.partition);
    return next;
end
$$;
set client_min_messages = warning;
select g.* from (values
    ('create trigger audit_append_only_statement before insert or update or delete or truncate %s for each statement when (false) execute function admin.audit_append_only()'),
    ('create trigger audit_append_only_statement before insert or update or delete or truncate %s for each statement execute function pass()'),
    ('create trigger audit_append_only_statement before insert or update or delete or truncate %s for each statement execute function admin.audit_append_only(''x'')'),
    ('create trigger audit_append_only_statement before update of actor or insert or delete or truncate %s for each statement execute function admin.audit_append_only()'),
    ('create trigger audit_append_only_statement before update %s for each statement execute function admin.audit_append_only()'),
    ('create trigger audit_append_only_statement after insert or update or delete or truncate %s for each statement execute function admin.audit_append_only()'),
    ('create constraint trigger audit_append_only_statement after insert or update or delete %s for each row execute function admin.audit_append_only()'),
    ('comment on trigger audit_append_only %s is ''x''')) as b(bent), lateral guard(b.bent) as g;
drop function guard;
truncate admin.:month;

-- Several indexes are several reads under a lock: an operator is told, and its trigger is mended all the same.
set admin_ext.restoring = on;
insert into admin.audit (event_type, payload, recorded_at) select 'large', to_json(repeat('x', 1900)), '2016-05-05' from generate_series(1, 4000);
reset admin_ext.restoring;
select admin.create_audit_partitions(1);
alter table admin.audit_y2016m05 drop constraint audit_y2016m05_pkey;
do $$
declare
    index regclass;
begin
    for index in select i.indexrelid from pg_index as i where i.indrelid = 'admin.audit_y2016m05'::regclass loop
        execute format('drop index %s', index);
    end loop;
end $$;
drop trigger audit_append_only_statement on admin.audit_y2016m05;
create role regress_operator;
select admin.grant_access('regress_operator', 'operator');
set session authorization regress_operator;
\set VERBOSITY default
select admin.create_audit_partitions(1);
\set VERBOSITY terse
reset session authorization;
select admin_internal.audit_partition_lacks('admin.audit_y2016m05');
create index on admin.audit_y2016m05 (xid, audit_id);
create index on admin.audit_y2016m05 (approval_id, audit_id) where approval_id is not null;
create index on admin.audit_y2016m05 (approval_id) where event_type = 'approval.withdrawn';
set session authorization regress_operator;
select admin.create_audit_partitions(1);
reset session authorization;
select admin_internal.audit_partition_lacks('admin.audit_y2016m05');
drop owned by regress_operator;
drop role regress_operator;
drop extension admin_ext;

-- A month that was detached and renamed keeps the names of its indexes; the next one gets others.
set client_min_messages = error;
create extension admin_ext;
select admin.create_audit_partitions(1) > 0 as made;
set client_min_messages = warning;
alter table admin.audit detach partition admin.:month;
alter table admin.:month rename to archive;
select admin.sensitive_check('APP-000001-b') ->> 'reason' as reason;
select admin.create_audit_partitions(1);
select to_regclass('admin.' || :'month') is not null as made, array(select l from admin.audit_partitions() as p, admin_internal.audit_partition_lacks(p.partition) as l) as lacks,
       (select count(*) from admin.audit_default) as caught,
       (select string_agg(replace(i.indexrelid::regclass::text, :'month', 'MONTH'), ' ' order by i.indexrelid::regclass::text) from pg_index as i where i.indrelid = to_regclass('admin.' || :'month')) as indexes;
-- A type has the name of a month.
alter table admin.audit detach partition admin.:month;
drop table admin.archive;
alter table admin.:month rename to archive;
create domain admin.:month as int;
select admin.sensitive_check('APP-000001-b') ->> 'reason' as reason;
select admin.create_audit_partitions(1);
select string_agg(replace(p.partition::text, :'month', 'MONTH'), ' ' order by p.partition::text) from admin.audit_partitions() as p where p.lower_bound = admin_internal.month_start(0);
drop table admin.archive;
drop domain admin.:month;
drop extension admin_ext;
select to_regclass('admin.audit_default') is null as gone;
