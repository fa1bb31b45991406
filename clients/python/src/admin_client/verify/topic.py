"""Reads a topic from its dump: each store's records in order of their numbers, and the seals of its transactions.

The records are in many partitions and may be of several stores, and their order cannot be trusted. So a scratch
database on disk sorts their places.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ..evidence import chain
from . import dump, seals
from .document import OWN
from .report import Report, Stream, is_are, numbers, plural
from .safe import load_json, top_members, why
from .scratch import scratch
from .source import Progress, Task, check_heads
from .walk import Consumer

NUMBER, SEAL, STORE = b"admin-ext-number", b"admin-ext-seal", b"admin-ext-store"
TABLES = (
    "create table record (number integer, store text, partition text not null, offset integer not null, stamp integer not null, file integer not null, at integer not null, size integer not null)",
    "create table seal (store text not null, sink text not null, first integer not null, last integer not null, stamp integer not null, seal text not null, partition text not null, offset integer not null)",
)
INDEXES = ("create index on_number on record (number)", "create index on_seal on seal (store, first, last)")
ROWS_AT_ONCE = 5000
MOST_CHOICES = 64
MOST_ATTRIBUTES, UUID_LENGTH = 400, 36
BEGIN = 160
"""So many characters in base64 have the source of a document that the extension writes."""
MEMBER = b'"source":"'
SOURCE = MEMBER + OWN.encode()
Place = tuple[int, str | None, str, int, int, int, int, int]


@dataclass(slots=True)
class _Batch:
    """A transaction: its seal, and where that was found."""

    seal: dict[str, Any]
    stamp: int
    where: str


def _store_of(value: bytes | None) -> str | None:
    """Returns the store that a document names as its own. A document from another source does not tell its store."""
    if value is None:
        return None
    start = value.find(MEMBER, 0, MOST_ATTRIBUTES)  # its data, which comes later, may have such a member, too
    return (
        value[start + len(SOURCE) : start + len(SOURCE) + UUID_LENGTH].decode(errors="replace")
        if start >= 0 and value.startswith(SOURCE, start)
        else None
    )


def _store_named(value: bytes | None) -> str | None:
    """Does the same for a record that the store did not send, in any form of JSON and even with a duplicate source."""
    try:
        named = [
            str(source).removeprefix(OWN)
            for source in top_members(value or b"", "source")
            if str(source).startswith(OWN)
        ]
    except ValueError:
        return _store_of(value)
    return named[0] if named else None


def _where(record: dump.Record) -> str:
    return f"the record at {record.partition} offset {record.offset}"


def parse_seal(text: bytes) -> dict[str, Any]:
    """The header of a transaction.  Raises seals.Malformed."""
    try:
        seal = load_json(text)
        sound = (
            type(seal["v"]) is int
            and seal["v"] == 1
            and type(seal["first"]) is int
            and type(seal["last"]) is int
            and 1 <= seal["first"] <= seal["last"] <= seals.MOST
            and isinstance(seal["sink"], str)
            and seals.UUID.fullmatch(seal["store"])
            and seals.HASH.fullmatch(seal["chain"])
            and seals.HASH.fullmatch(seal["previous"])
        )
    except (ValueError, KeyError, TypeError) as error:
        raise seals.Malformed(f"cannot be read: {why(error)}") from error
    if not sound:
        raise seals.Malformed("has no numbers, or no chain")
    seals.check_continues(seal)
    return dict(seal)


class Topic:
    """A dump, sorted."""

    def __init__(self, where: str, database: sqlite3.Connection, task: Task, report: Report) -> None:
        self._where, self._database, self._task, self._report = where, database, task, report
        self._files = dump.files(where)
        self._open: list[IO[bytes]] = []
        self.taken = 0

    def load(self) -> None:
        rows: list[Place | tuple[None, ...]] = []
        for file, path in enumerate(self._files):
            for at, size, line in dump.records(path):
                try:
                    self._record(line, file, at, size, rows)
                except (ValueError, KeyError, TypeError) as error:
                    self._report.findings.wrong(
                        "malformed", f"a line of {path.name} at byte {at:,} is no record: {why(error)}"
                    )
                if len(rows) >= ROWS_AT_ONCE:
                    self._insert(rows)
        self._insert(rows)
        for statement in INDEXES:
            self._database.execute(statement)
        self._open = [path.open("rb", dump.BUFFER) for path in self._files]

    def _insert(self, rows: list[Any]) -> None:
        self._database.executemany("insert into record values (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        rows.clear()

    def _record(self, line: bytes, file: int, at: int, size: int, rows: list[Any]) -> None:
        record = dump.parse(line, BEGIN)
        headers = record.headers
        number, own, header = (
            headers.get(NUMBER),
            _store_of(record.value),
            headers[STORE].decode(errors="replace") if STORE in headers else "",
        )
        if number is None or own is None or len(own) < UUID_LENGTH:
            record = dump.parse(line)
            own = _store_of(record.value)
        store = own or header or None
        if own and header and own != header:
            self._report.findings.wrong(
                "malformed", f"{_where(record)} names store {header} in its header, and store {own} in its document"
            )
        if number is None:
            if (store := _store_named(record.value) or header or None) is not None:
                self._report.findings.wrong(
                    "unnumbered",
                    f"{_where(record)} is of store {store} and has no delivery number: the store did not send it",
                )
            return
        if not number.isdigit() or number.startswith(b"0") or int(number) > seals.MOST or record.value is None:
            self._report.findings.wrong(
                "malformed", f"{_where(record)} has a delivery number, but is none of a document"
            )
            return
        place = (at + record.at, record.size) if record.size else (at, -size)
        rows.append((int(number), store, record.partition, record.offset, record.timestamp, file, *place))
        if SEAL in headers:
            self._seal(record, headers[SEAL])

    def _seal(self, record: dump.Record, text: bytes) -> None:
        try:
            seal = parse_seal(text)
        except seals.Malformed as error:
            self._report.findings.wrong("seal-malformed", f"the seal on {_where(record)} {error}")
            return
        self._database.execute(
            "insert into seal values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seal["store"],
                seal["sink"],
                seal["first"],
                seal["last"],
                record.timestamp,
                text.decode(),
                record.partition,
                record.offset,
            ),
        )

    def text_of(self, place: Place) -> bytes:
        """The document at a place, with a line feed."""
        _, _, _, _, _, number, at, size = place
        file = self._open[number]
        file.seek(at)
        text = file.read(abs(size))
        value = dump.parse(text).value if size < 0 else dump.without_prefix(dump.decoded(text))
        assert value is not None
        return value + b"\n"

    def close(self) -> None:
        for file in self._open:
            file.close()

    def stores(self) -> list[tuple[str, str]]:
        """In the order in which they began."""
        return list(
            self._database.execute("select store, sink from seal group by store, sink order by min(stamp), store")
        )

    def batches(self, store: str, sink: str) -> Iterator[_Batch]:
        for text, stamp, partition, offset in self._database.execute(
            "select seal, stamp, partition, offset from seal where store = ? and sink = ? and last >= ? order by first, last, stamp, partition, offset",
            (store, sink, self._task.since),
        ):
            yield _Batch(json.loads(text), stamp, f"{partition} offset {offset}")

    def places(self, store: str, first: int, last: int) -> Iterator[Place]:
        """Records that may be those numbers of a store."""
        yield from self._database.execute(
            "select * from record where number between ? and ? and (store is null or store = ?) order by number",
            (first, last, store),
        )

    def loose(self, store: str) -> tuple[int, int, int]:
        """How many records of a store no seal covers, and their numbers."""
        found = self._database.execute(
            "select count(*), min(number), max(number) from record as r where store = ? and number >= ? and "
            "coalesce((select s.last from seal as s where s.store = r.store and s.first <= r.number order by s.first desc limit 1), 0) < r.number",
            (store, self._task.since),
        ).fetchone()
        return int(found[0]), int(found[1] or 0), int(found[2] or 0)


class TopicStore:
    """One store of a topic."""

    def __init__(self, topic: Topic, where: str, store: str, sink: str, task: Task) -> None:
        self._topic, self._task = topic, task
        self.stream = Stream(where, "topic", store, sink)
        self._progress = Progress(self.stream, task.since)
        self._ends = task.ends(store, sink)
        self._offsets: dict[str, tuple[int, int]] = {}
        self._consumers: list[Consumer] = []

    def verify(self) -> Stream:
        stream, begun = self.stream, False
        for batch in self._topic.batches(stream.store, stream.sink):
            if not begun:
                begun = True
                self._consumers = self._task.consumers(stream, batch.seal["first"], batch.seal.get("continues"))
            self._batch(batch)
        count, first, last = self._topic.loose(stream.store)
        if count:
            stream.findings.wrong(
                "seal-missing",
                f"no seal covers {plural(count, 'record')}, {numbers(first, last)}: a seal was removed, or somebody put {'it' if count == 1 else 'them'} there",
                first,
                last,
            )
        self._task.end()
        check_heads(stream, self._task, self._ends)
        return stream

    def _batch(self, batch: _Batch) -> None:
        stream, seal = self.stream, batch.seal
        first, last, what = (
            seal["first"],
            seal["last"],
            f"the transaction of {numbers(seal['first'], seal['last'])} ({batch.where})",
        )
        if not self._progress.begin_piece(first, last, seal["previous"], what):
            return
        present, open_numbers = self._choose(batch)
        documents = [self._topic.text_of(place) for place in present]
        if len(present) < last - first + 1:
            missing = (
                sorted(set(range(first, last + 1)) - {place[0] for place in present})
                if last - first < 1_000_000
                else []
            )
            count = last - first + 1 - len(present)
            which = (
                f", from number {missing[0]:,} to {missing[-1]:,}"
                if len(missing) > 1
                else f", number {missing[0]:,}"
                if missing
                else ""
            )
            stream.findings.wrong(
                "missing", f"{plural(count, 'document')} of {what} {is_are(count)} missing{which}", first, last
            )
        elif not self._fits(seal, documents) and not self._other_choice(seal, present, documents, open_numbers):
            stream.findings.wrong(
                "altered",
                f"{what}: its documents do not lead to the chain of its seal: altered, exchanged or in another order",
                first,
                last,
            )
        self._order(present)
        self._consume(present, documents)
        stream.documents += len(documents)
        stream.batches += 1
        stream.seals += 1
        self._ends.batch(first, last, bytes.fromhex(seal["chain"]))
        self._progress.end_piece(last, seal["chain"])

    def _fits(self, seal: dict[str, Any], documents: list[bytes]) -> bool:
        content = hashlib.sha256(b"".join(documents)).digest()
        after = chain.extend(bytes.fromhex(seal["previous"]), seal["first"], seal["last"] - seal["first"] + 1, content)
        return after.hex() == str(seal["chain"])

    def _consume(self, present: list[Place], documents: list[bytes]) -> None:
        """Documents whose numbers follow each other are given away together."""
        begin = 0
        for end in range(1, len(present) + 1):
            if end == len(present) or present[end][0] != present[end - 1][0] + 1:
                text = b"".join(documents[begin:end])
                for consumer in self._consumers:
                    consumer(present[begin][0], text)
                begin = end

    def _choose(self, batch: _Batch) -> tuple[list[Place], dict[int, list[Place]]]:
        """Chooses one record for each number.

        Of several candidates, prefers the store's own, then the one nearest in time.
        """
        stream, seal = self.stream, batch.seal
        chosen: list[Place] = []
        several: dict[int, list[Place]] = {}
        all_places = list(self._topic.places(stream.store, seal["first"], seal["last"]))
        if len({place[0] for place in all_places}) == len(all_places) and all(
            place[1] is not None for place in all_places
        ):
            return all_places, several
        for number, found in itertools.groupby(all_places, key=lambda place: place[0]):
            places = list(found)
            own = [place for place in places if place[1] is not None]
            if len(own) > 1:
                stream.findings.wrong(
                    "doubled",
                    f"document {number:,} is in the topic {len(own)} times: {', '.join(f'{place[2]} offset {place[3]}' for place in own[:5])}",
                    number,
                    number,
                )
            if not own and len(places) > 1:
                places.sort(key=lambda place: abs(place[4] - batch.stamp))
                several[len(chosen)] = places
            chosen.append((own or places)[0])
            self._topic.taken += not own
        return chosen, several

    def _other_choice(
        self, seal: dict[str, Any], present: list[Place], documents: list[bytes], several: dict[int, list[Place]]
    ) -> bool:
        """Tries other choices: stores that wrote at the same time have events from elsewhere under the same numbers."""
        indexes = list(several)
        for choice in itertools.islice(itertools.product(*several.values()), 1, MOST_CHOICES):
            for index, place in zip(indexes, choice):
                present[index], documents[index] = place, self._topic.text_of(place)
            if self._fits(seal, documents):
                return True
        return False

    def _order(self, places: list[Place]) -> None:
        """Reports records that are exchanged: within a partition, numbers and offsets ascend together."""
        for number, _, partition, offset, *_ in places:
            before = self._offsets.get(partition)
            if before is not None and offset < before[1]:
                self.stream.findings.wrong(
                    "order",
                    f"document {number:,} lies in front of document {before[0]:,} in partition {partition}: they were exchanged",
                    before[0],
                    number,
                )
            self._offsets[partition] = (number, offset)


def verify(where: str, task: Task, report: Report) -> None:
    """All stores of a dump."""
    with scratch(*TABLES) as database:
        topic = Topic(where, database, task, report)
        try:
            topic.load()
            found = topic.stores()
            for store, sink in found:
                for batch in itertools.islice(topic.batches(store, sink), 1):
                    if isinstance(continued := batch.seal.get("continues"), dict):
                        task.expect(continued, sink, store)
            for store, sink in found:
                report.streams.append(TopicStore(topic, where, store, sink, task).verify())
            sealed = {store for store, _ in found}
            for store, count in database.execute(
                "select store, count(*) from record where store is not null group by store"
            ):
                if store not in sealed:
                    report.findings.wrong(
                        "seal-missing", f"{count:,} records are of store {store}, of which there is no seal"
                    )
            surplus = (
                database.execute(
                    "select count(*) from record where store is null and number >= ?", (task.since,)
                ).fetchone()[0]
                - topic.taken
            )
            if surplus > 0:
                report.findings.wrong(
                    "seal-missing",
                    f"{surplus:,} records have a delivery number, but no transaction that is sealed has them",
                )
        finally:
            topic.close()
