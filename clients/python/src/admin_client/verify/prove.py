"""Makes a proof: documents of one approval or one document, their Merkle paths, the seals, the public key.

Of other documents a proof has hashes only.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..evidence import merkle, seal as sealing
from . import index, seals
from .decompress import Damaged
from .keys import Keys, read_key
from .report import CannotLook
from .safe import load_json
from .storage import Folder
from .walk import BLOCK_LEAVES

NOT_IN_STEP = (
    "the index and the archive do not fit each other; verify the archive, remove the index, and build it again"
)


class _Object:
    """One object of the archive, by its index."""

    def __init__(self, archive: Path, entry: index.Entry) -> None:
        self.reader, self._stem = index.Reader(entry), archive / entry.head["stem"]

    def _beside(self, ending: str) -> Path:
        return Path(f"{self._stem}{ending}")

    def sealed(self) -> seals.Sealed:
        try:
            return seals.parse(self._beside(".seal.json").read_bytes(), signed=True)
        except seals.Malformed as error:
            raise CannotLook(f"the seal {self._stem.name}.seal.json {error}") from error

    def timestamp(self) -> bytes | None:
        path = self._beside(".tsr")
        return path.read_bytes() if path.is_file() else None

    def proofs(self, sealed: seals.Sealed, positions: list[int], approval_id: str | None) -> Iterator[dict[str, Any]]:
        """A member of "documents" for each position, in order."""
        roots = self.reader.roots()
        block, documents, leaves = -1, list[bytes](), list[bytes]()
        with self._beside(".ndjson.zst").open("rb") as file:
            for position in sorted(positions):
                if position // BLOCK_LEAVES != block:
                    block = position // BLOCK_LEAVES
                    documents = self.reader.block(file, block)
                    leaves = index.leaves(documents)
                place = position % BLOCK_LEAVES
                if place >= len(documents):
                    raise CannotLook(NOT_IN_STEP)
                if approval_id is not None and not _is_about(documents[place], approval_id):
                    continue
                path = merkle.path(leaves, place) + merkle.path(roots, block)
                if (
                    merkle.root_of_path(
                        leaves[place], position, sealed.seal["last"] - sealed.seal["first"] + 1, path
                    ).hex()
                    != sealed.seal["merkle_root"]
                ):
                    raise CannotLook(NOT_IN_STEP)
                yield {
                    "number": sealed.seal["first"] + position,
                    "seal": sealed.sha256,
                    "document": documents[place].decode(),
                    "path": [node.hex() for node in path],
                }


def _is_about(document: bytes, approval_id: str) -> bool:
    try:
        return bool(load_json(document, twice=True).get("subject") == approval_id)
    except (ValueError, AttributeError):
        return False


def _positions(found: _Object, approval_id: str | None, number: int | None) -> list[int]:
    if approval_id is not None:
        return found.reader.positions(approval_id)
    head = found.reader.head
    return [number - head["first"]] if number is not None and head["first"] <= number <= head["last"] else []


def _entries(archive: Path, given: str | None) -> tuple[list[index.Entry], list[str]]:
    """The index of all objects, where what is missing of it is made first; and what cannot be indexed."""
    directory = index.directory_of(archive, given)
    problems = index.build(Folder(archive), directory).problems
    return [
        entry for entry in index.entries(directory) if (archive / f"{entry.head['stem']}.seal.json").is_file()
    ], problems


def _offer_keys(archive: Path, keys: Keys) -> None:
    for path in archive.rglob("keys/*.pem"):
        with suppress(CannotLook):  # whatever else lies there is no key, and is not needed
            keys.offer(read_key(path))


@dataclass(frozen=True, slots=True)
class Made:
    """The text of a proof file, and what of the archive could not be read, so that the proof says nothing of it."""

    text: str
    problems: list[str]


def make(
    archive: Path,
    index_directory: str | None,
    keys: Keys,
    approval_id: str | None,
    number: int | None,
    store: str | None,
) -> Made:
    """Proves what can be proved.  Raises CannotLook where there is nothing to prove."""
    _offer_keys(archive, keys)
    proof: dict[str, Any] = {
        "v": 1,
        "about": {"approval_id": approval_id} if approval_id is not None else {"number": number},
        "documents": [],
        "seals": {},
        "timestamps": {},
        "keys": {},
    }
    matching = set()
    entries, problems = _entries(archive, index_directory)
    for entry in entries:
        if store is not None and entry.head["store"] != store:
            continue
        try:
            if _take(proof, archive, entry, keys, approval_id, number):
                matching.add(entry.head["store"])
        except (CannotLook, Damaged, FileNotFoundError) as error:
            if str(error) not in problems:
                problems.append(str(error))
    if number is not None and len(matching) > 1:
        raise CannotLook(
            f"number {number:,} is in several stores ({', '.join(sorted(matching))}); name one with --store"
        )
    if not proof["documents"]:
        said = (
            f"the archive has no document of {approval_id}"
            if approval_id
            else f"the archive has no document with number {number}"
        )
        raise CannotLook(f"{said} in what can be read of it: {problems[0]}" if problems else said)
    return Made(json.dumps(proof, indent=1) + "\n", problems)


def _take(
    proof: dict[str, Any], archive: Path, entry: index.Entry, keys: Keys, approval_id: str | None, number: int | None
) -> bool:
    """Adds what an object has of what is wanted.  Returns whether it has something.  Raises CannotLook or Damaged."""
    found = _Object(archive, entry)
    positions = _positions(found, approval_id, number)
    if not positions:
        return False
    sealed = found.sealed()
    documents = list(found.proofs(sealed, positions, approval_id))
    if documents:
        _add(proof, found, sealed, documents, keys)
    return bool(documents)


def _add(
    proof: dict[str, Any], found: _Object, sealed: seals.Sealed, documents: list[dict[str, Any]], keys: Keys
) -> None:
    key = keys.known.get(sealed.seal["key_id"])
    if key is None or not sealing.is_signed_by(sealed.seal, key):
        raise CannotLook(
            f"the seal of numbers {sealed.seal['first']:,} to {sealed.seal['last']:,} is not signed by a key that was given (it names {sealed.seal['key_id']})"
        )
    proof["documents"] += documents
    proof["seals"][sealed.sha256] = sealed.text.decode()
    proof["keys"][sealed.seal["key_id"]] = key.hex()
    if (timestamp := found.timestamp()) is not None:
        proof["timestamps"][sealed.sha256] = base64.b64encode(timestamp).decode()
