"""What the verifier found out: findings, one report a stream, and the sentence at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .meaning import meaning

WRONG, ATTENTION, NOTE = "wrong", "attention", "note"
KEPT_OF_A_KIND = 10
STORES_NAMED = 5
OF_THE_WHOLE = frozenset(("again", "rewritten", "cut"))
"""Kinds of findings that leave nothing of a stream certain, whatever number they name."""
PROVED, SOMETHING_WRONG, COULD_NOT_LOOK = 0, 1, 2


class CannotLook(Exception):
    """Why something could not be found out: exit status 2."""


def printable(text: str) -> str:
    """Spells out line feeds, escape sequences, characters that change the direction of writing and the like.

    A text cannot then pass for another line of the report.
    """
    return (
        text
        if text.isprintable()
        else "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was noticed.  first and last: the delivery numbers it is about, where it is about some."""

    level: str
    code: str
    text: str
    first: int | None = None
    last: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "code": self.code,
            "text": self.text,
            "means": meaning(self.level, self.code),
            "first": self.first,
            "last": self.last,
        }


@dataclass(slots=True)
class Findings:
    """The first findings of each kind, and how many there are of it: memory stays bounded."""

    kept: list[Finding] = field(default_factory=list)
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    sound_to: int | None = None
    """The last number in front of everything that is wrong; 0 where that has no place.  None: nothing is wrong."""

    def add(self, level: str, code: str, text: str, first: int | None = None, last: int | None = None) -> None:
        kind = (level, code)
        self.counts[kind] += 1
        if level == WRONG:
            before = 0 if first is None or code in OF_THE_WHOLE else first - 1
            self.sound_to = before if self.sound_to is None else min(before, self.sound_to)
        if self.counts[kind] <= KEPT_OF_A_KIND:
            self.kept.append(Finding(level, code, text, first, last))

    def wrong(self, code: str, text: str, first: int | None = None, last: int | None = None) -> None:
        self.add(WRONG, code, text, first, last)

    def attention(self, code: str, text: str, first: int | None = None, last: int | None = None) -> None:
        self.add(ATTENTION, code, text, first, last)

    def note(self, code: str, text: str, first: int | None = None, last: int | None = None) -> None:
        self.add(NOTE, code, text, first, last)

    def count(self, level: str) -> int:
        return sum(number for (of, _), number in self.counts.items() if of == level)

    def left_out(self) -> list[str]:
        """A line for each kind of which not all are kept."""
        return [
            f'{number - KEPT_OF_A_KIND} more of the kind "{code}"'
            for (_, code), number in self.counts.items()
            if number > KEPT_OF_A_KIND
        ]


@dataclass(slots=True)
class Stream:
    """What one source has of one store and sink."""

    source: str
    kind: str
    store: str
    sink: str
    first: int | None = None
    last: int | None = None
    documents: int = 0
    loose: int = 0
    """How many of them are in no batch yet, so that not even the chain says anything of them."""
    batches: int = 0
    chain: str | None = None
    chain_at: int | None = None
    rootless: bool = False
    """No seal says at which number its documents begin, nor which store they continue."""
    ends: dict[int, str] = field(default_factory=dict)
    """The chain behind each of the newest batches."""
    seals: int = 0
    signed_to: int | None = None
    sealed_at: str | None = None
    keys: list[str] = field(default_factory=list)
    untrusted: bool = False
    timestamps: int = 0
    locked: int = 0
    read_approvals: bool = False
    approvals: int = 0
    unknown_approvals: int = 0
    decisions: int = 0
    unknown_decisions: int = 0
    """Of how many of them the beginning is not here, so that nothing can be said."""
    findings: Findings = field(default_factory=Findings)

    @property
    def behind(self) -> int:
        """How many documents lie behind the newest seal, and have nothing but the chain."""
        if self.last is None:
            return 0
        return self.documents if self.signed_to is None else max(0, self.last - self.signed_to)

    def as_json(self) -> dict[str, Any]:
        names = (
            "source",
            "kind",
            "store",
            "sink",
            "first",
            "last",
            "documents",
            "loose",
            "batches",
            "chain",
            "chain_at",
            "seals",
            "signed_to",
            "sealed_at",
            "keys",
            "timestamps",
            "locked",
            "approvals",
            "unknown_approvals",
            "decisions",
            "unknown_decisions",
            "behind",
        )
        return {
            **{name: getattr(self, name) for name in names},
            "findings": [finding.as_json() for finding in self.findings.kept],
            "left_out": self.findings.left_out(),
        }


@dataclass(slots=True)
class Report:
    """All of a run."""

    streams: list[Stream] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    compared: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    claim: str | None = None
    """What is proved where nothing is wrong; None: what the streams say."""

    def count(self, level: str) -> int:
        return self.findings.count(level) + sum(stream.findings.count(level) for stream in self.streams)

    @property
    def untrusted(self) -> bool:
        return any(stream.untrusted for stream in self.streams)

    @property
    def rootless(self) -> bool:
        """Returns whether no seal says anything about the documents of the run."""
        return all(stream.rootless for stream in self.streams)

    @property
    def status(self) -> int:
        if self.count(WRONG):
            return SOMETHING_WRONG
        return COULD_NOT_LOOK if self.problems or self.untrusted or self.claim is None and self.rootless else PROVED

    def as_json(self) -> dict[str, Any]:
        return {
            "v": 1,
            "status": self.status,
            "sentence": sentence(self),
            "streams": [stream.as_json() for stream in self.streams],
            "findings": [finding.as_json() for finding in self.findings.kept],
            "compared": self.compared,
            "problems": self.problems,
        }


def plural(number: int, noun: str, more: str = "") -> str:
    return f"{number:,} {noun if number == 1 else more or noun + 's'}"


def numbers(first: int, last: int) -> str:
    return f"number {first:,}" if first == last else f"numbers {first:,} to {last:,}"


def is_are(number: int) -> str:
    return "is" if number == 1 else "are"


def stores_of(streams: Sequence[Stream]) -> str:
    """Their stores, for a sentence."""
    found = list(dict.fromkeys(stream.store for stream in streams))
    more = f" and {len(found) - STORES_NAMED:,} more" if len(found) > STORES_NAMED else ""
    return f"{'store' if len(found) == 1 else 'stores'} {', '.join(found[:STORES_NAMED])}{more}"


def follow_of(streams: Sequence[Stream]) -> str:
    """How much of the approvals and decisions follows, and how much cannot be known."""
    approvals, decisions = (sum(getattr(stream, name) for stream in streams) for name in ("approvals", "decisions"))
    open_approvals, open_decisions = (
        sum(getattr(stream, name) for stream in streams) for name in ("unknown_approvals", "unknown_decisions")
    )
    if not open_approvals and not open_decisions:
        return "Every approval and every decision follows from them."
    all_of = [
        f"{number - unknown:,} of {plural(number, noun)}"
        for number, unknown, noun in (
            (approvals, open_approvals, "approval"),
            (decisions + open_decisions, open_decisions, "decision"),
        )
        if unknown
    ]
    beginnings = [
        plural(unknown, noun)
        for unknown, noun in ((open_approvals, "approval"), (open_decisions, "decision"))
        if unknown
    ]
    return f"{' and '.join(all_of)} follow from them; of {' and '.join(beginnings)} the beginning is not here."


def _worst(report: Report) -> tuple[Stream | None, Finding]:
    """The first thing that is wrong; there is one."""
    for stream in report.streams:
        for finding in stream.findings.kept:
            if finding.level == WRONG:
                return stream, finding
    return None, next(finding for finding in report.findings.kept if finding.level == WRONG)


def sentence(report: Report) -> str:
    """The line that a person can quote.  It claims no more than was proved."""
    return printable(_sentence(report))


def _sentence(report: Report) -> str:
    documents = sum(stream.documents for stream in report.streams)
    if report.status == SOMETHING_WRONG:
        stream, finding = _worst(report)
        number = report.count(WRONG)
        return f"NOT PROVED: {plural(number, 'thing')} {'is' if number == 1 else 'are'} wrong. The first: {stream.source + ': ' if stream else ''}{finding.text}.{_good_part(report)}"
    if report.problems:
        return f"NOT CHECKED: {report.problems[0]}."
    if not report.streams:
        return "NOT CHECKED: there is nothing here to verify."
    if report.untrusted:
        keys = sorted({key for stream in report.streams if stream.untrusted for key in stream.keys})
        return (
            f"NOT PROVED YET: {plural(documents, 'document')} agree with their seals, but no trusted key was given. "
            f"Ask the operator of the archive for the public key {', '.join(keys)}, by another way, and pass it with --key."
        )
    return f"{report.claim}{_look(report)}" if report.claim else _good_sentence(report, documents)


def _good_part(report: Report) -> str:
    """What is proved all the same: the sealed documents in front of the first thing that is wrong."""
    if report.findings.count(WRONG):
        return ""
    said = ""
    for stream in report.streams:
        if stream.findings.sound_to is None or stream.first is None or stream.signed_to is None or stream.untrusted:
            continue
        end = min(stream.signed_to, stream.findings.sound_to)
        if end >= stream.first:
            said += (
                f" Documents {stream.first:,} to {end:,} in front of it, sealed up to {stream.sealed_at}, are proved."
            )
    return said


def _look(report: Report) -> str:
    attention = report.count(ATTENTION)
    return (
        f" {plural(attention, 'point')} above {'needs' if attention == 1 else 'need'} an explanation by a person."
        if attention
        else ""
    )


def _good_sentence(report: Report, documents: int) -> str:
    signed = [stream for stream in report.streams if stream.signed_to is not None]
    compared = "".join(f" {text[:1].upper()}{text[1:]}." for text in report.compared)
    look = _look(report)
    if report.rootless:
        return (
            f"NOT PROVED YET: no file here is finished, so there is no seal that proves the {plural(documents, 'document')} of {stores_of(report.streams)}. "
            f"Look again when the sink has finished a file.{compared}{look}"
        )
    if not signed:
        loose = sum(stream.loose for stream in report.streams)
        newest = (
            f" Of the newest {plural(loose, 'document')} it says nothing: their file is not finished." if loose else ""
        )
        sealed_stores = stores_of([stream for stream in report.streams if not stream.rootless])
        return (
            f"CONSISTENT, BUT NOT SIGNED: {plural(documents - loose, 'document')} of {sealed_stores} fit their delivery chain, none is missing, doubled or altered.{newest} "
            f"Whoever could write all of this source could have written another one: compare it with a signed archive.{compared}{look}"
        )
    sealed = sum(max(0, (stream.signed_to or 0) - (stream.first or 1) + 1) for stream in signed)
    behind = sum(stream.behind for stream in signed)
    until = max(stream.sealed_at or "" for stream in signed)
    rest = f" {plural(behind, 'newer document')} {'has' if behind == 1 else 'have'} no seal yet." if behind else ""
    what = f" {follow_of(signed)}" if any(stream.read_approvals for stream in report.streams) else ""
    begun = [stream for stream in signed if (stream.first or 1) > 1]
    since = "".join(
        f" from number {stream.first:,} on{' in store ' + stream.store if len(signed) > 1 else ''}"
        for stream in begun[:STORES_NAMED]
    )
    return (
        f"PROVED: {plural(sealed, 'document')} of {stores_of(signed)}, sealed up to {until}, {'is' if sealed == 1 else 'are'} complete{since} and unaltered, signed by a key you trust.{what}"
        f"{rest} What came later than the last one here, this cannot know.{compared}{look}"
    )


def _unknown(stream: Stream) -> str:
    return (
        f"; {plural(stream.unknown_decisions, 'decision')} about what began earlier" if stream.unknown_decisions else ""
    )


def _meanings(report: Report) -> list[str]:
    """One line for each kind of finding."""
    kinds = dict.fromkeys(
        (finding.level, finding.code)
        for findings in (*(stream.findings for stream in report.streams), report.findings)
        for finding in findings.kept
    )
    return [f"{level} {code} means: {said}" for level, code in kinds if (said := meaning(level, code))]


def lines(report: Report) -> list[str]:
    """The report for a terminal."""
    out: list[str] = []
    for stream in report.streams:
        which = (
            f"numbers {stream.first:,} to {stream.last:,}"
            if stream.first is not None and stream.last is not None
            else "no documents"
        )
        out.append(
            f"{stream.source}: store {stream.store}, sink {stream.sink}: {which}, {plural(stream.documents, 'document')}, {stream.batches:,} batches"
        )
        if stream.chain:
            out.append(f"  chain    at number {stream.chain_at or 0:,}: {stream.chain}")
        if stream.seals and not stream.keys:
            out.append(f"  seals    {stream.seals:,}, none of them signed")
        elif stream.seals:
            out.append(
                f"  seals    {stream.seals:,}; signed to number {stream.signed_to or 0:,}, newest of {stream.sealed_at or '-'}; {plural(stream.timestamps, 'timestamp')} checked"
            )
        if stream.locked:
            out.append(f"  locks    {stream.locked:,} object versions")
        if stream.read_approvals:
            out.append(
                f"  content  {plural(stream.approvals, 'approval')}, {plural(stream.decisions, 'decision')} replayed{_unknown(stream)}"
            )
        out += [f"  {finding.level:<9} {finding.code}: {finding.text}" for finding in stream.findings.kept]
        out += [f"  {line}" for line in stream.findings.left_out()]
    out += [f"{finding.level:<9} {finding.code}: {finding.text}" for finding in report.findings.kept]
    out += report.findings.left_out()
    out += [f"problem   {problem}" for problem in report.problems]
    out += _meanings(report)
    return [*map(printable, out), sentence(report)]
