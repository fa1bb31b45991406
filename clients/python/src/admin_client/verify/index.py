"""An index of an archive in a folder, so that a proof reads only parts of the archive.

One file for each object: a line of JSON, then numbers in the machine's format. The index is not trusted: every document
found with it is checked against the signed Merkle root.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from . import seals
from .archive import NAME
from .decompress import Damaged, decompress, frames
from .report import CannotLook
from .safe import load_json
from .storage import Folder
from .walk import BLOCK_LEAVES, Tree, leaves_of, walk

VERSION = 1
NUMBERS = ("first", "last", "bytes", "blocks", "frames", "subjects", "plain")
SUBJECT = b',"subject":"'
SUBJECT_WITHIN = 2048


@dataclass(frozen=True, slots=True)
class Entry:
    """One object's index: the head, and where its numbers begin in the file."""

    path: Path
    head: dict[str, Any]
    body: int


def directory_of(archive: Path, given: str | None) -> Path:
    return Path(given) if given else archive / ".index"


def hash_of(approval_id: bytes) -> int:
    return int.from_bytes(hashlib.sha256(approval_id).digest()[:8], "big")


def subject_of(document: bytes) -> bytes | None:
    start = document.find(SUBJECT, 0, SUBJECT_WITHIN)
    return document[start + len(SUBJECT) : document.find(b'"', start + len(SUBJECT))] if start >= 0 else None


class _Collector:
    """Subjects and places of an object's documents, as they pass."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.subjects: list[tuple[int, int]] = []
        self.block_offsets = array("Q")
        self.bytes = 0

    def __call__(self, number: int, text: bytes) -> None:
        at = self.bytes
        position = number - self._first
        for document in text.split(b"\n")[:-1]:
            if position % BLOCK_LEAVES == 0:
                self.block_offsets.append(at)
            if (subject := subject_of(document)) is not None and subject.startswith(b"APP-"):
                self.subjects.append((hash_of(subject), position))
            at += len(document) + 1
            position += 1
        self.bytes = at


def _of_object(storage: Folder, stem: str, seal: seals.Seal) -> tuple[dict[str, Any], list[array[int] | bytes]]:
    path = storage.directory / f"{stem}.ndjson.zst"
    tree, collector = Tree(), _Collector(seal["first"])
    with path.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != seal["sha256"]:
            raise CannotLook(f"object {stem}.ndjson.zst is not what its seal says; verify the archive")
        parts = list(frames(file))
        file.seek(0)
        walk(decompress(file), seal["first"], None, tree, [collector])
    collector.subjects.sort()
    plain = array("Q", [0] * len(parts))
    with path.open("rb") as file:
        for number, (offset, length, size) in enumerate(parts):
            plain[number] = (
                size if size is not None else _plain_bytes(file, offset, length) if len(parts) > 1 else collector.bytes
            )
    head = {
        "v": VERSION,
        "stem": stem,
        "store": seal["store"],
        "first": seal["first"],
        "last": seal["last"],
        "bytes": path.stat().st_size,
        "sha256": seal["sha256"],
        "order": sys.byteorder,
        "blocks": len(collector.block_offsets),
        "frames": len(parts),
        "subjects": len(collector.subjects),
        "plain": collector.bytes,
    }
    return head, [
        array("Q", [part[0] for part in parts]),
        array("Q", [part[1] for part in parts]),
        plain,
        collector.block_offsets,
        array("Q", [subject for subject, _ in collector.subjects]),
        array("I", [position for _, position in collector.subjects]),
        b"".join(tree.block_roots()),
    ]


class _Part:
    """Some bytes of a file."""

    def __init__(self, file: IO[bytes], offset: int, length: int) -> None:
        file.seek(offset)
        self._file, self._left = file, length

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


def _plain_bytes(file: IO[bytes], offset: int, length: int) -> int:
    return sum(map(len, decompress(_Part(file, offset, length))))


@dataclass(slots=True)
class Built:
    """How many objects were indexed, how many had been, and what of the archive cannot be indexed."""

    made: int = 0
    kept: int = 0
    problems: list[str] = field(default_factory=list)


def build(storage: Folder, directory: Path) -> Built:
    """Indexes the objects without an index. Names malformed or damaged objects and leaves them out."""
    directory.mkdir(parents=True, exist_ok=True)
    built = Built()
    there = {entry.head["stem"]: entry.head["bytes"] for entry in entries(directory)}
    for key in sorted(storage.keys()):
        found = NAME.fullmatch(key)
        if found is None or found.group(4) != "seal.json":
            continue
        stem = key.removesuffix(".seal.json")
        try:
            if stem in there and (storage.directory / f"{stem}.ndjson.zst").stat().st_size == there[stem]:
                built.kept += 1
                continue
            _write(
                directory,
                *_of_object(storage, stem, seals.parse((storage.directory / key).read_bytes(), signed=True).seal),
            )
            built.made += 1
        except seals.Malformed as error:
            built.problems.append(f"the seal {key} {error}")
        except Damaged as error:
            built.problems.append(f"object {stem}.ndjson.zst is damaged: {error}")
        except FileNotFoundError:
            built.problems.append(f"object {stem}.ndjson.zst is missing")
        except CannotLook as error:
            built.problems.append(str(error))
    return built


def _write(directory: Path, head: dict[str, Any], body: list[array[int] | bytes]) -> None:
    path = directory / f"{head['store']}-{head['first']:020}-{head['last']}.index"
    with path.with_suffix(".new").open("wb") as file:
        file.write(json.dumps(head).encode() + b"\n")
        for part in body:
            file.write(part if isinstance(part, bytes) else part.tobytes())
    os.replace(path.with_suffix(".new"), path)


def entries(directory: Path) -> Iterator[Entry]:
    """The index files of a directory; damaged ones are left out and made again."""
    for path in sorted(directory.glob("*.index")):
        with path.open("rb") as file:
            line = file.readline(1 << 16)
        try:
            head = load_json(line)
            if (
                head["v"] == VERSION
                and head["order"] == sys.byteorder
                and NAME.fullmatch(f"{head['stem']}.seal.json")
                and all(type(head[name]) is int and head[name] >= 0 for name in NUMBERS)
            ):
                yield Entry(path, head, len(line))
        except (ValueError, KeyError, TypeError):
            continue


class Reader:
    """What an index file says of its object."""

    def __init__(self, entry: Entry) -> None:
        head = self.head = entry.head
        with entry.path.open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[entry.body :]
        sizes = [8 * head["frames"]] * 3 + [
            8 * head["blocks"],
            8 * head["subjects"],
            4 * head["subjects"],
            32 * head["blocks"],
        ]
        if sum(sizes) != len(data):
            raise CannotLook(f"the index {entry.path.name} is damaged; remove it and build it again")
        parts, at = [], 0
        for size in sizes:
            parts.append(data[at : at + size])
            at += size
        self.offsets, self.lengths, self.plain, self.blocks, self._hashes = (part.cast("Q") for part in parts[:5])
        self._positions, self._roots = parts[5].cast("I"), bytes(parts[6])

    def positions(self, approval_id: str) -> list[int]:
        """Returns the positions of an approval's documents, counted from 0. Some may belong to another approval."""
        wanted = hash_of(approval_id.encode())
        at, found = bisect_left(self._hashes, wanted), []
        while at < len(self._hashes) and self._hashes[at] == wanted:
            found.append(self._positions[at])
            at += 1
        return found

    def roots(self) -> list[bytes]:
        return [self._roots[at : at + 32] for at in range(0, len(self._roots), 32)]

    def block(self, file: IO[bytes], block: int) -> list[bytes]:
        """The documents of a block of 1024, by the frames that have them."""
        start = self.blocks[block]
        end = self.blocks[block + 1] if block + 1 < len(self.blocks) else self.head["plain"]
        text, at = [], 0
        for offset, length, size in zip(self.offsets, self.lengths, self.plain):
            if at < end and at + size > start:
                text.append(_cut(file, offset, length, max(0, start - at), end - at))
            at += size
        return b"".join(text).split(b"\n")[:-1]


def _cut(file: IO[bytes], offset: int, length: int, start: int, end: int) -> bytes:
    """The plain bytes of a frame from start to end."""
    out, at = [], 0
    for chunk in decompress(_Part(file, offset, length)):
        out.append(chunk[max(0, start - at) : max(0, end - at)])
        at += len(chunk)
        if at >= end:
            break
    return b"".join(out)


def leaves(documents: list[bytes]) -> list[bytes]:
    return leaves_of(b"\n".join(documents) + b"\n")
