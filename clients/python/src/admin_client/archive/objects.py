"""Writes a whole object: the claim, the object, its seal.

Each step waits until the storage has completed it. After a crash between two steps, the next run reads the same
documents again and completes the object. The claim tells where the object ends. If the object's name is taken, the
documents are compared.
"""

import base64
import hashlib
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from admin_client.archive import listing
from admin_client.archive.backoff import Patience
from admin_client.archive.draft import Compressed, Draft, root_of_stored
from admin_client.archive.errors import OtherArchiver, StreamBroken
from admin_client.archive.listing import Claims
from admin_client.archive.storage import Exists, Storage, now
from admin_client.evidence import seal

_log = logging.getLogger(__name__)
OBJECT_TYPE, SEAL_TYPE, TIMESTAMP_TYPE = "application/zstd", "application/json", "application/timestamp-reply"


@dataclass(frozen=True)
class Stored:
    """What a seal says of the object beside it."""

    sha256: bytes
    bytes: int


@dataclass(frozen=True)
class Receipt:
    """What the database is told after each seal."""

    store: str
    sink: str
    last: int
    chain: bytes | None
    seal_sha256: str | None
    retain_until: datetime | None
    location: str


class Objects:
    """Writes objects of streams and of foreign records."""

    def __init__(self, storage: Storage, prefix: str, topic: str, key: Ed25519PrivateKey, patience: Patience) -> None:
        self.storage, self.prefix, self.topic = storage, prefix, topic
        self.patience, self.claims = patience, Claims(storage, prefix)
        self._key = key

    def claimed_end(self, folder: str, first: int) -> int | None:
        """Returns where the object that begins with this number has to end, if an interrupted run has claimed that."""
        return self.patience.until(
            lambda: self.claims.end(folder, first), f"asking where the object from {first} of {folder} ends"
        )

    def _write(self, folder: str, first: int, last: int, compressed: Compressed, root: bytes) -> Stored:
        """Writes a claim and its object. If the object's name is taken, that object must hold the same documents."""
        try:
            self.patience.until(
                lambda: self.claims.make(folder, first, last), f"claiming {first} to {last} of {folder}"
            )
        except Exists:
            raise OtherArchiver(
                f"the object from number {first} of {folder} was claimed by another archiver, with another end than {last}"
            ) from None
        sha256 = compressed.finish()
        key = f"{self.prefix}{folder}/{listing.name(first, last, listing.OBJECT)}"
        try:
            self.patience.until(
                lambda: self.storage.put(key, compressed.body(), sha256, compressed.bytes, OBJECT_TYPE),
                f"writing {key}",
            )
        except Exists:
            _log.info("%s is there already; comparing its documents", key)
            return self.patience.until(lambda: self._recognise(key, root), f"comparing {key}")
        return Stored(sha256, compressed.bytes)

    def _recognise(self, key: str, root: bytes) -> Stored:
        """Reads the object that an earlier run has left. Raises StreamBroken if it holds other documents."""
        digest, length = hashlib.sha256(), 0

        def hashed() -> Any:
            nonlocal length
            for chunk in self.storage.chunks(key):
                digest.update(chunk)
                length += len(chunk)
                yield chunk

        try:
            found = root_of_stored(hashed())
        except ValueError as error:
            raise StreamBroken(f'"{key}" is there already, and {error}') from None
        if found != root:
            raise StreamBroken(f'"{key}" is there already, and holds other documents than the topic')
        self.storage.retained_until(key)
        return Stored(digest.digest(), length)

    def write_foreign(self, partition: int, first: int, last: int, compressed: Compressed, root: bytes) -> None:
        """An object of foreign records, which has no seal."""
        self.patience.until(self.storage.check_clock, "comparing clocks")
        self._write(f"foreign/{self.topic}/{partition}", first, last, compressed, root)

    def write(self, store: str, sink: str, draft: Draft, previous_seal_sha256: str | None) -> tuple[Receipt, bytes]:
        """Writes a store's object and its seal. Returns the receipt for the database, and the seal's bytes."""
        self.patience.until(self.storage.check_clock, "comparing clocks")
        stored = self._write(store, draft.first, draft.last, draft.compressed, draft.root())
        content = seal.to_bytes(seal.sign(self._unsigned(store, sink, draft, stored, previous_seal_sha256), self._key))
        key = f"{self.prefix}{store}/{listing.name(draft.first, draft.last, listing.SEAL)}"
        try:
            until = self.patience.until(lambda: self.storage.put_bytes(key, content, SEAL_TYPE), f"writing {key}")
        except Exists:
            raise OtherArchiver(f'the seal "{key}" was written by another archiver') from None
        location = f"s3://{self.storage.bucket}/{key}"
        return Receipt(store, sink, draft.last, draft.chain_after, seal.hash_of(content), until, location), content

    def _unsigned(self, store: str, sink: str, draft: Draft, stored: Stored, previous: str | None) -> dict[str, Any]:
        members: dict[str, Any] = {
            "v": 1,
            "store": store,
            "sink": sink,
            "first": draft.first,
            "last": draft.last,
            "batches": draft.batches,
            "chain_before": draft.chain_before.hex(),
            "chain_after": draft.chain_after.hex(),
            "merkle_root": draft.root().hex(),
            "object": f"{self.prefix}{store}/{listing.name(draft.first, draft.last, listing.OBJECT)}",
            "sha256": stored.sha256.hex(),
            "bytes": stored.bytes,
            "kafka": [
                {"topic": self.topic, "partition": partition, "first": first, "last": last}
                for partition, (first, last) in sorted(draft.ranges.items())
            ],
            "schema_id": draft.schema_id,
            "sealed_at": now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "previous_seal_sha256": previous,
        }
        if draft.continues is not None:
            members["continues"] = draft.continues
        return members


def encoded(content: bytes | None) -> str | None:
    """Bytes in JSON."""
    return None if content is None else base64.b64encode(content).decode()
