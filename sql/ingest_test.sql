-- Events from elsewhere: each once per source and id, gaps by sequence, bad ones named singly.
set client_min_messages = error;
create extension admin_ext;
select admin.create_audit_partitions() > 0 as partitions;
set client_min_messages = warning;
\pset null null

-- An event with what it needs, and what else is given.
create function pg_temp.event(id text, extra jsonb default '{}') returns jsonb language sql
return jsonb_build_object('specversion', '1.0', 'id', id, 'source', '/ff/eu-1', 'type', 'ptt.ff.approval.consumed') || extra;
create function pg_temp.events(variadic events jsonb[]) returns jsonb language sql return to_jsonb(events);

-- What is kept of one.
select admin.audit_ingest(pg_temp.events(pg_temp.event('e-1', '{"time": "2026-11-23T21:00:00.5+01:00", "subject": "APP-100001-abcd", "sequence": "1",
    "actor": "payments", "requestid": "r-1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "dataschema": "https://ff.invalid/consumed", "tenant": "de", "attempt": 2, "dry": false, "nothing": null, "data": {"amount": 12.50, "to": ["a", "b"]}}')));
select event_type, approval_id, actor, source, source_event_id, request_id, traceparent, payload, occurred_at at time zone 'UTC' as occurred, recorded_at > '2026-11-23' as recorded
from admin.audit where source_event_id = 'e-1';
select x.attributes from admin.audit_attributes as x join admin.audit as a using (audit_id) where source_event_id = 'e-1';
-- Data of every kind; none is null; time is optional.
select admin.audit_ingest(pg_temp.events(pg_temp.event('d-1', '{"data": "text \" \\ \u00e9"}'), pg_temp.event('d-2', '{"data": 1.50}'), pg_temp.event('d-3', '{"data": true}'),
    pg_temp.event('d-4', '{"data": null}'), pg_temp.event('d-5'), pg_temp.event('d-6', '{"data": []}')));
select source_event_id, payload, occurred_at = recorded_at as now, approval_id from admin.audit where source_event_id ~ '^d-' order by audit_id;

-- Once per source and id: sent again, twice in a batch, from another source.
select admin.audit_ingest(pg_temp.events(pg_temp.event('e-1'), pg_temp.event('e-2'), pg_temp.event('e-2'), pg_temp.event('e-1', '{"source": "/ff/eu-2"}')));
select admin.audit_ingest(pg_temp.events(pg_temp.event('e-1'), pg_temp.event('e-2'), pg_temp.event('E-1')));
select source, source_event_id, count(*) from admin.audit where source_event_id ilike 'e-%' group by 1, 2 order by source, source_event_id collate "C";
-- The same content is a duplicate; other content under the same id is rejected and counted.
create function pg_temp.full_event(extra jsonb default '{}') returns jsonb language sql
return pg_temp.event('c-1', '{"time": "2026-11-23T20:00:00Z", "subject": "APP-100001-abcd", "sequence": "77", "actor": "a", "requestid": "r", "tenant": "de",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "source": "/ff/c", "data": {"amount": 1}}'::jsonb || extra);
select admin.audit_ingest(pg_temp.events(pg_temp.full_event())) ->> 'accepted' as accepted;
select change, a ->> 'duplicates' as duplicates, regexp_replace(a #>> '{rejected,0,error}', 'audit_id \d+', 'audit_id N') as error
from unnest(array['{}', '{"time": "2026-11-23T21:00:00+01:00"}', '{"data": {"amount": 1000}}', '{"data": null}', '{"type": "other"}', '{"time": "2026-11-23T20:00:01Z"}', '{"time": null}',
    '{"subject": "APP-100002-abcd"}', '{"subject": null}', '{"subject": "no approval"}', '{"sequence": "78"}', '{"sequence": null}', '{"actor": "b"}', '{"actor": null}', '{"requestid": "s"}',
    '{"traceparent": null}', '{"tenant": "fr"}', '{"tenant": null}', '{"other": "x"}', '{"dataschema": "https://x.invalid"}',
    '{"tenant": true}', '{"tenant": null, "aaa": 1}']) with ordinality as c(change, n),
    lateral (select admin.audit_ingest(pg_temp.events(pg_temp.full_event(change::jsonb)))) as x(a) order by n;
-- Attributes that have no column, of each type, and a subject that is no approval.
create function pg_temp.bare_event(extra jsonb default '{}') returns jsonb language sql
return pg_temp.event('c-4', '{"source": "/ff/c", "subject": "order 7", "retries": 3, "urgent": true, "region": "eu"}'::jsonb || extra);
select admin.audit_ingest(pg_temp.events(pg_temp.bare_event())) ->> 'accepted' as accepted;
select change, a ->> 'duplicates' as duplicates, regexp_replace(a #>> '{rejected,0,error}', 'audit_id \d+', 'audit_id N') as error
from unnest(array['{}', '{"retries": 4}', '{"retries": "3"}', '{"urgent": false}', '{"subject": "order 8"}', '{"subject": null}', '{"region": "de"}', '{"sequence": "1"}',
    '{"retries": null, "urgent": null, "region": null, "subject": null}']) with ordinality as c(change, n),
    lateral (select admin.audit_ingest(pg_temp.events(pg_temp.bare_event(change::jsonb)))) as x(a) order by n;
select admin.audit_ingest(pg_temp.events(pg_temp.event('c-5', '{"source": "/ff/c"}'))) ->> 'accepted' as accepted;
select a #>> '{rejected,0,error}' ~ 'differs in region$' as names_it from (select admin.audit_ingest(pg_temp.events(pg_temp.event('c-5', '{"source": "/ff/c", "region": "eu"}')))) as x(a);
-- Without a time it was recorded at once; what is twice in one batch, and differs.
select admin.audit_ingest(pg_temp.events(pg_temp.event('c-2', '{"source": "/ff/c"}'), pg_temp.event('c-3', '{"source": "/ff/c", "x": "1"}'), pg_temp.event('c-3', '{"source": "/ff/c", "x": "1"}'),
    pg_temp.event('c-3', '{"source": "/ff/c", "x": "2"}'))) #- '{rejected,0,error}' as answer;
select admin.audit_ingest(pg_temp.events(pg_temp.event('c-2', '{"source": "/ff/c"}'), pg_temp.event('c-2', '{"source": "/ff/c", "time": "2026-11-23T20:00:00Z"}'))) #- '{rejected,0,error}' as answer;
select accepted, duplicates, conflicting, last_sequence from admin.ingest_source where source = '/ff/c';
-- What was rolled back was not accepted.
begin; select admin.audit_ingest(pg_temp.events(pg_temp.event('e-3'))); rollback;
select admin.audit_ingest(pg_temp.events(pg_temp.event('e-3')));
-- The default partition, and months before and to come: an event is found wherever it was recorded.
select count(*) from pg_class where relkind = 'i' and pg_get_indexdef(oid) like '%UNIQUE%source_event_id%' and relnamespace = 'admin'::regnamespace;

-- Bad ones are named, the others stored.
select (r ->> 'index')::int as index, r ->> 'id' as id, r ->> 'error' as error
from jsonb_array_elements(admin.audit_ingest(pg_temp.events(
    '1', '"x"', 'null', '[]', '{}', pg_temp.event('g-1'),
    pg_temp.event('b-1') - 'specversion', pg_temp.event('b-2', '{"specversion": "0.3"}'), pg_temp.event('b-3', '{"specversion": 1.0}'),
    pg_temp.event('b-4') - 'id', pg_temp.event(''), pg_temp.event(repeat('i', 257)), pg_temp.event('b-5', '{"id": 7}'),
    pg_temp.event('b-6') - 'source', pg_temp.event('b-7', '{"source": ""}'), pg_temp.event('b-8', '{"source": "admin_ext"}'),
    pg_temp.event('b-9', '{"source": "/admin_ext/c7ba5ef7-1e95-44b4-9e12-3312157094ae"}'), pg_temp.event('b-10', jsonb_build_object('source', repeat('s', 513))),
    pg_temp.event('b-11') - 'type', pg_temp.event('b-12', '{"type": {}}'), pg_temp.event('b-13', jsonb_build_object('type', repeat('t', 257))),
    pg_temp.event('b-14', '{"time": "yesterday"}'), pg_temp.event('b-15', '{"time": "2026-02-30T00:00:00Z"}'), pg_temp.event('b-16', '{"time": "2026-01-01"}'),
    pg_temp.event('b-17', '{"time": "2026-01-01T00:00:00"}'), pg_temp.event('b-18', '{"time": 7}'), pg_temp.event('b-19', '{"time": "infinity"}'),
    pg_temp.event('b-20', '{"sequence": "x"}'), pg_temp.event('b-21', '{"sequence": -1}'), pg_temp.event('b-22', '{"sequence": "9223372036854775807"}'),
    pg_temp.event('b-23', '{"sequence": 1.5}'), pg_temp.event('b-24', '{"sequence": ""}'), pg_temp.event('b-25', '{"sequence": "99999999999999999999999"}'),
    pg_temp.event('b-26', '{"sequence": []}'), pg_temp.event('b-27', jsonb_build_object('data', repeat('x', 262143))), pg_temp.event('b-28', '{"data_base64": "eA=="}'),
    pg_temp.event('b-29', '{"datacontenttype": "text/plain"}'), pg_temp.event('b-30', '{"auditid": "1"}'), pg_temp.event('b-31', '{"recordedtime": "1"}'),
    pg_temp.event('b-32', '{"Tenant": "x"}'), pg_temp.event('b-33', '{"a b": "x"}'), pg_temp.event('b-34', '{"": "x"}'), pg_temp.event('b-35', '{"ext": {}}'),
    pg_temp.event('b-36', '{"ext": 1.5}'), pg_temp.event('b-37', '{"subject": ""}'), pg_temp.event('b-38', jsonb_build_object('ext', repeat('x', 8192))),
    pg_temp.event('b-39', jsonb_build_object('actor', repeat('x', 257))), pg_temp.event('b-40', '{"traceparent": true}'), pg_temp.event('b-41', '{"requestid": 1}'),
    pg_temp.event('b-42', '{"data": [1, 1e131000]}'), pg_temp.event('b-43', '{"data": 1e-1001}'), pg_temp.event('b-44', '{"sequence": 1e131000}'),
    pg_temp.event('b-45', jsonb_build_object('data', (repeat('[', 101) || repeat(']', 101))::jsonb)), pg_temp.event('b-46', '{"partitionkey": true}'),
    pg_temp.event('b-47', '{"ext": 2147483648}'), pg_temp.event('b-48', '{"ext": 1e131000}'), pg_temp.event('b-49', '{"dataschema": ""}'),
    pg_temp.event('g-6', '{"ext": -2147483648, "partitionkey": "p", "data": [1e300, -1e-300, {"a": [], "b": {}}]}'),
    pg_temp.event('g-7', jsonb_build_object('data', (repeat('[', 100) || repeat(']', 100))::jsonb)),
    pg_temp.event('g-2', '{"datacontenttype": "application/json", "subject": "no approval"}'), pg_temp.event('g-3', jsonb_build_object('data', repeat('x', 262142))),
    pg_temp.event('g-4', '{"time": "2026-06-30T23:59:60Z"}'), pg_temp.event('g-5', jsonb_build_object('id', repeat('i', 256))))) -> 'rejected') as r;
-- What readers of CloudEvents stop at: URIs that are none, and characters that no attribute may have.
select v as source, a #>> '{rejected,0,error}' as error from unnest(array['ff eu 1', ':x', '/ff/%zz', '/ff/{id}', '/ff/ü', e'/ff\nx', '1:x', 'x:', 'X:y', '/ff#', '#', '//', '//h:8a', 'http://[::1', '/ff|1', '\\ff\1', '-',
        '/ff/eu-1?q=1#f', 'urn:ff:eu-1', 'https://u@ff.invalid:8443/a%20b', 'http://[::1]:80/', 'mailto:ff@x.invalid', '../ff', '?']) with ordinality as u(v, n),
    lateral (select admin.audit_ingest(pg_temp.events(pg_temp.event('u-' || n, jsonb_build_object('source', v))))) as x(a) order by n;
select v as dataschema, a #>> '{rejected,0,error}' as error from unnest(array['not a uri', 'x/y.json', '/x', 'https://ff.invalid/x#f', 'https:', 'https://ff.invalid/x?v=1', 'urn:x:y']) with ordinality as u(v, n),
    lateral (select admin.audit_ingest(pg_temp.events(pg_temp.event('s-' || n, jsonb_build_object('dataschema', v))))) as x(a) order by n;
select name, to_hex(ascii(right(v, 1))) as ends_in, a #>> '{rejected,0,error}' as error from unnest(array['id', 'type', 'subject', 'actor', 'requestid', 'traceparent', 'partitionkey', 'tenant']) with ordinality as m(name, m),
    unnest(array[e'a\nb', e'\u007f', e'\u0085', e'\uFDD0', e'\U0001FFFE', e'a\u00A0\u2028\uFFFD']) with ordinality as u(v, n),
    lateral (select admin.audit_ingest(pg_temp.events(pg_temp.event('k-' || m || '-' || n, jsonb_build_object(name, v))))) as x(a) where n in (2, 6) or m = 8 or a ->> 'accepted' <> '0' order by m, n;
select source_event_id, length(payload::text) from admin.audit where source_event_id ~ '^g-|^iii' order by audit_id;
select payload ->> 2 as nested, (payload ->> 0)::float8 as large, (payload ->> 1)::float8 as small from admin.audit where source_event_id = 'g-6';
select occurred_at at time zone 'UTC' as leap from admin.audit where source_event_id = 'g-4';
select admin.audit_ingest('[]');
-- What is no array of them is refused whole.
select admin.audit_ingest(null);
select admin.audit_ingest('{}');
select admin.audit_ingest('"x"');
select admin.audit_ingest((select jsonb_agg(n) from generate_series(1, 10001) as n));
-- A NUL is no text of PostgreSQL's: jsonb itself refuses it.
\set SHOW_CONTEXT never
select admin.audit_ingest('[{"id": "a\u0000b"}]');
select admin.audit_ingest('[{"id": "\ud800"}]');
begin read only; select admin.audit_ingest('[]'); rollback;

-- Gaps.  A batch in any order has none of its own.
create function pg_temp.numbered(variadic sequences bigint[]) returns jsonb language sql
return admin.audit_ingest((select jsonb_agg(pg_temp.event('n-' || s || '-' || n, jsonb_build_object('source', '/ff/n', 'sequence', s::text)) order by n)
                           from unnest(sequences) with ordinality as u(s, n))) - 'rejected';
create view pg_temp.gaps as select from_sequence, to_sequence, filled_at is not null as filled from admin.ingest_gap where source = '/ff/n' order by 1;
select pg_temp.numbered(5, 3, 4);
select * from pg_temp.gaps;
select pg_temp.numbered(20, 10);
select * from pg_temp.gaps;
select pg_temp.numbered(15, 12, 6);
select * from pg_temp.gaps;
select pg_temp.numbered(7, 8, 9, 11, 13, 14, 16, 17, 18, 19);
select * from pg_temp.gaps;
-- Back, repeated, before the first.
select pg_temp.numbered(4), pg_temp.numbered(21, 21);
select pg_temp.numbered(1);
select * from pg_temp.gaps where not filled;
select pg_temp.numbered(2);
-- Far ahead, to the end.
select pg_temp.numbered(9223372036854775806);
select * from pg_temp.gaps where not filled;
select first_sequence, last_sequence, accepted, duplicates, unexpected from admin.ingest_source where source = '/ff/n';
select source, accepted, duplicates, first_sequence from admin.ingest_source order by source;

-- Gaps that no event will fill: closed by hand, with an event; what lies above stays open.
create extension admin_ext_cutover;
select status, regexp_replace(detail, '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z', '<instant>') as detail from admin.cutover_readiness where item = 'E5';
select admin.close_ingest_gaps('/ff/n', 1000, 'the old counter, see ticket 7');
select from_sequence, to_sequence, filled_at is not null as filled, closed_by = session_user as by_me, close_reason from admin.ingest_gap where source = '/ff/n' and (closed_by is not null or filled_at is null) order by 1;
select admin.close_ingest_gaps('/ff/n', 9223372036854775807, 'the rest');
select admin.close_ingest_gaps('/ff/n', 9223372036854775807, 'none is left');
select count(*) filter (where filled_at is null) as open, count(*) filter (where closed_by is not null) as closed from admin.ingest_gap where source = '/ff/n';
select payload, actor = session_user as by_me from admin.audit where event_type = 'gap.closed' order by audit_id;
select status, regexp_replace(detail, '[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z', '<instant>') as detail from admin.cutover_readiness where item = 'E5';
-- A late event of such a gap is taken.
select pg_temp.numbered(500);
select count(*) filter (where filled_at is null) as open from admin.ingest_gap where source = '/ff/n';
select admin.close_ingest_gaps('/ff/nowhere', 1, 'x');
select admin.close_ingest_gaps(null, 1, 'x');
select admin.close_ingest_gaps('/ff/n', null, 'x');
select admin.close_ingest_gaps('/ff/n', 1, '');
select admin.close_ingest_gaps('/ff/n', 1, null);

-- From a role only sources that begin with a prefix granted to it, or to a role that it inherits from.
create role regress_ff login; create role regress_group; create role regress_noinherit login noinherit; grant regress_group to regress_ff, regress_noinherit;
create function public.from_source(variadic sources text[]) returns table (accepted text, errors text[]) language sql as $$
    select a ->> 'accepted', array(select regexp_replace(e ->> 'error', '; .*', '') from jsonb_array_elements(a -> 'rejected') as e)
    from (select admin.audit_ingest((select jsonb_agg(jsonb_build_object('specversion', '1.0', 'id', md5(random()::text), 'source', s, 'type', 't', 'data', n)) from unnest(sources) with ordinality as u(s, n)))) as x(a) $$;
select admin.grant_access('regress_group', 'checker'), admin.grant_access('regress_noinherit', 'checker');
set role regress_ff;
select * from public.from_source('/ff/eu-1', '/p/1');
reset role;
select admin.grant_access('regress_ff', 'checker', '/p/'), admin.grant_access('regress_group', 'checker', '/g');
set role regress_ff;
-- Bytes, as they are: no case, no path, no pattern.
select * from public.from_source('/p/1', '/p/', '/p', '/P/1', '/p/../ff/eu-1', '/g', '/gg', '/ff/eu-1', '/pp/1', '/%', '_p/', '//p/1', '/admin_ext/x', 'admin_ext');
set role regress_noinherit;
select * from public.from_source('/g/1');
reset role;
select * from public.from_source('/anything');
-- Two prefixes, revoked together.
select admin.grant_access('regress_ff', 'checker', '/q/');
select admin.revoke_access('regress_ff', 'checker');
set role regress_ff;
select * from public.from_source('/p/1', '/q/1', '/g/1');
reset role;
-- An operator needs a prefix, too.
create role regress_op login;
select admin.grant_access('regress_op', 'operator'), admin.grant_access('regress_op', 'operator', '/op/');
set role regress_op;
select * from public.from_source('/op/1', '/ff/eu-1');
select admin.close_ingest_gaps('/ff/n', 1, 'an operator may');
reset role;
-- So many sources and no more; those that are there go on.
select accepted, cardinality(errors), errors[1] from public.from_source(variadic (select array_agg('/bulk/' || n) from generate_series(1, 1500) as n));
select admin.grant_access('regress_ff', 'checker', '/many/');
set role regress_ff;
select accepted, cardinality(errors), errors[1] from public.from_source(variadic (select array_agg('/many/' || n) from generate_series(1, 1200) as n));
select accepted, cardinality(errors), errors[1] from public.from_source('/many/1', '/many/5000', '/many/2', '/g/1', '/g/2');
reset role;
select count(*) as many from admin.ingest_source where source like '/many/%';
drop owned by regress_ff, regress_group, regress_noinherit, regress_op;
drop role regress_ff, regress_group, regress_noinherit, regress_op;

-- What was ingested stays as it is.
update admin.audit_attributes set attributes = '{}';
delete from admin.audit_attributes;
truncate admin.audit_attributes;
insert into admin.audit_attributes select max(audit_id) + 1000, '{}' from admin.audit;
begin;
set local admin_ext.restoring = on;
insert into admin.audit_attributes select max(audit_id) + 1000, '5' from admin.audit;
rollback;
begin;
set local admin_ext.restoring = on;
\set VERBOSITY sqlstate
insert into admin.audit (event_type, source, source_event_id, payload) values ('ingest.x', '/ff/eu-1', 'e-1', '{}');
\set VERBOSITY default
rollback;
-- It is no row of the check's: reading it again is refused, and no approval's history has it.
select admin.replay_check((select min(audit_id) from admin.audit where source_event_id is not null));
set client_min_messages = error;
drop function public.from_source;
drop extension admin_ext_cutover;
drop extension admin_ext cascade;
