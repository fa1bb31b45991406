"""Tells which stores are here, and which of them are the ones that were meant.

A seal proves that the archiver took documents from the topic, not who sent them. Anybody who can write to the topic can
begin a store, or claim that it continues an honest one. So the id of the honest store has to come from elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .report import STORES_NAMED, Findings, Report, Stream, stores_of
from .source import Task


def judge(report: Report, task: Task, source: str) -> None:
    """All streams of a source were read."""
    begun = {stream.store: (stream, before) for stream, before in task.begun}
    if not begun:
        return
    meant = task.meant()
    _missing(begun, task.earlier_removed)
    _circles({store: before for store, (_, before) in begun.items()}, report.findings, source)
    _several(begun, report.findings, source)
    check_stores([stream for stream, _ in begun.values()], meant)
    for store in sorted({*task.stores} - begun.keys()):
        report.findings.wrong("store", f"{source}: there is nothing of store {store}, which you named with --store")
    for disputed in task.disputed:
        if not meant or disputed.by in meant:
            report.findings.wrong("continues", disputed.text)


def check_stores(streams: Sequence[Stream], meant: set[str]) -> None:
    """meant: empty where no store was named."""
    if not meant:
        return
    for stream in streams:
        if stream.store in meant:
            continue
        if stream.rootless:
            stream.findings.attention(
                "store",
                f"store {stream.store} is none that you named with --store, and no seal says yet whether it continues one of those",
            )
        else:
            stream.findings.wrong(
                "store",
                f"store {stream.store} is none that you named with --store, nor one that those continue: somebody else has sent its documents",
            )


def _missing(begun: dict[str, tuple[Stream, str | None]], removed: bool) -> None:
    for stream, before in begun.values():
        if before is not None and before not in begun:
            said = f"this store continues store {before}, which is not here"
            if removed:
                stream.findings.attention("continues", said)
            else:
                stream.findings.wrong("continues", f"{said}; if it was removed on purpose, say --earlier-removed")


def _circles(before: dict[str, str | None], findings: Findings, source: str) -> None:
    """Reports stores that continue each other: none of them was the first."""
    done: set[str] = set()
    for begin in before:
        path: dict[str, None] = {}
        at: str | None = begin
        while at is not None and at not in done and at not in path:
            path[at] = None
            at = before.get(at)
        if at is not None and at in path:
            circle = list(path)[list(path).index(at) :]
            says = ", and ".join(
                f"store {store} says that it continues store {before[store]}" for store in circle[:STORES_NAMED]
            )
            findings.wrong(
                "continues",
                f"{source}: {says}{', and so on' if len(circle) > STORES_NAMED else ''}: so none of them was the first, which cannot be. At least one of these stores is a forgery",
            )
        done.update(path)


def _several(begun: dict[str, tuple[Stream, str | None]], findings: Findings, source: str) -> None:
    roots = [stream for stream, before in begun.values() if before is None or before not in begun]
    if len(roots) > 1:
        findings.attention(
            "stores",
            f"{source}: {stores_of(roots)} continue no other one: are these several databases, or has somebody begun a store of his own? Name those you mean with --store",
        )
    for before, count in Counter(before for _, before in begun.values() if before is not None).items():
        if count > 1:
            both = [stream for stream, continued in begun.values() if continued == before]
            findings.attention(
                "stores",
                f"{source}: {stores_of(both)} all say that they continue store {before}: no more than one of them can be right. Name that one with --store",
            )
