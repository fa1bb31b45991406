"""Runs a store through both engines: loads it, asks both, compares the answers, counts."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from . import engine, instants, store
from .compare import Difference, compare
from .database import Database, Live
from .engine import Approval, Request
from .generate import AROUND, Generator, clipped

AT_ONCE = 5000  # requests in one query, at most
Progress = Callable[[int], None]  # called with the number of requests that are done
EDGES = {
    timedelta(0): "exactly at the deadline",
    timedelta(microseconds=-1): "1 µs before the deadline",
    timedelta(hours=24): "exactly 24 hours after it",
    timedelta(hours=24, microseconds=1): "24 hours and 1 µs after it",
}
KEPT, EXPLAINED = 1000, 50  # of each group: how many findings are kept, and how many of them the database explains
ANSWER, EXPECTED, STORE, LEFT_OUT, DIGEST = "answer", "expected", "store", "left out", "digest"


@dataclass(frozen=True, slots=True)
class Finding:
    """A difference, and what a person needs to understand it."""

    kind: str
    origin: str
    subject: str
    why: str
    file: str | None = None
    database: str | None = None
    differences: tuple[Difference, ...] = ()
    request: Request | None = None
    element: str | None = None

    @property
    def group(self) -> str:
        """Returns the finding's group. Findings with one cause, as far as that can be determined, share a group."""

        def rule(text: str | None) -> str:
            try:
                return f"rule {json.loads(text or '')['meta']['precedence']}"
            except (TypeError, ValueError, KeyError):
                return text if text and text.startswith("error ") else "no answer"

        if self.kind in (ANSWER, LEFT_OUT):
            return f"{self.kind}: file {rule(self.file)}, database {rule(self.database)}"
        return self.kind


@dataclass(slots=True)
class Outcome:
    """The outcome of a whole run."""

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    seed: int | None = None
    stores: Counter[str] = field(default_factory=Counter)
    approvals: int = 0
    rejected: int = 0
    cases: int = 0
    rules: Counter[int] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    edges: Counter[str] = field(default_factory=Counter)
    differing: Counter[int | None] = field(default_factory=Counter)  # by the file-backed engine's rule
    findings: list[Finding] = field(default_factory=list)
    groups: Counter[str] = field(default_factory=Counter)  # how many findings there were of each group
    passed_by: Counter[str] = field(default_factory=Counter)  # members that neither side reads
    server: str = ""
    seconds: float = 0.0

    @property
    def equal(self) -> bool:
        return not self.groups

    @property
    def counts(self) -> tuple[int, int, int]:
        """Returns the cases, the cases that differ, and the elements left out.

        A difference in the stores themselves counts, too.
        """
        left_out = sum(count for group, count in self.groups.items() if group.startswith(LEFT_OUT))
        others = sum(count for group, count in self.groups.items() if not group.startswith((ANSWER, LEFT_OUT)))
        return self.cases, min(self.cases, sum(self.differing.values()) + others), left_out

    def add(self, finding: Finding) -> None:
        self.groups[finding.group] += 1
        if self.groups[finding.group] <= KEPT:
            self.findings.append(finding)


def answer(approvals: Mapping[str, Approval], request: Request, at: datetime) -> str:
    """Returns the file-backed answer. An error has the form that the database's side gives it."""
    try:
        return engine.decide(approvals, request, at)
    except engine.OverLimit as error:
        return f"error {error.sqlstate}"


def asked_for(approvals: Mapping[str, Approval], request: Request) -> Approval | None:
    return None if request.approval_id is None else approvals.get(request.approval_id)


def evaluated_at(text: str) -> datetime:
    """Returns the instant that an answer is for, or now if it names none."""
    try:
        return instants.instant(json.loads(text)["evaluated_at"])
    except (ValueError, KeyError, TypeError):
        return datetime.now(UTC)


def element_of(approval: Approval | None) -> str | None:
    if approval is None:
        return None

    def plain(value: bytes | datetime) -> str:
        return value.hex() if isinstance(value, bytes) else engine.rfc3339(value)

    return json.dumps(asdict(approval), ensure_ascii=False, default=plain)


async def ask_both(
    db: Database,
    origin: str,
    approvals: Mapping[str, Approval],
    requests: Sequence[Request],
    outcome: Outcome,
    progress: Progress = lambda done: None,
) -> None:
    """Asks both sides and compares.

    If the request leaves the instant to the clock, the file-backed engine answers for the database's instant.
    """
    for first in range(0, len(requests), AT_ONCE):
        await ask_some(db, origin, approvals, requests[first : first + AT_ONCE], outcome)
        progress(min(first + AT_ONCE, len(requests)))


async def ask_some(
    db: Database, origin: str, approvals: Mapping[str, Approval], requests: Sequence[Request], outcome: Outcome
) -> None:
    for request, theirs in zip(requests, await db.ask(requests), strict=True):
        at = request.at or evaluated_at(theirs)
        ours = answer(approvals, request, at)
        count(outcome, approvals, request, at, ours)
        if ours != theirs and (differences := compare(ours, theirs)):
            shown = replace(request, at=at)
            outcome.differing[rule_of(ours)] += 1
            finding = Finding(
                ANSWER,
                origin,
                str(request.approval_id),
                engine.explain(approvals, request, at),
                ours,
                theirs,
                differences,
                shown,
                element_of(asked_for(approvals, request)),
            )
            explained = outcome.groups[finding.group] < EXPLAINED
            outcome.add(
                replace(
                    finding,
                    why=f"The file-backed engine: {finding.why}."
                    + (f" The database: {await db.explain(shown)}." if explained else ""),
                )
            )


def rule_of(text: str) -> int | None:
    if text.startswith("error "):
        return None
    rule: int = json.loads(text)["meta"]["precedence"]
    return rule


def count(outcome: Outcome, approvals: Mapping[str, Approval], request: Request, at: datetime, ours: str) -> None:
    outcome.cases += 1
    if ours.startswith("error "):
        outcome.reasons[ours] += 1
        return
    told = json.loads(ours)
    outcome.rules[told["meta"]["precedence"]] += 1
    outcome.reasons[told["reason"] or "valid"] += 1
    approval = asked_for(approvals, request)
    if approval is not None and (edge := EDGES.get(at - approval.sla_deadline)):
        outcome.edges[edge] += 1


async def digests_of_both(db: Database, origin: str, approvals: Mapping[str, Approval], outcome: Outcome) -> None:
    ids = list(approvals)
    for approval_id, theirs in zip(ids, await db.digests(ids), strict=True):
        ours = engine.digest(approvals[approval_id])
        if ours != theirs:
            outcome.add(
                Finding(
                    DIGEST,
                    origin,
                    approval_id,
                    "What was signed is told differently.",
                    ours.hex(),
                    None if theirs is None else theirs.hex(),
                    element=element_of(approvals[approval_id]),
                )
            )


def soundness(
    origin: str, elements: store.Document, read: store.Store, imported: dict[str, Any], outcome: Outcome
) -> None:
    """Whether both sides leave out the same elements."""
    ours, theirs = {r.index: r.error for r in read.rejected}, {r["index"]: r["error"] for r in imported["rejected"]}
    for index in sorted(ours.keys() ^ theirs.keys()):
        outcome.add(
            Finding(
                STORE,
                origin,
                f"element {index}",
                f"The file's reader: {ours.get(index, 'sound')}. The database: {theirs.get(index, 'sound')}.",
                ours.get(index, "sound"),
                theirs.get(index, "sound"),
                element=json.dumps(elements[index], ensure_ascii=False, default=str),
            )
        )
    counts = (read.imported, read.unchanged), (imported["imported"], imported["unchanged"])
    if ours.keys() == theirs.keys() and counts[0] != counts[1]:
        outcome.add(
            Finding(
                STORE,
                origin,
                "counts",
                "Imported and unchanged are counted differently.",
                str(counts[0]),
                str(counts[1]),
            )
        )
    outcome.approvals += len(read.approvals)
    outcome.rejected += len(ours)


def interesting_instants(approval: Approval, loaded_at: datetime, chosen: Sequence[datetime]) -> list[datetime]:
    return [loaded_at, *chosen, *(clipped(approval.sla_deadline, distance) for distance in AROUND)]


def questions(approval: Approval) -> list[Request]:
    """What is asked of an approval of a file: as it should be, and otherwise."""
    asked = [
        Request(approval.approval_id),
        Request(approval.approval_id, approval.action, approval.resource),
        Request(approval.approval_id, approval.action),
        Request(approval.approval_id, "another action", approval.resource),
        Request(approval.approval_id, approval.action, "another resource"),
    ]
    return list(dict.fromkeys(asked))


async def run_document(
    db: Database,
    origin: str,
    text: str,
    chosen: Sequence[datetime],
    outcome: Outcome,
    progress: Progress = lambda done: None,
) -> None:
    """Runs a file: asks about every approval at the load, at the chosen instants and around its deadline.

    Checks what is left out, too.
    """
    elements = store.parse(text)
    loaded_at, imported = await db.load_text(text)
    read = store.read(elements, loaded_at)
    soundness(origin, elements, read, imported, outcome)
    await ask_of_document(db, origin, elements, read, imported, loaded_at, chosen, outcome, progress)
    await expectations(db, origin, elements, read, loaded_at, outcome)


async def run_live(
    db: Live,
    origin: str,
    text: str,
    chosen: Sequence[datetime],
    outcome: Outcome,
    progress: Progress = lambda done: None,
) -> None:
    """Runs a file whose approvals have been imported: asks the same of the database that has them."""
    elements = store.parse(text)
    now = await db.now()
    read = store.read(elements, now)
    imported = {"rejected": [{"index": rejected.index, "error": rejected.error} for rejected in read.rejected]}
    named = read.approvals.keys() | {rejected.approval_id for rejected in read.rejected}
    for approval_id in sorted(await db.approval_ids() - named):
        outcome.add(Finding(STORE, origin, approval_id, "The database has it, the file does not."))
    outcome.approvals += len(read.approvals)
    outcome.rejected += len(read.rejected)
    await ask_of_document(db, origin, elements, read, imported, now, chosen, outcome, progress)


async def ask_of_document(
    db: Database,
    origin: str,
    elements: store.Document,
    read: store.Store,
    imported: dict[str, Any],
    loaded_at: datetime,
    chosen: Sequence[datetime],
    outcome: Outcome,
    progress: Progress,
) -> None:
    outcome.stores[origin] += 1
    outcome.passed_by += store.passed_by(elements)
    requests = [
        replace(question, at=at)
        for approval in read.approvals.values()
        for question in questions(approval)
        for at in interesting_instants(approval, loaded_at, chosen)
    ]
    requests += [
        Request(approval_id, at=at)
        for approval_id in (None, "", "no id", "APP-999999-none")
        for at in (loaded_at, *chosen)
    ]
    await ask_both(db, origin, read.approvals, requests, outcome, progress)
    await digests_of_both(db, origin, read.approvals, outcome)
    await left_out(db, origin, elements, read, imported, loaded_at, outcome)


async def expectations(
    db: Database, origin: str, elements: store.Document, read: store.Store, loaded_at: datetime, outcome: Outcome
) -> None:
    """What the file itself says the answers are, at the load."""
    for approval_id, index in read.index.items():
        expected = elements[index].get("expected")
        if not isinstance(expected, dict):
            continue
        request = Request(approval_id, at=loaded_at)
        for side, text in (
            ("The file-backed engine", answer(read.approvals, request, loaded_at)),
            ("The database", (await db.ask([request]))[0]),
        ):
            told = json.loads(text)
            told = {**told, **told["meta"]}
            differences = tuple(
                Difference(key, json.dumps(value), json.dumps(told.get(key)))
                for key, value in expected.items()
                if told.get(key) != value
            )
            if differences:
                outcome.add(
                    Finding(
                        EXPECTED,
                        origin,
                        approval_id,
                        f"{side} does not answer what the file expects.",
                        json.dumps(expected),
                        text,
                        differences,
                        request,
                        element_of(read.approvals[approval_id]),
                    )
                )


async def left_out(
    db: Database,
    origin: str,
    elements: store.Document,
    read: store.Store,
    imported: dict[str, Any],
    loaded_at: datetime,
    outcome: Outcome,
) -> None:
    """Compares, for elements that neither side stores, the answer that the file taken literally would give with the
    database's.
    """
    theirs = {r["index"]: r["error"] for r in imported["rejected"]}
    for rejected in read.rejected:
        file = database = None
        differences: tuple[Difference, ...] = ()
        request = None
        if rejected.as_told is not None and rejected.index in theirs:
            request = Request(rejected.approval_id, at=loaded_at)
            file = answer({rejected.as_told.approval_id: rejected.as_told}, request, loaded_at)
            database = (await db.ask([request]))[0]
            differences = compare(file, database)
        if rejected.index in theirs:
            outcome.add(
                Finding(
                    LEFT_OUT,
                    origin,
                    f"element {rejected.index}" + (f" ({rejected.approval_id})" if rejected.approval_id else ""),
                    f"Not stored: {rejected.error}. The database: {theirs[rejected.index]}.",
                    file,
                    database,
                    differences,
                    request,
                    json.dumps(elements[rejected.index], ensure_ascii=False, default=str),
                )
            )


async def run_random(
    db: Database,
    forged: Database,
    seed: int,
    cases: int,
    outcome: Outcome,
    progress: Progress,
    chosen: Sequence[datetime] = (),
    size: int = AT_ONCE,
) -> None:
    """Runs random stores until this many cases were asked.

    Documents and stores as only a superuser can load them alternate.
    """
    outcome.seed = seed
    done, number, size = 0, 0, max(1, min(size, (cases + 1) // 2))
    while done < cases:
        asked = min(size, cases - done)
        generator, origin = Generator(seed, number, chosen), f"random store {number}"
        if number % 2 == 0:
            elements = generator.document(max(1, asked // 12))
            loaded_at, imported = await db.load_document(elements)
            read = store.read(store.parse(json.dumps(elements, ensure_ascii=False)), loaded_at)
            soundness(origin, elements, read, imported, outcome)
            approvals, side = read.approvals, db
        else:
            approvals = {a.approval_id: a for a in (generator.forged() for _ in range(max(1, asked // 12)))}
            await forged.load_directly(approvals.values())
            outcome.approvals += len(approvals)
            side = forged
        outcome.stores["random"] += 1
        await ask_both(side, origin, approvals, list(generator.requests(list(approvals.values()), asked)), outcome)
        await digests_of_both(side, origin, approvals, outcome)
        done, number = done + asked, number + 1
        progress(done)
