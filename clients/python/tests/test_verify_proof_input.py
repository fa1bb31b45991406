"""Proofs with anything in them: each is refused in words, and none passes for another."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from datetime import timedelta

import evidence_sources as sources
import pytest
from admin_client.verify import archive, cli, compare, report, safe
from evidence_sources import BEGIN, KEY, OTHER_STORE, STORE, Archive, Message, compact, messages, seal, write_dump
from test_verify_input import last, late_writer, sealed_with, world
from verify_attacks import World
from verify_command import verify


@pytest.fixture(scope="module")
def proved(world):
    path = world.directory / "proof"
    assert (
        verify("prove", "APP-100002-x1", "--archive", world.places["archive"], "--key", world.key, "--output", path)[0]
        == 0
    )
    return json.loads(path.read_text())


def checked(world, proof):
    text = proof if isinstance(proof, str) else json.dumps(proof)
    (world.directory / "changed").write_text(text)
    return verify("--proof", world.directory / "changed", "--key", seal.key_id(KEY.public_key().public_bytes_raw()))


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"approval_id": None},
        {"number": None},
        {"number": "1"},
        {"number": True},
        {"approval_id": "APP-100002-x1", "number": 17},
        {"approval_id": "APP-100002-x1", "note": "x"},
    ],
)
def test_a_proof_is_about_one_approval_or_one_document(world, proved, about):
    status, said = checked(world, {**proved, "about": about})
    assert status == 2 and "does not say in the form of version 1 what it is about" in last(said)


def test_a_document_counts_once(world, proved):
    for again in (
        proved["documents"][6],
        {**proved["documents"][6], "number": float(proved["documents"][6]["number"])},
        "x",
        {"number": 1},
    ):
        assert checked(world, {**proved, "documents": [*proved["documents"], again]})[0] == 1
    status, said = checked(world, {**proved, "documents": [*proved["documents"], proved["documents"][6]]})
    assert "is in the proof twice" in last(said)


@pytest.mark.parametrize("timestamps", [[], 1, "x"])
def test_timestamps_of_another_form_are_no_proof(world, proved, timestamps):
    assert checked(world, {**proved, "timestamps": timestamps})[0] == 2


def test_a_timestamp_is_checked_or_it_is_said_that_it_was_not(world, proved):
    for stamp in ("!!!", 1, []):
        status, said = checked(world, {**proved, "timestamps": dict.fromkeys(proved["seals"], stamp)})
        assert status == 1 and "cannot be read" in last(said)
    status, said = checked(world, {**proved, "timestamps": dict.fromkeys(proved["seals"], "eA==")})
    assert status == 0 and "has a timestamp, which was not checked" in said


@pytest.mark.parametrize(
    "changed",
    [
        lambda proof: {**proof, "seals": {"x": "\ud800"}},
        lambda proof: "[" * 300_000,
        lambda proof: '{"v":1,"v":1}',
        lambda proof: {**proof, "seals": {**proof["seals"], "x": 5}},
    ],
)
def test_a_proof_with_anything_in_it_is_no_crash(world, proved, changed):
    status, said = checked(world, changed(proved))
    assert status in (1, 2) and last(said).startswith("NOT ") and "does not expect" not in said


def test_an_event_of_another_source_is_no_step_in_a_proof(world, tmp_path):
    writer = late_writer()
    issued = writer.issue("APP-444444-x")
    event = {
        **json.loads(writer.foreign("/ff/eu", "x1", {"row": {"state": "signed_full"}})),
        "type": "ptt.admin.approval.signed_full",
        "subject": "APP-444444-x",
        "actor": "legal.chief",
    }
    place = sealed_with(world, tmp_path / "archive", issued, compact(event).encode())
    for what, expected in (
        (["APP-444444-x"], "1 document among them is an event of another source, and no step"),
        (["--number", len(world.honest.documents) + 2], "It is an event of another source"),
    ):
        assert verify("prove", *what, "--archive", place, "--key", world.key, "--output", tmp_path / "proof")[0] == 0
        status, said = verify("--proof", tmp_path / "proof", "--key", world.key)
        assert (
            status == 0
            and "ptt.admin.approval.signed_full (an event of /ff/eu): no step of the approval" in said
            and expected in last(said)
        )
        assert "note      ptt.admin.approval.signed_full" not in said
