"""The verifier over what a real server wrote: its documents, and the rows that they came from."""

import asyncio
import contextlib
import json
import os
import subprocess
import time
from pathlib import Path

import asyncpg
import pytest
from evidence_sources import KEY, Archive, History
from verify_command import verify

ROOT = Path(__file__).resolve().parents[3]
CLUSTER = """. test/lib/cluster.sh && files=$(mktemp -d /tmp/admin_ext.ndjson.XXXXXX) && { [ "$(id -u)" != 0 ] || chown postgres "$files"; } &&
cluster_start "shared_preload_libraries = 'admin_ext'" "admin_ext.databases = 'postgres'" "admin_ext.sinks = 'ndjson'" "admin_ext.ndjson_directory = '$files'" \
    "admin_ext.ndjson_rotate_size = '8kB'" &&
echo "$PGHOST $files" && { read -r _; cluster_stop; rm -rf "$files"; }"""
CASES = """
set client_min_messages = error;
insert into admin.approval (approval_id, action, resource, required_roles, required_signer_count, requested_by, sla_deadline)
  select 'APP-' || lpad(n::text, 6, '0') || '-v', 'pay', case when n % 3 = 0 then null else 'account "7"' end, case when n % 2 = 0 then '{r}' else '{r,s}' end::text[], 1 + n % 2, 'boss', now() + interval '3 days'
  from generate_series(1, 30) as n;
insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
  select 'APP-' || lpad(n::text, 6, '0') || '-far', 'pay', '{r}', 1, 'boss', deadline::timestamptz from unnest(array['9999-12-31 12:00Z', '10000-01-01 00:00:00.000001Z', '294276-12-31 23:59:59.999999Z',
    '0001-01-01Z', '0001-02-29Z BC', '0044-03-15Z BC', '4713-01-01Z BC']) with ordinality as d (deadline, n);
insert into admin.signature (approval_id, signer_role, signer) select approval_id, 'r', 'ann' from admin.approval where approval_id like '%-v' and approval_id < 'APP-000025' or approval_id like '%-far';
select admin.sensitive_check('APP-' || lpad(n::text, 6, '0') || '-v', case when n % 5 = 0 then 'other' else 'pay' end, case when n % 7 = 0 then 'account 8' end, 'FF', 'r-' || n) from generate_series(0, 31) as n;
insert into admin.signature (approval_id, signer_role, signer) select approval_id, 's', 'bób' from admin.approval where approval_id like '%-v' and required_signer_count = 2 and approval_id < 'APP-000020';
select admin.sensitive_check(approval_id) from admin.approval;
update admin.approval set state = 'withdrawn', closed_at = now() where approval_id in ('APP-000003-v', 'APP-000004-v');
update admin.approval set sla_deadline = now() - interval '2 days' where approval_id in ('APP-000025-v', 'APP-000026-v', 'APP-000027-v');
select admin.sensitive_check(approval_id, 'pay') from admin.approval;
select admin.sensitive_check(null), admin.sensitive_check('nonsense'), admin.sensitive_check('APP-999999-none');
select admin.sensitive_check(asked, null, null, asked, asked, asked) from unnest(array['', ' ', e'a\\nb\\x7f', u&'\\0085\\ffff \\+10fffe"\\\\', 'APP-000001-V']) as asked;
select admin.audit_ingest('[{"specversion":"1.0","id":"e1","source":"/ff/v","type":"ptt.ff.approval.consumed","subject":"APP-000001-v","data":{"amount": 1.50, "text": "a\\nb"}, "region": "eu"},
  {"specversion":"1.0","id":"e2","source":"/ff/v","type":"ptt.ff.account.opened","subject":"account 7","actor":"é","data":null}]');
"""
MORE = "select admin.sensitive_check(approval_id, 'pay', null, 'FF') from admin.approval"


def sql(dsn, *statements):
    async def run():
        connection = await asyncpg.connect(dsn)
        try:
            found = None
            for statement in statements:
                found = (
                    await connection.fetchval(statement)
                    if statement.startswith("select count")
                    else await connection.execute(statement)
                )
            return found
        finally:
            await connection.close()

    return asyncio.run(run())


def lines_of(directory):
    """What the NDJSON sink has written so far, as whoever may read it."""
    files = sorted(directory.glob("postgres-*.ndjson"), key=lambda path: int(path.stem.rpartition("-")[2]))
    return [line for path in files for line in path.read_bytes().split(b"\n")[:-1]]


def delivered(dsn, directory):
    """All documents, once they are there."""
    deadline, rows = time.monotonic() + 60, sql(dsn, "select count(*) from admin.audit")
    while len(documents := lines_of(directory)) < rows:
        assert time.monotonic() < deadline, f"{len(documents)} of {rows} documents were delivered"
        time.sleep(0.05)
    return documents


@pytest.fixture(scope="module")
def server():
    """DSN, and the documents of a database that has done all sorts of things."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PGHOST", "PGPORT", "SCRATCH")}
    cluster = subprocess.Popen(
        ["bash", "-c", CLUSTER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        host, files = cluster.stdout.readline().split()
        dsn = f"postgresql://postgres@/postgres?host={host}"
        sql(dsn, "create extension admin_ext", "select admin.create_audit_partitions()")
        for statements in (CASES, *[MORE] * 3):  # each in a file of its own
            sql(dsn, statements)
            documents = delivered(dsn, Path(files))
        yield dsn, documents, files
    finally:
        cluster.communicate("\n")


@pytest.fixture
def archive(server, tmp_path):
    dsn, documents, _ = server
    store = next(
        event["source"].removeprefix("/admin_ext/")
        for event in map(json.loads, documents)
        if event["source"].startswith("/admin_ext/")
    )
    Archive(tmp_path / "archive").write(History(documents, [len(documents) - 5, 5], store), 1)
    (tmp_path / "key").write_bytes(KEY.public_key().public_bytes_raw())
    return dsn, documents, ["--archive", str(tmp_path / "archive"), "--key", str(tmp_path / "key")]


def test_decisions_of_the_extension_follow_from_its_documents(archive):
    _, documents, arguments = archive
    status, said = verify(*arguments)
    assert status == 0, said
    checks = sum(json.loads(document)["type"] == "ptt.admin.sensitive.check.2b" for document in documents)
    assert checks > 90 and f"{checks} decisions replayed" in said and "wrong" not in said


def test_documents_and_rows_are_the_same(archive):
    dsn, documents, arguments = archive
    status, said = verify(*arguments, "--dsn", dsn)
    assert status == 0 and f"The archive and the database agree on {len(documents)} documents" in said, said


def test_files_of_the_extension_fit_their_seals(server):
    _, documents, files = server
    status, said = verify("--ndjson", files)
    assert status == 0 and "CONSISTENT, BUT NOT SIGNED" in said, said
    assert " batches" in said and f"numbers 1 to {len(documents)}" in said and "is not finished" in said, said


def test_files_and_rows_are_the_same(server):
    dsn, _, files = server
    status, said = verify("--ndjson", files, "--dsn", dsn)
    assert status == 0 and "agree on" in said, said


@contextlib.contextmanager
def tampered(dsn, audit_id, change):
    """What a superuser does to a row behind the triggers' back, and undoes.

    Each time in one transaction: a worker puts the triggers of a partition right from time to time.
    """
    disable = "alter table admin.audit disable trigger all"
    sql(dsn, f"create table kept as select * from admin.audit where audit_id = {audit_id}")
    try:
        sql(dsn, f"{disable}; {change}")
        yield
    finally:
        undo = (
            disable,
            f"delete from admin.audit where audit_id = {audit_id}",
            "insert into admin.audit overriding system value select * from kept",
            "drop table kept",
            "alter table admin.audit enable always trigger audit_append_only",
            "alter table admin.audit enable always trigger audit_append_only_statement",
        )
        sql(dsn, "; ".join(undo))


@pytest.mark.parametrize(
    "audit_id, change, says",
    [
        (
            40,
            "update admin.audit set actor = 'XX' where audit_id = 40",
            "the document with audit_id 40 (number 40) is another one in the database than in the archive",
        ),
        (
            40,
            "update admin.audit set payload = '{}' where audit_id = 40",
            "the document with audit_id 40 (number 40) is another one in the database than in the archive",
        ),
        (41, "delete from admin.audit where audit_id = 41", "(audit_id 41) of the archive is missing in the database"),
        (
            30000,
            "insert into admin.audit (audit_id, event_type, payload, recorded_at) overriding system value values (30000, 'approval.issued', '{}', now() - interval '1 day')",
            "(audit_id 30000) of the database is missing in the archive",
        ),
    ],
    ids=["actor", "payload", "deleted", "forged and back-dated"],
)
def test_a_row_that_a_superuser_tampered_with_is_seen(archive, audit_id, change, says):
    dsn, _, arguments = archive
    with tampered(dsn, audit_id, change):
        status, said = verify(*arguments, "--dsn", dsn)
    assert status == 1 and says in said, said


def test_a_database_that_cannot_be_asked_is_no_proof(archive):
    status, said = verify(*archive[2], "--dsn", "postgresql://nobody@127.0.0.1:1/none")
    assert status == 2 and "NOT CHECKED: the database cannot be asked" in said
