"""The delivery chain: one SHA-256 that stands for every document a sink was given so far, in order."""

import hashlib
from collections.abc import Iterable

_DOMAIN = b"admin_ext delivery chain 1"
HASH_BYTES = 32


def start(store: str, sink: str) -> bytes:
    """The chain before the first document of a store at a sink.

    store is the lower-case text of the store's uuid, sink the name as in admin_ext.sinks.
    """
    return hashlib.sha256(_DOMAIN + store.encode() + sink.encode()).digest()


def content_hash(documents: Iterable[bytes]) -> bytes:
    """SHA-256 of a batch's documents, each followed by a line feed."""
    digest = hashlib.sha256()
    for document in documents:
        digest.update(document)
        digest.update(b"\n")
    return digest.digest()


def extend(chain: bytes, first: int, count: int, content: bytes) -> bytes:
    """The chain after one more batch.

    first is the delivery number of the batch's first document, count its number of
    documents (both unsigned, 8 bytes, big endian), content what content_hash() returned.
    """
    return hashlib.sha256(chain + first.to_bytes(8, "big") + count.to_bytes(8, "big") + content).digest()
