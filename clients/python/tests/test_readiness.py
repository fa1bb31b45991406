"""The items of admin.cutover_readiness, their notes and FF's counterpart are the same 28; and what the command says of a live database."""

import json
import pathlib
import subprocess
import sys

import asyncpg
import pytest
from admin_client import readiness
from harness import PATHS, SCRATCH, sql

NOTES = json.loads((pathlib.Path(__file__).parents[3] / "fixtures/cutover_readiness_notes.json").read_text())
ADMIN = f"postgresql://postgres@/postgres?host={SCRATCH}"


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "admin_client.readiness", *arguments], capture_output=True, text=True, timeout=60
    )


async def test_view_notes_and_client_have_the_same_items():
    found = await readiness.ask(ADMIN)
    assert [(row.item, row.area, row.title) for row in found.rows] == [
        (note["item"], note["area"], note["title"]) for note in NOTES["items"]
    ]
    assert {note["item"]: note["title"] for note in NOTES["items"]} == readiness.ITEMS
    assert len(readiness.ITEMS) == 28 and found.unknown == []


def test_every_item_has_an_owner_evidence_and_a_way_back():
    for note in NOTES["items"]:
        assert set(note) == {"item", "area", "title", "owner", "evidence", "rollback"}
        assert all(isinstance(value, str) and value.strip() for value in note.values()), note


@pytest.mark.parametrize("note", NOTES["items"], ids=lambda note: note["item"])
def test_the_evidence_can_be_had(note):
    """What the notes say to look at runs; it may find nothing."""
    for statement in note["evidence"].split("; "):
        if not statement.startswith("select"):
            assert statement.startswith("python -m admin_client.migrations"), statement
        elif "<id>" not in statement:
            sql(f"select count(*) from ({statement}) as looked")


def test_a_database_of_another_version_is_not_ready():
    rows = [readiness.Row(item, "x", title, "pass", None) for item, title in readiness.ITEMS.items()]
    assert readiness.Readiness(rows).ready
    assert not readiness.Readiness(rows[:-1]).ready and readiness.Readiness(rows[:-1]).unknown == ["F4"]
    assert readiness.Readiness([*rows[:-1], readiness.Row("F4", "x", "another", "pass", None)]).unknown == ["F4"]
    assert "! F4" in readiness.terminal(readiness.Readiness(rows[:-1]))


def test_the_command():
    table, document = run("--dsn", ADMIN), run("--dsn", ADMIN, "--json")
    answer = json.loads(document.stdout)
    assert [item["item"] for item in answer["items"]] == list(readiness.ITEMS)
    assert sum(answer["counts"].values()) == 28 and answer["ready"] == (answer["counts"]["fail"] == 0)
    assert table.returncode == document.returncode == (0 if answer["ready"] else 1)
    assert table.stdout.count("\n") == 29 and " A1  tables are as described: " in table.stdout


def test_who_may_not_read_it_is_told_so():
    refused = run("--dsn", PATHS["direct"])
    assert refused.returncode == 2 and "permission denied" in refused.stderr
    away = run("--dsn", "postgresql://x@127.0.0.1:1/x")
    assert away.returncode == 2 and away.stderr.startswith("readiness: ")


async def test_an_auditor_sees_what_a_superuser_sees():
    sql(
        "do $$ begin if not exists (select from pg_roles where rolname = 'looks') then create role looks login; end if; end $$"
    )
    sql("select admin.grant_access('looks', 'auditor')")
    assert [row.item for row in (await readiness.ask(f"postgresql://looks@/postgres?host={SCRATCH}")).rows] == list(
        readiness.ITEMS
    )
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await readiness.ask(PATHS["direct"])
