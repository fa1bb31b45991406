"""Each of the 28 items of admin.cutover_readiness broken on purpose, and the view asked; and that it answers where things are gone."""

import contextlib
import json
import threading

import psycopg2
from readiness_breaks import ARCHIVED, BREAKS, GONE, ID, LATE, LINK, NO_RECEIPTS, RECEIPT
from session import connect, done, ok, one, poll, rows

DOCUMENT = [
    {
        "approval_id": ID,
        "action": "pay",
        "resource": "account 7",
        "required_roles": ["r", "s"],
        "requested_by": "boss",
        "state": "signed_full",
        "sla_deadline": "2100-01-01T00:00:00Z",
        "signatures": [{"signer_role": "r", "signer": "ann"}, {"signer_role": "s", "signer": "bob"}],
    },
    {
        "approval_id": LATE,
        "action": "pay",
        "required_roles": ["r"],
        "requested_by": "boss",
        "state": "signed_full",
        "sla_deadline": "2026-01-01T00:00:00Z",
        "created_at": "2025-12-01T00:00:00Z",
        "signatures": [{"signer_role": "r", "signer": "ann"}],
    },
    {
        "approval_id": GONE,
        "action": "pay",
        "required_roles": ["r"],
        "requested_by": "boss",
        "sla_deadline": "2100-01-01T00:00:00Z",
    },
]
# A public key of RFC 7517, appendix A.1.
KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    "use": "sig",
    "kid": "1",
}


def event(source, sequence):
    return {
        "specversion": "1.0",
        "id": str(sequence),
        "source": source,
        "type": "ptt.ff.test",
        "time": "2026-11-26T10:00:00Z",
        "sequence": str(sequence),
    }


def readiness(connection):
    """Status and detail of each item."""
    return {
        item: (status, detail)
        for item, status, detail in rows(connection, "select item, status, detail from admin.cutover_readiness")
    }


@contextlib.contextmanager
def transaction():
    """What is done in it is undone."""
    with contextlib.closing(connect()) as connection:
        connection.autocommit = False
        yield connection
        connection.rollback()


def run(connection, statements):
    with connection.cursor() as cursor:
        cursor.execute(statements)


def configure(connection, **settings):
    for name, value in settings.items():
        run(
            connection,
            f"alter system reset admin_ext.{name}"
            if value is None
            else f"alter system set admin_ext.{name} = '{value}'",
        )
    run(connection, "select pg_reload_conf()")


def make_ready(connection):
    run(
        connection,
        "create role ff login; select admin.grant_access('ff', 'checker'); create role reads login; select admin.grant_access('reads', 'auditor')",
    )
    one(connection, "select admin.import_approvals(%s::jsonb)", json.dumps(DOCUMENT))
    run(
        connection,
        f"update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss' where approval_id = '{GONE}'",
    )
    one(connection, "select admin.record_parity_run(100, 0, 0)")
    one(connection, "select admin.add_jwt_issuer('https://issuer', 'admin')")
    one(connection, "select admin.import_jwks('https://issuer', %s)", json.dumps({"keys": [KEY]}))
    one(connection, "select admin.audit_ingest(%s::jsonb)", json.dumps([event("/ff/1", 1), event("/ff/1", 2)]))
    run(connection, LINK.format(n=ARCHIVED, age="0 s"))
    run(connection, RECEIPT.format(n=ARCHIVED, chain=ARCHIVED))
    one(connection, "select admin.sensitive_check(%s, 'pay', 'account 7', 'FF')", ID)
    ok(poll(lambda: not fails(connection), 60), "no item fails once everything is set up", fails(connection))
    found = readiness(connection)
    ok(
        len(found) == 28
        and [item for item, (status, _) in found.items() if status == "not_configured"] == ["D2", "D3", "E4"],
        "28 items; without Kafka and Redis three of them are not configured",
        found,
    )


def fails(connection):
    return {item: detail for item, (status, detail) in readiness(connection).items() if status == "fail"}


# Above all numbers that a worker records.


def broken_by_sql():
    for item, statements, words in BREAKS:
        with transaction() as connection:
            run(connection, statements)
            status, detail = readiness(connection)[item]
        ok(
            status == ("not_configured" if words is None else "fail") and (words or "") in detail,
            f"{item}: {' '.join(statements.split())[-90:]}",
            (status, detail),
        )


def becomes(connection, item, status, words, what):
    """Within the time that a reload, or a worker, takes."""
    ok(
        poll(lambda: readiness(connection)[item][0] == status and words in readiness(connection)[item][1], 60),
        f"{item}: {what}",
        readiness(connection)[item],
    )


def broken_by_settings(connection):
    configure(connection, sweep_interval="0")
    becomes(connection, "C4", "fail", "nobody announces deadlines", "no pg_cron job, and the worker does not sweep")
    becomes(
        connection,
        "C4",
        "fail",
        "; set admin_ext.sweep_interval, or call admin.schedule_sweep()",
        "the detail says how to get deadlines announced",
    )
    configure(connection, sweep_interval=None)
    becomes(connection, "C4", "pass", "worker", "the worker sweeps again")
    configure(connection, archive_required="on")
    with transaction() as unarchived:
        run(unarchived, NO_RECEIPTS)
        becomes(
            unarchived,
            "D6",
            "fail",
            "admin_ext.archive_required is on, and no archiver has sent a receipt",
            "receipts are required, and there is none",
        )
    configure(connection, archive_required=None)
    configure(connection, databases="")
    becomes(connection, "D1", "fail", "not listed in admin_ext.databases", "nobody serves the database")
    becomes(
        connection,
        "C4",
        "fail",
        "; list the database in admin_ext.databases, or call admin.schedule_sweep()",
        "without a worker nobody announces deadlines, and the detail says what to do",
    )
    ok(
        readiness(connection)["D4"][0] == "fail",
        "D4: a database that no worker serves does not keep up",
        readiness(connection)["D4"],
    )
    configure(connection, databases=None)
    becomes(connection, "D1", "pass", "ndjson", "the database is served again")
    configure(connection, sinks="ndjson, kafka, redis")
    becomes(connection, "D1", "fail", "kafka", "a sink that is not set up")
    becomes(connection, "D2", "fail", "no broker is configured", "no broker")
    becomes(connection, "E4", "fail", "redis", "no Redis")
    configure(connection, schema_registry_url="http://127.0.0.1:1", kafka_brokers="127.0.0.1:1")
    becomes(connection, "D3", "fail", "schema registry", "no registry")
    configure(connection, sinks=None, schema_registry_url=None, kafka_brokers=None)
    becomes(connection, "D1", "pass", "ndjson", "the sinks are as they were, and the item passes")


def is_slow(connection):
    """A check that waits longer than FF does."""
    with contextlib.closing(connect()) as holder, contextlib.closing(connect("ff")) as ff:
        holder.autocommit = False
        run(holder, "lock table admin.audit in access exclusive mode")
        asking = threading.Thread(target=one, args=(ff, "select admin.sensitive_check(%s)", ID))
        asking.start()
        waits = "select exists (select from pg_stat_activity where usename = 'ff' and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '1.1 s')"
        ok(poll(lambda: one(connection, waits), 60), "a check waits for a lock for more than a second")
        holder.rollback()
        asking.join()
    becomes(connection, "E3", "fail", "99 in 100 took at most", "a check took too long")


def about_the_view(connection):
    with contextlib.closing(connect("reads")) as reads:
        ok(len(readiness(reads)) == 28, "an auditor reads cutover_readiness")
        run(reads, "begin read only")
        ok(len(readiness(reads)) == 28, "an auditor reads cutover_readiness in a read-only transaction")
    with contextlib.closing(connect("ff")) as ff:
        try:
            readiness(ff)
            ok(False, "a checker cannot read cutover_readiness")
        except psycopg2.errors.InsufficientPrivilege:
            ok(True, "a checker cannot read cutover_readiness")
    with transaction() as bare:
        run(bare, "alter table admin.signature rename to elsewhere")
        found = readiness(bare)
        ok(
            {item for item, (status, detail) in found.items() if detail and "does not exist" in detail}
            >= {"B3", "B4", "F3"}
            and found["B1"][0] == "pass",
            "where a table is gone the items that need it fail, and the others are told",
            found,
        )
    with transaction() as elsewhere:
        run(
            elsewhere,
            "create schema x; create table x.approval (approval_id text); set local search_path = x, pg_catalog; set local timezone = 'Asia/Kolkata'; set local datestyle = 'German'",
        )
        ok(not fails(elsewhere), "no setting of a session makes an item fail", fails(elsewhere))


MANY = """
set local admin_ext.restoring = on;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, state, sla_deadline)
select format('APP-%s-m', lpad(i::text, 6, '0')), 'pay', '{a,b}', 2, 'boss', (array['pending', 'signed_partial', 'signed_full'])[1 + i % 3],
       now() + (i % 7 - 3) * interval '1 hour' from generate_series(200000, 202999) as i order by random();
insert into admin.signature (approval_id, signer_role, signer, approval_digest)
select a.approval_id, r.role, case when i % 31 = 0 and r.n = 0 then 'boss' else r.role || 'nn' end, case when i % 29 = 0 then sha256('') else admin.approval_digest(a.approval_id) end
from (select *, substr(approval_id, 5, 6)::int as i from admin.approval where approval_id like '%-m') as a, (values ('a', 0), ('b', 1), ('c', 2)) as r(role, n)
where r.n < (a.i / 3) % 4 order by random()"""
# The same, counted in plain SQL.
COUNTED = """
select json_build_object('approvals', count(*), 'signatures', sum(s.n),
    'inconsistent', count(*) filter (where s.n > 2 or a.state <> (array['pending', 'signed_partial', 'signed_full'])[1 + least(s.n, 2)]),
    'altered', count(*) filter (where not s.fits), 'not_separate', count(*) filter (where not s.apart))
from admin.approval as a, lateral (
    select count(*) as n, coalesce(bool_and(approval_digest = admin.approval_digest(a.approval_id)), true) as fits,
           coalesce(bool_and(signer <> a.requested_by and signer_role = any (a.required_roles)), true) and count(*) = count(distinct signer) and count(*) <= 8 as apart
    from admin.signature as s where s.approval_id = a.approval_id) as s where a.approval_id like '%-m'"""
FOUND = """
select json_build_object('approvals', f -> 'approvals', 'signatures', f -> 'signatures', 'inconsistent', f -> 'inconsistent' -> 'count', 'altered', f -> 'altered' -> 'count',
                         'not_separate', f -> 'not_separate' -> 'count'), f ->> 'said'
from (select admin_internal.approval_findings(approval_id, action, resource, required_roles, required_signer_count, requested_by, state, sla_deadline, created_at, closed_at, now()) as f
      from ({}) as a where approval_id like '%-m') as x"""


def in_any_order():
    """What is found does not depend on the order of approvals, nor on how many processes look."""
    ways = {
        "as the planner likes": "",
        "in a shuffled order": "order by random()",
        "backwards": "order by approval_id desc",
        "by id": "order by approval_id",
    }
    with transaction() as connection:
        run(connection, MANY)
        counted, said = one(connection, COUNTED), set()
        ok(counted["approvals"] == 3000 and min(counted.values()) > 50, "a store with all that can be wrong", counted)
        for way, order in ways.items():
            found, hashed = rows(connection, FOUND.format(f"select * from admin.approval {order}"))[0]
            said.add(hashed)
            ok(found == counted, f"approvals {way}: the findings are those that plain SQL counts", found)
        run(connection, "set local min_parallel_table_scan_size = 0; set local min_parallel_index_scan_size = 0")
        shared = one(connection, "select admin_internal.find_in_approvals()")
        ok(
            shared["inconsistent"]["count"] >= counted["inconsistent"],
            "several processes find the inconsistent approvals",
            shared,
        )
        said.add(
            str(
                one(
                    connection,
                    "select bit_xor(admin_internal.ttl_hash(approval_id, ttl_state, case when c ->> 'decision' = 'valid' then sla_deadline end)) from (select v.*, admin.sensitive_check_preview("
                    "approval_id, null, null, now()) as c from admin.approval_ttl_state as v where approval_id like '%-m') as v",
                )
            )
        )
        ok(len(said) == 1, "the hash of what the check says of all approvals is the same in any order", said)
        groups = one(
            connection,
            "select sum((f ->> 'approvals')::int) from (select admin_internal.approval_findings(approval_id, action, resource, required_roles, required_signer_count, requested_by, "
            "state, sla_deadline, created_at, closed_at, now()) as f from admin.approval group by approval_id) as x",
        )
        ok(
            groups == one(connection, "select count(*) from admin.approval"),
            "findings by groups count every approval",
            groups,
        )


def main():
    connection = connect()
    one(connection, "create extension admin_ext_cutover")
    make_ready(connection)
    broken_by_sql()
    ok(not fails(connection), "no item fails once every break has been undone", fails(connection))
    about_the_view(connection)
    in_any_order()
    broken_by_settings(connection)
    is_slow(connection)
    done()


main()
