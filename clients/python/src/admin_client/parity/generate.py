"""Random stores and requests: every rule, every boundary, and states that only a superuser's load can create.

A seed and a number determine a whole store, regardless of earlier stores.
"""

from __future__ import annotations

import dataclasses
import random
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from .engine import Approval, Request, Signature, digest, rfc3339, state_reached
from .store import CONTROL, Document, Element

MICROSECOND, DAY = timedelta(microseconds=1), timedelta(hours=24)
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
WORDS = (
    "release.deploy",
    "payout.execute",
    "account 7",
    "Zo\u00eb",
    "Zoe\u0308",
    "\u627f\u8a8d",
    "\u05d0\u05d9\u05e9\u05d5\u05e8",
    "\U0001f510 \U0001f469\u200d\u2696\ufe0f",
    'a"b\\c/d',
    "l1\nl2\tl3\r",
    "\x01\x08\x0b\x0c\x1f\x7f",
    "\u2028\u2029\ufeff",
    "\U0010ffff\ufffd",
    "null",
    "{}",
    " ",
    "<b>&amp;'</b>",
    "I\u0130\u0131i",
    "\u00df",
    "%s $1 '; --",
)
LINES = tuple(word for word in WORDS if not CONTROL.search(word))
"""What an approval may have; a request may ask for any word."""
ROLES = (
    "product_owner",
    "finance_gate",
    "legal_gate",
    "security",
    "opérations",
    "法務",
    "a",
    "A",
    "r" * 128,
    'role "x"',
)
AROUND = tuple(edge + n * MICROSECOND for edge in (timedelta(0), DAY) for n in (-1, 0, 1)) + (
    -DAY,
    -DAY - MICROSECOND,
    timedelta(hours=1),
    timedelta(hours=23),
    timedelta(hours=25),
    -timedelta(days=30),
    timedelta(days=400),
)
SUMMER_TIME = tuple(
    datetime(2026, month, day, hour, tzinfo=UTC)
    for month, day in ((3, 28), (3, 29), (10, 24), (10, 25))
    for hour in (0, 1, 2)
)
MALFORMED = (
    None,
    "",
    " ",
    "APP",
    "APP-100001",
    "APP-100001-",
    "APP-10000-a",
    "APP-1000001-a",
    "app-100001-a",
    "APP-100001-A",
    "APP-100001-a_b",
    " APP-100001-a",
    "APP-100001-a ",
    "APP-100001-a\n",
    "\nAPP-100001-a",
    "APP-١٢٣٤٥٦-a",
    "APP-100001-é",
    "APP-100001-ａ",
    "АPP-100001-a",
    "APP-100001-" + "a" * 54,
    "APP-100001-" + "a" * 4000,
    "'; drop table admin.approval; --",
    "\\",
    '"',
    "\x01",
    "\x7f",
    "\u2028",
    "\U0001f4a5",
    "null",
    '{"approval_id":1}',
    "APP-100001-a\tb",
)


def clipped(at: datetime, distance: timedelta) -> datetime:
    """Returns the instant at this distance, clipped to the years that exist."""
    try:
        return at + distance
    except OverflowError:
        return LAST if distance > timedelta(0) else FIRST


class Generator:
    """The approvals of one store, and what is asked of them."""

    def __init__(self, seed: int, number: int, chosen: Sequence[datetime] = ()):
        self.number = number
        self.chosen = chosen
        self.chance = random.Random(f"{seed}:{number}")
        self.count = 0

    # -- parts --

    def one_in(self, n: int) -> bool:
        return self.chance.randrange(n) == 0

    def approval_id(self) -> str:
        self.count += 1
        name = f"APP-{self.count:06d}-s{self.number}"
        return name.ljust(self.chance.choice((64, 63, 40)), "q") if self.one_in(10) else name

    def text(self, most: int, words: Sequence[str] = WORDS) -> str:
        text = self.chance.choice(words)
        if self.one_in(50):
            text = (text + "x" * most)[:most]
            while len(text.encode()) > most:
                text = text[:-1]
        return text

    def deadline(self) -> datetime:
        if self.chosen and not self.one_in(3):
            return clipped(self.chance.choice(self.chosen), -self.chance.choice(AROUND))
        kind = self.chance.randrange(20)
        if kind == 0:
            return self.chance.choice(
                (FIRST + MICROSECOND * 2, FIRST + DAY, datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC))
            )
        if kind < 4:
            return self.chance.choice(SUMMER_TIME)
        return datetime(2000, 1, 1, tzinfo=UTC) + timedelta(
            microseconds=self.chance.randrange(100 * 365 * 86400 * 1000000)
        )

    # -- sound approvals --

    def approval(self) -> Approval:
        chance = self.chance
        required = chance.choice((1, 1, 1, 2, 2, 2, 3, 4, 7, 8))
        roles = tuple(chance.sample(ROLES, required))
        signed = chance.choice((0, required, required, required, chance.randint(0, required)))
        closed = self.one_in(6)
        return Approval(
            approval_id=self.approval_id(),
            action=self.text(256, LINES),
            resource=None if self.one_in(3) else self.text(2048, LINES),
            required_roles=roles,
            required_signer_count=required,
            requested_by=chance.choice(("ann", "req@example.com", "Änne")),
            state="withdrawn" if closed else state_reached(required, signed) or "pending",
            sla_deadline=self.deadline(),
            closed_at=datetime(2026, 1, 1, tzinfo=UTC) if closed else None,
            signatures=tuple(Signature(role, f"signer {n}") for n, role in enumerate(chance.sample(roles, signed))),
        )

    def element(self, approval: Approval) -> Element:
        """An approval as the document has it."""
        element: Element = {
            "approval_id": approval.approval_id,
            "action": approval.action,
            "resource": approval.resource,
            "required_roles": list(approval.required_roles),
            "required_signer_count": approval.required_signer_count,
            "requested_by": approval.requested_by,
            "state": approval.state,
            "sla_deadline": self.written(approval.sla_deadline),
            "signatures": [{"signer_role": s.signer_role, "signer": s.signer} for s in approval.signatures],
        }
        if approval.closed_at is not None:
            element["closed_at"] = self.written(approval.closed_at)
        if self.one_in(8):
            del element["sla_deadline"]
            element["sla_deadline_offset"] = self.chance.choice(
                ("30 days", "-1 hours", "-24 hours", "-25 hours", "1 day 02:03:04.000005", "-1 days")
            )
        for optional, absent in (("resource", None), ("required_signer_count", object()), ("signatures", [])):
            if element[optional] == absent or optional == "required_signer_count":
                if self.one_in(3):
                    del element[optional]
        if element["state"] == "pending" and self.one_in(3):
            del element["state"]
        return element

    def written(self, at: datetime) -> str:
        text = rfc3339(at)
        return self.chance.choice((text, text, text.replace("T", " "), text[:-1] + "+00:00", text[:-1]))

    def document(self, size: int) -> Document:
        """Returns elements. One in twelve is unsound or repeats another one."""
        elements: Document = []
        for _ in range(size):
            element = self.element(self.approval())
            elements.append(self.flawed(element, elements) if self.one_in(12) else element)
        return elements

    def flawed(self, element: Element, before: Document) -> object:
        chance = self.chance
        roles, signatures = element["required_roles"], element.get("signatures", [])
        signature = {"signer_role": roles[0], "signer": "eve"}
        earlier = chance.choice(before) if before else None
        changes: tuple[Callable[[], object], ...] = (
            lambda: chance.choice((None, 7, "text", [], [element], True, {})),
            lambda: {**element, "state": chance.choice(("approved", "", "SIGNED_FULL", "signed_full ", 1, True))},
            lambda: {
                **element,
                "state": chance.choice(("pending", "signed_partial", "signed_full", "withdrawn", None)),
            },
            lambda: {
                **element,
                "signatures": chance.choice(
                    (signatures[:-1], None, {}, "x", [None], [[]], [signature], [*signatures, *signatures])
                ),
            },
            lambda: {
                **element,
                "signatures": [
                    *signatures,
                    {**signature, chance.choice(("signer", "signer_role")): chance.choice(("", None, 3, "x" * 300))},
                ],
            },
            lambda: {**element, "signatures": [{**signature, "signer": element["requested_by"]}]},
            lambda: {**element, "signatures": [{**signature, "signer_role": "not required"}]},
            lambda: {
                **element,
                "signatures": [
                    {**signature, "signed_at": chance.choice(("2026-11-23T20:00:00Z", "yesterday", 1, "2026-13-01"))}
                ],
            },
            lambda: {**element, "signatures": [{**signature, "comment": chance.choice(("fine", "", 1, "x" * 4097))}]},
            lambda: {key: value for key, value in element.items() if key != chance.choice(list(element))},
            lambda: {
                **element,
                chance.choice(list(element)): chance.choice((None, 1, "", [], {}, False, "x" * 5000, "l1\nl2")),
            },
            lambda: {**element, "approval_id": chance.choice(MALFORMED)},
            lambda: {
                **element,
                "required_signer_count": chance.choice((0, 1, 2, 9, -1, 1.5, "1", True, float(len(roles)))),
            },
            lambda: {
                **element,
                "required_roles": chance.choice(
                    ([], [roles[0]] * 2, [""], ["x" * 129], ["x\x7f"], [1], [None], [[]], "x", ROLES[:9], None)
                ),
            },
            lambda: {**element, "closed_at": chance.choice(("2026-01-01T00:00:00Z", None, "infinity"))},
            lambda: {
                **element,
                chance.choice(("closed_by", "close_reason")): chance.choice(("ann", "", None, 1, "x" * 4097)),
            },
            lambda: {
                **element,
                "sla_deadline": chance.choice(
                    (
                        "infinity",
                        "tomorrow",
                        "2026-02-30T00:00:00Z",
                        "2026-01-01T25:00:00Z",
                        "01/02/2026",
                        "20260101",
                        "2026-01-01 BC",
                        "2026-01-01T00:00:00.0000005Z",
                        "2026-01-01T23:59:60Z",
                        "2026-01-01",
                        "10000-01-01T00:00:00Z",
                        1767225600,
                        "",
                    )
                ),
            },
            lambda: {**element, "sla_deadline": "2026-01-01T00:00:00Z", "sla_deadline_offset": "1 day"},
            lambda: {
                **{k: v for k, v in element.items() if k != "sla_deadline"},
                "sla_deadline_offset": chance.choice(
                    (
                        "1 fortnight",
                        "",
                        "x",
                        "9000 years",
                        "1 month",
                        "-1 year 2 days",
                        "1 hour 1",
                        5,
                        "+3 days",
                        "02:00:00",
                        "10 s",
                    )
                ),
            },
            lambda: {**element, "created_at": chance.choice(("2026-01-01T00:00:00Z", "nonsense", 3, None))},
            lambda: earlier if earlier is not None else None,
            lambda: (
                {**element, "approval_id": earlier["approval_id"]}
                if isinstance(earlier, dict) and "approval_id" in earlier
                else None
            ),
            lambda: (
                {**earlier, chance.choice(("action", "requested_by", "comment")): "other"}
                if isinstance(earlier, dict)
                else None
            ),
            lambda: {**element, "unknown member": {"deep": [1, {"x": None}]}},
        )
        return chance.choice(changes)()

    # -- what no honest path brings about --

    def forged(self) -> Approval:
        """Makes an approval as only a superuser can store it.

        Its states and signatures may disagree, and its signatures may cover other contents or come from somebody who
        may not sign. It may violate constraints of the tables: load it after Database.lift_constraints() has dropped them.
        """
        chance, change = self.chance, dataclasses.replace
        a = self.approval()
        signed = a.signatures or (Signature(a.required_roles[0], "signer 0"),)
        altered = (
            change(a, action=a.action + "!")
            if self.one_in(2)
            else change(a, sla_deadline=clipped(a.sla_deadline, -MICROSECOND))
        )
        if altered == a:
            altered = change(a, requested_by="else")
        one, k = chance.choice(signed), chance.randrange(len(signed))
        kinds = (
            lambda: a,
            lambda: change(a, state=chance.choice(("pending", "signed_partial", "signed_full")), closed_at=None),
            lambda: change(a, signatures=a.signatures[1:]),
            lambda: change(a, signatures=(*a.signatures[:-1], Signature("not required", "eve"))),
            lambda: change(a, signatures=(*a.signatures, Signature("not required", "eve"))),
            lambda: change(
                a,
                signatures=(
                    *signed[:k],
                    change(one, signer_role=signed[k].signer_role, signer=a.requested_by),
                    *signed[k + 1 :],
                ),
            ),
            lambda: change(
                a, signatures=tuple(change(s, digest=bytes(32) if n == k else None) for n, s in enumerate(signed))
            ),
            lambda: change(
                a,
                signatures=tuple(
                    change(s, digest=digest(altered) if n == k else digest(a)) for n, s in enumerate(signed)
                ),
            ),
            lambda: change(
                a,
                signatures=tuple(
                    change(s, digest=digest(change(a, resource="" if a.resource is None else None))) for s in signed
                ),
            ),
            lambda: change(
                a,
                signatures=tuple(
                    change(s, digest=digest(change(a, required_roles=a.required_roles[::-1]))) for s in signed
                ),
            ),
            lambda: change(a, required_roles=a.required_roles[:1] * len(a.required_roles)),
            lambda: change(
                a, signatures=tuple(Signature(f"role {n}", f"signer {n}") for n in range(chance.choice((9, 17, 70))))
            ),
            lambda: change(
                a,
                state="withdrawn",
                closed_at=a.sla_deadline,
                signatures=(Signature("not required", "eve", bytes(32)),),
            ),
            lambda: change(a, state="unknown"),  # any other the database shows under this name: no rule tells
            lambda: change(a, closed_at=a.sla_deadline),
            lambda: change(a, state="withdrawn", closed_at=None),
            lambda: change(
                a,
                required_signer_count=chance.choice(
                    (0, -1, 9, 32767, a.required_signer_count + 1, a.required_signer_count - 1)
                ),
            ),
            lambda: change(
                a,
                state=state_reached(len(a.signatures), len(a.signatures)) or "pending",
                required_signer_count=len(a.signatures),
                closed_at=None,
            ),
            lambda: change(a, signatures=tuple(change(s, signer="one person") for s in a.signatures)),
        )
        return chance.choice(kinds)()

    # -- requests --

    def named(self, approved: str | None, limit: int) -> str | None:
        kind = self.chance.randrange(100)
        if kind < 40:
            return None
        if kind < 85 and approved is not None:
            return approved
        if kind < 99:
            text = approved or "x"
            return self.chance.choice(
                (
                    self.text(limit),
                    "",
                    text + " ",
                    text.swapcase(),
                    unicodedata.normalize("NFD", text),
                    text[:-1],
                    "é" * (limit // 2),
                    text,
                )
            )[: limit // 4]
        return (
            "x" * self.chance.choice((limit, limit + 1))
            if self.one_in(3)
            else "é" * (limit // 2) + self.chance.choice(("", "x"))
        )

    def instant(self, deadline: datetime) -> datetime | None:
        if self.chosen:
            return self.chance.choice(self.chosen)
        kind = self.chance.randrange(20)
        if kind == 0:
            return None
        if kind == 1:
            return self.chance.choice((FIRST, LAST, LAST - DAY))
        if kind < 15:
            return clipped(deadline, self.chance.choice(AROUND))
        return clipped(
            deadline, timedelta(microseconds=self.chance.randrange(-2 * 86400 * 1000000, 2 * 86400 * 1000000))
        )

    def requests(self, approvals: list[Approval], count: int) -> Iterator[Request]:
        for _ in range(count):
            approval = self.chance.choice(approvals) if approvals else self.approval()
            there, kind = approval.approval_id, self.chance.randrange(60)
            approval_id: str | None = there
            if kind == 0:
                approval_id = self.chance.choice(MALFORMED)
            elif kind == 1:
                approval_id = self.chance.choice((there[:63] + "x", "APP-999999-none", there[:-1] + "x"))
            elif kind == 2:
                approval_id = self.chance.choice((there.lower(), there + "\n", there + "\u00e9", there.ljust(65, "q")))
            yield Request(
                approval_id,
                self.named(approval.action, 256),
                self.named(approval.resource, 2048),
                self.instant(approval.sla_deadline),
            )
