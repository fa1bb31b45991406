"""Parity with a database in use, and how its outcome gets to where readiness shows it."""

import contextlib
import json

import harness
import pytest
from admin_client import readiness
from admin_client.parity.__main__ import main
from admin_client.parity.store import passed_by
from harness import SCRATCH
from session import connect, one
from test_parity_store import SOUND

DATABASE = "live"
ADMIN = f"postgresql://postgres@/{DATABASE}?host={SCRATCH}"
NOBODY = f"postgresql://ff@/{DATABASE}?host={SCRATCH}"
ELEMENTS = [
    {
        **SOUND,
        "approval_id": f"APP-90000{n}-live",
        "sla_deadline": "2100-01-01T00:00:00Z",
        "created_at": "2026-01-01T00:00:00Z",
    }
    for n in range(3)
]


def sql(query, *arguments):
    with contextlib.closing(connect(dbname=DATABASE)) as connection:
        return one(connection, query, *arguments)


@pytest.fixture(scope="module", autouse=True)
def database():
    """One of its own: all that it has is in the file."""
    harness.sql(f"create database {DATABASE}")
    sql("create extension admin_ext")
    sql("create extension admin_ext_cutover")
    sql("select admin.create_audit_partitions()")
    yield
    harness.sql(f"drop database {DATABASE} with (force)")


@pytest.fixture
def store(tmp_path):
    """The path of a document, and the database that holds it."""
    sql("select admin.import_approvals(%s::jsonb)", json.dumps(ELEMENTS))
    path = tmp_path / "approvals.json"
    path.write_text(json.dumps(ELEMENTS))
    return path


@pytest.fixture
def reader():
    sql(
        "do $$ begin if not exists (select from pg_roles where rolname = 'reader') then create role reader login; end if; end $$"
    )
    sql("select admin.grant_access('reader', 'auditor')")
    return f"postgresql://reader@/{DATABASE}?host={SCRATCH}"


async def b2():
    return next(row for row in (await readiness.ask(ADMIN)).rows if row.item == "B2")


def test_a_database_in_use_answers_as_its_file_does(store, reader, capsys):
    before = sql("select count(*) from admin.audit"), sql("select count(*) from admin.approval")
    assert main(["--live", reader, "--store", str(store), "--at", "2026-06-01T00:00:00Z"]) == 0
    assert "no difference" in capsys.readouterr().out.lower()
    assert (sql("select count(*) from admin.audit"), sql("select count(*) from admin.approval")) == before, (
        "and nothing is put into it"
    )


def test_what_was_changed_since_is_found(store, reader, capsys):
    elements = [
        {**ELEMENTS[0], "action": "another"},
        ELEMENTS[1],
        {**ELEMENTS[2], "approval_id": "APP-900009-unknown"},
        {"approval_id": "x"},
    ]
    store.write_text(json.dumps(elements))
    assert main(["--live", reader, "--store", str(store), "--record", ADMIN]) == 1
    out = capsys.readouterr().out
    assert "APP-900000-live" in out and "APP-900009-unknown" in out and "APP-900001-live" not in out
    assert sql("select differences > 0 and left_out = 1 from admin.parity_run order by run_id desc limit 1")


def test_what_only_the_database_has_is_found(store, reader, capsys):
    store.write_text(json.dumps(ELEMENTS[1:]))
    assert main(["--live", reader, "--store", str(store), "--record", ADMIN]) == 1
    out = capsys.readouterr().out
    assert "APP-900000-live" in out and "the file does not" in out
    store.write_text('[{"approval_id": []}]')
    assert main(["--live", reader, "--store", str(store)]) == 1
    assert "the file does not" in capsys.readouterr().out
    store.write_text("[]")
    assert main(["--live", reader, "--store", str(store), "--record", ADMIN]) == 1
    assert sql("select differences from admin.parity_run order by run_id desc limit 1") == len(ELEMENTS)


def test_members_that_nobody_reads_are_named(store, reader, capsys, tmp_path):
    store.write_text(
        json.dumps(
            [
                {
                    **element,
                    "resourse": "account 8",
                    "signatures": [{**s, "rôle": 1} for s in element.get("signatures", [])],
                }
                for element in ELEMENTS
            ]
        )
    )
    page = tmp_path / "report.html"
    assert main(["--live", reader, "--store", str(store), "--html", str(page)]) == 0
    told = 'members that neither side reads: "resourse" (3)'
    assert told in capsys.readouterr().out and told.replace('"', "&quot;") in page.read_text()
    assert passed_by(
        [7, {"a": 1, "signatures": 7}, {"signatures": [7, {"a": 1}], "a": 1, "expected": 1, "created_at_offset": 1}]
    ) == {"a": 2, "signatures.a": 1}
    store.write_text(json.dumps(ELEMENTS))
    assert main(["--live", reader, "--store", str(store)]) == 0
    assert "passed by" not in capsys.readouterr().out


async def test_the_outcome_is_recorded_and_shown(store, reader):
    import asyncio

    def run(*arguments):
        return asyncio.to_thread(main, [*arguments, "--record", ADMIN])

    assert await run("--live", reader, "--store", str(store)) == 0
    row = await b2()
    assert row.detail.startswith("parity run ") and " none differs" in row.detail or row.status == "fail"
    assert sql(
        "select cases > 0 and differences = 0 and left_out = 0 and report -> 'stores' is not null from admin.parity_run order by run_id desc limit 1"
    )
    assert await run("--dsn", ADMIN, "--cases", "200", "--seed", "3") == 0
    assert sql("select cases from admin.parity_run order by run_id desc limit 1") == 200


@pytest.mark.parametrize(
    "arguments",
    [["--live", ADMIN], ["--live", ADMIN, "--cases", "10"], ["--live", ADMIN, "--store", "x", "--fixtures", "y"]],
)
def test_live_goes_with_a_store_alone(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and "--live goes with --store alone" in capsys.readouterr().err


def test_who_may_not_is_told_so(store, capsys):
    assert main(["--live", NOBODY, "--store", str(store)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("parity: --live: permission denied") and "needs the access auditor" in error
    assert main(["--cases", "1", "--dsn", ADMIN, "--record", NOBODY]) == 2
    shown = capsys.readouterr()
    assert "parity: --record: permission denied" in shown.err and "needs the access operator" in shown.err
    assert "1 answers compared" in shown.out, "what was found out is not lost with it"


@pytest.mark.parametrize("option", ["--dsn", "--live", "--record"])
def test_what_cannot_be_reached_is_named(store, option, capsys):
    nowhere = "postgresql://postgres@127.0.0.1:1/postgres"
    arguments = {
        "--dsn": ["--cases", "1"],
        "--live": ["--store", str(store)],
        "--record": ["--cases", "1", "--dsn", ADMIN],
    }[option]
    assert main([*arguments, option, nowhere]) == 2
    assert f"parity: {option}: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--cases", "0"], "nothing is to be compared"),
        (["--html", "/no/such/place/page.html"], "'/no/such/place' is no directory"),
    ],
)
def test_what_comes_to_nothing_is_refused_before_it_runs(arguments, told, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2 and told in capsys.readouterr().err
