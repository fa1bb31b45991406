"""One run: every source by itself, two of them against each other, one against the database."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from . import archive, database, dump, ndjson, receipts, remember, topic, trust
from .compare import MAX_LAG, Comparison
from .contents import Contents
from .keys import Keys
from .report import CannotLook, Report, Stream
from .scratch import scratch
from .source import Task
from .storage import Storage, storage_of
from .walk import Consumer


@dataclass(slots=True)
class Source:
    """Where to look: kind is archive, ndjson or topic."""

    kind: str
    where: str
    servers: str | None = None
    properties: dict[str, str] = field(default_factory=dict)
    storage: Storage | None = None


@dataclass(slots=True)
class Wish:
    """What a run is asked for."""

    sources: list[Source]
    keys: Keys = field(default_factory=Keys)
    contents: bool = True
    since: int = 1
    retain_years: int = 7
    tsa_ca: str | None = None
    dsn: str | None = None
    memory: Path | None = None
    max_lag: timedelta = MAX_LAG
    stores: Sequence[str] = ()
    earlier_removed: bool = False


def _archive(source: Source, task: Task, report: Report) -> None:
    found, other = archive.stores(source.storage or storage_of(source.where), source.where, task)
    if not found:
        raise CannotLook(f'there is no archive at "{source.where}"')
    for key in other[:10]:
        report.findings.note("other", f"{key} is no part of the archive's format")
    for store in archive.in_order(found, task):
        report.streams.append(store.verify())


def _topic(source: Source, task: Task, report: Report) -> None:
    if source.servers is None:
        topic.verify(source.where, task, report)
        return
    with tempfile.TemporaryDirectory(prefix="admin_verify.") as directory:
        dump.make(source.servers, source.where, source.properties, Path(directory))
        topic.verify(directory, task, report)


NAMES = {"archive": "the archive", "topic": "the topic", "ndjson": "the NDJSON files"}
VERIFIERS: dict[str, Callable[[Source, Task, Report], None]] = {
    "archive": _archive,
    "topic": _topic,
    "ndjson": lambda source, task, report: ndjson.verify(source.where, task, report),
}


def _one(
    source: Source,
    wish: Wish,
    known: dict[str, dict[str, dict[str, object]]],
    consumers: list[Callable[[Stream], Consumer]],
    asked: database.Asked | None,
    report: Report,
    beside: str,
) -> None:
    with scratch() as connection:
        task = Task(
            wish.keys,
            Contents(connection) if wish.contents else None,
            wish.since,
            wish.retain_years,
            wish.tsa_ca,
            stores=wish.stores,
            earlier_removed=wish.earlier_removed,
        )
        remember.expect(known, source.kind, task)
        task.beside_name = beside
        for stream in report.streams:
            if stream.ends:
                task.beside[stream.store, stream.sink] = stream.ends
        if asked is not None:
            task.recorded = asked.recorded()
        if consumers:
            task.consumer = lambda stream: _all([make(stream) for make in consumers])
        VERIFIERS[source.kind](source, task, report)
        trust.judge(report, task, NAMES[source.kind])
        if asked is not None:
            if source.kind == "archive":
                receipts.check_stores(report, task)
            asked.judge(task, wish.max_lag)
            report.compared += task.recorded.agreed
    remember.compare_stores(known, source.kind, report)


def _all(consumers: list[Consumer]) -> Consumer:
    def consume(number: int, text: bytes) -> None:
        for consumer in consumers:
            consumer(number, text)

    return consume


def run(wish: Wish) -> Report:
    """Never raises for what it finds: what could not be looked at is a problem of the report."""
    report = Report()
    try:
        known = remember.load(wish.memory) if wish.memory else {}
        _run(wish, known, report)
        if wish.memory:
            remember.save(wish.memory, known, report)
    except CannotLook as error:
        report.problems.append(str(error))
    except OSError as error:
        report.problems.append(f"a file cannot be read or written: {error}")
    return report


def _run(wish: Wish, known: dict[str, dict[str, dict[str, object]]], report: Report) -> None:
    with ExitStack() as stack:
        compared = None
        if len(wish.sources) == 2:
            one, two = wish.sources
            names = (NAMES[one.kind], NAMES[two.kind]) if one.kind != two.kind else (one.where, two.where)
            compared = Comparison(stack.enter_context(scratch()), names, (one.kind, two.kind), wish.max_lag)
        # An archive is never ahead of its topic, so its end can be looked for there, but not the other way round.
        for side, source in sorted(enumerate(wish.sources), key=lambda each: each[1].kind != "archive"):
            consumers: list[Callable[[Stream], Consumer]] = []
            asked = None
            with ExitStack() as of_source:
                if compared is not None:
                    consumers.append(lambda stream, side=side: compared.consumer(side, stream))  # type: ignore[misc]
                if wish.dsn and side == 0:
                    asked = of_source.enter_context(
                        database.comparison(report, wish.dsn, NAMES[source.kind], source.kind, wish.max_lag)
                    )
                    consumers.append(asked.consumer)
                _one(
                    source,
                    wish,
                    known,
                    consumers,
                    asked,
                    report,
                    compared.names[1 - side] if compared is not None else "",
                )
        if compared is not None:
            compared.judge(report)
