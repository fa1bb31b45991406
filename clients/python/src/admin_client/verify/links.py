"""What the database has recorded of its deliveries, batch by batch, against the batches of a source.

A superuser can forge such a row long after the batch was delivered, so each is compared, not only the newest.
There may be a million for each sink: they are kept on disk, and followed in order of their numbers.
"""
from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from .report import Report, Stream

INSTANT = """to_char({} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
LINKS = f"""select l.store_id::text as store, l.sink, l.first_number, l.last_number, l.chain, {INSTANT.format('l.recorded_at')} as recorded, {INSTANT.format('now()')} as asked
from admin.delivery_link as l"""
DELIVERED = f"""select d.store_id::text as store, d.sink, max(d.last_number) as last_number, {INSTANT.format('max(d.at)')} as recorded, {INSTANT.format('now()')} as asked
from (select p.store_id, p.sink, p.last_number, p.committed_at as at from admin.sink_position as p
    union all select p.continued_store_id, p.sink, p.continued_number, null from admin.sink_position as p where p.continued_store_id is not null) as d
where d.last_number > 0 group by d.store_id, d.sink"""
TABLES = ("create table if not exists link (store text not null, sink text not null, last integer not null, first integer not null, chain blob not null, primary key (store, sink, last)) without rowid",
          "create table if not exists delivered (store text not null, sink text not null, last integer not null, recorded text not null, primary key (store, sink)) without rowid")
RECORD = "insert into delivered values (?, ?, ?, ?) on conflict (store, sink) do update set last = max(last, excluded.last), recorded = max(recorded, excluded.recorded)"
ROWS_AT_ONCE = 5000
MOST_OTHER = 100
Link = tuple[int, int, bytes]
"""Last number, first number, and the chain after the batch."""


class Followed:
    """The links of one store and sink, beside the batches of a stream, both in order of their numbers."""

    def __init__(self, rows: Iterator[Link]) -> None:
        self._rows = rows
        self._next = next(rows, None)
        self._other: list[tuple[int, str]] = []
        self.same = 0

    def _advance(self) -> None:
        self._next = next(self._rows, None)

    def _differs(self, last: int, why: str) -> None:
        if len(self._other) < MOST_OTHER:
            self._other.append((last, why))

    def batch(self, first: int, last: int, chain: bytes) -> None:
        """A batch of the stream.  Links in front of it are of batches that are not here, or whose chain cannot be computed."""
        while self._next is not None and self._next[0] < last:
            if self._next[0] >= first:
                self._differs(self._next[0], "no batch ends there")
            self._advance()
        if self._next is None or self._next[0] != last:
            return
        _, begins, value = self._next
        if value != chain:
            self._differs(last, "its chain is another one there")
        elif begins != first:
            self._differs(last, f"the batch that ends there begins with number {first:,}, not {begins:,}")
        else:
            self.same += 1
        self._advance()

    def forget(self, first: int) -> None:
        """From this number on the documents were altered: that is said already."""
        self._other = [other for other in self._other if other[0] < first]

    def judge(self, stream: Stream) -> None:
        for last, why in self._other:
            stream.findings.wrong("link", f"the database has recorded a batch (admin.delivery_link) of store {stream.store}, sink {stream.sink}, that ends with number {last:,}, "
                                          f"but {why}: the row was forged, or the history was rewritten", last, last)


class Deliveries:
    """Everything that the database has recorded of its deliveries, whatever the store."""

    def __init__(self, scratch: sqlite3.Connection) -> None:
        for table in TABLES:
            scratch.execute(table)
        self._scratch = scratch
        self._rows: list[tuple[str, str, int, int, bytes]] = []
        self._asked = ""

    def link(self, row: Any) -> None:
        self._rows.append((row["store"], row["sink"], row["last_number"], row["first_number"], bytes(row["chain"])))
        self.delivered(row)
        if len(self._rows) >= ROWS_AT_ONCE:
            self._flush()

    def delivered(self, row: Any) -> None:
        """How far a store was delivered, and when that was recorded."""
        self._asked = row["asked"]
        self._scratch.execute(RECORD, (row["store"], row["sink"], row["last_number"], row["recorded"] or ""))

    def _flush(self) -> None:
        self._scratch.executemany("insert or replace into link values (?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()

    def follow(self, store: str, sink: str) -> Followed:
        self._flush()
        return Followed(self._scratch.execute("select last, first, chain from link where store = ? and sink = ? order by last", (store, sink)))

    def judge(self, report: Report, kind: str, name: str, since: int, removed: bool, max_lag: timedelta) -> None:
        """Documents that the database says it delivered, and the source does not have: of stores that are here, and of others."""
        here = {(stream.store, stream.sink): stream for stream in report.streams if stream.kind == kind}
        sinks = {sink for _, sink in here}
        for store, sink, last, recorded in self._scratch.execute("select store, sink, last, recorded from delivered order by store, sink"):
            stream = here.get((store, sink))
            if sink not in sinks or last < since or stream is not None and (stream.rootless or last <= (stream.last or 0)):
                continue
            has = f"the last one in {name} is {stream.last or 0:,}" if stream is not None else f"{name} has nothing of this store"
            said = f"the database says that it delivered documents up to number {last:,} of store {store} to sink {sink}{' (recorded ' + recorded + ')' if recorded else ''}, but {has}"
            if recorded and datetime.fromisoformat(self._asked) - datetime.fromisoformat(recorded) <= max_lag:
                report.findings.note("lag", f"{said} yet")
            elif stream is None and removed:
                report.findings.attention("delivered", said)
            else:
                report.findings.wrong("delivered", f"{said}: documents were deleted there, or the database's record was forged"
                                                   f"{'' if stream is not None else '; if the store was removed on purpose, say --earlier-removed'}")
