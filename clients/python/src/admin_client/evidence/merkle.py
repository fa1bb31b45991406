"""The Merkle tree of an archived object's documents, as RFC 6962, section 2.1, hashes it.

A leaf is SHA-256(0x00 || document), without the line feed; an inner node is SHA-256(0x01 || left || right).
"""

import hashlib
from collections.abc import Iterable, Sequence


class NoPath(ValueError):
    """An audit path does not have the length that the place of its leaf demands."""


def leaf_hash(document: bytes) -> bytes:
    """The hash of one document."""
    return hashlib.sha256(b"\x00" + document).digest()


def leaf_hashes(documents: Iterable[bytes]) -> list[bytes]:
    """The hashes of many documents."""
    sha256 = hashlib.sha256
    return [sha256(b"\x00" + document).digest() for document in documents]


def _next_level(level: Sequence[bytes]) -> list[bytes]:
    """Returns the nodes above. The last one of an odd number moves up unchanged, which gives the tree of the RFC."""
    sha256 = hashlib.sha256
    nodes = [sha256(b"\x01" + left + right).digest() for left, right in zip(level[::2], level[1::2])]
    if len(level) % 2:
        nodes.append(level[-1])
    return nodes


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash of these leaf hashes; SHA-256 of nothing where there are none."""
    level = leaves
    while len(level) > 1:
        level = _next_level(level)
    return level[0] if level else hashlib.sha256(b"").digest()


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The audit path of the leaf with this index, counted from 0 (RFC 6962, section 2.1.1)."""
    nodes, level = [], leaves
    while len(level) > 1:
        sibling = index ^ 1
        if sibling < len(level):
            nodes.append(level[sibling])
        level, index = _next_level(level), index // 2
    return nodes


def root_of_path(leaf: bytes, index: int, size: int, nodes: Sequence[bytes]) -> bytes:
    """The root that an audit path leads to (RFC 9162, section 2.1.3.2).

    index counts from 0, size is the number of leaves.  Raises NoPath for a path of another length.
    """
    if not 0 <= index < size:
        raise NoPath(f"leaf {index} is not one of {size}")
    rest, last, node = iter(nodes), size - 1, leaf
    try:
        while last > 0:
            if index % 2:
                node = hashlib.sha256(b"\x01" + next(rest) + node).digest()
            elif index < last:
                node = hashlib.sha256(b"\x01" + node + next(rest)).digest()
            index, last = index // 2, last // 2
    except StopIteration:
        raise NoPath("the audit path is too short") from None
    if next(rest, None) is not None:
        raise NoPath("the audit path is too long")
    return node


class Accumulator:
    """Computes the root of successive leaves in memory that grows with the logarithm of their number."""

    def __init__(self) -> None:
        self._levels: list[bytes | None] = []  # the root of a complete subtree of 2^index leaves, where there is one

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Adds leaf hashes behind those before."""
        level, nodes = 0, list(leaves)
        while nodes:
            if level == len(self._levels):
                self._levels.append(None)
            waiting = self._levels[level]
            if waiting is not None:
                nodes.insert(0, waiting)
            self._levels[level] = nodes[-1] if len(nodes) % 2 else None
            nodes = _next_level(nodes[: len(nodes) // 2 * 2])
            level += 1

    def root(self) -> bytes:
        """The Merkle tree hash of all leaves so far."""
        node: bytes | None = None
        for waiting in self._levels:
            if waiting is not None:
                node = waiting if node is None else hashlib.sha256(b"\x01" + waiting + node).digest()
        return hashlib.sha256(b"").digest() if node is None else node
