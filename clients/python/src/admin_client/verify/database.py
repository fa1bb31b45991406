"""The documents of a source against the rows of admin.audit: attributes, times and the payload's very text."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from . import dropped, links
from .compare import Comparison, recorded_time
from .document import OWN, TYPE_PREFIX, attribute, auditid_of, is_approval_id, is_subject
from .links import INSTANT, Deliveries
from .optional import module, needed
from .report import CannotLook, Report, Stream
from .scratch import scratch
from .source import Recorded, Task
from .standing import APPROVALS, STORES, Standing
from .told import ARCHIVED, RECEIPTS as ALL_RECEIPTS, Told
from .walk import Consumer

ROWS_AT_ONCE = 5000
UTC = "set local timezone to 'UTC'"
MOST_ERROR = 300
INGESTED_PREFIX = "ingest."
ROWS = f"""select audit_id, event_type, approval_id, actor, source_event_id, case when source_event_id is not null then source end as source, request_id, traceparent,
{INSTANT.format("occurred_at")} as occurred, {INSTANT.format("recorded_at")} as recorded, payload::text as payload from admin.audit order by audit_id"""
HEADS = """select d.store_id::text as store, p.sink, d.last_number, encode(d.chain, 'hex') as chain
from (select distinct sink from admin.sink_position) as p cross join lateral admin.delivery_chain(p.sink) as d where d.last_number > 0"""
REJECTED = f"select d.sink, d.audit_id, {INSTANT.format('d.failed_at')} as failed, left(d.error, {MOST_ERROR}) as error from admin.dead_letter as d"
MOST_RECEIPTS = 10_000
RECEIPTS = f"""select r.store_id::text as store, r.sink, r.last_number, encode(r.chain, 'hex') as chain, encode(r.seal_sha256, 'hex') as seal, r.status, r.received_at::text as received
from admin.archive_receipt as r where r.chain is not null order by r.received_at desc limit {MOST_RECEIPTS}"""
MEMBERS = ("id", "source", "type", "time", "recordedtime")
TEXTS = ("actor", "traceparent", "requestid")


def _digest(members: list[Any], data: bytes) -> bytes:
    return hashlib.sha256(json.dumps(members).encode() + b"\n" + data).digest()


def _subject(text: Any, own: bool) -> Any:
    """Returns the subject that the row of a document has.

    The row of a document from elsewhere has a subject only if that is an approval's id. A check may be asked about a
    text that cannot be a subject.
    """
    return text if (is_subject(text) if own else is_approval_id(text)) else None


def of_document(document: bytes) -> bytes:
    """Returns what a row can contain, too: attributes, and the data as it is written. Raises ValueError."""
    place = document.find(b'","data":', document.find(b'"auditid":"'))
    head = json.loads(document[:place] + b'"}')
    source = head.get("source", "")
    members = ["" if source.startswith(OWN) and name == "source" else head.get(name) for name in MEMBERS]
    return _digest(
        members
        + [_subject(head.get("subject"), source.startswith(OWN))]
        + [attribute(head.get(name)) for name in TEXTS],
        document[place + 9 : -1],
    )


def of_row(row: Any) -> bytes:
    own = row["source_event_id"] is None
    kind = TYPE_PREFIX + row["event_type"] if own else row["event_type"].removeprefix(INGESTED_PREFIX)
    members = [
        str(row["audit_id"]) if own else row["source_event_id"],
        "" if own else row["source"],
        kind,
        row["occurred"],
        row["recorded"],
    ]
    members += [_subject(row["approval_id"], own)] + [
        attribute(row[name]) for name in ("actor", "traceparent", "request_id")
    ]
    return _digest(members, row["payload"].replace("\n", " ").replace("\r", " ").encode())


Take = Callable[[Any], None]
Question = tuple[str, Take]
"""A query, and who is given its rows."""


async def _by_asyncpg(dsn: str, questions: Sequence[Question]) -> None:
    asyncpg = needed("asyncpg", "asyncpg", "a database")
    try:
        connection = await asyncpg.connect(dsn)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise CannotLook(f"the database cannot be asked: {error}") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(UTC)
            for query, take in questions:
                async for row in connection.cursor(query, prefetch=ROWS_AT_ONCE):
                    take(row)
    except asyncpg.PostgresError as error:
        raise CannotLook(f"the database cannot be asked: {error}") from error
    finally:
        await connection.close()


def _by_psycopg(dsn: str, questions: Sequence[Question]) -> bool:
    """Returns False if psycopg is not installed."""
    psycopg, rows = module("psycopg"), module("psycopg.rows")
    if psycopg is None or rows is None:
        return False
    try:
        with psycopg.connect(dsn, row_factory=rows.dict_row) as connection:
            connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            connection.execute(UTC)
            for query, take in questions:
                with connection.cursor("admin_verify") as cursor:
                    cursor.itersize = ROWS_AT_ONCE
                    for row in cursor.execute(query):
                        take(row)
    except psycopg.Error as error:
        raise CannotLook(f"the database cannot be asked: {error}") from error
    return True


def ask(dsn: str, questions: Sequence[Question]) -> None:
    """Passes every row of each query to its function. Runs the queries in order, on one snapshot."""
    if not _by_psycopg(dsn, questions):
        asyncio.run(_by_asyncpg(dsn, questions))


class Asked:
    """The database as the other side of a comparison."""

    def __init__(
        self, report: Report, dsn: str, name: str, kind: str, compared: Comparison, told: Told, deliveries: Deliveries
    ) -> None:
        self._report, self._dsn, self._name, self._kind = report, dsn, name, kind
        self._compared, self._told, self._deliveries = compared, told, deliveries

    def recorded(self) -> Recorded:
        """Reads what the database has recorded of its deliveries, before the documents are read."""
        deliveries = self._deliveries
        found = Recorded(deliveries=deliveries)

        def head(row: Any) -> None:
            found.heads.setdefault((row["store"], row["sink"]), {})[row["last_number"]] = row["chain"]

        def receipt(row: Any) -> None:
            if row["status"] == "ok":
                head(row)
                found.receipts.setdefault((row["store"], row["sink"]), {}).setdefault(row["last_number"], set()).add(
                    row["seal"]
                )
            else:
                self._report.findings.attention(
                    "receipt",
                    f"the database has recorded the receipt for documents up to {row['last_number']:,} as {row['status']} ({row['received']})",
                )

        ask(self._dsn, [(HEADS, head), (RECEIPTS, receipt), (links.DELIVERED, deliveries.delivered)])
        return found

    def consumer(self, stream: Stream) -> Consumer:
        compared = self._compared
        compared.begin(0, stream)

        def consume(number: int, text: bytes) -> None:
            self._told.documents(stream, number, text)
            for audit_id, month in dropped.of_documents(stream.store, text):
                compared.dropped(stream.store, audit_id, month)
            for document in text.split(b"\n")[:-1]:
                try:
                    compared.add(
                        0,
                        stream.store,
                        auditid_of(document) or 0,
                        number,
                        of_document(document),
                        recorded_time(document),
                    )
                except ValueError:
                    stream.findings.wrong("malformed", f"document {number:,} cannot be read", number, number)
                number += 1

        return consume

    def judge(self, task: Task, max_lag: timedelta) -> None:
        """Compares the database with the documents, once all of them were read."""
        standing, stores = None if task.contents is None else Standing(self._report, task.contents), list[str]()

        def store(row: Any) -> None:
            stores.append(row["store"])
            if standing is not None:
                standing.store(row)

        def take(row: Any) -> None:
            self._compared.add(1, "", row["audit_id"], row["audit_id"], of_row(row), row["recorded"])
            self._told.trail(row)
            if (month := dropped.of_row(row)) is not None:
                self._compared.dropped("", row["audit_id"], month)
            if standing is not None:
                standing.trail(row)

        more: list[Question] = [] if standing is None else [(APPROVALS, standing.approval)]

        def rejected(row: Any) -> None:
            self._compared.rejected(row["sink"], row["audit_id"], row["failed"], row["error"])

        ask(
            self._dsn,
            [
                (STORES, store),
                (ROWS, take),
                (REJECTED, rejected),
                (ALL_RECEIPTS, self._told.receipt),
                (ARCHIVED, self._told.archived),
                *more,
            ],
        )
        self._compared.judge(self._report, task.related([*stores, *task.stores]))
        self._deliveries.judge(self._report, self._kind, self._name, task.since, task.earlier_removed, max_lag)
        self._told.judge(task.with_continued(stores))
        if standing is not None:
            standing.judge()


@contextmanager
def comparison(report: Report, dsn: str, name: str, kind: str, max_lag: timedelta) -> Iterator[Asked]:
    """Provides the database as the other side of a comparison. Its consumer() takes each stream of the source."""
    with scratch() as database, scratch() as recorded:
        yield Asked(
            report,
            dsn,
            name,
            kind,
            Comparison(database, (name, "the database"), (kind, "database"), max_lag),
            Told(database, report),
            Deliveries(recorded, lambda query, take: ask(dsn, [(query, take)])),
        )
