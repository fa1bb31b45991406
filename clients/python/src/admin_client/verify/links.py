"""Compares what the database has recorded of its deliveries, batch by batch, with the batches of a source.

A superuser can forge such a record long after the delivery, so each one is compared, not only the newest. There may be
a million for each sink. So only those of a store and sink that the source has are fetched. They are kept on disk and
read in order of their numbers.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from .report import Report, Stream
from .seals import CLOCK_TOLERANCE

INSTANT = """to_char(greatest(least({}, '9999-12-31 23:59:59.999999+00'), '0001-01-01 00:00:00+00') at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
"""As the attributes of a document have it: an instant of another year is the nearest one that RFC 3339 can write."""
LINKS = """select l.first_number, l.last_number, l.chain from admin.delivery_link as l
where l.store_id = convert_from(decode('{store}', 'hex'), 'UTF8')::uuid and l.sink = convert_from(decode('{sink}', 'hex'), 'UTF8') order by l.last_number"""
# Numbers of seconds since 1970 may be infinite.  A difference of instants may not, before PostgreSQL 17.
DELIVERED = f"""select distinct on (d.store_id, d.sink) d.store_id::text as store, d.sink, d.last_number, case when d.at is not null then {INSTANT.format("d.at")} end as recorded,
(extract(epoch from now()) - extract(epoch from d.at))::float8 as age
from (select p.store_id, p.sink, p.last_number, p.committed_at as at from admin.sink_position as p
    union all select p.continued_store_id, p.sink, p.continued_number, null from admin.sink_position as p where p.continued_store_id is not null
    union all select l.store_id, l.sink, l.last_number, l.recorded_at from admin.delivery_link as l) as d
where d.last_number > 0 order by d.store_id, d.sink, d.last_number desc, d.at desc nulls last"""
TABLES = (
    "create table link (store text not null, sink text not null, last integer not null, first integer not null, chain blob not null, primary key (store, sink, last)) without rowid",
    "create table delivered (store text not null, sink text not null, last integer not null, recorded text, age real, primary key (store, sink)) without rowid",
)
ROWS_AT_ONCE = 5000
MOST_OTHER = 100
Link = tuple[int, int, bytes]
"""Last number, first number, and the chain after the batch."""
Fetch = Callable[[str, Callable[[Any], None]], None]
"""Gives each row of a query to who takes it."""


class Followed:
    """The database's links of one store and sink, compared with the batches of a stream.

    Both are in order of their numbers.
    """

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
        """Compares a batch of the stream with its link.

        Links before it are of batches that are not here, or whose chain cannot be computed.
        """
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
        """Drops the differences from this number on: the documents were altered, which is already reported."""
        self._other = [other for other in self._other if other[0] < first]

    def judge(self, stream: Stream) -> None:
        for last, why in self._other:
            stream.findings.wrong(
                "link",
                f"the database has recorded a batch (admin.delivery_link) of store {stream.store}, sink {stream.sink}, that ends with number {last:,}, "
                f"but {why}: the row was forged, or the history was rewritten",
                last,
                last,
            )


class Deliveries:
    """Everything that the database has recorded of its deliveries, whatever the store."""

    def __init__(self, scratch: sqlite3.Connection, fetch: Fetch) -> None:
        for table in TABLES:
            scratch.execute(table)
        self._scratch, self._fetch = scratch, fetch
        self._fetched: set[tuple[str, str]] = set()

    def delivered(self, row: Any) -> None:
        """How far a store was delivered, and when that was recorded."""
        self._scratch.execute(
            "insert into delivered values (?, ?, ?, ?, ?)",
            (row["store"], row["sink"], row["last_number"], row["recorded"], row["age"]),
        )

    def follow(self, store: str, sink: str) -> Followed:
        """Returns the links of a store and sink. Fetches them if the database has named both."""
        place = (store, sink)
        if (
            place not in self._fetched
            and self._scratch.execute("select 1 from delivered where store = ? and sink = ?", place).fetchone()
        ):
            self._fetched.add(place)
            self._load(store, sink)
        return Followed(
            self._scratch.execute(
                "select last, first, chain from link where store = ? and sink = ? order by last", place
            )
        )

    def _load(self, store: str, sink: str) -> None:
        rows: list[tuple[str, str, int, int, bytes]] = []

        def flush() -> None:
            self._scratch.executemany("insert into link values (?, ?, ?, ?, ?)", rows)
            rows.clear()

        def take(row: Any) -> None:
            rows.append((store, sink, row["last_number"], row["first_number"], bytes(row["chain"])))
            if len(rows) >= ROWS_AT_ONCE:
                flush()

        self._fetch(LINKS.format(store=store.encode().hex(), sink=sink.encode().hex()), take)
        flush()

    def judge(self, report: Report, kind: str, name: str, since: int, removed: bool, max_lag: timedelta) -> None:
        """Reports documents that the database says it delivered and that the source lacks, for stores here and
        elsewhere.
        """
        here = {(stream.store, stream.sink): stream for stream in report.streams if stream.kind == kind}
        sinks = {sink for _, sink in here}
        for store, sink, last, recorded, age in self._scratch.execute(
            "select store, sink, last, recorded, age from delivered order by store, sink"
        ):
            stream = here.get((store, sink))
            if (
                sink not in sinks
                or last < since
                or stream is not None
                and (stream.rootless or last <= (stream.last or 0))
            ):
                continue
            has = (
                f"the last one in {name} is {stream.last or 0:,}"
                if stream is not None
                else f"{name} has nothing of this store"
            )
            said = f"the database says that it delivered documents up to number {last:,} of store {store} to sink {sink}{' (recorded ' + recorded + ')' if recorded else ''}, but {has}"
            if age is not None and -CLOCK_TOLERANCE.total_seconds() <= age <= max_lag.total_seconds():
                report.findings.note("lag", f"{said} yet")
            elif stream is None and removed:
                report.findings.attention("delivered", said)
            else:
                report.findings.wrong(
                    "delivered",
                    f"{said}: documents were deleted there, or the database's record was forged"
                    f"{'' if stream is not None else '; if the store was removed on purpose, say --earlier-removed'}",
                )
