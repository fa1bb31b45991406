"""Tells which rows came before and with what content: a digest for each audit_id, on disk.

A row comes again when resync_sink sends it again, or when a store that continues another one sends it. Its content is
then the same. Two different rows have one audit_id only if a database was put back to an older state: up to that point
both stores have the same rows, and after it they share none.
"""

from __future__ import annotations

import sqlite3
from enum import Enum

TABLE = "create table if not exists digest (lineage integer, audit_id integer, digest blob not null, primary key (lineage, audit_id)) without rowid"
ROWS_AT_ONCE = 5000
_PAGE_BITS = 1 << 16


class Came(Enum):
    """How a row came: for the first time; again, from this store or the one that it continues; with other content; in another history."""

    FIRST, AGAIN, CONTINUED, REWRITTEN, FORKED = range(5)


class Seen:
    """A set of whole numbers as bits: about one bit for each audit_id."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def add(self, number: int) -> bool:
        """Was it there already?"""
        page, bit = divmod(number, _PAGE_BITS)
        bits = self._pages.get(page)
        if bits is None:
            bits = self._pages[page] = bytearray(_PAGE_BITS // 8)
        byte, mask = bit >> 3, 1 << (bit & 7)
        there = bool(bits[byte] & mask)
        bits[byte] |= mask
        return there

    @property
    def least(self) -> int | None:
        """The smallest number of the set."""
        if not self._pages:
            return None
        page = min(self._pages)
        bits = int.from_bytes(self._pages[page], "little")
        return page * _PAGE_BITS + (bits & -bits).bit_length() - 1

    def __contains__(self, number: int) -> bool:
        page, bit = divmod(number, _PAGE_BITS)
        bits = self._pages.get(page)
        return bits is not None and bool(bits[bit >> 3] & 1 << (bit & 7))

    def update(self, other: Seen) -> None:
        for page, bits in other._pages.items():
            mine = self._pages.setdefault(page, bytearray(_PAGE_BITS // 8))
            mine[:] = (int.from_bytes(mine, "little") | int.from_bytes(bits, "little")).to_bytes(len(mine), "little")


class Digests:
    """The rows of one database, store behind store."""

    def __init__(self, scratch: sqlite3.Connection, lineage: int) -> None:
        scratch.execute(TABLE)
        self._scratch, self._lineage = scratch, lineage
        self._waiting: dict[int, bytes] = {}
        self.older, self.seen = Seen(), Seen()
        self._newest_same = 0
        self._forked_at: int | None = None

    def next_store(self) -> None:
        """Another store goes on: what came so far came from older ones."""
        self.older.update(self.seen)
        self.seen = Seen()
        self._newest_same, self._forked_at = 0, None

    def is_new(self, audit_id: int) -> bool:
        """Has no row of this audit_id come yet?"""
        return audit_id not in self.seen and audit_id not in self.older

    def first(self, audit_id: int, digest: bytes) -> None:
        """Takes a row that is new."""
        self.seen.add(audit_id)
        self._keep(audit_id, digest)

    def came(self, audit_id: int, digest: bytes) -> Came:
        """Takes a row."""
        if self.seen.add(audit_id):
            return Came.AGAIN if self._known(audit_id) == digest else Came.REWRITTEN
        if audit_id in self.older:
            found = self._other_store(audit_id, self._known(audit_id) == digest)
            if found is Came.FORKED:
                self._keep(audit_id, digest)
            return found
        self._keep(audit_id, digest)
        return Came.FIRST

    def _other_store(self, audit_id: int, same: bool) -> Came:
        if same:
            self._newest_same = max(self._newest_same, audit_id)
            return Came.CONTINUED if self._forked_at is None or audit_id < self._forked_at else Came.REWRITTEN
        if audit_id < self._newest_same:
            return Came.REWRITTEN
        self._forked_at = audit_id if self._forked_at is None else min(self._forked_at, audit_id)
        return Came.FORKED

    def _keep(self, audit_id: int, digest: bytes) -> None:
        self._waiting[audit_id] = digest
        if len(self._waiting) >= ROWS_AT_ONCE:
            self._scratch.executemany(
                "insert or replace into digest values (?, ?, ?)",
                [(self._lineage, *row) for row in self._waiting.items()],
            )
            self._waiting.clear()

    def _known(self, audit_id: int) -> bytes | None:
        if (waiting := self._waiting.get(audit_id)) is not None:
            return waiting
        found = self._scratch.execute(
            "select digest from digest where lineage = ? and audit_id = ?", (self._lineage, audit_id)
        ).fetchone()
        return None if found is None else bytes(found[0])


class Resent:
    """What came again in a stream, and which resync_sink has sent it: all that the stream has from an audit_id on."""

    def __init__(self) -> None:
        self.total = self.open = self.fresh = 0
        self._least: int | None = None

    def again(self, audit_id: int) -> None:
        self.total += 1
        self.open += 1
        self.fresh = 0
        self._least = audit_id if self._least is None else min(self._least, audit_id)

    def resynced(self, begin: int) -> None:
        """The event of a resync_sink, which comes behind what it has sent again from this audit_id on."""
        if self._least is not None and self._least >= begin:
            self.open, self._least = 0, None

    @property
    def least(self) -> int | None:
        """The smallest audit_id that came again, and that no event explains yet."""
        return self._least
