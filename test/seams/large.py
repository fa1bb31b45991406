"""Each function of users that takes a text, JSON or an array is called with 64 MB: it ends, or is cancelled, in time."""

import os
import time

import psycopg2
from session import connect, done, ok, one, rows

TIMEOUT, BOUND = 2, 60  # seconds: of a statement, and until it has to be over on a busy machine
BYTES = int(os.environ.get("LARGE_BYTES", 64 * 1024 * 1024))
OTHERS = {
    "text": "'x'",
    "timestamp with time zone": "now() + interval '1 day'",
    "integer": "1",
    "bigint": "1",
    "smallint": "1::smallint",
    "boolean": "false",
    "interval": "interval '1 day'",
    "regclass": "'pg_class'::regclass",
    "json": "'{}'::json",
    "jsonb": "'[]'::jsonb",
    "text[]": "'{r}'::text[]",
    "int8range": "'[1,2)'::int8range",
    "bytea": "'x'::bytea",
    "xid8": "'3'::xid8",
    "name": "'x'::name",
    "regrole": "'pg_monitor'::regrole",
    "uuid": "gen_random_uuid()",
    "double precision": "1::float8",
    "bigint[]": "'{1}'::bigint[]",
    "numeric": "1",
    "oid": "1::oid",
    "pg_snapshot": "pg_current_snapshot()",
    "regprocedure": "'now()'::regprocedure",
    "int8multirange": "'{}'::int8multirange",
    "admin.approval": "null::admin.approval",
    "admin.signature[]": "'{}'::admin.signature[]",
    "timestamp without time zone": "now()::timestamp",
}
LARGE = {
    "text": ["quotes", "dots"],
    "json": ["json_string", "json_members"],
    "jsonb": ["jsonb_element", "jsonb_numbers", "jsonb_objects", "jsonb_members", "jsonb_deep"],
    "text[]": ["array_long", "array_many"],
}
connection = connect()
one(connection, "create extension admin_ext_cutover")
for role, access in (
    ("may_check", "checker"),
    ("may_sign", "signer"),
    ("may_read", "auditor"),
    ("may_operate", "operator"),
):
    one(connection, f"create role {role}")
    one(connection, f"select admin.grant_access('{role}', '{access}')")
one(connection, "alter system set admin_ext.require_verified_jwt = off; ")
one(connection, "select pg_reload_conf()")
one(
    connection,
    f"""create table large as select
    repeat('x', {BYTES}) as letters, repeat('"', {BYTES}) as quotes, repeat('a.', {BYTES // 2}) as dots,
    ('{{"a": "' || repeat('x', {BYTES}) || '"}}')::json as json_string,
    (select ('{{' || string_agg(format('"m%s": "%s"', n, repeat('x', 30)), ',') || '}}')::json from generate_series(1, {BYTES // 48}) as n) as json_members,
    jsonb_build_object('specversion', repeat('x', {BYTES})) as jsonb_string,
    jsonb_build_array(jsonb_build_object('specversion', '1.0', 'id', 'i', 'source', '/s', 'type', 't', 'approval_id', 'APP-000001-a', 'data', repeat('x', {BYTES}))) as jsonb_element,
    (select jsonb_agg(n) from generate_series(1, {BYTES // 16}) as n) as jsonb_numbers,
    (select jsonb_agg(jsonb_build_object('approval_id', 'APP-000001-a', 'action', repeat('x', 6000), 'id', n, 'source', '/s' || n)) from generate_series(1, 9999) as n) as jsonb_objects,
    jsonb_build_array((select jsonb_object_agg('m' || n, repeat('x', 30)) from generate_series(1, {BYTES // 48}) as n)) as jsonb_members,
    (repeat('[', 5000) || repeat(']', 5000))::jsonb as jsonb_deep,
    array[repeat('x', {BYTES})] as array_long, array_fill('r'::text, array[{BYTES // 8}]) as array_many""",
)
functions = rows(
    connection,
    """select format('%s.%s', p.pronamespace::regnamespace, p.proname), array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as a(t, n) order by n), p.prokind::text
    from pg_proc as p join pg_depend as d on d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'
    join pg_extension as e on e.oid = d.refobjid and e.extname in ('admin_ext', 'admin_ext_cutover')
    where p.pronamespace in ('admin'::regnamespace, 'admin_internal'::regnamespace) and p.prokind in ('f', 'p') and p.prorettype not in ('trigger'::regtype, 'internal'::regtype, 'event_trigger'::regtype)
      and not 'internal'::regtype = any (p.proargtypes::oid[])
      and (has_function_privilege('may_check', p.oid, 'execute') or has_function_privilege('may_sign', p.oid, 'execute')
           or has_function_privilege('may_read', p.oid, 'execute') or has_function_privilege('may_operate', p.oid, 'execute')
           or p.proname ~ '^(import_|add_jwt|remove_jwt|revoke_|grant_)') order by 1, 2""",
)
slow, unknown, calls = [], set(), 0
for name, types, kind in functions:
    unknown |= {kind for kind in types if kind not in OTHERS}
    for place, taken in enumerate(types):
        for column in LARGE.get(taken, ()):
            if any(kind not in OTHERS for kind in types):
                continue
            arguments = [OTHERS[kind] for kind in types]
            arguments[place] = f"(select {column} from large)"
            session = connect(options=f"-c statement_timeout={TIMEOUT}s -c client_min_messages=error")
            began, answer = time.monotonic(), "answered"
            try:
                session.autocommit = False
                with session.cursor() as cursor:
                    cursor.execute(
                        f"{'call' if kind == 'p' else 'select count(*) from'} {name}({', '.join(arguments)})"
                    )
                session.rollback()
            except psycopg2.Error as raised:
                answer = f"{raised.pgcode} {raised}".splitlines()[0][:90]
            taken_seconds = time.monotonic() - began
            session.close()
            calls += 1
            print(f"# {name}({column}): {taken_seconds:.1f} s, {answer}")
            if taken_seconds > BOUND or answer.startswith(("None", "XX", "57P")):
                slow.append((name, column, round(taken_seconds, 1), answer))
ok(not unknown, "the types of all arguments are known to this test", unknown)
ok(calls > 60, f"more than 60 calls have a large argument: {calls}", calls)
ok(not slow, "each call ends in time, without an internal error", slow)
ok(
    one(connection, "select admin.sensitive_check('APP-000001-a') ->> 'reason'") == "approval_not_found",
    "the server answers a check after all large calls",
)
done()
