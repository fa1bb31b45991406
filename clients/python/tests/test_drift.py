"""The drift check names what was changed in the catalog, each kind of thing."""
import json
import pathlib

import pytest
from test_migrations import database, template, upgraded  # noqa: F401 -- fixtures

from admin_client.migrations import drift

FIXTURE = pathlib.Path(__file__).parents[3] / "fixtures/persistence_schema.json"
CHANGES = {
    "alter table admin.approval disable trigger approval_guard": ["trigger approval.approval_guard: described as enabled always, but is disabled"],
    "alter table admin.approval enable replica trigger approval_guard": ["trigger approval.approval_guard: described as enabled always, but is enabled in replicas alone"],
    "alter table admin.approval drop constraint approval_action_length": ["constraint approval.approval_action_length is missing "],
    "alter table admin.approval add constraint more check (action <> 'x')": ["constraint approval.more is not described (there: CHECK ((action <> 'x'::text)))"],
    "alter table admin.dead_letter alter column attempts type bigint": ["column dead_letter.attempts: described as column 5: integer not null default 1, but is column 5: bigint not null default 1"],
    "alter table admin.approval alter column state set default 'signed_full'": ["column approval.state: described as column 7: text not null default 'pending'::text, but is"],
    "alter table admin.approval alter column requested_by drop not null": ["column approval.requested_by: described as column 6: text not null, but is column 6: text"],
    "alter table admin.tick add column more int": ["column tick.more is not described (there: column 6: integer)"],
    "alter view admin.audit_delivery rename column sink_status to status": ["column audit_delivery.sink_status is missing", "column audit_delivery.status is not described"],
    "alter extension admin_ext drop table admin.jwt_used; drop table admin.jwt_used": ["relation admin.jwt_used is missing (described: table)"],
    "create table admin.more (x int)": ["relation admin.more is not described (there: table)"],
    "alter table admin.jwt_used rename to used": ["relation admin.jwt_used is missing", "relation admin.used is not described"],
    "update pg_extension set extversion = '0.9' where extname = 'admin_ext'": ["extension admin_ext: described as 1.0, but is 0.9"],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_named(upgraded, change):  # noqa: F811
    upgraded.sql(change)
    status, out, _ = upgraded.run("drift")
    assert status == 1 and len(out.splitlines()) == len(CHANGES[change]), out
    assert all(line.startswith(expected) for line, expected in zip(out.splitlines(), CHANGES[change])), out


def test_a_document_for_machines(upgraded):  # noqa: F811
    assert upgraded.run("drift", "--json") == (0, "[]\n", "")
    upgraded.sql("create table admin.more (x int)")
    status, out, _ = upgraded.run("drift", "--json")
    assert (status, json.loads(out)) == (1, [{"what": "relation admin.more", "expected": None, "found": "table"}])


def test_without_the_extension_all_is_missing(database):  # noqa: F811
    status, out, _ = database.run("drift")
    assert status == 1 and out.splitlines()[0] == "extension admin_ext is missing (described: 1.0)"
    assert len(out.splitlines()) == 1 + len(json.loads(FIXTURE.read_text())["relations"])


def test_it_could_not_be_looked_at(database):  # noqa: F811
    assert database.run("drift", ADMIN_DSN="postgresql://x@127.0.0.1:1/y")[0] == 2
    assert database.run("drift", ADMIN_DSN="")[0] == 2


def test_the_description_travels_with_the_package():
    assert drift.description() == json.loads(FIXTURE.read_text())


def test_no_setting_of_the_database_bends_it(upgraded):  # noqa: F811
    upgraded.sql(f"alter database {upgraded.name} set search_path = admin, public")
    assert upgraded.run("drift")[0] == 0
