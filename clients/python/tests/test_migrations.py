"""The alembic history: on an empty database, on one with data, twice, offline, at once, and back."""
import asyncio
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from harness import SCRATCH, numbers, sql
from session import connect, one

from admin_client.migrations.settings import NoDatabase, dsn_of, engine_url

ROOT = pathlib.Path(__file__).parents[3]
INI = ROOT / "clients/python/alembic.ini"
DOCUMENT = json.dumps([{"approval_id": "APP-000001-a", "action": "pay", "required_roles": ["r"], "requested_by": "ann", "sla_deadline": "2100-01-01T00:00:00Z"}])


class Database:
    """An empty one in the scratch server."""

    def __init__(self, name):
        self.name = name
        self.dsn = f"postgresql://postgres@/{name}?host={SCRATCH}"

    def sql(self, query, *arguments):
        connection = connect(dbname=self.name)
        try:
            return one(connection, query, *arguments)
        finally:
            connection.close()

    def start(self, *arguments, module="admin_client.migrations", **environment):
        command = [sys.executable, "-m", module, *arguments]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ADMIN_", "PG"))}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**inherited, "ADMIN_DSN": self.dsn, **environment}, cwd=SCRATCH)

    def run(self, *arguments, **options):
        process = self.start(*arguments, **options)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def psql(self, statements):
        return subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-d", self.name], input=statements, capture_output=True, text=True, timeout=60)

    def state(self):
        """All that a history is to bring about."""
        return self.sql("""select jsonb_build_object('version', (select version_num from public.admin_alembic_version),
            'extension', (select extversion from pg_extension where extname = 'admin_ext'),
            'relations', (select jsonb_agg(relname order by relname) from pg_class where relnamespace = 'admin'::regnamespace))""")


@contextlib.contextmanager
def made(template="template1"):
    database = Database(f"migrations_{os.getpid()}_{next(numbers)}")
    sql(f"create database {database.name} template {template}")
    try:
        yield database
    finally:
        sql(f"drop database {database.name} with (force)")


@pytest.fixture
def database():
    with made() as empty:
        yield empty


@pytest.fixture(scope="module")
def template():
    with made() as upgraded:
        assert upgraded.run("upgrade") == (0, "", "")
        yield upgraded.name


@pytest.fixture
def upgraded(template):
    with made(template) as copy:
        yield copy


def test_an_empty_database_gets_the_extension_and_its_months(database):
    assert database.run("upgrade") == (0, "", "")
    state = database.state()
    assert (state["version"], state["extension"]) == ("0002", "1.0")
    assert database.sql("select count(*) from admin.audit_partitions() where not is_default") == 4
    assert database.run("current")[1].strip() == "0002 (head)"
    assert database.run("drift")[0] == 0


def test_a_second_run_changes_nothing(database):
    database.run("upgrade")
    database.sql("select admin.import_approvals(%s::jsonb)", DOCUMENT)
    before = database.state(), database.sql("select count(*) from admin.audit")
    assert database.run("upgrade") == (0, "", "")
    assert (database.state(), database.sql("select count(*) from admin.audit")) == before


def test_an_extension_with_data_is_taken_over(database):
    database.sql("create extension admin_ext")
    database.sql("select admin.import_approvals(%s::jsonb)", DOCUMENT)
    assert database.run("upgrade") == (0, "", "")
    assert database.state()["version"] == "0002" and database.sql("select count(*) from admin.approval") == 1


def test_offline_is_the_same_as_online(database):
    status, statements, err = database.run("upgrade", "--sql", ADMIN_DSN="")
    assert status == 0, err
    applied = database.psql(statements)
    assert applied.returncode == 0, applied.stderr
    offline = database.state()
    assert database.run("upgrade") == (0, "", "") and database.state() == offline
    status, statements, err = database.run("downgrade", "0002:base", "--sql", ADMIN_DSN="")
    assert status == 0, err
    applied = database.psql(statements)
    assert applied.returncode == 0, applied.stderr
    assert database.sql("select count(*) from pg_extension where extname = 'admin_ext'") == 0
    assert database.run("upgrade") == (0, "", "") and database.state() == offline


def test_alembics_own_command_does_the_same(database):
    for arguments in (("upgrade", "head"), ("upgrade", "head"), ("current",), ("history",)):
        status, out, err = database.run("-c", str(INI), *arguments, module="alembic")
        assert status == 0, err
    assert "0001 -> 0002 (head)" in out and database.state()["version"] == "0002"
    status, statements, err = database.run("-c", str(INI), "upgrade", "head", "--sql", module="alembic")
    assert status == 0 and "create extension if not exists admin_ext" in statements
    assert database.run("upgrade") == (0, "", "")


def test_many_runs_at_once_are_as_one(database):
    processes = [database.start("upgrade") for _ in range(4)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in processes]
    assert all(status == 0 for _, status in ended), ended
    assert database.state()["version"] == "0002" and database.sql("select count(*) from public.admin_alembic_version") == 1


FILLED = {
    "admin.approval": "select admin.import_approvals('%s')" % DOCUMENT,
    "admin.jwt_issuer": "select admin.add_jwt_issuer('https://issuer', 'admin')",
    "admin.ingest_source": """select admin.audit_ingest('[{"specversion": "1.0", "id": "1", "source": "/ff/1", "type": "x"}]')""",
    "admin.audit_y": "select admin.sensitive_check('APP-000001-x')",
    "admin.parity_run": "select admin.record_parity_run(1, 0, 0)",
    "admin.dead_letter": "insert into admin.dead_letter (sink, audit_id, error) values ('x', 1, 'x')",
}


@pytest.mark.parametrize("table", FILLED)
def test_a_downgrade_that_would_lose_data_is_refused(upgraded, table):
    upgraded.sql(FILLED[table].replace("%", "%%"))
    before = upgraded.state()
    status, _, err = upgraded.run("downgrade", "base")
    assert status == 2 and "the downgrade would lose data" in err and re.search(rf"DETAIL: These tables have rows: .*{table}", err) and "HINT: " in err, err
    _, statements, _ = upgraded.run("downgrade", "0002:base", "--sql")
    offline = upgraded.psql(statements)
    assert offline.returncode != 0 and "would lose data" in offline.stderr
    assert upgraded.state() == before


def test_an_empty_one_goes_back_and_forth(database):
    database.run("upgrade")
    assert database.run("downgrade", "0001") == (0, "", "") and database.state()["extension"] == "1.0"
    assert database.run("downgrade", "base") == (0, "", "")
    assert database.sql("select count(*) from pg_extension where extname = 'admin_ext'") == 0
    assert database.sql("select count(*) from pg_class where relnamespace = to_regnamespace('admin')") == 0
    assert database.sql("select count(*) from public.admin_alembic_version") == 0
    assert database.run("upgrade") == (0, "", "") and database.state()["version"] == "0002"


def test_a_downgrade_waits_for_who_writes(database):
    """What is not committed yet is not overlooked."""
    database.run("upgrade")
    writer = connect(dbname=database.name)
    writer.autocommit = False
    one(writer, "select admin.sensitive_check('APP-000001-x')")
    process = database.start("downgrade", "base")
    waiting = "select count(*) from pg_stat_activity where datname = %s and wait_event_type = 'Lock'"

    async def until_it_waits():
        async with asyncio.timeout(30):
            while not sql(waiting, database.name):
                await asyncio.sleep(0.02)

    asyncio.run(until_it_waits())
    writer.commit()
    writer.close()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "would lose data" in err


def test_what_goes_wrong_is_said(database):
    status, out, err = database.run("upgrade", ADMIN_DSN="")
    assert (status, out) == (2, "") and "no database is named" in err
    status, _, err = database.run("upgrade", ADMIN_DSN="mysql://x/y")
    assert status == 2 and "is not postgresql://" in err
    status, _, err = database.run("upgrade", ADMIN_DSN="postgresql://x@127.0.0.1:1/y")
    assert status == 2 and err.startswith("migrations: ") and "Traceback" not in err
    sql("do $$ begin if not exists (select from pg_roles where rolname = 'nobody') then create role nobody login; end if; end $$")
    status, _, err = database.run("upgrade", ADMIN_DSN=f"postgresql://nobody@/{database.name}?host={SCRATCH}")
    assert status == 2 and "permission denied" in err and "Traceback" not in err
    status, _, err = database.run("upgrade", "0009")
    assert status == 2 and "0009" in err
    assert database.sql("select to_regclass('public.admin_alembic_version') is null and to_regnamespace('admin') is null"), "and nothing is left behind"


@pytest.mark.parametrize("dsn, url", [
    ("postgresql://a:b@h:5433/d", "postgresql+asyncpg://a:b@h:5433/d"),
    ("postgres://a@h/d?sslmode=require", "postgresql+asyncpg://a@h/d?ssl=require"),
    ("postgresql://a@/d?host=/tmp/x", "postgresql+asyncpg://a@/d?host=%2Ftmp%2Fx"),
    ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
    ("postgresql:///d", "postgresql+asyncpg:///d"),
])
def test_addresses(dsn, url):
    assert engine_url(dsn) == url


def test_where_the_address_comes_from():
    assert dsn_of("a", {"ADMIN_DSN": "b"}) == "a"
    assert dsn_of(None, {"ADMIN_DSN": "b", "ADMIN_MIGRATIONS_DSN": "c"}) == "c"
    assert dsn_of("", {"PGHOST": "h"}) == "postgresql://"
    with pytest.raises(NoDatabase):
        dsn_of(None, {})
