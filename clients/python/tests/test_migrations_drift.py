"""Drift: the catalog of a migrated database is spoilt, one thing at a time, and each is named."""

import json
import pathlib

import admin_client
import pytest
from admin_client.migrations import drift
from admin_client.migrations.__main__ import main
from migrating import ROOT, run, scratch, url

FIXTURE = ROOT / "fixtures/persistence_schema.json"
SPECIFICATION = json.loads(FIXTURE.read_text())


@pytest.fixture(scope="module")
def migrated():
    with scratch() as made:
        made.done("module", "upgrade")
        made.sql("create extension admin_ext_cutover")
        yield made


@pytest.fixture
def database(migrated):
    """A copy of a migrated database."""
    with scratch(migrated.name) as made:
        yield made


@pytest.fixture
def drifts(database, monkeypatch, capsys):
    """Exit status of the command, and its lines."""

    def ask(*arguments, user="postgres"):
        monkeypatch.setenv("ADMIN_MIGRATIONS_URL", url(database.name, user))
        status = main(["drift", *arguments])
        return status, capsys.readouterr().out.splitlines()

    return ask


def test_a_migrated_database_has_no_drift(drifts):
    none = f"no drift: admin_ext {SPECIFICATION['version']}, {len(SPECIFICATION['relations'])} relations"
    assert drifts() == (0, [none])
    assert drifts(user="ff") == (0, [none])  # who may do nothing may look
    status, lines = drifts("--json")
    assert status == 0 and json.loads("\n".join(lines)) == {
        "extension": "admin_ext",
        "version": SPECIFICATION["version"],
        "differences": [],
    }


@pytest.mark.parametrize(
    "change, lines",
    [
        (
            "alter table admin.approval disable trigger approval_guard",
            "admin.approval: trigger approval_guard is disabled instead of enabled always",
        ),
        (
            "alter table admin.approval enable trigger approval_guard",
            "admin.approval: trigger approval_guard is enabled instead of enabled always",
        ),
        (
            "alter table admin.signature enable replica trigger audit_row_change",
            "admin.signature: trigger audit_row_change is enabled on replicas only instead of enabled always",
        ),
        (
            "drop trigger signature_guard_truncate on admin.signature",
            "admin.signature: trigger signature_guard_truncate is missing (enabled always)",
        ),
        (
            "create trigger mine before delete on admin.signature for each statement execute function suppress_redundant_updates_trigger()",
            "admin.signature: trigger mine is not specified (enabled)",
        ),
        (
            "alter table admin.audit_default disable trigger audit_append_only_statement",
            "admin.audit_default: trigger audit_append_only_statement is disabled instead of enabled always",
        ),
        (
            "alter table admin.approval drop constraint approval_closed_at_finite",
            "admin.approval: constraint approval_closed_at_finite is missing (CHECK (isfinite(closed_at)))",
        ),
        (
            "alter table admin.approval add constraint mine check (action <> 'x')",
            "admin.approval: constraint mine is not specified (CHECK ((action <> 'x'::text)))",
        ),
        (
            "alter table admin.approval drop constraint approval_closed_at_finite, add constraint approval_closed_at_finite check (isfinite(closed_at)) not valid",
            "admin.approval: constraint approval_closed_at_finite is CHECK (isfinite(closed_at)) NOT VALID instead of CHECK (isfinite(closed_at))",
        ),
        (
            "alter table admin.ingest_source alter column accepted type int",
            "admin.ingest_source: column accepted is integer instead of bigint",
        ),
        (
            "alter table admin.approval alter column state set default 'signed_full'",
            "admin.approval, column state: default is 'signed_full'::text instead of 'pending'::text",
        ),
        (
            "alter table admin.approval alter column created_at drop default",
            "admin.approval, column created_at: default is none instead of now()",
        ),
        (
            "alter table admin.approval alter column resource set default 'all'",
            "admin.approval, column resource: default is 'all'::text instead of none",
        ),
        (
            "alter table admin.audit alter column source set default 'mine'",
            "admin.audit, column source: default is 'mine'::text instead of 'admin_ext'::text",
        ),
        (
            "alter table admin.approval alter column action drop not null",
            "admin.approval, column action: nullable is yes instead of no",
        ),
        (
            "alter table admin.jwt_key add column note text default 'x' not null",
            "admin.jwt_key: column note is not specified (text)",
        ),
        (
            "alter table admin.jwt_key drop column added_at",
            "admin.jwt_key: column added_at is missing (timestamp with time zone)",
        ),
        (
            "alter table admin.jwt_key drop column added_at, add column added_at timestamptz not null default now()",
            "admin.jwt_key: order of columns is issuer, kid, alg, jwk, revoked_at, added_at instead of issuer, kid, alg, jwk, added_at, revoked_at",
        ),
        (
            "alter extension admin_ext drop table admin.approval",
            "admin.approval: extension is none instead of admin_ext",
        ),
        (
            "alter extension admin_ext drop table admin.jwt_used; drop table admin.jwt_used",
            "admin.jwt_used is missing (table)",
        ),
        ("create table admin.mine (x int primary key)", "admin.mine is not specified (table)"),
        ("create materialized view admin.mine as select 1 as x", "admin.mine is not specified (materialized view)"),
        (
            "alter extension admin_ext drop view admin.approval_ttl_state; drop view admin.approval_ttl_state; "
            "create table admin.approval_ttl_state (approval_id text, state text, sla_deadline timestamptz, ttl_state text, valid_until timestamptz, "
            "evaluated_at timestamptz)",
            "admin.approval_ttl_state is table instead of view\n"
            "admin.approval_ttl_state: extension is none instead of admin_ext",
        ),
        (
            "update pg_extension set extversion = '0.9' where extname = 'admin_ext'",
            "extension admin_ext is version 0.9 instead of version 1.0",
        ),
        ("drop extension admin_ext cascade", "extension admin_ext is missing (version 1.0)"),
        (
            "drop extension admin_ext cascade; create schema if not exists admin; create table admin.approval (x int)",
            "extension admin_ext is missing (version 1.0)",
        ),
    ],
)
def test_each_difference_is_named(database, drifts, change, lines):
    database.sql(change)
    assert drifts() == (1, lines.splitlines())


def test_parentheses_of_a_check_that_pg_upgrade_loses_are_no_difference(database, drifts):
    again = "alter table admin.approval drop constraint approval_required_signer_count, add constraint approval_required_signer_count check ({})"
    database.sql(
        again.format(
            "required_signer_count >= 1 and required_signer_count <= 8 and required_signer_count = cardinality(required_roles)"
        )
    )
    assert drifts()[0] == 0
    database.sql(
        again.format(
            "required_signer_count >= 1 and (required_signer_count <= 8 or required_signer_count = cardinality(required_roles))"
        )
    )
    assert drifts()[0] == 1


def test_tables_of_the_move_are_missed_only_where_its_extension_is_installed(database, drifts):
    database.sql("drop extension admin_ext_cutover")
    core = [relation for relation in SPECIFICATION["relations"] if "extension" not in relation]
    assert drifts() == (0, [f"no drift: admin_ext {SPECIFICATION['version']}, {len(core)} relations"])
    database.sql("create table admin.parity_run (x int)")
    assert drifts() == (1, ["admin.parity_run is not specified (table)"])


def test_several_differences_are_told_as_json(database, drifts):
    database.sql("alter table admin.approval disable trigger approval_guard")
    database.sql("alter table admin.jwt_key add column note text")
    database.sql("create view admin.mine as select 1 as x")
    status, lines = drifts("--json")
    assert status == 1
    assert json.loads("\n".join(lines))["differences"] == [
        {"path": ["admin.approval", "trigger approval_guard"], "expected": "enabled always", "found": "disabled"},
        {"path": ["admin.jwt_key", "column note"], "expected": None, "found": "text"},
        {"path": ["admin.mine"], "expected": None, "found": "view"},
    ]


def test_every_thing_specified_is_missed(migrated):
    """Whatever the specification tells is looked for: without it in the catalog there is a difference."""
    for relation in SPECIFICATION["relations"]:
        for kind in ("columns", "constraints", "triggers"):
            for index in range(len(relation.get(kind) or [])):
                there = {
                    "version": SPECIFICATION["version"],
                    "extensions": ["admin_ext", "admin_ext_cutover"],
                    "relations": [
                        {
                            "extension": "admin_ext",
                            "parent": None,
                            **one,
                            **({kind: one[kind][:index] + one[kind][index + 1 :]} if one is relation else {}),
                        }
                        for one in SPECIFICATION["relations"]
                    ],
                }
                assert len(drift.differences(SPECIFICATION, there)) == 1


def test_the_search_path_of_a_role_changes_nothing(database, drifts):
    database.sql(f"alter database {database.name} set search_path to admin, public")
    assert drifts()[0] == 0


def test_the_specification_is_in_what_is_installed():
    installed = pathlib.Path(admin_client.__file__).parent / "migrations"
    assert "site-packages" in installed.parts
    assert json.loads((installed / "persistence_schema.json").read_text()) == SPECIFICATION == drift.specification()
    assert not (installed / "persistence_schema.json").is_symlink() and (installed / "script.py.mako").exists()


def test_exit_status_2_where_it_cannot_be_found_out():
    status, output, errors = run("module", "drift", ADMIN_DSN=url("no_such_database"))
    assert (status, output) == (2, "") and errors.startswith("migrations: ") and "Traceback" not in errors


def test_exit_status_1_of_the_process(database):
    database.sql("drop extension admin_ext cascade")
    assert database.run("module", "drift") == (1, "extension admin_ext is missing (version 1.0)\n", "")
