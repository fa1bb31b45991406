"""Compares two sources, document by document. A scratch database on disk sorts the documents by audit_id."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from .document import auditid_of
from .dropped import Month
from .report import Report, Stream, plural, stores_of
from .seals import CLOCK_TOLERANCE, MOST
from .walk import Consumer

TABLE = "create table document (side integer not null, stream integer not null, audit_id integer not null, number integer not null, digest blob not null, stamp text not null)"
REJECTED = "create table rejected (sink text not null, audit_id integer not null, failed text not null, error text not null, primary key (sink, audit_id)) without rowid"
INDEX = "create index on_document on document (audit_id, side, digest)"
# What only one side has. Two stores may use one audit_id for two documents: a copy of a database continues its numbers.
UNMATCHED = """create table unmatched as
    select d.side, d.stream, d.audit_id, d.number, d.stamp, exists (select 1 from document as o where o.audit_id = d.audit_id and o.side = 1 - d.side) as is_known
    from document as d where not exists (select 1 from document as o where o.audit_id = d.audit_id and o.side = 1 - d.side and o.digest = d.digest)"""
# Rows that only the database has, and that a sink has rejected for good according to the database.
_ALONE = "u.side = 1 and not exists (select 1 from unmatched as o where o.audit_id = u.audit_id and o.side = 0)"
DEAD = f"select u.audit_id, u.stamp, r.sink, r.failed, r.error from rejected as r join unmatched as u on u.audit_id = r.audit_id where {_ALONE} order by u.audit_id"
NO_DEAD = f"delete from unmatched as u where u.audit_id in (select r.audit_id from rejected as r) and {_ALONE}"
UNMATCHED_INDEX = "create index on_unmatched on unmatched (audit_id, side)"
# The last document of each stream that both sides have. An earlier document cannot still be on its way.
NEWEST = """create table newest as select d.side, d.stream, max(d.number) as number from document as d where (d.side, d.stream) in (select side, stream from unmatched)
    and not exists (select 1 from unmatched as u where u.audit_id = d.audit_id and u.side = d.side and u.stream = d.stream and u.number = d.number) group by d.side, d.stream"""
NEWEST_INDEX = "create index on_newest on newest (side, stream)"
# What an event says is gone from a database: of_database is 1 for its own row, 0 for the document.  stream: whose document it is.
DROPPED = "create table dropped (of_database integer not null, stream integer not null, audit_id integer not null, since text not null, until text not null, first integer not null, last integer not null)"
WAS_DROPPED = "exists (select 1 from dropped as m where d.audit_id between m.first and m.last and d.stamp <> '' and d.stamp >= m.since and d.stamp < m.until)"
IS_OLDEST = "d.audit_id < (select min(o.audit_id) from document as o where o.side = :other)"
NOT_DELIVERED = """select m.audit_id, m.since, m.until from dropped as m where m.of_database = 1 and exists (select 1 from unmatched as u where u.side = 1 and u.audit_id = m.audit_id)
    order by m.audit_id"""
ROWS_AT_ONCE = 5000
MAX_LAG = timedelta(minutes=15)
RECORDED = b'"recordedtime":"'
Row = tuple[int, int, int, int, bytes, str]
Only = tuple[int, int, str, int, bool, bool]
"""Number, audit_id, time and stream of a document that only one side has; whether others of its audit_id are there, but none behind it; and whether it is older than anything there, or dropped."""
Run = tuple[int, int, int, int, str, bool, bool]


def recorded_time(document: bytes) -> str:
    """Returns when the document was recorded, without parsing it."""
    start = document.find(RECORDED)
    return (
        document[start + len(RECORDED) : document.find(b'"', start + len(RECORDED))].decode(errors="replace")
        if start >= 0
        else ""
    )


class Comparison:
    """Takes the documents of two sides, then reports where they differ."""

    def __init__(
        self, scratch: sqlite3.Connection, names: tuple[str, str], kinds: tuple[str, str], max_lag: timedelta = MAX_LAG
    ) -> None:
        for table in (TABLE, REJECTED, DROPPED):
            scratch.execute(table)
        self._scratch, self.names, self._kinds, self._max_lag = scratch, names, kinds, max_lag
        self._rows: list[Row] = []
        self._streams: dict[str, int] = {}
        self._sinks: set[str] = set()
        self._of: tuple[dict[str, Stream], dict[str, Stream]] = ({}, {})

    def consumer(self, side: int, stream: Stream) -> Consumer:
        """Takes the documents of one side's stream.

        The comparison ignores the store's id: another sink may have sent a row under an older one.
        """
        store = stream.store.encode()
        self.begin(side, stream)

        def consume(number: int, text: bytes) -> None:
            for document in text.split(b"\n")[:-1]:
                digest = hashlib.sha256(document.replace(store, b"", 1)).digest()
                self.add(
                    side, stream.store, min(auditid_of(document) or 0, MOST), number, digest, recorded_time(document)
                )
                number += 1

        return consume

    def begin(self, side: int, stream: Stream) -> None:
        """Documents of this stream follow."""
        self._of[side][stream.store] = stream
        if side == 0:
            self._sinks.add(stream.sink)

    def add(self, side: int, store: str, audit_id: int, number: int, digest: bytes, stamp: str) -> None:
        self._rows.append((side, self._number_of(store), audit_id, number, digest, stamp))
        if len(self._rows) >= ROWS_AT_ONCE:
            self.flush()

    def _number_of(self, store: str) -> int:
        return self._streams.setdefault(store, len(self._streams))

    def flush(self) -> None:
        self._scratch.executemany("insert into document values (?, ?, ?, ?, ?, ?)", self._rows)
        self._rows.clear()

    # -- what differs ---------------------------------------------------------------------------------------------

    def judge(self, report: Report, own: set[str] | None = None) -> None:
        """Compares the two sides. own: the stores of the database, if one side is a database."""
        self.flush()
        self._scratch.execute(INDEX)
        if not (self._set_aside(report) if own is None else self._set_others_aside(report, own)):
            return
        for statement in (UNMATCHED, UNMATCHED_INDEX, NEWEST, NEWEST_INDEX):
            self._scratch.execute(statement)
        self._not_delivered(report)
        dead = self._rejected(report)
        differing = self._differing(report)
        missing = dead + self._missing(report, 0) + self._missing(report, 1)
        both = self._one("select count(*) from document where side = 0") - self._one(
            "select count(*) from unmatched where side = 0"
        )
        if not differing and not missing:
            report.compared.append(f"{self.names[0]} and {self.names[1]} agree on {both:,} documents")

    def _set_aside(self, report: Report) -> bool:
        """Sets aside the stores of one side that the other one lacks, if no seal says which store they continue.

        They may be of another database. Returns False if one side has no other stores.
        """
        for side, streams in enumerate(self._of):
            alone = [stream for store, stream in streams.items() if stream.rootless and store not in self._of[1 - side]]
            self._remove(side, alone)
            for stream in alone:
                report.compared.append(
                    f"{plural(stream.documents, 'document')} of {stores_of([stream])} in {self.names[side]} could not be compared, "
                    f"because {self.names[1 - side]} has nothing of this store, and no seal says which store it continues"
                )
            if alone and len(alone) == len(streams):
                return False
        return True

    def _set_others_aside(self, report: Report, own: set[str]) -> bool:
        """Sets aside the stores of other databases, about which this database knows nothing.

        A store that the database does not name, but of which it has rows, counts as its own. Returns False if no store
        is left.
        """
        shared = {
            row[0]
            for row in self._scratch.execute(
                "select distinct a.stream from document as a where a.side = 0 and exists (select 1 from document as b where b.audit_id = a.audit_id and b.side = 1 and b.digest = a.digest)"
            )
        }
        others = [
            stream
            for store, stream in self._of[0].items()
            if store not in own and self._streams.get(store) not in shared
        ]
        self._remove(0, others)
        for stream in others:
            report.findings.attention(
                "not-compared",
                f"{plural(stream.documents, 'document')} of {stores_of([stream])} were not compared with the database: it does not name this store, nor one that is "
                "connected with it, and has none of these documents. The store is of another database, or somebody has removed it from this one: name it with --store if it should be here",
            )
        if others and len(others) == len(self._of[0]):
            report.problems.append(
                f"{self.names[0]} and {self.names[1]} have no store in common, so nothing was compared"
            )
            return False
        return True

    def _remove(self, side: int, streams: Iterable[Stream]) -> None:
        """Removes streams in one statement: the table has no index on streams, and there may be many of them."""
        self._scratch.execute("create temp table gone (stream integer primary key)")
        self._scratch.executemany(
            "insert or ignore into gone values (?)",
            ((self._streams[stream.store],) for stream in streams if stream.store in self._streams),
        )
        self._scratch.execute("delete from document where side = ? and stream in (select stream from gone)", (side,))
        self._scratch.execute(
            "delete from dropped where of_database = ? and stream in (select stream from gone)", (side,)
        )
        self._scratch.execute("drop table gone")

    def _begins_anywhere(self, side: int) -> bool:
        """Returns whether no seal of this side says where its documents begin."""
        return bool(self._of[side]) and all(stream.rootless for stream in self._of[side].values())

    def dropped(self, store: str, audit_id: int, month: Month) -> None:
        """A database says that it has dropped a month: by a document of this store; empty: by its own row."""
        self._scratch.execute(
            "insert into dropped values (?, ?, ?, ?, ?, ?, ?)", (not store, self._number_of(store), audit_id, *month)
        )

    def rejected(self, sink: str, audit_id: int, failed: str, error: str) -> None:
        """A row that a sink has rejected for good, as the database says: it has the row, and no source of this sink can."""
        if sink in self._sinks:
            self._scratch.execute("insert or ignore into rejected values (?, ?, ?, ?)", (sink, audit_id, failed, error))

    def _rejected(self, report: Report) -> int:
        """Reports rejected rows, of which only the database knows. Returns how many of them are wrong."""
        wrong = 0
        for audit_id, stamp, sink, failed, error in self._scratch.execute(DEAD):
            said = (
                f"the row with audit_id {audit_id} is in the database alone: by its table admin.dead_letter, sink {sink} rejected the document for good at {failed}, "
                f"with the error {json.dumps(error, ensure_ascii=False)}"
            )
            if datetime.fromisoformat(stamp) - datetime.fromisoformat(failed) > CLOCK_TOLERANCE:
                wrong += 1
                report.findings.wrong(
                    "dead-letter",
                    f"{said}; but the row was recorded later, at {stamp}: the row or the dead letter was forged",
                )
            else:
                report.findings.attention(
                    "dead-letter",
                    f"{said}, so it was never delivered. Ask whoever runs the sink whether that is so, and have it sent again",
                )
        self._scratch.execute(NO_DEAD)
        return wrong

    def _one(self, query: str, *arguments: object) -> int:
        return int(self._scratch.execute(query, arguments).fetchone()[0] or 0)

    def _differing(self, report: Report) -> int:
        """Documents of which either side has another version."""
        count = 0
        for audit_id, number in self._scratch.execute(
            "select a.audit_id, min(a.number) from unmatched as a where a.side = 0 and exists (select 1 from unmatched as b where b.audit_id = a.audit_id and b.side = 1) "
            "group by a.audit_id order by 2"
        ):
            count += 1
            report.findings.wrong(
                "differs",
                f"the document with audit_id {audit_id} (number {number:,}) is another one in {self.names[1]} than in {self.names[0]}",
                number,
                number,
            )
        return count

    def _missing(self, report: Report, side: int) -> int:
        """Reports documents that only this side has. Returns how many of them are wrong."""
        here, there = self.names[side], self.names[1 - side]
        newest_there = self._one("select max(audit_id) from document where side = ?", 1 - side)
        wrong = 0
        for first, last, audit_first, audit_last, stamp, may_follow, older in _runs(self._only(side)):
            text = f"{'documents' if first != last else 'document'} {first:,}{f' to {last:,}' if first != last else ''} (audit_id {audit_first}{f' to {audit_last}' if first != last else ''}) of {here}"
            if older and self._kinds[1 - side] == "database":
                report.findings.note(
                    "older",
                    f"{text} {'is of a month' if first == last else 'are of months'} that the database says it has dropped",
                    first,
                    last,
                )
            elif older and (self._kinds[1 - side] == "topic" or self._begins_anywhere(1 - side)):
                report.findings.note(
                    "older", f"{text} {'is' if first == last else 'are'} older than anything in {there}", first, last
                )
            elif (may_follow or audit_first > newest_there) and self._may_lag(side, stamp):
                report.findings.note(
                    "lag", f"{text} {'has' if first == last else 'have'} not arrived in {there} yet", first, last
                )
            else:
                wrong += 1
                report.findings.wrong(
                    "only-in",
                    f"{text} {'is' if first == last else 'are'} missing in {there}, since {stamp}",
                    first,
                    last,
                )
        return wrong

    def _only(self, side: int) -> Iterator[Only]:
        """Finds what only this side has, and whether it may be older than the other side.

        A database says which months it has dropped: any other missing row was deleted. Another source may lack its
        oldest part.
        """
        older = WAS_DROPPED if self._kinds[1 - side] == "database" else IS_OLDEST
        yield from self._scratch.execute(
            f"select d.number, d.audit_id, d.stamp, d.stream, d.is_known and d.number > coalesce(n.number, 0) as may_follow, {older} as older "
            "from unmatched as d left join newest as n on n.side = d.side and n.stream = d.stream where d.side = :side and not exists "
            "(select 1 from unmatched as o where o.audit_id = d.audit_id and o.side = :other) order by may_follow, d.stream, d.number",
            {"side": side, "other": 1 - side},
        )

    def _not_delivered(self, report: Report) -> None:
        """Reports months that the database says it has dropped, if no document says so yet."""
        for audit_id, since, until in self._scratch.execute(NOT_DELIVERED):
            report.findings.attention(
                "partition.dropped",
                f"the database says that it has dropped the rows{' since ' + since if since else ''} up to {until} (its row with audit_id {audit_id}), "
                f"and {self.names[0]} has no such document yet: compare again when it has",
            )

    def _may_lag(self, side: int, since: str) -> bool:
        """Returns whether the other side may be behind.

        An archive gets everything from the topic and is never ahead of it.
        """
        if (self._kinds[side], self._kinds[1 - side]) in (
            ("archive", "topic"),
            ("archive", "database"),
            ("topic", "database"),
            ("ndjson", "database"),
        ):
            return False
        newest = self._scratch.execute("select max(stamp) from document where side = ?", (side,)).fetchone()[0]
        try:
            return datetime.fromisoformat(newest) - datetime.fromisoformat(since) <= self._max_lag
        except (TypeError, ValueError):
            return False


def _runs(found: Iterable[Only]) -> Iterator[Run]:
    """Groups consecutive numbers into runs.

    A run has its first and last number, first and last audit_id, the time of the first document, and the common values.
    """
    run: Run | None = None
    of_stream = -1
    for number, audit_id, stamp, stream, *same in found:
        if run is not None and (number, stream, *same) == (run[1] + 1, of_stream, *run[5:]):
            run = (run[0], number, min(run[2], audit_id), max(run[3], audit_id), run[4], run[5], run[6])
            continue
        if run is not None:
            yield run
        run, of_stream = (number, number, audit_id, audit_id, stamp, same[0], same[1]), stream
    if run is not None:
        yield run
