"""Derives approvals from the documents, step by step, and the decisions that follow from them.

The rules are those of the independent engine (admin_client.parity.engine), which shares no code with the extension.
"""

from __future__ import annotations

import marshal
import sqlite3
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from operator import itemgetter
from typing import Any

from ..parity import engine, instant
from .quick import Expected
from .safe import why

KEPT_IN_MEMORY = 4_000
KEPT_OF_HISTORY = 4
TABLE = "create table if not exists approval (lineage integer, approval_id text, state blob not null, primary key (lineage, approval_id)) without rowid"
STATE_AFTER = {
    "approval.signed_partial": "signed_partial",
    "approval.signed_full": "signed_full",
    "approval.withdrawn": "withdrawn",
}
FOLLOWS = {
    "pending": {"signed_partial", "signed_full", "withdrawn"},
    "signed_partial": {"signed_partial", "signed_full", "withdrawn"},
    "signed_full": {"withdrawn"},
    "withdrawn": set(),
}
SIGNED_FOR = ("action", "resource", "required_roles", "requested_by", "sla_deadline")
INSTANTS = ("sla_deadline", "created_at", "updated_at", "closed_at")
CLOSED = ("closed_at", "closed_by", "close_reason")
_signed_for, _closed, _NOT_CLOSED = itemgetter(*SIGNED_FOR), itemgetter(*CLOSED), (None, None, None)
Row = dict[str, Any]
Signatures = list[list[str]]


@dataclass(slots=True)
class State:
    """One approval: its row, its signatures as [role, signer, digest in hex], and its earlier states."""

    row: Row | None = None
    signatures: Signatures = field(default_factory=list)
    history: list[tuple[str, Row | None, Signatures]] = field(default_factory=list)
    partial: bool = False
    _approval: engine.Approval | None = None
    _wrong: str | None = None
    _expected: Expected | None = None

    def approval(self) -> engine.Approval | None:
        """Returns the approval in the engine's form, which is made once for each state."""
        if self._approval is None and self.row is not None:
            approval = as_approval(self.row, self.signatures)
            self._wrong = engine.disagreement(approval)
            self._approval = approval
        return self._approval

    def disagreement(self) -> str | None:
        """Returns what the engine finds inconsistent about the approval, or None."""
        return None if self.approval() is None else self._wrong

    def expected(self) -> Expected | None:
        """Returns what a decision on the approval has to say, or None if not all of its steps are known."""
        if self._expected is None and not self.partial and (approval := self.approval()) is not None:
            self._expected = Expected(approval, self._wrong is None)
        return self._expected

    def changed(self) -> None:
        self._approval = self._expected = None

    def remember(self, at: str) -> None:
        """Adds the current state to the history, as valid until this instant."""
        self.history = [*self.history[1 - KEPT_OF_HISTORY :], (at, self.row, list(self.signatures))]


class Approvals:
    """The states of all approvals of a database: the most recently used ones in memory, the others on disk."""

    def __init__(self, scratch: sqlite3.Connection, lineage: int) -> None:
        scratch.execute(TABLE)
        self._scratch, self._lineage = scratch, lineage
        self._recent: OrderedDict[str, State] = OrderedDict()

    def get(self, approval_id: str) -> State | None:
        if (state := self._recent.get(approval_id)) is not None:
            self._recent.move_to_end(approval_id)
            return state
        found = self._scratch.execute(
            "select state from approval where lineage = ? and approval_id = ?", (self._lineage, approval_id)
        ).fetchone()
        if found is None:
            return None
        return self._keep(approval_id, State(*marshal.loads(found[0])))

    def make(self, approval_id: str) -> State:
        return self._keep(approval_id, State())

    def _keep(self, approval_id: str, state: State) -> State:
        self._recent[approval_id] = state
        if len(self._recent) > KEPT_IN_MEMORY:
            self._write_oldest()
        return state

    def _write_oldest(self) -> None:
        old_id, old = self._recent.popitem(last=False)
        packed = marshal.dumps((old.row, old.signatures, old.history, old.partial))  # for this process alone
        self._scratch.execute("insert or replace into approval values (?, ?, ?)", (self._lineage, old_id, packed))

    def in_order(self) -> Iterator[tuple[str, State]]:
        """Returns all states in the byte order of their ids. The states must not change meanwhile."""
        while self._recent:
            self._write_oldest()
        for approval_id, packed in self._scratch.execute(
            "select approval_id, state from approval where lineage = ? order by approval_id", (self._lineage,)
        ):
            row, signatures, _, partial = marshal.loads(packed)
            yield approval_id, State(row, signatures, [], partial)


def as_approval(row: Row, signatures: Signatures) -> engine.Approval:
    """Raises ValueError, KeyError or TypeError for a row that no database can have."""
    closed_at, roles = row.get("closed_at"), tuple(row["required_roles"])
    signed = (
        _digest(
            row["approval_id"], row["action"], row["resource"], roles, row["requested_by"], row["sla_deadline"]
        ).hex()
        if signatures
        else ""
    )
    return engine.Approval(
        row["approval_id"],
        row["action"],
        row["resource"],
        roles,
        int(row["required_signer_count"]),
        row["requested_by"],
        row["state"],
        instant.parse(row["sla_deadline"]),
        None if closed_at is None else instant.parse(closed_at),
        tuple(_signature_of(role, signer, digest, signed) for role, signer, digest in signatures),
    )


def _signature_of(role: str, signer: str, digest: str, signed: str) -> engine.Signature:
    """Returns a signature for the engine. An equal digest becomes None, so that no decision has to compute it again."""
    return engine.Signature(role, signer, None if digest == signed else bytes.fromhex(digest))


@lru_cache(maxsize=KEPT_IN_MEMORY)
def _digest(
    approval_id: str, action: str, resource: str | None, roles: tuple[str, ...], requested_by: str, deadline: str
) -> bytes:
    """What a signer signs does not change between two signatures."""
    return engine.digest(
        engine.Approval(approval_id, action, resource, roles, len(roles), requested_by, "", instant.parse(deadline))
    )


def digest_of(row: Row) -> str:
    return _digest(
        row["approval_id"],
        row["action"],
        row["resource"],
        tuple(row["required_roles"]),
        row["requested_by"],
        row["sla_deadline"],
    ).hex()


# -- steps ------------------------------------------------------------------------------------------------------------


def step(state: State, kind: str, data: Row) -> Iterator[str]:
    """Applies one event to an approval, and yields each problem. The caller must iterate to the end."""
    row = data.get("row")
    if not isinstance(row, dict) or data.get("op") not in ("INSERT", "UPDATE"):
        yield f"event {kind} with operation {data.get('op')}: approvals and signatures are never deleted"
    elif kind == "signature.added":
        yield from _signature(state, row)
    else:
        before, state.row = state.row, row
        state.changed()
        yield from _impossible(row)
        yield from _row_problems(state, before, kind, data, row)


def _impossible(row: Row) -> Iterator[str]:
    """What the table's constraints and its guard refuse."""
    roles, count, closed = row["required_roles"], row["required_signer_count"], row["closed_at"] is not None
    if not engine.well_formed(row["approval_id"]):
        yield f"{row['approval_id']!r} is no approval's id"
    if not 1 <= len(roles) <= engine.MOST_SIGNERS or len(roles) != count:
        yield f"it has {len(roles)} required roles and required_signer_count {count}, which no approval has"
    if len(set(roles)) < len(roles) or "" in roles:
        yield "a required role is empty, or there twice"
    if "" in (row["action"], row["resource"], row["requested_by"]):
        yield "its action, resource or requester is empty"
    for name in INSTANTS:
        if (at := row[name]) is not None:
            try:
                instant.parse(at)
            except ValueError:
                yield f"its {name} is {at}, which is no instant of the calendar"
    if row["state"] not in engine.STATES or (row["state"] == "withdrawn") != closed:
        yield f"it is in the state {row['state']} and {'closed' if closed else 'not closed'}, as no approval is"


def _row_problems(state: State, before: Row | None, kind: str, data: Row, row: Row) -> Iterator[str]:
    if kind == "approval.issued":
        if before is not None:
            yield "it was issued a second time"
        elif row.get("state") != "pending":
            yield f"it was issued in the state {row.get('state')}, as no approval begins"
        return
    if before is None:
        if not state.partial:
            yield f"event {kind}, though no document before it issued the approval"
        return
    expected = {**before, **{name: change[1] for name, change in data.get("changed", {}).items()}}
    if expected != row or any(before.get(name) != change[0] for name, change in data.get("changed", {}).items()):
        names = sorted(
            name
            for name in expected.keys() | row.keys()
            if before.get(name) != row.get(name) and name not in data.get("changed", {})
        )
        yield f"event {kind} does not follow from the step before{': ' + ', '.join(names) + ' differ' if names else ''}"
    if (after := STATE_AFTER.get(kind)) is not None and (
        row.get("state") != after or after not in FOLLOWS.get(str(before.get("state")), ())
    ):
        yield f"event {kind} leads from {before.get('state')} to {row.get('state')}"
    if after is None and row.get("state") != before.get("state"):
        yield f"event {kind} leads from {before.get('state')} to {row.get('state')}, though no such event changes the state"
    if _closed(before) != _NOT_CLOSED and (
        names := [name for name in CLOSED if before.get(name) is not None and row.get(name) != before.get(name)]
    ):
        yield f"it was closed, and event {kind} changes {', '.join(names)}"
    if state.signatures and _signed_for(before) != _signed_for(row):
        yield "what was signed was changed after it had been signed"
    if after in ("signed_partial", "signed_full") and not state.partial:
        try:
            wrong = state.disagreement()
        except (KeyError, TypeError, ValueError) as error:
            wrong = f"its row cannot be read: {why(error)}"
        if wrong:
            yield wrong


def _signature(state: State, row: Row) -> Iterator[str]:
    role, signer, digest = (
        str(row.get("signer_role")),
        str(row.get("signer")),
        str(row.get("approval_digest")).removeprefix("\\x"),
    )
    if state.row is not None:
        if state.row.get("state") == "withdrawn":
            yield f"{signer} signed it after it had been withdrawn (closed_at {state.row.get('closed_at')})"
        if role not in state.row.get("required_roles", ()):
            yield f"{signer} signed as {role}, a role that is not required"
        if signer == state.row.get("requested_by"):
            yield f"{signer} asked for it and signed it"
        if digest != digest_of(state.row):
            yield f"the signature of {signer} is of something else: its digest is not the approval's"
    elif not state.partial:
        yield f"{signer} signed an approval that was never issued"
    if any(role == other or signer == who for other, who, _ in state.signatures):
        yield f"{signer} or the role {role} signed twice"
    state.signatures = [*state.signatures, [role, signer, digest]]
    state.changed()


# -- decisions --------------------------------------------------------------------------------------------------------


def answer(approval: engine.Approval | None, data: Row) -> Row:
    """What the engine answers to the question that a check's document records."""
    asked = data["request"]
    at = instant.parse(data["evaluated_at"])
    request = engine.Request(data["approval_id"], asked["action"], asked["resource"])
    facts = engine.gather({} if approval is None else {approval.approval_id: approval}, request, at)
    return _response(facts, engine.first_match(facts))


def _response(facts: engine.Facts, rule: engine.Rule) -> Row:
    """The members of the response that follow from the rules."""
    approval = facts.approval
    return {
        "contract": engine.CONTRACT,
        "approval_id": facts.request.approval_id,
        "decision": rule.decision,
        "reason": rule.reason(facts),
        "state": approval.state if approval else None,
        "ttl_state": facts.ttl,
        "required_signer_count": approval.required_signer_count if approval else None,
        "signature_count": len(approval.signatures) if approval else None,
        "valid_until": engine.rfc3339(approval.sla_deadline) if approval and rule.decision == "valid" else None,
        "meta": {"operator_alert": rule.operator_alert, "precedence": rule.precedence, "requestable": rule.requestable},
    }


def _same(data: Row, response: Row) -> bool:
    return response.items() <= data.items()


@dataclass(frozen=True, slots=True)
class Replayed:
    """follows: the decision follows from the documents. late: how long the state it follows from had ended before."""

    follows: bool
    late: timedelta = timedelta(0)
    expected: Row | None = None


def replay(state: State | None, data: Row) -> Replayed:
    """Checks whether the recorded decision follows from the documents before it.

    A check does not wait for a change of its approval that is about to commit, so it may follow from an earlier state.
    The caller judges how long that state may have ended before.
    """
    response = answer(None if state is None else state.approval(), data)
    if _same(data, response):
        return Replayed(True)
    at = instant.parse(data["evaluated_at"])
    for ended, row, signatures in reversed(state.history if state else []):
        before = None if row is None else as_approval(row, signatures)
        if _same(data, answer(before, data)):
            return Replayed(True, max(timedelta(0), at - instant.parse(ended)))
    return Replayed(False, expected=response)
