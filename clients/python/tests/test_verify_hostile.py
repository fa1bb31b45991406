"""Whatever lies there: the verifier ends with a status and a sentence, never with a traceback, and never with a proof."""

import contextlib
import json
import random
import shutil

import pytest
from evidence_sources import seal
from verify_attacks import World, sources
from verify_command import verify

ROUNDS = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("hostile"))


def damage(data: bytes, chance: random.Random) -> bytes:
    """Some bytes are others, are gone, or are there twice."""
    at, length = chance.randrange(len(data)), chance.randint(1, 8)
    return chance.choice(
        [
            data[:at] + chance.randbytes(length) + data[at + length :],
            data[:at] + data[at + length :],
            data[:at],
            data[:at] + data[at : at + 40] + data[at:],
        ]
    )


@pytest.mark.parametrize("kind", ["ndjson", "topic", "archive"])
def test_damaged_bytes_are_no_proof_and_no_crash(world, kind, tmp_path):
    for seed in range(ROUNDS):
        chance = random.Random(seed)
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(world.places[kind], tmp_path / "copy")
        path = chance.choice(sorted(path for path in (tmp_path / "copy").rglob("*") if path.is_file()))
        before = path.read_bytes()
        path.write_bytes(damage(before, chance))
        arguments = world.arguments(kind)
        arguments[1] = str(tmp_path / "copy")
        status, said = verify(*arguments)
        assert status in (1, 2) or path.read_bytes() == before or harmless(kind, before, path.read_bytes(), said), (
            f"seed {seed}, {path.name}: {said}"
        )


def harmless(kind, before, after, said):
    """What the verifier does not look at: a record's key, time or foreign headers, and the end of the newest list or file of files."""
    return kind in ("topic", "ndjson") and said.splitlines()[-1].startswith("CONSISTENT")


WRONG_VALUES = [
    None,
    True,
    -1,
    0,
    1.5,
    2**63,
    2**200,
    "",
    "x",
    "00" * 32,
    [],
    [0],
    [2**64],
    {},
    {"store": 1},
    "9999-99-99",
    "0001-01-01T00:00:00",
    "\ud800",
]


@pytest.mark.parametrize(
    "member",
    [
        "v",
        "store",
        "sink",
        "first",
        "last",
        "batches",
        "chain_before",
        "chain_after",
        "continues",
        "merkle_root",
        "object",
        "sha256",
        "bytes",
        "sealed_at",
        "previous_seal_sha256",
        "key_id",
        "signature",
    ],
)
def test_a_seal_with_anything_in_a_member_is_no_crash(world, member, tmp_path):
    for number, value in enumerate(WRONG_VALUES):
        place = tmp_path / str(number)
        shutil.copytree(world.places["archive"], place)
        path = sorted(place.rglob("*.seal.json"))[number % 2]
        changed = {**json.loads(path.read_bytes()), member: value}
        text = json.dumps(changed)
        with contextlib.suppress(UnicodeError):
            if member not in ("key_id", "signature"):
                text = seal.to_bytes(seal.sign(changed, sources.KEY)).decode()
        path.write_text(text)
        status, said = verify("--archive", place, "--key", world.key)
        assert (
            status in (1, 2)
            or member == "sealed_at"
            or value is None
            and member == "previous_seal_sha256"
            and number % 2 == 0
        ), (member, value, said)


@pytest.mark.parametrize("member", ["v", "store", "sink", "first", "last", "chain", "previous", "continues"])
def test_a_transaction_with_anything_in_its_seal_is_no_crash(world, member, tmp_path):
    for value in WRONG_VALUES:
        records = sources.messages(world.honest)
        at = next(at for at, record in enumerate(records) if len(record.headers) == 3)
        name, text = records[at].headers[2]
        records[at].headers[2] = (name, json.dumps({**json.loads(text), member: value}).encode())
        sources.write_dump(tmp_path / "topic", records)
        status, said = verify("--topic-dump", tmp_path / "topic")
        assert status in (1, 2) or value is True and member == "v", (member, value, said)


@pytest.mark.parametrize("number", [b"", b"-1", b"x", b"0", str(2**63).encode(), b"9" * 5000])
def test_a_record_with_any_number_is_no_crash(world, number, tmp_path):
    records = sources.messages(world.honest)
    records[3].headers[1] = ("admin-ext-number", number)
    sources.write_dump(tmp_path / "topic", records)
    assert verify("--topic-dump", tmp_path / "topic")[0] == 1


def test_nothing_is_no_proof(tmp_path):
    for option in ("--archive", "--ndjson", "--topic-dump"):
        status, said = verify(option, tmp_path)
        assert status == 2 and said.splitlines()[-1].startswith("NOT CHECKED: ")
        assert verify(option, tmp_path / "none")[0] == 2
