"""An object that is being filled.

It is compressed as its documents arrive, so that its memory does not grow with them.
"""

import hashlib
import tempfile
import time
from collections.abc import Iterable, Iterator
from typing import IO

import zstandard

from admin_client.archive.records import BatchSeal, Document, is_receipt
from admin_client.evidence import chain, merkle

RECEIPTS_SECONDS = 86400.0  # how long receipts wait for another document
_LEVEL = 3
_IN_MEMORY = 8 << 20  # larger contents go to a temporary file
_JOIN = 64  # fewer documents than this may be large ones: they are not copied into one piece


class Compressed:
    """Bytes on their way through Zstandard, with the hash of what comes out."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL).compressobj()
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY)
        self._digest = hashlib.sha256()
        self.bytes = 0

    def write(self, content: bytes) -> None:
        """Adds uncompressed bytes."""
        self._keep(self._compressor.compress(content))

    def _keep(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self.bytes += len(content)

    def finish(self) -> bytes:
        """Ends the frame and returns the hash of the compressed bytes."""
        self._keep(self._compressor.flush())
        return self._digest.digest()

    def body(self) -> IO[bytes]:
        """The compressed bytes from their beginning."""
        self._file.seek(0)
        return self._file

    def close(self) -> None:
        """Gives up the temporary file."""
        self._file.close()


class Draft:
    """The batches of one store that make the next object."""

    def __init__(self, chain_before: bytes) -> None:
        self.first = self.last = 0
        self.batches: list[int] = []
        self.chain_before = self.chain_after = chain_before
        self.continues: dict[str, object] | None = None
        self.schema_id: int | None = None
        self.documents_bytes = 0
        self.ranges: dict[int, tuple[int, int]] = {}
        self.started = time.monotonic()
        self.awaited: float | None = None  # arrival of the first document that is not a receipt of ours
        self.compressed = Compressed()
        self._tree = merkle.Accumulator()

    def add(self, seal: BatchSeal, documents: list[Document], chain_after: bytes) -> None:
        """One more batch, whose chain fits."""
        if not self.batches:
            self.first, self.started = seal.first, time.monotonic()
            self.continues = seal.continues
        if self.awaited is None and not all(is_receipt(document.body, seal.store) for document in documents):
            self.awaited = time.monotonic()
        self.last, self.chain_after = seal.last, chain_after
        self.batches.append(len(documents))
        self.schema_id = documents[-1].schema_id
        self._tree.extend(merkle.leaf_hashes([document[0] for document in documents]))
        for piece in pieces(documents):
            self.compressed.write(piece)
            self.documents_bytes += len(piece)
        # Within a partition offsets ascend with numbers: in both dicts the last entry of a partition wins.
        lowest = {partition: offset for _, partition, offset, _ in reversed(documents)}
        highest = {partition: offset for _, partition, offset, _ in documents}
        for partition, low in lowest.items():
            self.ranges[partition] = self.ranges.get(partition, (low, low))[0], highest[partition]

    def is_old(self, at: float, age: float) -> bool:
        """Returns whether it is time to write the object. at: time of the monotonic clock.

        Each object leads to a receipt, and each receipt to a document. If such documents alone made the next object, a
        database at rest would fill its archive. So they wait for another document, but for a day at most.
        """
        if self.awaited is None:
            return at - self.started >= max(age, RECEIPTS_SECONDS)
        return at - self.awaited >= age

    def root(self) -> bytes:
        """The Merkle tree hash of the documents."""
        return self._tree.root()


def pieces(documents: list[Document]) -> Iterator[bytes]:
    """Yields the documents as an object has them, each followed by a line feed."""
    if len(documents) >= _JOIN:
        lines = [document.body for document in documents]
        lines.append(b"")
        yield b"\n".join(lines)
        return
    for document in documents:
        yield document.body
        yield b"\n"


def extended(chain_before: bytes, seal: BatchSeal, documents: list[Document]) -> bytes:
    """The delivery chain after a batch."""
    digest = hashlib.sha256()
    for piece in pieces(documents):
        digest.update(piece)
    return chain.extend(chain_before, seal.first, len(documents), digest.digest())


def stored_lines(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yields the lines of a stored object in groups, whichever program compressed it. Raises ValueError."""
    rest = b""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    try:
        for chunk in chunks:
            *lines, rest = (rest + decompressor.decompress(chunk)).split(b"\n")
            yield lines
    except zstandard.ZstdError as error:
        raise ValueError(f"it is not compressed with Zstandard: {error}") from None
    if rest or not decompressor.eof:
        raise ValueError("it is cut off")


def root_of_stored(chunks: Iterable[bytes]) -> bytes:
    """The Merkle tree hash of the lines in a stored object.  Raises ValueError."""
    tree = merkle.Accumulator()
    for lines in stored_lines(chunks):
        tree.extend(merkle.leaf_hashes(lines))
    return tree.root()
