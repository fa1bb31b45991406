"""Compares what the archiver has reported to the database with the seals of the archive."""

from __future__ import annotations

from bisect import bisect_left

from .report import Report, Stream, plural
from .seals import Sealed
from .source import Head, Task


class Received:
    """The database's receipts of one store, and the seals that the archive has of it."""

    def __init__(self, stream: Stream, task: Task) -> None:
        self._stream, self._task = stream, task
        self._met: set[int] = set()
        self._without: list[int] = []
        """Where seals end that have no receipt, between receipts of others."""
        self._numbers: list[int] | None = None

    def _named(self) -> dict[int, set[str]]:
        return self._task.recorded.receipts.get((self._stream.store, self._stream.sink), {})

    def seal(self, sealed: Sealed) -> None:
        """Checks a seal of the archive: a receipt with the same last number has to name it."""
        last, named = sealed.seal["last"], self._named()
        if last not in named:
            self._without_receipt(last, named)
            return
        self._met.add(last)
        for other in sorted(named[last] - {sealed.sha256}):
            self._stream.findings.wrong(
                "receipt",
                f"the database has a receipt for documents up to {last:,} with the seal {other}, but the archive has another seal there",
                sealed.seal["first"],
                last,
            )

    def _without_receipt(self, last: int, named: dict[int, set[str]]) -> None:
        if self._numbers is None:
            self._numbers = sorted(named)
        if 0 < bisect_left(self._numbers, last) < len(self._numbers):
            self._without.append(last)

    def check(self) -> None:
        """All seals were read."""
        stream, received = self._stream, self._named()
        lacking = sorted(number for number in received.keys() - self._met if number >= self._task.since)
        ends_at = stream.last or 0
        if lacking and lacking[-1] > ends_at:
            stream.findings.wrong(
                "receipt",
                f"the database has a receipt for documents up to {lacking[-1]:,}, but the archive ends at {ends_at:,}",
                ends_at + 1,
                lacking[-1],
            )
        for number in lacking:
            if stream.first is not None and stream.first <= number <= ends_at:
                stream.findings.wrong(
                    "receipt",
                    f"the database has a receipt for documents up to {number:,}, but no seal of the archive ends there",
                    number,
                    number,
                )
        if self._without:
            stream.findings.attention(
                "receipt",
                f"the database has receipts of earlier and of later seals, but none for {plural(len(self._without), 'seal')} between them, the first up to number {self._without[0]:,}: "
                "the archiver could not reach the database then, or the receipts were deleted",
                self._without[0],
                self._without[-1],
            )
        if self._met and not stream.findings.counts["wrong", "receipt"]:
            self._task.recorded.agreed.append(
                f"{plural(len(self._met), 'receipt')} of the database {'is' if len(self._met) == 1 else 'are'} of its seals"
            )


def check_stores(report: Report, task: Task) -> None:
    """Reports stores of which the database has receipts, but the archive has nothing."""
    here: set[Head] = {(stream.store, stream.sink) for stream in report.streams if stream.kind == "archive"}
    for store, sink in sorted(task.recorded.receipts.keys() - here):
        number = max(task.recorded.receipts[store, sink])
        if number >= task.since:
            report.findings.wrong(
                "receipt",
                f"the database has a receipt for documents of store {store}, sink {sink}, up to {number:,}, but the archive has nothing of it",
                1,
                number,
            )
