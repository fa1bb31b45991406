"""Migrations of the extension, by Alembic's own command and by the module's, each in a database of its own."""

import contextlib
import os
import pathlib
import subprocess
import sys

import asyncpg
import pytest
from admin_client.migrations import steps
from admin_client.migrations.__main__ import main
from admin_client.migrations.connection import explained
from alembic.util import CommandError
from harness import SCRATCH, sql
from migrating import COMMANDS, run, scratch, start, url
from session import one, poll

BOTH = pytest.mark.parametrize("command", COMMANDS)
APPROVAL = """insert into admin.approval (approval_id, action, required_roles, required_signer_count, requested_by, sla_deadline)
              values ('APP-000001-m', 'pay', '{r}', 1, 'boss', '2100-01-01')"""
THIS_MONTH = "select to_regclass('admin.' || to_char(now() at time zone 'UTC', '\"audit_y\"YYYY\"m\"MM')) is not null"


@pytest.fixture
def database():
    with scratch() as made:
        yield made


def migrate(database, monkeypatch, *arguments):
    """The exit status of the module's command, in this process: quicker."""
    monkeypatch.setenv("ADMIN_MIGRATIONS_URL", database.url)
    return main([*arguments])


# -- up ---------------------------------------------------------------------------------------------------------------


@BOTH
def test_an_empty_database_gets_the_extension_once(database, command):
    told = database.done(command, "upgrade", "head")
    assert "0001" in told and "0002" in told and "Traceback" not in told
    assert "WARNING the audit trail of this database is not delivered yet\nDETAIL: " in told
    assert (database.revision, database.extension) == ("0002", "1.0")
    assert database.sql(THIS_MONTH)
    assert database.sql("select admin.sensitive_check('APP-000001-m') ->> 'reason'") == "approval_not_found"
    rows = "select xmin::text from pg_extension union all select xmin::text from public.admin_alembic_version"
    before = database.dump(), database.rows(rows)
    assert "Running" not in database.done(command, "upgrade", "head")
    assert (database.dump(), database.rows(rows)) == before
    assert database.done(command, "current").startswith("0002 (head)")
    assert "Create the extension" in database.done(command, "history")


def test_current_says_nothing_and_makes_nothing_where_nothing_is(database, monkeypatch, capsys):
    assert migrate(database, monkeypatch, "current") == 0
    assert capsys.readouterr().out == ""
    assert database.sql("select to_regclass('public.admin_alembic_version')") is None


def test_an_extension_made_by_hand_is_taken_over_with_its_data(database, monkeypatch):
    database.sql("create extension admin_ext")
    database.sql(APPROVAL)
    before = (
        database.rows("select * from admin.approval"),
        database.rows("select audit_id, payload::text from admin.audit"),
    )
    assert not database.sql(THIS_MONTH)
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert (
        database.rows("select * from admin.approval"),
        database.rows("select audit_id, payload::text from admin.audit"),
    ) == before
    assert database.revision == "0002" and len(before[1]) == 1
    assert database.sql("select count(*) from admin.audit_partitions() where not is_default") >= 4


@pytest.fixture
def scripts():
    """Scripts to and from versions that do not exist, where the server finds them."""
    folder = (
        pathlib.Path(subprocess.check_output([os.environ["PG_CONFIG"], "--sharedir"], text=True).strip()) / "extension"
    )
    made = [folder / f"admin_ext--{step}.sql" for step in ("0.9--1.0", "1.0--1.1")]
    for script in made:
        script.write_text("select 1;\n")
        script.chmod(0o644)
    yield
    for script in made:
        script.unlink()


@pytest.mark.parametrize("installed, after", [("0.9", "1.0"), ("1.0", "1.0"), ("1.1", "1.1")])
def test_an_older_version_is_updated_and_a_later_one_stays(database, monkeypatch, scripts, installed, after):
    database.sql("create extension admin_ext")
    database.sql("update pg_extension set extversion = %s where extname = 'admin_ext'", installed)
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert (database.revision, database.extension) == ("0002", after)


def test_a_version_without_a_way_to_this_one_is_an_error_that_changes_nothing(database, monkeypatch, capsys):
    database.sql("create extension admin_ext")
    database.sql("update pg_extension set extversion = '0.8' where extname = 'admin_ext'")
    assert migrate(database, monkeypatch, "upgrade") == 2
    assert (
        'migrations: 22023: extension "admin_ext" has no update path from version "0.8" to version "1.0"'
        in capsys.readouterr().err
    )
    assert database.sql("select to_regclass('public.admin_alembic_version')") is None


def test_two_upgrades_at_once_upgrade_once(database):
    """Both stand at the lock before either begins."""
    with contextlib.closing(database.connect()) as holder:
        holder.autocommit = False
        one(holder, steps.OPENING[-1])
        both = [start(command, "upgrade", "head", ADMIN_MIGRATIONS_URL=database.url) for command in COMMANDS]
        assert poll(lambda: database.waiting(2), 60)
        holder.rollback()
    told = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sorted(errors.count("Running upgrade") for _, errors in told) == [0, 2]
    assert (database.revision, database.extension) == ("0002", "1.0")


def test_who_only_asks_does_not_wait(database, monkeypatch):
    with contextlib.closing(database.connect()) as holder:
        holder.autocommit = False
        one(holder, steps.OPENING[-1])
        assert migrate(database, monkeypatch, "current") == 0


def test_names_of_others_are_not_called(database, monkeypatch):
    """A function of public's that fits better than the system's, as one gets where everybody may create there."""
    database.sql(
        "create function public.format(text, name, name) returns text language plpgsql as $$ begin raise 'called'; end $$"
    )
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert migrate(database, monkeypatch, "downgrade", "base") == 0


# -- as SQL -----------------------------------------------------------------------------------------------------------


@BOTH
def test_sql_makes_the_same_as_the_command_and_needs_no_database(database, command, monkeypatch):
    status, script, errors = run(command, "upgrade", "head", "--sql")
    assert status == 0, errors
    assert database.psql(script)[0] == 0
    with scratch() as other:
        assert migrate(other, monkeypatch, "upgrade") == 0
        assert database.dump() == other.dump()
        assert database.revision == other.revision == "0002"
    before = database.dump()
    status, errors = database.psql(script)  # the version table is there
    assert status == 3 and "42P07" in errors
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert database.dump() == before


def test_sql_from_one_revision_on(database):
    assert database.psql(run("module", "upgrade", "0001", "--sql")[1])[0] == 0
    assert database.revision == "0001" and not database.sql(THIS_MONTH)
    assert database.psql(run("module", "upgrade", "0001:head", "--sql")[1])[0] == 0
    assert database.revision == "0002" and database.sql(THIS_MONTH)


# -- down -------------------------------------------------------------------------------------------------------------


def down(database, how):
    """To base, online or by what --sql has written: exit status and errors."""
    if how == "sql":
        status, script, errors = run("module", "downgrade", "0002:base", "--sql")
        assert status == 0, errors
        return database.psql(script)
    status, _, errors = database.run(how, "downgrade", "base")
    return status, errors


HOW = pytest.mark.parametrize("how", [*COMMANDS, "sql"])


@HOW
def test_an_extension_without_data_goes_and_comes_again(database, how, monkeypatch):
    database.sql("create table mine (x int)")
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert database.sql("select count(*) from admin.audit_partitions()") > 1
    status, errors = down(database, how)
    assert status == 0, errors
    assert (database.extension, database.revision) == (None, None)
    assert database.rows(
        "select table_name::text from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema') order by 1"
    ) == [("admin_alembic_version",), ("mine",)]
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert (database.revision, database.extension) == ("0002", "1.0")


@HOW
def test_data_are_not_dropped_and_the_error_says_which(database, how, monkeypatch):
    assert migrate(database, monkeypatch, "upgrade") == 0
    database.sql(APPROVAL)
    database.sql("insert into admin.signature (approval_id, signer_role, signer) values ('APP-000001-m', 'r', 'ann')")
    database.sql("select admin.sensitive_check('APP-000001-m')")
    held = {
        table: database.sql(f"select count(*) from {table}")
        for table in ("admin.approval", "admin.signature", "admin.audit", "admin.sweep_due")
    }
    assert held["admin.audit"] == 4 and min(held.values()) == 1
    before = database.dump()
    status, errors = down(database, how)
    assert status not in (0, 1) and "Traceback" not in errors
    assert "55000" in errors and 'extension "admin_ext" holds data that would be lost' in errors
    detail = next(line for line in errors.splitlines() if line.startswith("DETAIL: "))
    assert dict(part.split(": ") for part in detail.split("Rows: ")[1].rstrip(".").split(", ")) == {
        table: str(n) for table, n in held.items()
    }
    assert "HINT: " in errors
    assert database.dump() == before and database.revision == "0002"


@pytest.mark.parametrize(
    "row, told",
    [
        ("select admin.sensitive_check('APP-000001-m')", "admin.audit: 1"),
        ("select admin_internal.append_event('note', '{}')", "admin.audit: 1"),
        (
            "insert into admin.dead_letter (sink, audit_id, error, attempts) values ('kafka', 1, 'no', 1)",
            "admin.dead_letter: 1, admin.audit: 1",
        ),
        ("insert into admin.ingest_source (source) values ('/ff/1')", "admin.ingest_source: 1, admin.audit: 1"),
        ("select admin.add_jwt_issuer('https://issuer', 'us')", "admin.jwt_issuer: 1, admin.audit: 1"),
        ("create extension admin_ext_cutover", "admin.audit: 1"),
        (
            "create extension admin_ext_cutover; select admin.record_parity_run(1, 0, 0)",
            "admin.parity_run: 1, admin.audit: 1",
        ),
    ],
)
def test_a_row_anywhere_is_enough(database, monkeypatch, capsys, row, told):
    assert migrate(database, monkeypatch, "upgrade") == 0
    database.sql(row)
    assert migrate(database, monkeypatch, "downgrade", "base") == 2
    assert f"DETAIL: Rows: {told}.\n" in capsys.readouterr().err
    assert (database.revision, database.extension) == ("0002", "1.0")


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
@pytest.mark.parametrize("commits", [True, False])
def test_who_is_writing_is_waited_for(database, isolation, commits, monkeypatch):
    """Its rows are not seen when counting begins."""
    assert migrate(database, monkeypatch, "upgrade") == 0
    sql(f"alter database {database.name} set default_transaction_isolation to '{isolation}'")
    with contextlib.closing(database.connect()) as writer:
        writer.autocommit = False
        one(writer, APPROVAL)
        process = start("module", "downgrade", "base", ADMIN_MIGRATIONS_URL=database.url)
        assert poll(database.waiting, 60)
        writer.commit() if commits else writer.rollback()
    _, errors = process.communicate(timeout=60)
    if commits:
        assert process.returncode == 2 and "admin.approval: 1" in errors, errors
        assert database.sql("select count(*) from admin.approval") == 1 and database.revision == "0002"
    else:
        assert process.returncode == 0 and database.extension is None, errors


def test_a_refusal_waits_for_nobody(database, monkeypatch):
    assert migrate(database, monkeypatch, "upgrade") == 0
    database.sql("select admin.sensitive_check('APP-000001-m')")
    with contextlib.closing(database.connect()) as writer:
        writer.autocommit = False
        one(writer, APPROVAL)
        assert migrate(database, monkeypatch, "downgrade", "base") == 2


def test_what_depends_on_the_extension_is_not_dropped(database, monkeypatch, capsys):
    assert migrate(database, monkeypatch, "upgrade") == 0
    # A trigger of the extension would not do: attaching it leaves events, and a trail with rows is not dropped either.
    database.sql("create view mine as select approval_id from admin.approval")
    assert migrate(database, monkeypatch, "downgrade", "base") == 2
    told = capsys.readouterr().err
    assert "2BP01" in told and "view public.mine" in told and "CASCADE" not in told
    database.sql("drop view mine")
    assert migrate(database, monkeypatch, "downgrade", "base") == 0


def test_the_last_revision_goes_back_with_data(database, monkeypatch):
    """Nothing is lost by it: it undoes nothing."""
    assert migrate(database, monkeypatch, "upgrade") == 0
    database.sql(APPROVAL)
    assert migrate(database, monkeypatch, "downgrade", "0001") == 0
    assert (database.revision, database.extension) == ("0001", "1.0")
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert database.revision == "0002" and database.sql("select count(*) from admin.approval") == 1


def test_an_extension_dropped_by_hand_is_no_obstacle(database, monkeypatch):
    assert migrate(database, monkeypatch, "upgrade") == 0
    database.sql("drop extension admin_ext")
    assert migrate(database, monkeypatch, "downgrade", "base") == 0
    assert migrate(database, monkeypatch, "upgrade") == 0
    assert database.extension == "1.0"


# -- what goes wrong --------------------------------------------------------------------------------------------------


BAD_URLS = [
    ({}, "no database is named: set ADMIN_MIGRATIONS_URL (or ADMIN_DSN) to postgresql://"),
    (
        {"ADMIN_MIGRATIONS_URL": "mysql://me:secret@here/db"},
        "ADMIN_MIGRATIONS_URL is not a URL that begins with postgresql://",
    ),
    ({"ADMIN_DSN": "host=here password=secret"}, "ADMIN_DSN is not a URL that begins with postgresql://"),
    (
        {"ADMIN_DSN": "postgresql://me:secret#1@here/db"},
        "URL is not of the form postgresql://user:password@host:port/database",
    ),
    ({"ADMIN_DSN": "postgresql://me:secret@here/db?sslmode=x"}, "sslmode"),
    ({"ADMIN_DSN": f"postgresql://postgres@/postgres?host={SCRATCH}/none"}, "the database cannot be reached: "),
    ({"ADMIN_DSN": url("no_such_database")}, '3D000: database "no_such_database" does not exist'),
]


@pytest.mark.parametrize("variables, expected", BAD_URLS)
@pytest.mark.parametrize("arguments", [["upgrade"], ["current"], ["drift"]])
def test_a_database_that_is_not_named_or_not_there(monkeypatch, capsys, arguments, variables, expected):
    for name in ("ADMIN_MIGRATIONS_URL", "ADMIN_DSN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("migrations: ") and expected in errors and "secret" not in errors


@pytest.mark.parametrize("variables, expected", [BAD_URLS[0], BAD_URLS[-1]])
def test_alembics_own_command_shows_errors_without_a_traceback(variables, expected):
    status, _, errors = run("alembic", "upgrade", "head", **variables)
    assert status not in (0, 1) and expected in errors and "Traceback" not in errors


@pytest.fixture
def owner(database):
    """A role that owns the database and may do nothing else."""
    name = f"owner_{database.name}"
    sql(f"create role {name} login")
    sql(f"alter database {database.name} owner to {name}")
    yield name
    sql(f"alter database {database.name} owner to postgres")
    database.sql(f"drop owned by {name}")
    sql(f"drop role {name}")


def test_no_superuser(database, owner, monkeypatch, capsys):
    for user in (owner, "ff"):
        monkeypatch.setenv("ADMIN_MIGRATIONS_URL", url(database.name, user))
        assert main(["upgrade"]) == 2
        errors = capsys.readouterr().err
        assert (
            errors.startswith("migrations: 42501: permission denied ")
            and "HINT: Migrations are run by a superuser" in errors
        )
        assert database.sql("select to_regclass('public.admin_alembic_version')") is None


def test_a_pooler_is_no_way():
    """What asyncpg raises where its statements are in another session, or another's in its own."""
    for raised in (asyncpg.DuplicatePreparedStatementError("no"), asyncpg.InvalidSQLStatementNameError("no")):
        with pytest.raises(CommandError, match="not a pooler"), explained():
            raise raised


def test_a_server_without_the_extension(database, monkeypatch, capsys):
    monkeypatch.setattr(steps, "EXTENSION", "admin_ext_not_there")
    assert migrate(database, monkeypatch, "upgrade") == 2
    errors = capsys.readouterr().err
    assert (
        "admin_ext_not_there" in errors
        and "HINT: " in errors
        and errors.startswith(("migrations: 0A000: ", "migrations: 58P01: "))
    )


def test_a_revision_that_is_not_there(database, monkeypatch, capsys):
    assert migrate(database, monkeypatch, "upgrade", "9999") == 2
    assert "9999" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_the_forms_of_a_url_and_which_one_counts(scheme, monkeypatch):
    monkeypatch.delenv("ADMIN_MIGRATIONS_URL", raising=False)
    monkeypatch.setenv("ADMIN_DSN", scheme + url("postgres").removeprefix("postgresql"))
    assert main(["current"]) == 0
    monkeypatch.setenv("ADMIN_MIGRATIONS_URL", url("no_such_database"))
    assert main(["current"]) == 2


def test_packages_that_are_not_installed_are_named():
    without = "import runpy, sys; sys.modules['alembic'] = None; runpy.run_module('admin_client.migrations', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-c", without], capture_output=True, text=True)
    assert (
        ran.returncode == 2
        and "alembic" in ran.stderr
        and "admin-client[migrations]" in ran.stderr
        and "Traceback" not in ran.stderr
    )


def test_alembics_own_file_may_name_the_database(database, tmp_path):
    """Whoever keeps an alembic.ini of their own says it there."""
    ini = tmp_path / "alembic.ini"
    ini.write_text(
        f"[alembic]\nscript_location = admin_client:migrations\nsqlalchemy.url = {database.url.replace('postgresql:', 'postgresql+asyncpg:')}\n"
    )
    process = subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("alembic")), "-c", str(ini), "upgrade", "head"],
        env={**os.environ, "ADMIN_DSN": "postgresql://nobody@127.0.0.1:1/x"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert process.returncode == 0, process.stderr
    assert database.sql("select extversion from pg_extension where extname = 'admin_ext'") == "1.0"


def run_alembic(tmp_path, url):
    ini = tmp_path / "alembic.ini"
    ini.write_text(f"[alembic]\nscript_location = admin_client:migrations\nsqlalchemy.url = {url}\n")
    return subprocess.run(
        [str(pathlib.Path(sys.executable).with_name("alembic")), "-c", str(ini), "upgrade", "head"],
        capture_output=True,
        text=True,
        env={**os.environ, "ADMIN_DSN": "postgresql:///nowhere"},
    )


@pytest.mark.parametrize("sign", ["%", "%%"], ids=["as it is", "doubled"])
def test_a_password_in_the_file_is_not_told(tmp_path, sign):
    process = run_alembic(tmp_path, f"postgresql://u:secret{sign}40word@127.0.0.1:1/db")
    told = process.stdout + process.stderr
    assert process.returncode != 0 and "the database cannot be reached" in told, told
    assert "secret" not in told and "40word" not in told and "Traceback" not in told


@pytest.mark.parametrize("sign", ["%", "%%"], ids=["as it is", "doubled"])
def test_a_percent_sign_in_the_file_is_the_urls(database, tmp_path, sign):
    head, host = database.url.split("?host=")
    process = run_alembic(tmp_path, f"{head}?host={host.replace('/', sign + '2F')}")
    assert process.returncode == 0, process.stdout + process.stderr
