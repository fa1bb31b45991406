"""Reads documents once, in order, and computes chain and Merkle tree on the way.

It processes blocks of text, because in Python a call for each document would dominate the cost.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import accumulate

from ..evidence import chain, merkle
from . import safe
from .links import Followed

BLOCK_LEAVES = 1024
LARGE = 1 << 20
"""A text beyond this has long documents: no copies are made of them."""
KEPT_ENDS = 1000
"""Of so many batches the chain behind them is kept, for another source that ends earlier."""
Consumer = Callable[[int, bytes], None]
"""Is given the number of a first document, and documents, each followed by a line feed."""


class Tree:
    """A Merkle tree that grows: of whole blocks of 1024 documents only the root is kept."""

    def __init__(self) -> None:
        self.blocks: list[bytes] = []
        self.size = 0
        self._leaves: list[bytes] = []

    def add(self, leaves: list[bytes]) -> None:
        self.size += len(leaves)
        self._leaves += leaves
        whole = len(self._leaves) - len(self._leaves) % BLOCK_LEAVES
        for start in range(0, whole, BLOCK_LEAVES):
            self.blocks.append(merkle.root(self._leaves[start : start + BLOCK_LEAVES]))
        del self._leaves[:whole]

    def block_roots(self) -> list[bytes]:
        """The roots of all blocks; that of the last, smaller one too."""
        return [*self.blocks, merkle.root(self._leaves)] if self._leaves else list(self.blocks)

    def root(self) -> bytes:
        return merkle.root(self.block_roots())


def leaves_of(text: bytes) -> list[bytes]:
    """The leaf hashes of documents that are each followed by a line feed.

    The zero byte that a leaf begins with is put before all of them at once."""
    sha256 = hashlib.sha256
    if len(text) > LARGE:
        return [_leaf_of(line) for line in _long_lines(text)]
    return [sha256(leaf).digest() for leaf in (b"\0" + text[:-1].replace(b"\n", b"\n\0")).split(b"\n")]


def _long_lines(text: bytes) -> Iterator[memoryview]:
    """Documents without their line feeds."""
    view, start = memoryview(text), 0
    while (end := text.find(b"\n", start)) >= 0:
        yield view[start:end]
        start = end + 1


def _leaf_of(document: memoryview) -> bytes:
    leaf = hashlib.sha256(b"\0")
    leaf.update(document)
    return leaf.digest()


class Ends:
    """The ends of batches in a stream: the chain at each number that is asked for, and at the newest ones."""

    def __init__(self, asked: Collection[int] = (), links: Followed | None = None) -> None:
        self.asked = asked
        self.links = links
        """Where a database is compared: its own record of each batch."""
        self.met: dict[int, str | None] = {}
        """None: the number was passed where no chain can be computed."""
        self._newest: deque[tuple[int, bytes]] = deque(maxlen=KEPT_ENDS)

    def batch(self, first: int, last: int, value: bytes) -> None:
        """A batch, and the chain behind it."""
        self.add(last, value)
        if self.links is not None:
            self.links.batch(first, last, value)

    def add(self, number: int, value: bytes) -> None:
        """Records the chain at a number. Called directly if the batch that ends there is not known."""
        self._newest.append((number, value))
        if number in self.asked:
            self.met[number] = value.hex()

    def forget(self, first: int) -> None:
        """Forgets the chains from this number on: the documents were altered, so no other source has their chain."""
        while self._newest and self._newest[-1][0] >= first:
            self._newest.pop()
        if self.links is not None:
            self.links.forget(first)

    def newest(self) -> dict[int, str]:
        return {number: value.hex() for number, value in self._newest}

    def passed(self, first: int, last: int) -> None:
        """Marks numbers of documents whose chain cannot be computed, or not yet."""
        self.met.update((number, None) for number in self.asked if first <= number <= last)

    def differs(self, number: int, value: str) -> bool:
        """Returns whether another chain was met at this number."""
        return self.met.get(number) not in (None, value)


class Chain:
    """The delivery chain over batches whose sizes are given beforehand."""

    def __init__(self, before: bytes, first: int, batches: Iterable[int], ends: Ends | None = None) -> None:
        self.value = before
        self.ends = ends or Ends()
        self.done = 0
        self._first = first
        self._sizes = iter(batches)
        self._size = 0
        self._missing = 0
        self._hash = hashlib.sha256()
        self.surplus = 0
        self._begin()

    def _begin(self) -> None:
        self._size = self._missing = next(self._sizes, 0)
        self._hash = hashlib.sha256()

    def _end(self) -> None:
        self.value = chain.extend(self.value, self._first, self._size, self._hash.digest())
        self.done += 1
        self.ends.batch(self._first, self._first + self._size - 1, self.value)
        self._first += self._size
        self._begin()

    def add(self, text: bytes, count: int) -> None:
        """Documents, each followed by a line feed, and how many they are."""
        if count < self._missing:
            self._hash.update(text)
            self._missing -= count
            return
        ends = [*accumulate(len(line) + 1 for line in (text.split(b"\n") if len(text) <= LARGE else _long_lines(text)))]
        view = memoryview(text)
        start = used = 0
        while self._missing and count - used >= self._missing:
            used += self._missing
            end = ends[used - 1]
            self._hash.update(view[start:end])
            start = end
            self._end()
        if self._missing and used < count:
            self._hash.update(view[start:])
            self._missing -= count - used
        elif used < count:
            self.surplus += count - used

    @property
    def complete(self) -> bool:
        return self._missing == 0 and self.surplus == 0


def whole_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Returns the same bytes, cut at line feeds. An incomplete last line gets a line feed. Raises safe.Oversized."""
    rest: list[bytes] = []
    waiting = 0
    for chunk in chunks:
        cut = chunk.rfind(b"\n") + 1
        if not cut:
            rest.append(chunk)
            waiting += len(chunk)
            if waiting > safe.MOST_LINE:
                raise safe.Oversized
            continue
        if waiting + chunk.find(b"\n") > safe.MOST_LINE:
            raise safe.Oversized
        rest.append(chunk[:cut])
        text = b"".join(rest)
        rest = (
            [chunk[cut:]] if cut < len(chunk) else []
        )  # before the text is used: the parts of a long document take as much memory as the whole
        waiting = len(chunk) - cut
        yield text
        del text
    if rest:
        yield b"".join((*rest, b"\n"))


def walk(
    chunks: Iterable[bytes], first: int, of_chain: Chain | None, tree: Tree | None, consumers: Iterable[Consumer]
) -> int:
    """Runs over all documents of a stream of bytes.  Returns how many there were."""
    number, consumers = first, tuple(consumers)
    for text in whole_lines(chunks):
        if tree is not None:
            leaves = leaves_of(text)
            count = len(leaves)
            tree.add(leaves)
        else:
            count = text.count(b"\n")
        if of_chain is not None:
            of_chain.add(text, count)
        for consumer in consumers:
            consumer(number, text)
        number += count
        del text  # before the next one is put together
    return number - first


class Newest:
    """Finds something in the last document.

    It does not keep the document, which may be long, while the next one is read.
    """

    def __init__(self, form: re.Pattern[bytes]) -> None:
        self._form = form
        self.found = b""

    def __call__(self, number: int, text: bytes) -> None:
        found = self._form.search(text, text.rfind(b"\n", 0, -1) + 1, len(text) - 1)
        self.found = found[1] if found else b""
