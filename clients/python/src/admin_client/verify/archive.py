"""The archive: sealed objects, store by store."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from datetime import MAXYEAR, datetime
from typing import IO

from . import receipts, seals, stops
from .decompress import Damaged, at_most, decompress
from .keys import Keys, key_of
from .report import CannotLook, Stream
from .safe import Oversized
from .source import Progress, Task, check_heads
from .storage import Storage, Version
from .walk import Chain, Consumer, Newest, Tree, walk

NAME = re.compile(r"(?:.*/)?([0-9a-f-]{36})/([0-9]{20})-([0-9]+)\.(seal\.json|ndjson\.zst|tsr)")
FOREIGN = re.compile(r"(?:.*/)?(foreign|claims|probe|keys|\.index)/.*")
KEY = re.compile(r"(?:.*/)?keys/[0-9a-f]{64}\.pem")
SMALL = 64 << 20
MOST_UNSIGNED = 256 << 20
"""What is not what was signed is read to find out what differs, but not further than this: it may be made to expand without end."""
Piece = tuple[int, int, str]
"""First and last number by an object's name, and its key without the ending."""


class _Tee:
    """A file whose bytes are hashed as they are read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.sha256, self.bytes = file, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        self.bytes += len(data)
        return data

    def drain(self) -> None:
        while self.read(1 << 20):
            pass


def pieces(storage: Storage) -> tuple[dict[str, list[Piece]], dict[str, set[str]], list[str]]:
    """By store: the pieces in order of their numbers, and which endings each has; and the keys of public keys, of stops, and of what is no part of an archive."""
    of_store: dict[str, set[Piece]] = defaultdict(set)
    endings: dict[str, set[str]] = defaultdict(set)
    other = []
    for key in storage.keys():
        if found := NAME.fullmatch(key):
            store, first, last, ending = found.groups()
            stem = key.removesuffix("." + ending)
            of_store[store].add((int(first), int(last), stem))
            endings[stem].add(ending)
        elif KEY.fullmatch(key) or stops.NAME.fullmatch(key) or not FOREIGN.fullmatch(key):
            other.append(key)
    return {store: sorted(found) for store, found in of_store.items()}, endings, other


class ArchiveStore:
    """One store of an archive, verified from its first object to its last."""

    def __init__(
        self,
        storage: Storage,
        where: str,
        store: str,
        found: list[Piece],
        endings: dict[str, set[str]],
        task: Task,
        stopped: stops.Kept,
    ) -> None:
        self._storage, self._found, self._endings, self._task, self._stopped = storage, found, endings, task, stopped
        self.stream = Stream(where, "archive", store, "kafka")
        self._progress = Progress(self.stream, task.since)
        self._before: seals.Sealed | None = None
        self._left: set[str] = set()
        """Keys that the archiver has given up."""
        self._received = receipts.Received(self.stream, task)

    def continues(self) -> dict[str, object] | None:
        """Returns what the first seal says of the store before, or None."""
        for _, _, stem in self._found[:1]:
            try:
                first = seals.parse(self._bytes(stem + ".seal.json"), signed=True).seal
            except (seals.Malformed, FileNotFoundError):
                return None
            self.stream.sink = first["sink"]
            continued = first.get("continues")
            return continued if isinstance(continued, dict) else None
        return None

    def _original(self, key: str) -> Version:
        """Returns the first version that was written. With If-None-Match no writer adds another one by accident."""
        for version in self._storage.versions(key):
            if not version.deleted:
                return version
        raise FileNotFoundError(key)

    def _bytes(self, key: str) -> bytes:
        with self._storage.open(key, self._original(key)) as file:
            return file.read(SMALL)

    def verify(self) -> Stream:
        stream, task = self.stream, self._task
        consumers = task.consumers(stream, self._found[0][0] if self._found else 1, self.continues())
        self._ends = task.ends(stream.store, stream.sink)
        for first, last, stem in self._found:
            self._piece(first, last, stem, consumers)
        task.end()
        check_heads(stream, task, self._ends)
        self._received.check()
        stops.check(self._storage, self._stopped, task.keys, stream)
        return stream

    def _piece(self, first: int, last: int, stem: str, consumers: list[Consumer]) -> None:
        findings, name, endings = self.stream.findings, stem.rsplit("/", 1)[-1], self._endings[stem]
        if "seal.json" not in endings:
            if stem == self._found[-1][2] and endings == {"ndjson.zst"}:
                findings.note(
                    "unsealed",
                    f"object {name}.ndjson.zst is the newest and has no seal: it proves nothing yet",
                    first,
                    last,
                )
            else:
                findings.wrong("seal-missing", f"the seal {name}.seal.json is missing", first, last)
            return
        try:
            sealed = seals.parse(self._bytes(stem + ".seal.json"), signed=True)
        except (seals.Malformed, FileNotFoundError) as error:
            findings.wrong("seal-malformed", f"the seal {name}.seal.json {error}", first, last)
            return
        seal = sealed.seal
        if (seal["first"], seal["last"], seal["store"], seal["sink"]) != (
            first,
            last,
            self.stream.store,
            self.stream.sink,
        ):
            findings.wrong(
                "seal-name",
                f"the seal {name}.seal.json is of other numbers, or of another store or sink, than its name says",
                first,
                last,
            )
        if not str(seal.get("object", "")).endswith(f"{self.stream.store}/{name}.ndjson.zst"):
            findings.wrong(
                "seal-name", f"the seal {name}.seal.json is of another object: {seal.get('object')}", first, last
            )
        self._seal(sealed, name, stem, consumers)

    def _seal(self, sealed: seals.Sealed, name: str, stem: str, consumers: list[Consumer]) -> None:
        stream, seal = self.stream, sealed.seal
        signed = seals.check_signature(sealed, self._task.keys, stream, name)
        seals.check_previous(sealed, self._before, stream, name)
        self._key(sealed, name)
        self._received.seal(sealed)
        if not self._progress.begin_piece(seal["first"], seal["last"], seal["chain_before"], f"seal {name}"):
            return
        self._object(sealed, name, stem + ".ndjson.zst", consumers, signed)
        for ending in self._endings[stem]:
            self._versions(f"{stem}.{ending}", seal)
        if "tsr" in self._endings[stem]:
            seals.check_timestamp(sealed, self._bytes(stem + ".tsr"), self._task.tsa_ca, stream, name)
        self._progress.end_piece(seal["last"], seal["chain_after"])
        self._before = sealed
        stream.seals += 1
        if signed and stream.findings.count("wrong") == 0:
            stream.signed_to, stream.sealed_at = seal["last"], seal["sealed_at"]

    def _key(self, sealed: seals.Sealed, name: str) -> None:
        """Reports a change of the key. A replaced key may have been stolen."""
        key, before = sealed.seal["key_id"], self._before.seal["key_id"] if self._before is not None else None
        if before is not None and key != before:
            self._left.add(before)
            if key in self._left:
                self.stream.findings.attention(
                    "key",
                    f"seal {name} is of key {key} again, though the seals before it are of the newer key {before}: the archiver was given the old key, "
                    "or somebody else has it",
                    sealed.seal["first"],
                    sealed.seal["last"],
                )
            else:
                self.stream.findings.note(
                    "key",
                    f"from seal {name} on, the seals are of key {key}, no longer of key {before}",
                    sealed.seal["first"],
                    sealed.seal["last"],
                )

    def _is_signed(self, key: str, version: Version, seal: seals.Seal) -> bool:
        """Returns whether the stored bytes are those of the seal. This is checked before the seal's content is used."""
        with self._storage.open(key, version) as file:
            tee = _Tee(file)
            tee.drain()
        return bool(tee.bytes == seal["bytes"] and tee.sha256.hexdigest() == seal["sha256"])

    def _object(self, sealed: seals.Sealed, name: str, key: str, consumers: list[Consumer], signed: bool) -> None:
        stream, seal = self.stream, sealed.seal
        try:
            version = self._original(key)
        except FileNotFoundError:
            stream.findings.wrong(
                "object-missing",
                f"object {name}.ndjson.zst is missing: documents {seal['first']:,} to {seal['last']:,} are sealed, and gone",
                seal["first"],
                seal["last"],
            )
            return
        of_chain = Chain(bytes.fromhex(seal["chain_before"]), seal["first"], seal["batches"], self._ends)
        tree, newest, before = Tree(), Newest(seals.RECORDED), self._recorded()
        signed = signed and self._is_signed(key, version, seal)
        with self._storage.open(key, version) as file:
            tee = _Tee(file)
            try:
                count = walk(
                    decompress(tee) if signed else at_most(MOST_UNSIGNED, decompress(tee)),
                    seal["first"],
                    of_chain,
                    tree,
                    [*consumers, newest],
                )
            except (Damaged, Oversized) as error:
                if signed and isinstance(error, Oversized):
                    raise
                self._ends.forget(seal["first"])
                stream.findings.wrong(
                    "altered", f"object {name}.ndjson.zst is damaged: {error}", seal["first"], seal["last"]
                )
                return
            tee.drain()
        stream.documents += count
        stream.batches += of_chain.done
        if of_chain.value.hex() != seal["chain_after"]:
            self._ends.forget(seal["first"])
        self._compare(seal, name, count, tee, tree, of_chain)
        if count:
            latest = self._recorded()
            seals.check_recorded(sealed, max(newest.found, latest) if latest > before else newest.found, stream, name)

    def _recorded(self) -> bytes:
        """Returns when the newest document so far was recorded, whatever its place.

        Empty if the documents are not read.
        """
        return b"" if self._task.contents is None else self._task.contents.newest.encode()

    def _compare(self, seal: seals.Seal, name: str, count: int, tee: _Tee, tree: Tree, of_chain: Chain) -> None:
        """Compares the computed values with the signed ones."""
        findings, expected = self.stream.findings, seal["last"] - seal["first"] + 1
        where = f"documents {seal['first']:,} to {seal['last']:,} (object {name}.ndjson.zst)"
        if count != expected:
            findings.wrong(
                "count", f"{where} are {expected:,} by their seal, and {count:,} here", seal["first"], seal["last"]
            )
        elif tree.root().hex() != seal["merkle_root"]:
            findings.wrong(
                "altered",
                f"{where} are not what was sealed: altered, exchanged or in another order",
                seal["first"],
                seal["last"],
            )
        elif of_chain.value.hex() != seal["chain_after"] or not of_chain.complete:
            findings.wrong(
                "chain", f"{where} do not lead to the chain that their seal names", seal["first"], seal["last"]
            )
        elif tee.sha256.hexdigest() != seal["sha256"] or tee.bytes != seal["bytes"]:
            findings.wrong(
                "altered",
                f"{where} are stored in other bytes than were sealed, though the documents are the same",
                seal["first"],
                seal["last"],
            )

    def _versions(self, key: str, seal: seals.Seal) -> None:
        """Lock and retention of every version, and whether they all say the same."""
        if not self._storage.has_versions:
            return
        findings, name = self.stream.findings, key.rsplit("/", 1)[-1]
        digests = set()
        sealed_at = seals.instant(seal)
        until = _years_later(sealed_at, self._task.retain_years)
        for version in self._storage.versions(key):
            if version.deleted:
                findings.wrong(
                    "deleted", f"a delete marker of {version.written} hides object {name}", seal["first"], seal["last"]
                )
                continue
            self.stream.locked += 1
            if version.mode != "COMPLIANCE":
                findings.wrong(
                    "lock",
                    f"version {version.version_id} of object {name} is not locked in mode COMPLIANCE ({version.mode})",
                    seal["first"],
                    seal["last"],
                )
            elif version.retain_until is None or version.retain_until < until - seals.CLOCK_TOLERANCE:
                findings.wrong(
                    "lock",
                    f"version {version.version_id} of object {name} can be deleted from {version.retain_until} on, before {until.isoformat()}",
                    seal["first"],
                    seal["last"],
                )
            with self._storage.open(key, version) as file:
                tee = _Tee(file)
                tee.drain()
            digests.add(tee.sha256.digest())
        if len(digests) > 1:
            findings.wrong(
                "overwritten",
                f"object {name} was overwritten: its versions are {len(digests)} different contents; the first one was verified",
                seal["first"],
                seal["last"],
            )


def _years_later(at: datetime, years: int) -> datetime:
    year = min(at.year + years, MAXYEAR)
    try:
        return at.replace(year=year)
    except ValueError:  # 29 February
        return at.replace(year=year, day=28)


def _offer_keys(storage: Storage, found: list[str], keys: Keys) -> None:
    """Offers the public keys that lie beside the objects. They count only if their fingerprints are trusted."""
    for key in found:
        for version in [each for each in storage.versions(key) if not each.deleted][:1]:
            with storage.open(key, version) as file, suppress(CannotLook):
                keys.offer(key_of(file.read(SMALL), key))


def stores(storage: Storage, where: str, task: Task) -> tuple[list[ArchiveStore], list[str]]:
    """The stores of an archive, and the keys of objects that are no part of it."""
    by_store, endings, other = pieces(storage)
    _offer_keys(storage, [key for key in other if KEY.fullmatch(key)], task.keys)
    stopped = stops.of_stores(other)
    other = [key for key in other if not FOREIGN.fullmatch(key)]
    return [
        ArchiveStore(storage, where, store, by_store.get(store, []), endings, task, stopped.get(store, {}))
        for store in {**by_store, **stopped}
    ], other


def in_order(found: list[ArchiveStore], task: Task) -> Iterator[ArchiveStore]:
    """Yields each store after the store that it continues, and registers what it says about that store."""
    waiting = {}
    for each in found:
        continued = each.continues()
        if continued is not None:
            try:
                task.expect(continued, each.stream.sink, each.stream.store)
            except (KeyError, TypeError, ValueError):
                each.stream.findings.wrong(
                    "seal-malformed", "what the first seal says of the store before cannot be read"
                )
                continued = None
        waiting[each.stream.store] = (each, None if continued is None else continued["store"])
    done: set[object] = set()
    while waiting:
        ready = [
            store for store, (_, before) in waiting.items() if before is None or before in done or before not in waiting
        ]
        if not ready:  # a circle, which trust.judge reports
            ready = list(waiting)
        for store in sorted(ready):
            yield waiting.pop(store)[0]
            done.add(store)
