"""What all sources have in common: what to look for, and the steps from one piece of a stream to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..evidence import chain
from .contents import Contents
from .keys import Keys
from .links import Deliveries
from .report import Stream, is_are, numbers, plural
from .walk import Consumer, Ends

Head = tuple[str, str]


@dataclass(slots=True)
class Recorded:
    """What the database has recorded of its deliveries.

    It is read before the documents, because the documents may then only have grown.
    """

    heads: dict[Head, dict[int, str]] = field(default_factory=dict)
    """By store and sink: delivery chains at a number."""
    receipts: dict[Head, dict[int, set[str]]] = field(default_factory=dict)
    """By store and sink: hashes of the seals that end at a number, as the archiver has reported them."""
    agreed: list[str] = field(default_factory=list)
    """What was found to be the same."""
    deliveries: Deliveries | None = None
    """Each batch that the database has recorded."""


@dataclass(frozen=True, slots=True)
class Disputed:
    """A store's claim about the store that it continues, which that store's documents contradict."""

    by: str
    text: str


@dataclass(slots=True)
class Task:
    """What the verifier was asked for."""

    keys: Keys = field(default_factory=Keys)
    contents: Contents | None = None
    since: int = 1
    retain_years: int = 7
    tsa_ca: str | None = None
    heads: dict[Head, dict[int, str]] = field(default_factory=dict)
    """By store and sink: chains that an earlier run knows of at a number."""
    beside: dict[Head, dict[int, str]] = field(default_factory=dict)
    """By store and sink: the chains behind the newest batches of the source that this one is compared with, and that source's name."""
    beside_name: str = ""
    consumer: Callable[[Stream], Consumer] | None = None
    """For comparisons: makes one that is given every document of a stream."""

    recorded: Recorded = field(default_factory=Recorded)
    stores: Sequence[str] = ()
    """The stores that were named as those that are meant."""
    earlier_removed: bool = False
    """May a store be missing that another one continues?"""
    claims: dict[Head, dict[int, tuple[str, str]]] = field(default_factory=dict)
    """By store and sink: the chain at a number as a store says that goes on from there, and that store."""
    continued: dict[str, str] = field(default_factory=dict)
    """By store: the one that it says it continues."""
    begun: list[tuple[Stream, str | None]] = field(default_factory=list)
    """The streams, and which store each says that it continues."""
    disputed: list[Disputed] = field(default_factory=list)

    def meant(self) -> set[str]:
        """Returns the stores that were named, and those that they say they continue. Empty if no store was named."""
        return self.with_continued(self.stores)

    def related(self, stores: Iterable[str]) -> set[str]:
        """Returns stores, those that they continue, and those that continue one of them."""
        beside: dict[str, list[str]] = {}
        for one, other in self.continued.items():
            beside.setdefault(one, []).append(other)
            beside.setdefault(other, []).append(one)
        found, left = set[str](), [*stores]
        while left:
            if (store := left.pop()) not in found:
                found.add(store)
                left += beside.get(store, ())
        return found

    def with_continued(self, stores: Sequence[str]) -> set[str]:
        """Stores, and those that they say they continue."""
        found: set[str] = set()
        for store in stores:
            at: str | None = store
            while at is not None and at not in found:
                found.add(at)
                at = self.continued.get(at)
        return found

    def asked(self, store: str, sink: str) -> set[int]:
        """Returns the numbers at which the chain is compared with other sources or records."""
        head = (store, sink)
        return {
            number
            for known in (self.claims, self.beside, self.recorded.heads, self.heads)
            for number in known.get(head, ())
        }

    def ends(self, store: str, sink: str) -> Ends:
        """What the batches of a stream are compared with."""
        deliveries = self.recorded.deliveries
        return Ends(self.asked(store, sink), None if deliveries is None else deliveries.follow(store, sink))

    def consumers(self, stream: Stream, first: int, continues: object) -> list[Consumer]:
        """Returns the consumers of a stream's documents.

        first: its first number. continues: what its first seal says of the store before.
        """
        found: list[Consumer] = []
        # A store that had delivered nothing to this sink does not count as continued.
        before = str(continues.get("store")) if isinstance(continues, dict) and continues.get("last") != 0 else None
        self.begun.append((stream, before))
        if self.contents is not None:
            self.contents.begin(stream, first, before, not self.stores or stream.store in self.meant())
            found.append(self.contents)
        if self.consumer is not None:
            found.append(self.consumer(stream))
        return found

    def end(self) -> None:
        """A stream is at its end."""
        if self.contents is not None:
            self.contents.end()

    def expect(self, continues: dict[str, Any], sink: str, by: str) -> None:
        """Registers what a new store says its database knew of the store before."""
        self.continued[by] = str(continues["store"])
        claims, number, value = (
            self.claims.setdefault((str(continues["store"]), sink), {}),
            int(continues["last"]),
            str(continues["chain"]),
        )
        if claims.setdefault(number, (value, by))[0] != value:
            self._dispute(
                by, str(continues["store"]), number, "another store says that its chain was another one there"
            )

    def check_claims(self, stream: Stream, ends: Ends) -> None:
        """Compares the stream's chain with the claims of the stores that continue it.

        A contradiction concerns both of them.
        """
        for number, (value, by) in self.claims.get((stream.store, stream.sink), {}).items():
            if stream.last is not None and number < stream.last:
                behind = stream.last - number
                stream.findings.attention(
                    "continues",
                    f"store {by} says that it continues store {stream.store} behind number {number:,}, but here are {plural(behind, 'newer document')} of that store: "
                    f"its database was put back to an older state, it had not recorded them yet, or store {by} is somebody else's",
                    number + 1,
                    stream.last,
                )
            if stream.first is not None and number < stream.first or number == 0:
                continue
            if stream.last is None or number > stream.last:
                self._dispute(by, stream.store, number, f"the last number here is {stream.last or 0:,}")
            elif number not in ends.met:
                self._dispute(by, stream.store, number, "no batch ends there")
            elif ends.differs(number, value):
                self._dispute(by, stream.store, number, "its chain is another one there")

    def _dispute(self, by: str, store: str, number: int, why: str) -> None:
        self.disputed.append(
            Disputed(
                by,
                f"store {by} says that it continues store {store} at number {number:,}, but {why}: the history was rewritten or cut off, "
                f"or store {by} is somebody else's",
            )
        )


@dataclass(slots=True)
class Progress:
    """How far a stream has been followed: the number that comes next, and the chain before it."""

    stream: Stream
    since: int
    next: int | None = None
    chain: str | None = None

    def begin_piece(self, first: int, last: int, before: str, what: str) -> bool:
        """Begins the next piece with the numbers and the chain that it states.

        Returns False if it repeats an earlier piece.
        """
        stream, findings = self.stream, self.stream.findings
        if self.next is None:
            if first > self.since:
                findings.wrong(
                    "missing",
                    f"{numbers(self.since, first - 1)} {is_are(first - self.since)} missing: {what} is the first that is here",
                    self.since,
                    first - 1,
                )
            elif first == 1 and before != chain.start(stream.store, stream.sink).hex():
                findings.wrong("chain", f"{what} does not begin the chain of this store and sink", first, last)
        elif first > self.next:
            findings.wrong(
                "missing",
                f"{numbers(self.next, first - 1)} {is_are(first - self.next)} missing in front of {what}",
                self.next,
                first - 1,
            )
        elif first < self.next:
            findings.wrong(
                "doubled",
                f"{what} has {numbers(first, min(last, self.next - 1))} a second time",
                first,
                min(last, self.next - 1),
            )
            if last < self.next:
                return False
        elif before != self.chain:
            findings.wrong(
                "chain", f"{what} does not continue the chain: the history in front of it is another one", first, last
            )
        if stream.first is None:
            stream.first = first
        return True

    def end_piece(self, last: int, after: str) -> None:
        self.next, self.chain = last + 1, after
        self.stream.last = self.stream.chain_at = last
        self.stream.chain = after


def check_heads(stream: Stream, task: Task, ends: Ends) -> None:
    """Checks chains that were known beforehand: the stream has to reach each number with the same chain."""
    head = (stream.store, stream.sink)
    heads, recorded = task.heads.get(head, {}), task.recorded.heads.get(head, {})
    stream.ends = {
        **ends.newest(),
        **({stream.chain_at: stream.chain} if stream.chain_at is not None and stream.chain is not None else {}),
    }
    task.check_claims(stream, ends)
    _check_beside(stream, task, ends)
    for number in sorted(number for number, value in {**recorded, **heads}.items() if ends.differs(number, value)):
        than = (
            "was known before: the history was rewritten"
            if number in heads
            else "the database has recorded: one of the two was rewritten"
        )
        stream.findings.wrong("rewritten", f"at number {number:,} the chain is another one than {than}", number, number)
    for number in sorted(heads.keys() - ends.met.keys()):
        if stream.last is None or number > stream.last:
            stream.findings.wrong(
                "cut",
                f"number {number:,} was known before, the last one here is {stream.last or 0:,}: the newest documents were cut off, or this is an old copy",
                (stream.last or 0) + 1,
                number,
            )
        elif stream.first is not None and number >= stream.first:
            stream.findings.wrong(
                "rewritten",
                f"no batch ends at number {number:,} as one did before: the history was rewritten",
                number,
                number,
            )
    for number in sorted(recorded.keys() - heads.keys() - ends.met.keys()):
        if stream.first is not None and stream.first <= number <= (stream.chain_at or 0):
            stream.findings.wrong(
                "rewritten",
                f"no batch ends at number {number:,} as the database has recorded: one of the two was rewritten",
                number,
                number,
            )
    for number in sorted(recorded.keys() & heads.keys()):
        if recorded[number] != heads[number]:
            stream.findings.wrong(
                "rewritten",
                f"at number {number:,} the database has recorded another chain than was known before: its history was rewritten",
                number,
                number,
            )
    if same := [number for number, value in recorded.items() if ends.met.get(number) == value]:
        task.recorded.agreed.append(f"its delivery chain is the database's at number {max(same):,}")
    if ends.links is not None:
        ends.links.judge(stream)
        if ends.links.same:
            task.recorded.agreed.append(
                f"{plural(ends.links.same, 'batch', 'batches')} that the database has recorded {'is that' if ends.links.same == 1 else 'are those'} of store {stream.store}"
            )


def _check_beside(stream: Stream, task: Task, ends: Ends) -> None:
    """Compares the chains of two sources of one sink. Unlike a comparison of documents, this shows their order, too."""
    beside = task.beside.get((stream.store, stream.sink), {})
    other = [number for number, value in beside.items() if ends.differs(number, value)]
    lacking = [
        number for number in beside.keys() - ends.met.keys() if (stream.first or 1) <= number <= (stream.chain_at or 0)
    ]
    if other:
        number = min(other)
        stream.findings.wrong(
            "rewritten",
            f"at number {number:,} the chain is another one than in {task.beside_name}: one of the two was rewritten",
            number,
            number,
        )
    elif lacking:
        number = min(lacking)
        stream.findings.wrong(
            "rewritten",
            f"no batch ends at number {number:,} as in {task.beside_name}: one of the two was rewritten",
            number,
            number,
        )
    elif beside and not any(ends.met.get(number) == value for number, value in beside.items()):
        stream.findings.note(
            "chain",
            f"the chains here and in {task.beside_name} were not compared at a common number: none of the newest {len(beside):,} batches there ends here",
        )
