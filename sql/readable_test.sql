-- Rows of audited tables and ingested data as every reader of JSON can read them.
set client_min_messages = error;
create extension admin_ext;
reset client_min_messages;
select admin.create_audit_partitions() > 0 as made;

-- How a value of a type is written: the row of the last change.
create function pg_temp.written(type text, value text) returns text language plpgsql as $$
begin
    execute format('create table public.one (v %s); select admin.attach_audit(''public.one''); insert into public.one values (%L)', type, value);
    drop table public.one;
    return (select payload ->> 'row' from admin.audit where event_type = 'row.inserted' order by audit_id desc limit 1);
end;
$$;

-- Numbers: 64-bit integers and doubles of at most 15 significant digits are numbers, all others strings.
select v as value, pg_temp.written('numeric', v) as row from unnest(array['0', '-1', '12.50', '9223372036854775807', '9223372036854775808', '-9223372036854775808',
    '-9223372036854775809', '123456789012.345', '1234567890123.456', '0.000001', '0.100000000000000', '1.000000000000000', '1e20', '1e-20', 'NaN', '12345678901234567890123']) as v;
select pg_temp.written('numeric', '1e400') = '{"v":"1' || repeat('0', 400) || '"}' as long, pg_temp.written('numeric', '1e-400') = '{"v":"0.' || repeat('0', 399) || '1"}' as small,
    pg_temp.written('numeric', repeat('7', 5000)) = '{"v":"' || repeat('7', 5000) || '"}' as longer;
select v as value, pg_temp.written('float8', v) as row from unnest(array['0', '-0', '0.1', '1e15', '1e300', '1.5e308', '5e-324', '123456789012345', '1234567890123456', '0.30000000000000004', 'NaN', 'Infinity', '-Infinity']) as v;
select v as value, pg_temp.written('float4', v) as row from unnest(array['0.1', '3.4e38', '1e-45', '16777217', 'NaN']) as v;
select v as value, pg_temp.written('int8', v) as row from unnest(array['1', '-9223372036854775808']) as v;
-- In json and jsonb, each number by itself.
select t as type, v as value, pg_temp.written(t, v) as row from unnest(array['json', 'jsonb']) with ordinality as t(t, m), unnest(array[
    '{"a": 1, "b": [1.5, -0.25e-3], "c": {}}', '9223372036854775807', '[9223372036854775808, 12345678901234567890123]', '[1.2345678901234567, -0.1234567890123456e5]', '{"n": "12345678901234567890123"}',
    '"a\"12345678901234567890123"', '{"12345678901234567890123": 12345678901234567890123}', ' [ 1 , 1e20 ] ', '[]', 'null']) with ordinality as v(v, n) order by t.m, v.n;
-- What audit_ingest() would refuse or change is a string that holds it.
select v as value, pg_temp.written('json', v) as row from unnest(array['"\ud800"', '"\udc00x"', '["\ud83d"]', '"\ud83d\u0041"', '"\ud83d\ude00"', '"\ude00\ud83d"', '"\u0000"', '{"\u0000": 1}', '"\\u0000"', '"\\\u0000"',
    '{"a":1,"a":2}', '{"a":1,"\u0061":2}', '{"\u00e9":1,"é":2}', '{"\ud83d\ude00":1,"😀":2}', '{"a":{"a":1},"b":[{"a":1},{"a":1}],"A":1}', '[{"b":{"a":1,"c":2,"a":3}}]', '{"":1,"":2}', '{"a\nb":1,"a\u000ab":2}', '{"a\\nb":1,"a\nb":2}',
    '[1e307, -1.7976931348623157e308, 1e400]', '[1e999]', '[1e1000]', '[1e-1001]', '{"n": 1e99999999999999999999}', '[0e-5]']) with ordinality as u(v, n) order by n;
select pg_temp.written('json', repeat('[', 100) || repeat(']', 100)) = '{"v":' || repeat('[', 100) || repeat(']', 100) || '}' as hundred_deep,
    pg_temp.written('json', repeat('[', 101) || repeat(']', 101)) = '{"v":"' || repeat('[', 101) || repeat(']', 101) || '"}' as deeper,
    pg_temp.written('jsonb', repeat('{"a":', 101) || '1' || repeat('}', 101)) = '{"v":' || to_json(repeat('{"a": ', 101) || '1' || repeat('}', 101)) || '}' as objects,
    pg_temp.written('json', '[' || repeat('7', 1000) || ']') = '{"v":["' || repeat('7', 1000) || '"]}' as thousand_digits,
    pg_temp.written('json', '[' || repeat('7', 1001) || ']') = '{"v":"[' || repeat('7', 1001) || ']"}' as more;
-- Objects of many members, one of them twice or not.
select pg_temp.written('json', '{' || string_agg(format('"k%s":1', n), ',') || '}') like '{"v":{"k1":1,%' as each_once,
    pg_temp.written('json', '{' || string_agg(format('"k%s":1', n), ',') || ',"k500":2}') like '{"v":"{\\"k1\\":1,%' as one_twice from generate_series(1, 1000) as n;
select count(*) filter (where payload::jsonb is not null) = count(*) as all_are_jsonb from admin.audit;
-- A refused value of a change: old and new each for itself.
create table public.changed (id int, j json, n numeric);
select admin.attach_audit('public.changed');
insert into public.changed values (1, '{"a":1,"a":2}', 1);
update public.changed set j = '{"a":3}', n = 1e30;
select payload ->> 'changed' as changed from admin.audit where event_type = 'row.updated' order by audit_id desc limit 1;
drop table public.changed;

-- Arrays, composites and domains: a domain is written as its base type.
create domain public.yes as boolean; create domain public.price as numeric(10, 2); create domain public.dear as public.price check (value > 1);
create domain public.texts as text[]; create domain public.document as jsonb; create type public.pair as (a int, b numeric); create domain public.two as public.pair;
select t as type, v as value, pg_temp.written(t, v) as row from (values ('public.yes', 't'), ('public.price', '12.50'), ('public.dear', '12.50'), ('public.texts', '{a,NULL,"b c"}'), ('public.document', '{"a": [1, 12345678901234567890123]}'),
    ('public.dear[]', '{2.5,NULL}'), ('public.yes[]', '{t,f}'), ('numeric[]', '{1,12345678901234567890123,NaN}'), ('json[]', '{"{\"a\":1,\"a\":2}","[1]"}'), ('int8[]', '{1}'), ('float8[]', '{0.1,Infinity}'), ('int[]', '{{1,2},{3,4}}'),
    ('public.pair', '(1,12345678901234567890123)'), ('public.two', '(1,2)'), ('interval', '1 day'), ('timestamptz', '0044-03-15 12:00:00+00 BC'), ('timestamptz', 'infinity'), ('date', '0044-03-15 BC'), ('bytea', '\x00ff'),
    ('int4range', '[1,5)'), ('uuid', '00000000-0000-0000-0000-000000000001'), ('"char"', 'x'), ('oid', '4294967295'), ('public.yes', null)) as v(t, v);
drop domain public.yes, public.dear, public.price, public.texts, public.document, public.two; drop type public.pair;

-- Ingested data likewise.
create function pg_temp.ingested(data jsonb) returns text language plpgsql as $$
begin
    if (admin.audit_ingest(jsonb_build_array(jsonb_build_object('specversion', '1.0', 'id', gen_random_uuid(), 'source', '/ff/n', 'type', 't', 'data', data))) ->> 'accepted')::int <> 1 then
        raise exception 'not accepted';
    end if;
    return (select payload from admin.audit where source = '/ff/n' order by audit_id desc limit 1);
end;
$$;
select v as data, pg_temp.ingested(v::jsonb) as written from unnest(array['12.50', '9223372036854775807', '9223372036854775808', '{"amount": 12345678901234567890123, "rate": 0.1234567890123456, "12345678901234567890123": 1}', '[1e20, 1e-20]', '0.30000000000000004']) as v;
select pg_temp.ingested('1e400') = '"1' || repeat('0', 400) || '"' as long;

set client_min_messages = error;
drop extension admin_ext;
