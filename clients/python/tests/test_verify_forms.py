"""No member of a replayed document may be of another type: somebody who recomputes chain and seals gets a finding, no proof."""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from admin_client.verify import forms
from admin_client.verify.contents import Contents
from admin_client.verify.report import Stream
from admin_client.verify.scratch import scratch
from evidence_sources import BEGIN, STORE, Writer, compact
from hypothesis import given, settings, strategies as st
from verify_attacks import World
from verify_command import verify

APPROVAL = "APP-100001-x"
GONE = object()
OTHERS = [None, True, 0, 1, 2**70, 1.5, 1.0, "x", [], ["x"], {}, GONE]
TOKEN = {"issuer": "https://id", "key_id": "k", "token_id": None, "sha256": "ab" * 32}


def story() -> list[bytes]:
    """Each event that is replayed, once at least."""
    writer = Writer()
    documents = [
        writer.issue(APPROVAL),
        writer.change(APPROVAL, "approval.altered", resource="account 9"),
        *writer.sign(APPROVAL, "finance", "ann"),
        *writer.sign(APPROVAL, "legal", "eve"),
        writer.check(APPROVAL),
        writer.withdraw(APPROVAL),
        writer.check(APPROVAL),
        writer.check("APP-999999-none"),
    ]
    documents.append(
        writer.event(
            "sink.resynced",
            None,
            {
                "sink": "kafka",
                "from": 3,
                "first_undelivered": None,
                "sent_again": 0,
                "skipped": 0,
                "old_store_id": STORE,
                "new_store_id": STORE,
                "old_last_number": 0,
                "old_chain": None,
            },
            "dba",
        )
    )
    documents.append(writer.event("setting.changed", None, {"setting": "x", "value": "on"}, "dba"))
    return documents


STORY = story()
KINDS = [
    "approval.issued",
    "approval.altered",
    "signature.added",
    "approval.signed_partial",
    "signature.added 2",
    "approval.signed_full",
    "a decision",
    "approval.withdrawn",
    "a denial",
    "not found",
    "sink.resynced",
    "setting.changed",
]


def read(documents: list[bytes], first: int = 1) -> Stream:
    """What the replay says of documents from this number on, whose chain is in order."""
    stream = Stream("test", "archive", STORE, "kafka")
    with scratch() as connection:
        contents = Contents(connection)
        contents.begin(stream, first, None)
        contents(first, b"".join(document + b"\n" for document in documents))
        contents.end()
    return stream


def paths(value: object, at: tuple = ()) -> Iterator[tuple]:
    """All members and elements, at any depth."""
    if at:
        yield at
    for name, member in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from paths(member, (*at, name))


def changed(event: dict, path: tuple, value: object) -> dict:
    event = copy.deepcopy(event)
    *way, name = path
    at = event
    for each in way:
        at = at[each]
    if value is GONE:
        del at[name]
    else:
        at[name] = value
    return event


# Texts and nulls that another database could have written as well.
OPTIONAL = {
    "subject",
    "partitionkey",
    "actor",
    "resource",
    "closed_by",
    "close_reason",
    "comment",
    "token_issuer",
    "token_key_id",
    "token_id",
    "action",
}
FREE = {
    ("data", "setting"),
    ("data", "value"),
    ("data", "first_undelivered"),
    ("data", "old_chain"),
    ("data", "old_last_number"),
}


def lawful(event: dict, path: tuple, value: object) -> bool:
    """Could an honest database have written that?"""
    *way, name = path
    before = event
    for each in path:
        before = before[each]
    if (
        value is not GONE
        and type(value) is type(before)
        and (value == before or type(value) in (str, int))
        and not isinstance(value, bool)
    ):
        return True
    if path[:2] in FREE and not (path[1].startswith(("first", "old")) and type(value) not in (str, int, type(None))):
        return True
    if event["type"].endswith(("resynced", "setting.changed")) and value is GONE:
        return True  # further members are none of the replay's
    if event["type"].endswith("setting.changed") and path == ("data",):
        return isinstance(value, dict)  # it is named as it stands
    if not way and name in OPTIONAL:
        return value is GONE
    return name in OPTIONAL and (value is None or isinstance(value, str))


@pytest.mark.parametrize("number", range(len(STORY)), ids=KINDS)
def test_a_member_of_another_type_is_wrong(number):
    event = json.loads(STORY[number])
    proved = []
    for path in paths(event):
        for value in OTHERS:
            if lawful(event, path, value):
                continue
            document = compact(changed(event, path, value)).encode()
            if not read([*STORY[:number], document, *STORY[number + 1 :]]).findings.count("wrong"):
                proved.append((path, value))
    assert not proved, proved


def test_the_story_is_proved():
    stream = read(STORY)
    assert not stream.findings.count("wrong"), stream.findings.kept
    assert {json.loads(document)["type"].removeprefix("ptt.admin.") for document in STORY} >= forms.STEPS | {
        forms.CHECK
    }


@pytest.mark.parametrize("number", range(len(STORY)), ids=KINDS)
def test_a_further_member_is_wrong(number):
    event = json.loads(STORY[number])
    if event["type"].endswith(("resynced", "setting.changed")):
        return
    for path in [(), *paths(event)]:
        at = event
        for each in path:
            at = at[each]
        if isinstance(at, dict) and path != ("data", "changed"):
            document = compact(changed(event, (*path, "further"), 1)).encode()
            assert read([*STORY[:number], document, *STORY[number + 1 :]]).findings.count("wrong"), path


IMPOSSIBLE = [
    ("required_roles", []),
    ("required_roles", ["finance", "finance"]),
    ("required_roles", ["", "legal"]),
    ("required_roles", [str(each) for each in range(9)]),
    ("required_signer_count", 1),
    ("required_signer_count", -2),
    ("action", ""),
    ("resource", ""),
    ("requested_by", ""),
    ("state", "valid"),
    ("closed_at", "2026-11-01T00:00:00.000000Z"),
    ("sla_deadline", "2026-99-01T00:00:00.000000Z"),
]


@pytest.mark.parametrize(
    "name, value", IMPOSSIBLE, ids=[f"{name}-{number}" for number, (name, _) in enumerate(IMPOSSIBLE)]
)
def test_a_row_that_no_engine_accepts_is_wrong(name, value):
    event = json.loads(STORY[0])
    row = {**event["data"]["row"], name: value}
    if name == "required_roles":
        row["required_signer_count"] = len(value)
    assert read([compact({**event, "data": {**event["data"], "row": row}}).encode()]).findings.count("wrong")


@pytest.mark.parametrize(
    "evidence",
    [
        {"by": "postgres"},
        {"verified": False},
        {"verified": True, "token": TOKEN},
        {"verified": True, "token": {**TOKEN, "token_id": "t"}},
    ],
)
def test_the_writer_of_a_row_may_be_named(evidence):
    event = json.loads(STORY[0])
    assert not read([compact({**event, "data": {**event["data"], **evidence}}).encode()]).findings.count("wrong")


def test_evidence_of_another_type_is_wrong():
    event = json.loads(STORY[0])
    for evidence in (
        {"by": 1},
        {"verified": 0},
        {"verified": True},
        {"verified": True, "token": {**TOKEN, "sha256": "x"}},
        {"verified": True, "token": {**TOKEN, "key_id": None}},
        {"by": "a", "verified": False},
    ):
        assert read([compact({**event, "data": {**event["data"], **evidence}}).encode()]).findings.count("wrong"), (
            evidence
        )


@pytest.mark.parametrize(
    "text", ["-0000-01-01T00:00:00.000000Z", "2026-11-01T24:00:00.000000Z", "+10000-01-01T24:00:00.000000Z"]
)
def test_an_instant_has_one_text(text):
    assert not re.fullmatch(forms.TIME, json.dumps(text).encode())


@pytest.mark.parametrize("name", ["sla_deadline", "created_at"])
@pytest.mark.parametrize("text", ["-4713-11-23T23:59:59.999999Z", "+294277-01-01T00:00:00.000000Z"])
def test_an_instant_that_no_database_has_is_wrong(name, text):
    event = json.loads(STORY[0])
    assert read(
        [compact({**event, "data": {**event["data"], "row": {**event["data"]["row"], name: text}}}).encode()]
    ).findings.count("wrong")


def test_an_instant_without_end_is_taken():
    event = json.loads(STORY[0])
    row = {**event["data"]["row"], "created_at": "-infinity"}
    assert not read([compact({**event, "data": {**event["data"], "row": row}}).encode()]).findings.count("wrong")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(number=st.integers(0, len(STORY) - 1), data=JSON, place=st.integers(0, 10**6))
def test_any_json_in_any_place_of_a_document_ends_with_a_finding(number, data, place):
    event = json.loads(STORY[number])
    found = list(paths(event))
    path = found[place % len(found)]
    stream = read(
        [*STORY[:number], compact(changed(event, path, data)).encode("utf-8", "surrogatepass"), *STORY[number + 1 :]]
    )
    assert stream.findings.count("wrong") or lawful(event, path, data), path


@pytest.mark.parametrize(
    "path, value",
    [
        (("data", "row", "required_roles"), 5),
        (("data", "row", "required_signer_count"), True),
        (("data", "row"), [1]),
        (("data",), None),
    ],
)
@pytest.mark.parametrize("kind", ["archive", "topic", "ndjson"])
def test_a_document_in_another_form_is_not_proved_by_its_chain(tmp_path, kind, path, value):
    world = World(tmp_path)
    event = json.loads(Writer(begin=BEGIN.replace(month=12), first=5000).issue("APP-777777-x"))
    world.write(
        kind,
        replace(
            world.honest,
            documents=[*world.honest.documents, compact(changed(event, path, value)).encode()],
            batches=[*world.honest.batches, 1],
        ),
    )
    status, said = verify(*world.arguments(kind))
    assert (
        status == 1
        and said.splitlines()[-1].startswith("NOT PROVED: ")
        and "not in the form that the extension writes" in said
        and "Traceback" not in said
    )
