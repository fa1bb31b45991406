"""doc/cutover.md, run as it stands: every command in its order, and what it is said to print."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from admin_client.parity import store
from app_harness import KEY
from harness import SCRATCH, sql
from session import connect, one

PAGE = (pathlib.Path(__file__).parents[3] / "doc/cutover.md").read_text()
DATABASE = "cutover"
ROLES = ("ff_service", "admin_web", "cutover_operator")
STORE = [
    {
        "approval_id": "APP-000001-a",
        "action": "payout",
        "resource": "account 7",
        "required_roles": ["finance", "legal"],
        "requested_by": "ann",
        "state": "signed_full",
        "created_at": "2026-01-01T00:00:00Z",
        "sla_deadline": "2100-01-01T00:00:00Z",
        "signatures": [
            {"signer_role": "finance", "signer": "bob", "signed_at": "2026-01-02T00:00:00Z"},
            {"signer_role": "legal", "signer": "eve", "signed_at": "2026-01-03T00:00:00Z"},
        ],
    },
    {
        "approval_id": "APP-000002-b",
        "action": "payout",
        "required_roles": ["finance"],
        "requested_by": "ann",
        "state": "withdrawn",
        "created_at": "2026-01-01T00:00:00Z",
        "sla_deadline": "2100-01-01T00:00:00Z",
        "closed_at": "2026-01-05T00:00:00Z",
        "closed_by": "ann",
        "close_reason": "over",
    },
    {
        "approval_id": "APP-000003-c",
        "action": "delete",
        "required_roles": ["ops"],
        "requested_by": "ann",
        "state": "pending",
        "created_at": "2026-01-01T00:00:00Z",
        "sla_deadline": (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat(),
    },
]


def steps():
    """The shell's blocks, each with what it is said to print, if anything, and the heading it is under."""
    for match in re.finditer(r"^```sh\n(.*?)^```\n(?:```text\n(.*?)^```\n)?", PAGE, re.M | re.S):
        yield re.findall(r"^## (.*)$", PAGE[: match.start()], re.M)[-1], match.group(1), match.group(2)


def change_the_store(directory):
    """What the file-backed store has come to since its import: one more signature, one withdrawal, one more approval."""
    first, second, third = json.loads((directory / "approvals.json").read_text())
    third |= {
        "state": "signed_full",
        "signatures": [{"signer_role": "ops", "signer": "kim", "signed_at": "2026-11-01T00:00:00Z"}],
    }
    first |= {"state": "withdrawn", "closed_at": "2026-11-02T00:00:00Z", "closed_by": "ann"}
    new = {**second, "approval_id": "APP-000004-d"}
    (directory / "approvals.json").write_text(json.dumps([first, second, third, new]))


def matches(printed, told):
    """Three dots stand for anything."""
    return re.fullmatch(r".*?".join(re.escape(part) for part in told.strip().split("...")), printed.strip(), re.S)


@pytest.fixture
def scene(tmp_path):
    """A database of its own, the files, and the addresses."""
    (tmp_path / "approvals.json").write_text(json.dumps(STORE))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [{**KEY.as_dict(private=False), "kid": "2026-11"}]}))
    sql(f"create database {DATABASE}")
    dsn = "postgresql://{}@/" + DATABASE + f"?host={SCRATCH}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG") or name == "PGTZ"}
    environment |= {
        "ADMIN_MIGRATIONS_URL": dsn.format("postgres"),
        "OPERATOR_DSN": dsn.format("cutover_operator"),
        "FF_DSN": dsn.format("ff_service"),
        "PATH": f"{pathlib.Path(sys.executable).parent}:{environment['PATH']}",
    }
    yield tmp_path, environment
    sql("alter system reset admin_ext.databases")
    sql("select pg_reload_conf()")
    sql(f"drop database {DATABASE} with (force)")
    for role in ROLES:
        sql(f"drop role if exists {role}")


async def test_the_runbook_runs_as_it_stands(scene):
    directory, environment = scene
    done, printed = [], []

    def do(heading, commands, told):
        process = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert process.returncode == 0, f"{heading}: {commands}\n{process.stdout}\n{process.stderr}"
        written = "\n".join(file.read_text() for file in directory.glob("*.txt"))
        assert told is None or matches(process.stdout, told), (
            f"{heading}: {commands}\n{process.stdout}\nis not\n{told}\n{written}"
        )
        printed.append(process.stdout)

    for heading, commands, told in steps():
        if heading == "6 Switch" and heading not in done:
            change_the_store(directory)
        do(heading, commands, told)
        done.append(heading)
    assert '{"advanced": 2, "imported": 1, "rejected": []}\n' in printed
    assert (
        list(dict.fromkeys(done))
        == ["1 Prepare", "2 Import", "3 Parity", "4 Shadow", "5 Readiness", "6 Switch", "Going back"]
        and len(done) >= 12
    )
    back = json.loads((directory / "back.json").read_text())
    assert back[0]["signatures"][1]["signer"] == "eve" and len(back) == 4

    # The store that was thawed with it goes on, and the database catches up with it.
    approval = {
        "approval_id": "APP-000005-e",
        "action": "payout",
        "required_roles": ["finance"],
        "requested_by": "ann",
        "sla_deadline": "2100-01-01T00:00:00Z",
    }
    (directory / "approvals.json").write_text(json.dumps([*back, approval]))
    for step in [step for step in steps() if step[0] == "6 Switch"][:2]:
        do(*step)
    assert printed[-2] == '{"advanced": 0, "imported": 1, "rejected": []}\n'
    assert "<html" in (directory / "parity.html").read_text()


async def test_the_sample_of_a_store_is_one(scene):
    """Every member is taken, and the table of members names those that are."""
    sample = json.loads(re.search(r"^```json\n(.*?)^```", PAGE, re.M | re.S).group(1))
    members = {name for element in sample for name in element} | {
        name for element in sample for s in element.get("signatures", []) for name in s
    }
    table = re.search(r"^\| member .*?\n\n", PAGE, re.M | re.S).group(0)
    assert members | {"required_signer_count"} == set(
        re.findall(r"`([a-z_]+)`", "".join(row.split("|")[1] for row in table.strip().splitlines()[2:]))
    )
    assert store.passed_by(sample) == {} and {f"{name}_offset" for name in store.INSTANTS} | members | {
        "required_signer_count",
        "expected",
        "fixture",
    } == (store.MEMBERS | store.SIGNATURE_MEMBERS) - {"signed_at_offset"}
    needed = {
        name
        for row in table.strip().splitlines()[2:]
        if row.split("|")[2].strip() == "yes"
        for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])
    } - {"signatures"}
    with contextlib.closing(connect(dbname=DATABASE)) as connection:

        def imported(document):
            return one(connection, "select admin.import_approvals(%s::jsonb)", json.dumps(document))["imported"]

        one(connection, "create extension admin_ext")
        one(connection, "create extension admin_ext_cutover")
        assert imported(sample) == 2
        for name in needed:
            lacking = json.loads(json.dumps(sample[0])) | {"approval_id": "APP-000013-lacking"}
            del (lacking if name in lacking else lacking["signatures"][0])[name]
            assert imported([lacking]) == 0, f"{name} is needed"


def test_every_way_back_is_in_the_table():
    table = re.search(r"^\| step .*?\n\n", PAGE, re.M | re.S).group(0)
    assert [row.split("|")[1].strip() for row in table.strip().splitlines()[2:]] == re.findall(
        r"^## (\d .*)$", PAGE, re.M
    )
    assert all(row.split("|")[4].strip() for row in table.strip().splitlines()[2:])
