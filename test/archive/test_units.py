"""Parts of the archiver by themselves."""

import argparse
import asyncio
import datetime
import json
import os
import pathlib
import random
import signal
import subprocess

import pytest
from admin_client.archive import __main__ as command, durations, hints, keys, records, settings
from admin_client.archive.draft import Draft
from admin_client.archive.errors import Refused, Stopped, Untrustworthy
from admin_client.archive.listing import Listing, name
from admin_client.archive.objects import Receipt
from admin_client.archive.reader import Hint
from admin_client.archive.receipts import Receipts
from admin_client.archive.storage import Version
from admin_client.archive.stream import Pool, Stream
from admin_client.evidence import chain, merkle
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from producer import document

STORE = "0a6f4d52-9a3e-4c1c-8f5e-1f2d3c4b5a69"


@pytest.mark.parametrize(
    "start, text, end",
    [
        ("2026-11-30T15:00:00", "7y", "2033-11-30T15:00:00"),
        ("2028-02-29T00:00:00", "7y", "2035-03-01T00:00:00"),
        ("2028-02-29T00:00:00", "4y", "2032-02-29T00:00:00"),
        ("2026-01-01T00:00:00.000001", "30d", "2026-01-31T00:00:01"),
    ],
)
def test_a_retention_counts_years_of_the_calendar(start, text, end):
    assert durations.Retention(text).end(datetime.datetime.fromisoformat(start)) == datetime.datetime.fromisoformat(end)


@pytest.mark.parametrize("text", ["", "7", "0y", "7Y", "-1y", "101y", "7 y", "1h"])
def test_a_retention_that_is_none_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a retention"):
        durations.Retention(text)


def test_sizes_and_durations_are_as_in_postgresql():
    assert (durations.size("64MB"), durations.size("1kB"), durations.seconds("5min"), durations.seconds("1.5s")) == (
        64 << 20,
        1024,
        300,
        1.5,
    )
    for bad in ("", "64", "64mb", "0MB", "0s", "5 min"):
        with pytest.raises(argparse.ArgumentTypeError):
            durations.seconds(bad)


@pytest.mark.parametrize(
    "option, text, said",
    [
        ("--roll-size", "64KB", '"64KB" is not a size: bytes, or a whole number with kB, MB or GB'),
        ("--roll-age", "5 min", '"5 min" is not a duration: a number with s, min, h or d'),
        ("--retain", "7", '"7" is not a retention: 1y to 100y, or days up to 36525d'),
        ("--prefix", "/audit", '"/audit" is not a prefix: at most 200 letters'),
        ("--accept-broken", "3", '"3" is not STORE:STOP'),
    ],
)
def test_an_argument_that_is_refused_is_said_how_to_write(capsys, option, text, said):
    with pytest.raises(SystemExit):
        settings.parser().parse_args(["run", "--brokers", "b", "--bucket", "b", "--key", "k", option, text])
    assert f"argument {option}: {said}" in capsys.readouterr().err


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "seal.key"
    keys.generate(path)
    assert os.stat(path).st_mode & 0o777 == 0o600
    with pytest.raises(Refused, match="could not write"):
        keys.generate(path)
    keys.load(path)
    path.chmod(0o640)
    with pytest.raises(Refused, match="group or others have access"):
        keys.load(path)
    other = tmp_path / "other.key"
    other.write_text("no key")
    other.chmod(0o600)
    with pytest.raises(Refused, match="is not a PEM file"):
        keys.load(other)


def test_a_hint_counts_for_one_place_partition_and_offset_only():
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    signed = hints.sign(key, "bucket/audit/", "topic", {3: 77})[3]
    assert hints.key_id_of(signed) and hints.is_signed_by(public, signed, "bucket/audit/", "topic", 3)
    assert not hints.is_signed_by(public, signed, "bucket/audit/", "topic", 4)
    assert not hints.is_signed_by(public, signed, "other/audit/", "topic", 3)
    assert not hints.is_signed_by(public, Hint(78, signed.metadata), "bucket/audit/", "topic", 3)
    for metadata in ("", "x", "[]", "{}", '{"signature":1}', '{"signature":"zz","key_id":null}'):
        assert not hints.is_signed_by(public, Hint(77, metadata), "bucket/audit/", "topic", 3)


def test_leaves_that_come_in_pieces_have_the_same_root():
    chance = random.Random(21)
    for size in range(200):
        leaves = [merkle.leaf_hash(str(each).encode()) for each in range(size)]
        tree, at = merkle.Accumulator(), 0
        while at < size:
            step = chance.randrange(1, 20)
            tree.extend(leaves[at : at + step])
            at += step
        assert tree.root() == merkle.root(leaves)


class ListedStorage:
    """The part of a storage that lists."""

    def __init__(self, keys):
        self.keys, self.requests = sorted(keys), 0

    def versions(self, prefix, after, most):
        self.requests += 1
        found = [each for each in self.keys if each.startswith(prefix) and each > after]
        return [Version(each, "1", False) for each in found[:most]]


def test_the_newest_object_is_found_without_listing_all():
    chance = random.Random(23)
    for _ in range(100):
        firsts = sorted(chance.sample(range(1, 10 ** chance.randrange(2, 18)), chance.randrange(1, 50)))
        storage = ListedStorage(
            [
                "audit/s/" + name(first, first + 1, ending)
                for first in firsts
                for ending in ("ndjson.zst", "seal.json", "tsr")
            ]
            + ["audit/s/00000000000000000000-junk", "audit/s/zzz"]
        )
        listing = Listing(storage, "audit/")
        assert listing.newest_first("audit/s/") == firsts[-1]
        assert storage.requests < 150
        below = chance.choice(firsts)
        assert listing.newest_first("audit/s/", below) == max((each for each in firsts if each < below), default=None)
        assert listing.newest_first("audit/other/") is None


JUNK = [
    f"audit/s/{number:020d}{ending}"
    for number in range(3, 5003)
    for ending in ("", "/", "-", "-5.ndjson", "-5.seal.json.old")
]


def test_keys_of_somebody_else_between_the_objects_are_skipped_a_page_at_a_time():
    ours = [
        "audit/s/" + name(first, last, ending)
        for first, last in ((1, 2), (5003, 5010))
        for ending in ("ndjson.zst", "seal.json")
    ]
    storage = ListedStorage(ours + JUNK)
    listing = Listing(storage, "audit/")
    assert listing.newest_first("audit/s/") == 5003 and listing.newest_first("audit/s/", 5003) == 1
    assert storage.requests < 1000


def test_objects_behind_a_thousand_keys_with_their_number_are_found():
    ours = "audit/s/" + name(1, 2, "seal.json")
    storage = ListedStorage([ours, *(f"audit/s/{1:020d}-!{each}" for each in range(2500))])
    assert ours in [each.key for each in Listing(storage, "audit/").versions("audit/s/", 1)]
    assert storage.requests < 5


class CircularStorage(ListedStorage):
    """It lists the key that a page begins behind once more, as versitygw does at the end of a folder."""

    def versions(self, prefix, after, most):
        self.requests += 1
        found = [each for each in self.keys if each.startswith(prefix) and each >= after]
        return [Version(each, "1", False) for each in found[:most]]


@pytest.mark.parametrize("ours", [[], [1], [1, 5003]])
@pytest.mark.parametrize("junk", [[], ["audit/s/0000000000000000000x"], ["audit/s/zzz"], JUNK])
def test_a_listing_that_repeats_a_key_comes_to_its_end(ours, junk):
    storage = CircularStorage([*junk, *("audit/s/" + name(first, first + 1, "seal.json") for first in ours)])
    listing = Listing(storage, "audit/")
    assert listing.newest_first("audit/s/") == (ours[-1] if ours else None)
    assert len(listing.versions("audit/s/", 1)) == len(ours[:1])
    assert storage.requests < 1000


class StuckStorage(ListedStorage):
    """It lists the same key as often as there is room for."""

    def versions(self, prefix, after, most):
        self.requests += 1
        return [Version(self.keys[0], str(each), False) for each in range(most)]


def test_a_listing_that_does_not_advance_ends_with_the_key():
    storage = StuckStorage(["audit/s/zzz"])
    with pytest.raises(Untrustworthy, match="again behind"):
        Listing(storage, "audit/").newest_first("audit/s/")
    assert storage.requests < 20


class EndlessStorage(ListedStorage):
    """There is always another key that is none of an archive."""

    def versions(self, prefix, after, most):
        self.requests += 1
        return [Version(f"{prefix}z{self.requests:09d}-{each:04d}", "1", False) for each in range(most)]


def test_a_listing_without_end_is_left():
    storage = EndlessStorage([])
    with pytest.raises(Untrustworthy, match="too many keys"):
        Listing(storage, "audit/").newest_first("audit/s/")
    assert storage.requests <= 1000


def good_seal(**changes):
    return {
        "v": 1,
        "store": STORE,
        "sink": "kafka",
        "first": 1,
        "last": 3,
        "chain": "a" * 64,
        "previous": "b" * 64,
        **changes,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"store": "x"},
        {"store": None},
        {"first": 0},
        {"first": 4},
        {"first": True},
        {"last": 2**63},
        {"last": "3"},
        {"chain": "A" * 64},
        {"chain": None},
        {"previous": "b"},
        {"sink": 1},
        {"continues": 1},
        {"continues": {"store": STORE, "last": 1, "chain": "x"}},
    ],
)
def test_a_malformed_seal_makes_a_foreign_record(changes):
    def parse(seal):
        return records.parse(
            document(STORE, 3), [("admin-ext-number", b"3"), ("admin-ext-seal", json.dumps(seal).encode())], 0, 0
        )

    assert parse(good_seal()).seal.last == 3
    assert parse(good_seal(**changes)) is None


@pytest.mark.parametrize("header", [b"{", b"[" * 100000, b"\xff", b"null", b""])
def test_a_seal_that_is_no_json_makes_a_foreign_record(header):
    assert records.parse(document(STORE, 3), [("admin-ext-number", b"3"), ("admin-ext-seal", header)], 0, 0) is None


@pytest.mark.parametrize("number", [None, b"", b"0", b"-1", b"01", b"1.0", b"9" * 20, b"\xd9\xa1", b" 1"])
def test_a_number_that_is_none_makes_a_foreign_record(number):
    assert records.parse(document(STORE, 3), [("admin-ext-number", number)], 0, 0) is None


def test_a_lower_source_in_a_document_is_not_the_store():
    body = b'{"specversion":"1.0","id":"x\\"\\\\","source":"/ff/eu","data":{"source":"/admin_ext/%s"}}' % STORE.encode()
    assert records.parse(body, [("admin-ext-number", b"3")], 0, 0).store is None
    assert records.parse(document(STORE, 1), [("admin-ext-number", b"3")], 0, 0).store == STORE


def written(store, chance, count, foreign_share):
    """What a store writes: (records of each of four partitions, its documents, its chain)."""
    bodies = [
        document(store, f"{store}-{number}", source="/ff/eu")
        if chance.random() < foreign_share
        else document(store, number)
        for number in range(1, count + 1)
    ]
    before, parts, number = chain.start(store, "kafka"), [[] for _ in range(4)], 1
    while number <= count:
        last = min(count, number + chance.randrange(12))
        after = chain.extend(before, number, last - number + 1, chain.content_hash(bodies[number - 1 : last]))
        for each in range(number, last + 1):
            seal = records.BatchSeal(store, "kafka", number, last, after, before, None) if each == last else None
            named = store if seal or b"/ff/" not in bodies[each - 1] else None
            part = chance.randrange(4)
            parts[part].append((each, named, bodies[each - 1], seal))
        before, number = after, last + 1
    return parts, bodies, before


def interleaved(chance, one, other):
    """Two lists in one, each in its own order."""
    found, one, other = [], list(one), list(other)
    while one or other:
        found.append((one if one and (not other or chance.random() < 0.5) else other).pop(0))
    return found


@pytest.mark.parametrize("seed", range(20))
def test_records_of_two_stores_from_partitions_read_in_any_order_make_the_same_batches(seed):
    chance = random.Random(seed)
    names = [STORE, STORE.replace("0a6f", "0b6f")]
    sides = [written(name, chance, 100, 0.2) for name in names]
    parts = [interleaved(chance, one, other) for one, other in zip(sides[0][0], sides[1][0])]
    streams, pool, found, offset = {name: Stream(name) for name in names}, Pool(), {name: [] for name in names}, 0
    while any(parts):
        part = chance.choice([each for each, rest in enumerate(parts) if rest])
        number, name, body, seal = parts[part].pop(0)
        offset += 1
        record = records.Numbered(number, name, records.Document(body, part, offset, None), seal)
        if name is None:
            pool.add(number, record.document)
        else:
            streams[name].add(record)
        for name, stream in streams.items():
            for batch in stream.batches(pool):
                found[name] += [each.body for each in batch.documents]
    for name, (_, bodies, after) in zip(names, sides):
        assert found[name] == bodies and streams[name].chain == after and not streams[name].is_waiting()
    assert not pool.documents


def receipt_event(number):
    """What a receipt leaves in the trail, as the worker delivers it."""
    return b'{"specversion":"1.0","id":"%d","source":"/admin_ext/%s","type":"ptt.admin.archive.receipt","data":{}}' % (
        number,
        STORE.encode(),
    )


def filled(*batches):
    """A draft that these batches of documents were added to."""
    draft, number = Draft(bytes(32)), 1
    for bodies in batches:
        seal = records.BatchSeal(STORE, "kafka", number, number + len(bodies) - 1, bytes(32), bytes(32), None)
        draft.add(
            seal, [records.Document(body, 0, number + index, None) for index, body in enumerate(bodies)], bytes(32)
        )
        number += len(bodies)
    return draft


def test_receipts_alone_make_no_object_for_a_day():
    draft = filled([receipt_event(1)], [receipt_event(2), receipt_event(3)])
    began = draft.started
    assert not draft.is_old(began + 86_399, 300) and draft.is_old(began + 86_401, 300)
    assert not draft.is_old(began + 86_401, 100_000), "a roll age of more than a day holds for them, too"


@pytest.mark.parametrize(
    "batches",
    [
        [[document(STORE, 1)]],
        [[receipt_event(1), document(STORE, 2)]],
        [[receipt_event(1)], [document(STORE, 2), receipt_event(3)]],
    ],
)
def test_receipts_with_another_document_are_as_old_as_that_document(batches):
    draft = filled(*batches)
    assert draft.awaited is not None and draft.awaited >= draft.started
    assert draft.is_old(draft.awaited + 301, 300) and not draft.is_old(draft.awaited + 299, 300)
    draft.started -= 1000
    assert not draft.is_old(draft.awaited + 299, 300)


@pytest.mark.parametrize(
    "body",
    [
        receipt_event(1).replace(b"0a6f", b"0b6f"),
        receipt_event(1).replace(b"archive.receipt", b"archive.receipts"),
        b'{"specversion":"1.0","id":"e","source":"/ff/eu","type":"ptt.admin.archive.receipt","data":{}}',
        b'{"specversion":"1.0","id":"x\\"' + receipt_event(1)[len(b'{"specversion":"1.0","id":"1') :],
        b'{"specversion":"1.0","id":"e","source":"/ff/eu","type":"x","data":' + receipt_event(1) + b"}",
    ],
)
def test_only_an_event_of_the_store_itself_is_a_receipt(body):
    assert records.is_receipt(receipt_event(1), STORE) and not records.is_receipt(body, STORE)


def test_the_bucket_policy_lets_the_archiver_delete_its_probe_and_nothing_else():
    policy = json.loads((pathlib.Path(__file__).parents[2] / "deploy/archive/bucket-policy.json").read_text())
    allowed = {}
    for statement in policy["Statement"]:
        if statement["Effect"] == "Allow":
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            allowed |= dict.fromkeys(actions, statement["Resource"])
    assert allowed.pop("s3:DeleteObjectVersion") == "arn:aws:s3:::BUCKET/audit/probe/*"
    assert {"s3:PutObject", "s3:GetObject", "s3:ListBucketVersions"} <= allowed.keys()
    assert not [each for each in allowed if "Delete" in each or "Bypass" in each or "*" in each or "Policy" in each]


def test_options_of_librdkafka_come_from_a_file(tmp_path):
    file = tmp_path / "kafka.conf"
    file.write_text("# how to log in\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n\n")
    assert settings.kafka_options(file) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    file.write_text("nonsense\n")
    with pytest.raises(Refused, match="line 1"):
        settings.kafka_options(file)


def test_a_signal_between_two_tasks_of_asyncio_ends_the_archiver():
    """As while a receipt is sent: the loop itself has control then."""

    async def act():
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGTERM)
        await asyncio.sleep(5)

    before = {number: signal.signal(number, command._stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with pytest.raises(Stopped, match="SIGTERM"):
            asyncio.run(act())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_the_systemd_unit_is_valid():
    unit = pathlib.Path(__file__).parents[2] / "deploy/archive/admin-ext-archive.service"
    said = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], text=True, capture_output=True, check=False)
    assert said.returncode == 0 and unit.name not in said.stderr, said.stderr


def test_a_receipt_says_on_one_line_what_is_wrong(monkeypatch):
    sent = []

    class Connection:
        async def execute(self, question, *arguments):
            sent.append(arguments)

        async def close(self, timeout):
            pass

    async def connect(*_, **__):
        return Connection()

    monkeypatch.setattr("asyncpg.connect", connect)
    receipts = Receipts("postgresql://")
    receipts.add(Receipt(STORE, "kafka", 7, None, None, None, 'record "a\nb\x85" is of no store'))
    receipts.send()
    assert len(receipts) == 0 and [arguments[-1] for arguments in sent] == ['record "a b " is of no store']
