"""Two sources against each other, where two stores use the same audit_ids: a copy of the database goes on counting where it was made."""

import json
from dataclasses import replace
from datetime import timedelta

import evidence_sources as sources
import pytest
from admin_client.verify import walk
from evidence_sources import BEGIN, OTHER_STORE, Archive, History, Writer, history, messages, write_dump, write_ndjson
from verify_command import verify

COPIED_AT = 30


@pytest.fixture()
def world(tmp_path):
    """A history that went on, and one that a copy of the database began in the middle of it."""
    first = history()
    writer = Writer(OTHER_STORE, BEGIN + timedelta(minutes=2), COPIED_AT + 1)
    copied = History([writer.check("APP-777777-none") for _ in range(8)], [3, 5], OTHER_STORE)
    assert len(first.documents) > COPIED_AT + 8
    (tmp_path / "key").write_bytes(sources.KEY.public_key().public_bytes_raw())
    return tmp_path, first, copied


def continued(first: History, copied: History) -> History:
    numbers = [sum(first.batches[:count]) for count in range(len(first.batches) + 1)]
    at = max(count for count, number in enumerate(numbers) if number <= COPIED_AT)
    return replace(
        copied, sink=first.sink, continues={"store": first.store, "last": numbers[at], "chain": first.chains()[at]}
    )


def write(place, kind: str, *histories: History) -> list[str]:
    if kind == "archive":
        for each in histories:
            Archive(place / "archive").write(each)
        return ["--archive", str(place / "archive"), "--key", str(place / "key")]
    if kind == "topic":
        write_dump(place / "topic", [record for each in histories for record in messages(each)])
        return ["--topic-dump", str(place / "topic")]
    for number, each in enumerate(histories):
        write_ndjson(place / "ndjson", each, database=f"db{number}")
    return ["--ndjson", str(place / "ndjson")]


def sides(world, kind: str, whole: bool) -> list[str]:
    place, first, copied = world
    first = first.to("ndjson" if kind == "ndjson" else "kafka")
    return write(place, kind, first, continued(first, copied)) if whole else write(place, kind, first)


@pytest.mark.parametrize(("one", "two"), [("archive", "topic"), ("topic", "archive")])
def test_sources_that_both_have_the_copy_agree(world, one, two):
    status, said = verify(*sides(world, one, True), *sides(world, two, True), "--max-lag", "0.01")
    assert status == 0 and f"agree on {len(world[1].documents) + 8} documents" in said, said


@pytest.mark.parametrize(("whole", "other"), [("archive", "topic"), ("topic", "archive")])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_store_that_one_source_lacks_is_missing_there(world, whole, other, swapped):
    arguments = [sides(world, whole, True), sides(world, other, False)]
    status, said = verify(*arguments[swapped], *arguments[not swapped], "--max-lag", "0.01")
    assert (
        status == 1
        and f"documents 1 to 8 (audit_id {COPIED_AT + 1} to {COPIED_AT + 8}) of the {whole} are missing in the {other}, since "
        in said
    ), said
    assert "is another one" not in said and "agree on" not in said, said


def test_a_store_that_has_just_begun_may_not_have_reached_the_archive(world):
    status, said = verify(*sides(world, "topic", True), *sides(world, "archive", False))
    assert (
        status == 0
        and f"documents 1 to 8 (audit_id {COPIED_AT + 1} to {COPIED_AT + 8}) of the topic have not arrived in the archive yet"
        in said
    ), said


@pytest.mark.parametrize("swapped", [False, True])
def test_a_document_that_is_missing_in_the_middle_is_not_on_its_way(world, swapped):
    """The copy has one of the same audit_id; but documents that came later are there."""
    place, first, copied = world
    whole, files, at = sides(world, "topic", True), first.to("ndjson"), COPIED_AT + 5
    batches, number = list(first.batches), 0
    for batch, size in enumerate(first.batches):
        number += size
        if number >= at:
            batches[batch] -= 1
            break
    without = replace(
        files, documents=files.documents[: at - 1] + files.documents[at:], batches=[size for size in batches if size]
    )
    arguments = [whole, write(place, "ndjson", without, continued(files, copied))]
    status, said = verify(*arguments[swapped], *arguments[not swapped])
    assert (
        status == 1 and f"document {at} (audit_id {at}) of the topic is missing in the NDJSON files, since " in said
    ), said


def test_a_source_that_agrees_with_the_other_is_not_accused_of_what_a_memory_says(world, tmp_path):
    number = len(world[1].documents)
    memory = tmp_path / "memory"
    memory.write_text(
        json.dumps({"v": 1, "heads": {"topic": {f"{world[1].store} kafka": {"number": number, "chain": "00" * 32}}}})
    )
    status, said = verify(*sides(world, "archive", False), *sides(world, "topic", False), "--remember", memory)
    assert status == 1 and f"at number {number} the chain is another one than was known before" in said, said
    assert "than in the archive" not in said, said


def two_of_a_kind(world, kind: str, shorter: History) -> list[list[str]]:
    place, first, _ = world
    return [
        write(place / name, kind, of.to("ndjson" if kind == "ndjson" else "kafka"))
        for name, of in (("whole", first), ("shorter", shorter))
    ]


def without_the_end(of: History) -> History:
    return replace(of, documents=of.documents[: sum(of.batches[:-3])], batches=of.batches[:-3])


@pytest.mark.parametrize("kind", ["topic", "ndjson"])
@pytest.mark.parametrize("swapped", [False, True])
def test_documents_that_were_exchanged_in_a_shorter_copy_are_noticed(world, kind, swapped):
    of = without_the_end(world[1])
    at = next(
        at
        for at in range(8, len(of.documents))
        if json.loads(of.documents[at]).get("subject") != json.loads(of.documents[at + 1]).get("subject")
    )
    exchanged = replace(
        of, documents=[*of.documents[:at], of.documents[at + 1], of.documents[at], *of.documents[at + 2 :]]
    )
    arguments = two_of_a_kind(world, kind, exchanged)
    status, said = verify(*arguments[swapped], *arguments[not swapped])
    assert status == 1 and "the chain is another one than in " in said, said


@pytest.mark.parametrize("kind", ["topic", "ndjson"])
@pytest.mark.parametrize(("swapped", "kept", "compared"), [(False, 1000, True), (True, 1000, True), (False, 2, False)])
def test_an_older_copy_is_compared_where_it_ends(world, kind, swapped, kept, compared, monkeypatch):
    monkeypatch.setattr(walk, "KEPT_ENDS", kept)
    arguments = two_of_a_kind(world, kind, without_the_end(world[1]))
    status, said = verify(*arguments[swapped], *arguments[not swapped])
    assert status == 0 and ("were not compared at a common number" not in said) == compared, said


@pytest.mark.parametrize("number", [b"07", b"+7", b" 7", "٧".encode(), b"7.0", b""])
def test_a_delivery_number_has_the_form_that_the_archiver_reads(world, number):
    """One that the archiver takes for a foreign record must not be a good one here."""
    place, first, _ = world
    records = messages(first)
    records[6].headers[1] = ("admin-ext-number", number)
    write_dump(place / "topic", records)
    status, said = verify("--topic-dump", place / "topic")
    assert status == 1 and "has a delivery number, but is none of a document" in said, said
