"""Streams that the archiver has stopped are named, and tampering with that is seen."""

import json

import evidence_sources as sources
import pytest
from admin_client.evidence import seal
from admin_client.verify.report import WRONG
from evidence_sources import STORE
from test_verify_contents import checked
from test_verify_honest import keys  # noqa: F401
from verify_attacks import World

STOP = {
    "v": 1,
    "store": STORE,
    "stop": 1,
    "last": 40,
    "reason": "number 5 comes a second time",
    "record": None,
    "kafka": [],
    "stopped_at": "2026-11-01T01:00:00.000000Z",
}
ACCEPTED = {"v": 1, "store": STORE, "stop": 1, "kafka": [], "accepted_at": "2026-11-02T01:00:00.000000Z"}


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def leave(world, name, members, key=sources.KEY):
    folder = world.places["archive"] / "claims" / STORE
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(seal.sign(members, key)))


def texts(report, level):
    return [finding.text for stream in report.streams for finding in stream.findings.kept if finding.level == level]


def test_a_stop_that_nobody_has_accepted_is_wrong(keys, world):  # noqa: F811
    leave(world, "stopped-000001.json", STOP)
    report = checked(keys, world)
    assert report.status == 1
    assert texts(report, WRONG) == [
        "the archiver stopped behind number 40 at 2026-11-01T01:00:00.000000Z: number 5 comes a second time; nobody has accepted that"
    ]


def test_a_stop_that_was_accepted_needs_an_explanation(keys, world):  # noqa: F811
    leave(world, "stopped-000001.json", STOP)
    leave(world, "stopped-000001.accepted.json", ACCEPTED)
    report = checked(keys, world)
    assert report.status == 0
    assert any(
        "an operator accepted that at 2026-11-02T01:00:00.000000Z" in text for text in texts(report, "attention")
    )


@pytest.mark.parametrize(
    "name, members, key, message",
    [
        ("stopped-000002.json", {**STOP, "stop": 2}, sources.KEY, "stop 1 of this store is missing"),
        ("stopped-000001.accepted.json", ACCEPTED, sources.KEY, "stop 1 of this store is missing"),
        ("stopped-000001.json", STOP, sources.FORGER, "not signed by a key that you trust"),
        ("stopped-000001.json", {**STOP, "stop": 2}, sources.KEY, "of another store or stop"),
        ("stopped-000001.json", {**STOP, "store": sources.OTHER_STORE}, sources.KEY, "of another store or stop"),
    ],
    ids=["first deleted", "acceptance alone", "another key", "another number", "another store"],
)
def test_what_no_archiver_has_left_is_wrong(keys, world, name, members, key, message):  # noqa: F811
    leave(world, name, members, key)
    report = checked(keys, world)
    assert report.status == 1
    assert any(message in text for text in texts(report, WRONG))
