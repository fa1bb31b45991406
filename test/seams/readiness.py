"""Each of the 28 items of admin.cutover_readiness broken on purpose, and the view asked; and that it answers where things are gone."""
import contextlib
import json
import threading

import psycopg2

from session import connect, done, ok, one, poll, rows

ID = "APP-100001-ready"
GONE = "APP-100002-gone"
LATE = "APP-100003-late"
DOCUMENT = [
    {"approval_id": ID, "action": "pay", "resource": "account 7", "required_roles": ["r", "s"], "requested_by": "boss", "state": "signed_full",
     "sla_deadline": "2100-01-01T00:00:00Z", "signatures": [{"signer_role": "r", "signer": "ann"}, {"signer_role": "s", "signer": "bob"}]},
    {"approval_id": LATE, "action": "pay", "required_roles": ["r"], "requested_by": "boss", "state": "signed_full", "sla_deadline": "2026-01-01T00:00:00Z",
     "created_at": "2025-12-01T00:00:00Z", "signatures": [{"signer_role": "r", "signer": "ann"}]},
    {"approval_id": GONE, "action": "pay", "required_roles": ["r"], "requested_by": "boss", "sla_deadline": "2100-01-01T00:00:00Z"},
]
# A public key of RFC 7517, appendix A.1.
KEY = {"kty": "EC", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM", "use": "sig", "kid": "1"}


def event(source, sequence):
    return {"specversion": "1.0", "id": str(sequence), "source": source, "type": "ptt.ff.test", "time": "2026-11-26T10:00:00Z", "sequence": str(sequence)}


def readiness(connection):
    """Status and detail of each item."""
    return {item: (status, detail) for item, status, detail in rows(connection, "select item, status, detail from admin.cutover_readiness")}


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
        run(connection, f"alter system reset admin_ext.{name}" if value is None else f"alter system set admin_ext.{name} = '{value}'")
    run(connection, "select pg_reload_conf()")


def make_ready(connection):
    run(connection, "create role ff login; select admin.grant_access('ff', 'checker'); create role reads login; select admin.grant_access('reads', 'auditor')")
    one(connection, "select admin.import_approvals(%s::jsonb)", json.dumps(DOCUMENT))
    run(connection, f"update admin.approval set state = 'withdrawn', closed_at = now(), closed_by = 'boss' where approval_id = '{GONE}'")
    one(connection, "select admin.record_parity_run(100, 0, 0)")
    one(connection, "select admin.add_jwt_issuer('https://issuer', 'admin')")
    one(connection, "select admin.import_jwks('https://issuer', %s)", json.dumps({"keys": [KEY]}))
    one(connection, "select admin.audit_ingest(%s::jsonb)", json.dumps([event("/ff/1", 1), event("/ff/1", 2)]))
    run(connection, LINK.format(n=ARCHIVED, age="0 s"))
    run(connection, RECEIPT.format(n=ARCHIVED, chain=ARCHIVED))
    one(connection, "select admin.sensitive_check(%s, 'pay', 'account 7', 'FF')", ID)
    ok(poll(lambda: not fails(connection), 60), "once it is set up nothing fails", fails(connection))
    found = readiness(connection)
    ok(len(found) == 28 and [item for item, (status, _) in found.items() if status == "not_configured"] == ["D2", "D3", "E4"],
       "28 items; without Kafka and Redis three of them are not configured", found)


def fails(connection):
    return {item: detail for item, (status, detail) in readiness(connection).items() if status == "fail"}


# Above all numbers that a worker records.
ARCHIVED = 1000000000
LINK = ("insert into admin_internal.delivery_link (store_id, sink, first_number, last_number, chain, recorded_at) "
        "select store_id, 'ndjson', {n}, {n}, sha256('{n}'), now() - interval '{age}' from admin.store")
RECEIPT = "select admin.record_receipt(admin.store_id(), 'ndjson', {n}, sha256('{chain}'), sha256('seal'), now() + interval '7 years', 's3://bucket/object')"
NO_RECEIPTS = "alter table admin.archive_receipt disable trigger all; delete from admin.archive_receipt"

NO_GUARDS = "alter table admin.approval disable trigger user; alter table admin.signature disable trigger user; "
GUARDS = "; alter table admin.approval enable always trigger approval_guard; alter table admin.approval enable always trigger approval_guard_truncate; " \
    "alter table admin.signature enable always trigger signature_guard; alter table admin.signature enable always trigger signature_guard_advance"
ORPHAN = ("alter table admin.signature disable trigger all; insert into admin.signature (approval_id, signer_role, signer, approval_digest) "
          "values ('APP-999999-none', 'r', 'x', sha256(''))" + GUARDS)
NO_TRAIL_GUARDS = """alter table admin.audit disable trigger user; do $$ declare p regclass; begin
    for p in select partition from admin.audit_partitions() loop execute format('alter table %s disable trigger all', p); end loop; end $$; """

# What is done by SQL, and undone: item, what, and words of the detail.
BREAKS = [
    ("A1", "alter table admin.dead_letter add column x int", "column admin.dead_letter.x is not part of the extension"),
    ("A1", "alter table admin.approval drop constraint approval_action_length", "constraint admin.approval.approval_action_length is missing"),
    ("A1", "alter table admin.approval alter column state drop default", "column admin.approval.state: default is missing, shipped is 'pending'::text"),
    ("A1", "alter extension admin_ext drop table admin.jwt_used; drop table admin.jwt_used", "table admin.jwt_used is missing"),
    ("A2", "create view admin.slipped_in as select 1 as x", "slipped_in"),
    ("A2", "alter view admin.audit_delivery rename column sink_status to status", "column admin.audit_delivery.sink_status is missing"),
    ("A2", "create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, 'valid'::text as ttl_state, sla_deadline as valid_until, "
           "statement_timestamp() as evaluated_at from admin.approval", "view admin.approval_ttl_state: its definition is not as shipped"),
    ("A3", "do $$ begin execute (select format('drop index %s', indexrelid::regclass) from pg_index join admin.audit_partitions() on indrelid = partition "
           "where is_default and not indisprimary limit 1); end $$", "partition admin.audit_default lacks "),
    ("A5", "alter table admin.audit_default disable trigger audit_append_only", "audit_append_only is not enabled always"),
    ("A5", "alter table admin.audit disable trigger audit_append_only_statement", "trigger admin.audit.audit_append_only_statement: enabled is disabled instead of always"),
    ("A3", "do $$ begin execute (select format('alter table admin.audit detach partition %s', partition) from admin.audit_partitions() "
           "where lower_bound <= now() and upper_bound > now()); end $$", "this month has no partition"),
    ("A4", "update pg_extension set extversion = '0.9' where extname = 'admin_ext'", "version is 0.9 instead of 1.0"),
    ("A4", "update pg_extension set extversion = '0.9' where extname = 'admin_ext_cutover'", "the server has version 1.0 of admin_ext_cutover installed, this database 0.9"),
    ("A4", "alter extension admin_ext_cutover drop function admin.import_approvals(jsonb); alter extension admin_ext add function admin.import_approvals(jsonb)",
           "function admin.import_approvals(jsonb): lacks member of admin_ext_cutover"),
    ("A4", "create function admin.slipped_in() returns int language sql return 1", "function admin.slipped_in() is not part of the extension"),
    ("A4", "create or replace function admin.sensitive_check_preview(approval_id text, action text default null, resource text default null, at timestamptz default null) "
           "returns json language sql as 'select null::json'", "admin.sensitive_check_preview(text,text,text,timestamp with time zone): its body is not as shipped"),
    ("A5", "alter table admin.approval disable trigger approval_guard", "trigger admin.approval.approval_guard: enabled is disabled instead of always"),
    ("A5", "alter table admin.signature enable trigger audit_row_change", "trigger admin.signature.audit_row_change: enabled is origin instead of always"),
    ("B1", "select admin.import_approvals('[{\"approval_id\": \"x\"}]')", "1 rejected"),
    ("B1", NO_GUARDS + f"delete from admin.approval where approval_id = '{GONE}'" + GUARDS, "3 approvals have been imported in all, and 2 are there"),
    ("B3", NO_GUARDS + f"delete from admin.approval where approval_id = '{GONE}'" + GUARDS, "3 approvals have been imported in all, and 2 are there"),
    ("B2", "select admin.record_parity_run(100, 2, 0)", "2 of 100 cases differ"),
    ("B2", "select admin.record_parity_run(100, 0, 1)", "1 left out"),
    ("B2", f"select admin.sensitive_check_shadow('{{}}', '{ID}', 'pay', 'account 7')", "1 answers in shadow mode differ"),
    ("B3", NO_GUARDS + f"delete from admin.signature where approval_id = '{LATE}'" + GUARDS, f"one of them: {LATE}"),
    ("B3", NO_GUARDS + f"update admin.approval set state = 'pending' where approval_id = '{ID}'" + GUARDS, f"one of them: {ID}"),
    ("B3", ORPHAN, "1 of 4 signatures are of no approval"),
    ("B4", ORPHAN, "1 of 4 signatures are of no approval"),
    ("F3", ORPHAN, "1 of 4 signatures are of no approval"),
    ("B4", NO_GUARDS + f"update admin.approval set resource = 'account 8' where approval_id = '{ID}'" + GUARDS, f"one of them: {ID}"),
    ("C1", "create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, 'valid'::text as ttl_state, sla_deadline as valid_until, "
           "statement_timestamp() as evaluated_at from admin.approval", "by the check"),
    ("C1", f"create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, ttl_state, valid_until, evaluated_at from (select approval_id, state, "
           f"sla_deadline, admin.ttl_state(state, closed_at, sla_deadline, now()), null::timestamptz as valid_until, now() as evaluated_at from admin.approval) as v "
           f"where approval_id <> '{ID}'", "their number differs"),
    ("C2", "create or replace view admin.approval_ttl_state as select approval_id, state, sla_deadline, 'valid'::text as ttl_state, sla_deadline as valid_until, "
           "statement_timestamp() as evaluated_at from admin.approval", "1 approvals are valid by the view though the deadline has passed"),
    ("C3", "create or replace function admin.ttl_state(state text, closed_at timestamptz, sla_deadline timestamptz, at timestamptz) returns text language sql immutable "
           "return case when at <= sla_deadline then 'valid' else 'expired' end", "ttl_state of signed_full at the deadline is valid, not expired"),
    ("D5", "insert into admin.dead_letter (sink, audit_id, error) values ('ndjson', 1, 'x')", "sink ndjson rejected 1 rows"),
    ("D6", RECEIPT.format(n=ARCHIVED, chain="forged"), "1 receipts for sink ndjson of store "),
    ("D6", f"select admin.record_receipt(admin.store_id(), 'ndjson', {ARCHIVED}, null, null, null, 'a number is missing')", f"has stopped after number {ARCHIVED} of store "),
    ("D6", "insert into admin.archive_receipt select store_id, sink, last_number + 1, chain, seal_sha256, retain_until, location, now(), 'ok' from admin.archive_receipt", "it was written by hand"),
    # More documents than there are receipts, which wait without being late.
    ("D6", LINK.format(n=ARCHIVED + 9, age="61 minutes"), "the archive of sink ndjson is 9 rows and 36"),
    ("D6", NO_RECEIPTS, None),
    ("E1", "revoke execute on function admin.sensitive_check from ff", "no role but superusers may call"),
    ("E1", "grant update (action) on admin.approval to ff", "ff has UPDATE on table admin.approval (action)"),
    ("E1", "grant insert on admin.signature to ff", "ff has INSERT on table admin.signature: admin.grant_access() did not give it; run REVOKE INSERT"),
    ("E1", "grant execute on function admin.sensitive_check to public", "public has EXECUTE on routine admin.sensitive_check("),
    ("E1", "grant execute on function admin.add_jwt_issuer to ff", "ff has EXECUTE on routine admin.add_jwt_issuer("),
    ("E1", "grant usage on sequence admin.audit_audit_id_seq to ff", "ff has USAGE on sequence admin.audit_audit_id_seq"),
    ("E1", "grant create on schema admin to ff", "ff has CREATE on schema admin"),
    ("E1", "grant pg_write_all_data to reads", "reads has MEMBER on role pg_write_all_data: it writes every table"),
    ("E1", "grant postgres to ff", "ff has MEMBER on role postgres: it is a superuser's role"),
    ("E2", NO_TRAIL_GUARDS + "delete from admin.audit where event_type = 'sensitive.check.2b'", "no check stands"),
    ("E5", "select admin.audit_ingest('[{\"specversion\": \"1.0\", \"id\": \"9\", \"source\": \"/ff/1\", \"type\": \"x\", \"sequence\": \"9\"}]')", "events 3 to 8 of /ff/1 are missing"),
    ("E5", "delete from admin.ingest_source", None),
    ("F1", "select admin.revoke_jwt_key('https://issuer', '1')", "https://issuer has no key that is good"),
    ("F1", "delete from admin.jwt_key; delete from admin.jwt_issuer", "no issuer of tokens is trusted"),
    ("F2", "set local admin_ext.require_verified_jwt = off", "require_verified_jwt is off"),
    ("F2", "alter database postgres set admin_ext.require_verified_jwt = off", "off in this database"),
    ("F2", "alter role ff set admin_ext.require_verified_jwt = 'no'", "off for role ff"),
    ("F3", NO_GUARDS + f"update admin.signature set signer = 'boss' where approval_id = '{ID}' and signer_role = 'r'" + GUARDS, f"one of them: {ID}"),
    ("F3", "alter table admin.signature drop constraint signature_one_per_person", "signature_one_per_person is not there"),
    ("F3", "alter table admin.signature disable trigger signature_guard", "signature_guard is not ENABLE ALWAYS"),
    ("F4", NO_GUARDS + f"update admin.approval set state = 'pending', closed_at = null, closed_by = null where approval_id = '{GONE}'" + GUARDS, f"{GONE} was withdrawn"),
    ("F4", "alter table admin.approval disable trigger approval_guard", "approval_guard is not ENABLE ALWAYS"),
]


def broken_by_sql():
    for item, statements, words in BREAKS:
        with transaction() as connection:
            run(connection, statements)
            status, detail = readiness(connection)[item]
        ok(status == ("not_configured" if words is None else "fail") and (words or "") in detail, f"{item}: {' '.join(statements.split())[-90:]}", (status, detail))


def becomes(connection, item, status, words, what):
    """Within the time that a reload, or a worker, takes."""
    ok(poll(lambda: readiness(connection)[item][0] == status and words in readiness(connection)[item][1], 60), f"{item}: {what}", readiness(connection)[item])


def broken_by_settings(connection):
    configure(connection, sweep_interval="0")
    becomes(connection, "C4", "fail", "nobody announces deadlines", "no pg_cron job, and the worker does not sweep")
    becomes(connection, "C4", "fail", "; set admin_ext.sweep_interval, or call admin.schedule_sweep()", "what to do is said")
    configure(connection, sweep_interval=None)
    becomes(connection, "C4", "pass", "worker", "the worker sweeps again")
    configure(connection, archive_required="on")
    with transaction() as unarchived:
        run(unarchived, NO_RECEIPTS)
        becomes(unarchived, "D6", "fail", "admin_ext.archive_required is on, and no archiver has sent a receipt", "receipts are required, and there is none")
    configure(connection, archive_required=None)
    configure(connection, databases="")
    becomes(connection, "D1", "fail", "not listed in admin_ext.databases", "nobody serves the database")
    becomes(connection, "C4", "fail", "; list the database in admin_ext.databases, or call admin.schedule_sweep()", "nobody announces deadlines then, and what to do is said")
    ok(readiness(connection)["D4"][0] == "fail", "D4: nor does it keep up then", readiness(connection)["D4"])
    configure(connection, databases=None)
    becomes(connection, "D1", "pass", "ndjson", "it is served again")
    configure(connection, sinks="ndjson, kafka, redis")
    becomes(connection, "D1", "fail", "kafka", "a sink that is not set up")
    becomes(connection, "D2", "fail", "no broker is configured", "no broker")
    becomes(connection, "E4", "fail", "redis", "no Redis")
    configure(connection, schema_registry_url="http://127.0.0.1:1", kafka_brokers="127.0.0.1:1")
    becomes(connection, "D3", "fail", "schema registry", "no registry")
    configure(connection, sinks=None, schema_registry_url=None, kafka_brokers=None)
    becomes(connection, "D1", "pass", "ndjson", "as it was")


def is_slow(connection):
    """A check that waits longer than FF does."""
    with contextlib.closing(connect()) as holder, contextlib.closing(connect("ff")) as ff:
        holder.autocommit = False
        run(holder, "lock table admin.audit in access exclusive mode")
        asking = threading.Thread(target=one, args=(ff, "select admin.sensitive_check(%s)", ID))
        asking.start()
        waits = "select exists (select from pg_stat_activity where usename = 'ff' and wait_event_type = 'Lock' and clock_timestamp() - query_start > interval '1.1 s')"
        ok(poll(lambda: one(connection, waits), 60), "a check waits")
        holder.rollback()
        asking.join()
    becomes(connection, "E3", "fail", "99 in 100 took at most", "a check took too long")


def about_the_view(connection):
    with contextlib.closing(connect("reads")) as reads:
        ok(len(readiness(reads)) == 28, "an auditor reads it")
        run(reads, "begin read only")
        ok(len(readiness(reads)) == 28, "in a read-only transaction, too")
    with contextlib.closing(connect("ff")) as ff:
        try:
            readiness(ff)
            ok(False, "a checker does not")
        except psycopg2.errors.InsufficientPrivilege:
            ok(True, "a checker does not")
    with transaction() as bare:
        run(bare, "alter table admin.signature rename to elsewhere")
        found = readiness(bare)
        ok({item for item, (status, detail) in found.items() if detail and "does not exist" in detail} >= {"B3", "B4", "F3"} and found["B1"][0] == "pass",
           "where a table is gone the items that need it fail, and the others are told", found)
    with transaction() as elsewhere:
        run(elsewhere, "create schema x; create table x.approval (approval_id text); set local search_path = x, pg_catalog; set local timezone = 'Asia/Kolkata'; set local datestyle = 'German'")
        ok(not fails(elsewhere), "no setting of a session changes it", fails(elsewhere))


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
    ways = {"as the planner likes": "", "in a shuffled order": "order by random()", "backwards": "order by approval_id desc", "by id": "order by approval_id"}
    with transaction() as connection:
        run(connection, MANY)
        counted, said = one(connection, COUNTED), set()
        ok(counted["approvals"] == 3000 and min(counted.values()) > 50, "a store with all that can be wrong", counted)
        for way, order in ways.items():
            found, hashed = rows(connection, FOUND.format(f"select * from admin.approval {order}"))[0]
            said.add(hashed)
            ok(found == counted, f"{way}: the same as counted in plain SQL", found)
        run(connection, "set local min_parallel_table_scan_size = 0; set local min_parallel_index_scan_size = 0")
        shared = one(connection, "select admin_internal.find_in_approvals()")
        ok(shared["inconsistent"]["count"] >= counted["inconsistent"], "by several processes, all approvals", shared)
        said.add(str(one(connection, "select bit_xor(admin_internal.ttl_hash(approval_id, ttl_state, case when c ->> 'decision' = 'valid' then sla_deadline end)) from (select v.*, admin.sensitive_check_preview("
                                     "approval_id, null, null, now()) as c from admin.approval_ttl_state as v where approval_id like '%-m') as v")))
        ok(len(said) == 1, "and what the check says of each is one number, in any order", said)
        groups = one(connection, "select sum((f ->> 'approvals')::int) from (select admin_internal.approval_findings(approval_id, action, resource, required_roles, required_signer_count, requested_by, "
                                 "state, sla_deadline, created_at, closed_at, now()) as f from admin.approval group by approval_id) as x")
        ok(groups == one(connection, "select count(*) from admin.approval"), "by groups, too", groups)


def main():
    connection = connect()
    one(connection, "create extension admin_ext_cutover")
    make_ready(connection)
    broken_by_sql()
    ok(not fails(connection), "all of that has been undone", fails(connection))
    about_the_view(connection)
    in_any_order()
    broken_by_settings(connection)
    is_slow(connection)
    done()


main()
