-- fixtures/persistence_schema.json and the catalog, held against each other in both directions.
set client_min_messages = error;
create extension admin_ext;
create extension admin_ext_cutover;
set client_min_messages = warning;
\set spec `cat fixtures/persistence_schema.json`
create temp table described as
select r ->> 'name' as relation, r ->> 'kind' as kind, c.n, c.c ->> 'name' as name, c.c ->> 'type' as type, (c.c ->> 'nullable')::boolean as nullable, c.c ->> 'default' as "default"
from jsonb_array_elements((:'spec')::jsonb -> 'relations') as r, jsonb_array_elements(r -> 'columns') with ordinality as c(c, n);
create temp table there as
select relname::text as relation, case relkind when 'r' then 'table' when 'p' then 'partitioned table' when 'v' then 'view' end as kind,
       row_number() over (partition by c.oid order by attnum) as n, attname::text as name, format_type(atttypid, atttypmod) as type, not attnotnull as nullable,
       case when attidentity <> '' then 'identity' else pg_get_expr(adbin, adrelid) end as "default"
from pg_class as c join pg_attribute as a on attrelid = c.oid left join pg_attrdef on adrelid = c.oid and adnum = attnum
where relnamespace = 'admin'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition and attnum > 0 and not attisdropped;
select count(*) > 60 as columns, count(distinct relation) as relations from described;
select 'only described' as "where", * from (select * from described except select * from there) as x
union all select 'only there', * from (select * from there except select * from described) as x order by 2, 4;
-- constraints by name, both ways
select 'only described' as "where", x from (
  select r ->> 'name' || ': ' || (k #>> '{}') as x from jsonb_array_elements((:'spec')::jsonb -> 'relations') as r, jsonb_array_elements(r -> 'constraints') as k
  except select relname || ': ' || conname || ' ' || pg_get_constraintdef(k.oid) from pg_constraint as k join pg_class as c on c.oid = conrelid where relnamespace = 'admin'::regnamespace and contype <> 'n' and not relispartition) as x
union all
select 'only there', x from (
  select relname || ': ' || conname || ' ' || pg_get_constraintdef(k.oid) as x from pg_constraint as k join pg_class as c on c.oid = conrelid where relnamespace = 'admin'::regnamespace and contype <> 'n' and not relispartition
  except select r ->> 'name' || ': ' || (k #>> '{}') from jsonb_array_elements((:'spec')::jsonb -> 'relations') as r, jsonb_array_elements(r -> 'constraints') as k) as x;
-- triggers and how they are enabled
select 'only described' as "where", x from (
  select r ->> 'name' || ': ' || (k #>> '{}') as x from jsonb_array_elements((:'spec')::jsonb -> 'relations') as r, jsonb_array_elements(r -> 'triggers') as k
  except select relname || ': ' || tgname || ' ' || tgenabled::text from pg_trigger join pg_class as c on c.oid = tgrelid where relnamespace = 'admin'::regnamespace and not tgisinternal and not relispartition) as x
union all
select 'only there', x from (
  select relname || ': ' || tgname || ' ' || tgenabled::text as x from pg_trigger join pg_class as c on c.oid = tgrelid where relnamespace = 'admin'::regnamespace and not tgisinternal and not relispartition
  except select r ->> 'name' || ': ' || (k #>> '{}') from jsonb_array_elements((:'spec')::jsonb -> 'relations') as r, jsonb_array_elements(r -> 'triggers') as k) as x;
drop extension admin_ext_cutover;
drop extension admin_ext;
