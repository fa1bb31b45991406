"""Proofs of one approval, or of one document, out of an archive."""

import io
import json
import random

import pytest
from admin_client.verify import decompress, index
from admin_client.verify.storage import Folder
from evidence_sources import FORGER, KEY, STORE, Archive, History, Writer, compress, history, life, seal, sizes
from verify_command import verify

APPROVAL = "APP-100003-x1"


@pytest.fixture(params=[None, 100, 5000], ids=["one frame", "frames within documents", "frames"])
def archive(request, tmp_path):
    Archive(tmp_path / "archive", frame=request.param).write(history(20), 3)
    (tmp_path / "key").write_text(KEY.public_key().public_bytes_raw().hex())
    return tmp_path


def proof(archive, *what):
    status, said = verify(
        "prove", *what, "--archive", archive / "archive", "--key", archive / "key", "--output", archive / "proof.json"
    )
    assert status == 0, said
    return json.loads((archive / "proof.json").read_text())


def checked(archive, changed=None, *more):
    if changed is not None:
        (archive / "proof.json").write_text(json.dumps(changed))
    return verify("--proof", archive / "proof.json", *(more or ("--key", archive / "key")))


def test_the_life_of_an_approval_is_proved(archive):
    made = proof(archive, APPROVAL)
    expected = [
        number
        for number, document in enumerate(history(20).documents, 1)
        if json.loads(document).get("subject") == APPROVAL
    ]
    assert [document["number"] for document in made["documents"]] == expected
    status, said = checked(archive)
    assert (
        status == 0
        and f"these {len(expected)} documents of {APPROVAL} are genuine" in said
        and "That nothing was left out, a proof cannot say" in said
    )


def test_a_proof_discloses_nothing_of_anybody_else(archive):
    proof(archive, APPROVAL)
    text = (archive / "proof.json").read_text()
    assert APPROVAL in text and not any(
        other in text for other in (f"APP-{100001 + number}-x1" for number in range(20)) if other != APPROVAL
    )


@pytest.mark.parametrize("number", [1, 17, 58])
def test_one_document_is_proved_by_its_number(archive, number):
    made = proof(archive, "--number", number)
    assert made["documents"][0]["document"].encode() == history(20).documents[number - 1]
    status, said = checked(archive)
    assert status == 0 and f"document {number} of store {STORE} is genuine" in said


def test_a_fingerprint_is_enough_to_check_a_proof(archive):
    proof(archive, APPROVAL)
    assert checked(archive, None, "--key", seal.key_id(KEY.public_key().public_bytes_raw()))[0] == 0
    assert checked(archive, None, "--key", seal.key_id(FORGER.public_key().public_bytes_raw()))[0] == 1


def test_without_a_trusted_key_nothing_is_proved(archive):
    proof(archive, APPROVAL)
    status, said = verify("--proof", archive / "proof.json")
    assert status == 2 and "no trusted key was given" in said


def edited(made):
    made["documents"][0]["document"] = made["documents"][0]["document"].replace("payout", "refund")


def other_number(made):
    made["documents"][0]["number"] += 1


def other_about(made):
    made["about"]["approval_id"] = "APP-100001-x1"


def left_out(made):
    made["documents"] = [document for document in made["documents"] if "signature.added" not in document["document"]]


def other_seal(made):
    digest, text = next(iter(made["seals"].items()))
    made["seals"][digest] = text.replace('"v":1', '"v": 1')


def no_documents(made):
    made["documents"] = []


@pytest.mark.parametrize(
    "attack, said",
    [
        (edited, "is not the one that was sealed"),
        (other_number, "is not the one that was sealed"),
        (other_about, "is not about what the proof is about"),
        (left_out, "signatures"),
        (other_seal, "is not what its name says"),
        (no_documents, "has no documents"),
    ],
)
def test_a_proof_that_was_changed_is_seen(archive, attack, said):
    made = proof(archive, APPROVAL)
    attack(made)
    status, out = checked(archive, made)
    assert status == 1 and said in out, out


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{}",
        '{"v":1}',
        '{"v":1,"documents":[1],"seals":{"a":"b"},"keys":{},"about":{}}',
        '{"v":1,"documents":[],"seals":{},"keys":{"a":"zz"},"about":{}}',
    ],
)
def test_what_is_no_proof_is_refused_in_words(tmp_path, broken):
    (tmp_path / "proof.json").write_text(broken)
    status, said = verify("--proof", tmp_path / "proof.json")
    assert status in (1, 2) and "Traceback" not in said


def test_what_the_archive_does_not_have_cannot_be_proved(archive):
    for what, said in (
        (["APP-555555-none"], "has no document of APP-555555-none"),
        (["--number", 9999], "has no document with number 9999"),
    ):
        status, out = verify("prove", *what, "--archive", archive / "archive", "--key", archive / "key")
        assert status == 2 and said in out


def test_an_object_that_was_changed_after_it_was_indexed_gives_no_proof(archive):
    proof(archive, APPROVAL)
    for path in (archive / "archive").rglob("*.ndjson.zst"):
        path.write_bytes(compress(b"{}\n" * 5))
    status, said = verify("prove", APPROVAL, "--archive", archive / "archive", "--key", archive / "key")
    assert status == 2, said


def test_only_new_objects_are_indexed(archive):
    assert index.build(Folder(archive / "archive"), archive / "index").made > 1
    assert index.build(Folder(archive / "archive"), archive / "index").made == 0


def test_a_proof_out_of_large_objects_has_the_right_paths(tmp_path):
    """More than one block of 1024 documents, the last one not full."""
    chance, writer = random.Random(3), Writer()
    documents = [document for number in range(700) for document in life(writer, f"APP-{number:06d}-x", chance)]
    Archive(tmp_path / "archive", frame=200_000).write(History(documents, sizes(len(documents), chance, 100)), 1000)
    (tmp_path / "key").write_text(KEY.public_key().public_bytes_raw().hex())
    for approval in ("APP-000000-x", "APP-000350-x", "APP-000699-x"):
        proof(tmp_path, approval)
        assert checked(tmp_path)[0] == 0


def test_frames_are_found_by_their_lengths():
    data = compress(b"some text " * 50_000, 100_000) + b"\x50\x2a\x4d\x18\x03\0\0\0abc"
    found = list(decompress.frames(io.BytesIO(data)))
    assert len(found) == 6 and sum(length for _, length, _ in found) == len(data)
    for offset, length, size in found[:5]:
        assert len(b"".join(decompress.decompress(io.BytesIO(data[offset : offset + length])))) == (size or 100_000)
    with pytest.raises(decompress.Damaged):
        list(decompress.frames(io.BytesIO(data[:-12])))


def test_a_number_of_several_stores_needs_the_store(tmp_path):
    Archive(tmp_path / "archive").write(history(2))
    Archive(tmp_path / "archive").write(history(2, store="11111111-2222-3333-4444-555555555555"))
    (tmp_path / "key").write_text(KEY.public_key().public_bytes_raw().hex())
    arguments = ["prove", "--number", 1, "--archive", tmp_path / "archive", "--key", tmp_path / "key"]
    status, said = verify(*arguments)
    assert status == 2 and "name one with --store" in said
    assert verify(*arguments, "--store", STORE)[0] == 0


def spoil(archive, how, number):
    """Damages an object or its seal.  Returns what the verifier calls it."""
    path = sorted((archive / "archive").rglob("*.seal.json"))[number]
    object_path = path.with_name(path.name.replace(".seal.json", ".ndjson.zst"))
    if how == "seal":
        path.write_bytes(b"{}")
        return path.name
    if how == "missing":
        object_path.unlink()
    else:
        object_path.write_bytes(object_path.read_bytes()[:-9])
    return object_path.name


@pytest.mark.parametrize("how", ["seal", "missing", "object"])
@pytest.mark.parametrize("indexed", [False, True])
def test_what_is_damaged_elsewhere_does_not_hinder_a_proof(archive, how, indexed):
    if indexed:
        verify("index", "--archive", archive / "archive")
    name = spoil(archive, how, -1)
    for what in ([APPROVAL], ["--number", 17]):
        status, said = verify(
            "prove",
            *what,
            "--archive",
            archive / "archive",
            "--key",
            archive / "key",
            "--output",
            archive / "proof.json",
        )
        assert (
            (status == 1 and name in said and "LEFT OUT: " in said and "is not in the proof" in said)
            or indexed
            and how == "seal"
            and status == 0
        ), said
        assert checked(archive)[0] == 0
    status, said = verify(
        "prove", "--number", len(history(20).documents), "--archive", archive / "archive", "--key", archive / "key"
    )
    assert status == 2 and "in what can be read of it" in said and name in said, said


def test_the_index_names_what_it_leaves_out(archive):
    name = spoil(archive, "seal", 1)
    status, said = verify("index", "--archive", archive / "archive")
    assert status == 1 and name in said and "was not indexed" in said, said
