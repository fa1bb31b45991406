"""The file-backed decision engine, contract sensitive.check.2b.

It is written only from the rules (doc, COMMENT of the SQL functions) and shares no code with the extension. So a
mistake would have to be made twice to stay undetected. Pure: no clock, no file, no database.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeGuard

from . import instant

CONTRACT = "sensitive.check.2b"
STATES = ("pending", "signed_partial", "signed_full", "withdrawn")
STALE_AFTER = timedelta(hours=24)
APPROVAL_ID = re.compile(r"APP-[0-9]{6}-[a-z0-9]+")
APPROVAL_ID_BYTES = 64
ACTION_BYTES = 256
RESOURCE_BYTES = 2048
MOST_SIGNERS = 8


Moment = Any
"""A datetime, or an instant.Instant, which reaches beyond the year 9999.  Those that are compared are of one kind."""


@dataclass(frozen=True, slots=True)
class Signature:
    """One person's approval in one role. A digest of None: the person signed what the approval says."""

    signer_role: str
    signer: str
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """Permission to perform one sensitive action.

    It validates no value: the rules have to handle every approval that can exist.
    """

    approval_id: str
    action: str
    resource: str | None
    required_roles: tuple[str, ...]
    required_signer_count: int
    requested_by: str
    state: str
    sla_deadline: Moment
    closed_at: Moment | None = None
    signatures: tuple[Signature, ...] = ()


@dataclass(frozen=True, slots=True)
class Request:
    """What FF asks, and the instant to answer for.  None: null; for the instant, now."""

    approval_id: str | None
    action: str | None = None
    resource: str | None = None
    at: datetime | None = None


class OverLimit(ValueError):
    """An argument is longer than any approval's can be. That is an error, not an answer."""

    sqlstate = "22023"


def octets(text: str) -> bytes:
    return text.encode("utf-8")


def rfc3339(at: Moment) -> str:
    """UTC, always six fraction digits, Z."""
    if isinstance(at, instant.Instant):
        return instant.written(at)
    return str(at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z")


def well_formed(approval_id: str | None) -> TypeGuard[str]:
    return (
        approval_id is not None
        and APPROVAL_ID.fullmatch(approval_id) is not None
        and len(octets(approval_id)) <= APPROVAL_ID_BYTES
    )


def ttl_state(state: str, closed_at: Moment | None, sla_deadline: Moment, at: Moment) -> str:
    """What a deadline means at an instant."""
    age: timedelta = at - sla_deadline
    if state == "withdrawn" or closed_at is not None:
        return "not-applicable"
    if age > STALE_AFTER:
        return "stale"
    if age >= timedelta(0):
        return "expired"
    if state == "signed_full":
        return "valid"
    return "not-applicable"


def digest(approval: Approval) -> bytes:
    """SHA-256 of what a signer signs."""

    def field(text: str | None) -> bytes:
        if text is None:
            return b"\xff\xff\xff\xff"
        return len(octets(text)).to_bytes(4, "big") + octets(text)

    return hashlib.sha256(
        b"".join(
            [
                field(approval.approval_id),
                field(approval.action),
                field(approval.resource),
                len(approval.required_roles).to_bytes(4, "big"),
                *map(field, approval.required_roles),
                field(approval.requested_by),
                field(rfc3339(approval.sla_deadline)),
            ]
        )
    ).digest()


def state_reached(required: int, signed: int) -> str | None:
    """Returns the state that this number of signatures leads to, or None if there is no such state."""
    if not 1 <= required <= MOST_SIGNERS or signed > required:
        return None
    if signed == 0:
        return "pending"
    return "signed_partial" if signed < required else "signed_full"


def disagreement(approval: Approval) -> str | None:
    """Describes what is inconsistent about an approval that is not closed. Returns None if it is consistent."""
    signatures = approval.signatures
    if approval.required_signer_count != len(approval.required_roles):
        return f"required_signer_count is {approval.required_signer_count}, required_roles are {len(approval.required_roles)}"
    reached = state_reached(approval.required_signer_count, len(signatures))
    if approval.state != reached:
        return (
            f'the state is "{approval.state}", {len(signatures)} of {approval.required_signer_count} signatures '
            f"amount to {reached or 'nothing'}"
        )
    if len({s.signer_role for s in signatures}) < len(signatures):
        return "a role signed twice"
    if len({s.signer for s in signatures}) < len(signatures):
        return "a person signed twice"
    if any(s.signer_role not in approval.required_roles for s in signatures):
        return "a signature is in a role that is not required"
    if any(s.signer == approval.requested_by for s in signatures):
        return "the requester signed"
    if any(s.digest is not None for s in signatures):
        signed = digest(approval)
        if any(s.digest not in (None, signed) for s in signatures):
            return "a signature is of something else: its digest is not the approval's"
    return None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a rule may look at."""

    request: Request
    approval: Approval | None
    ttl: str | None

    @property
    def found(self) -> Approval:
        """The approval, where the second rule has not held."""
        if self.approval is None:
            raise LookupError("no approval")
        return self.approval


@dataclass(frozen=True, slots=True)
class Rule:
    """One of the ten rules. Its condition is evaluated only if no earlier rule holds, and may rely on that."""

    precedence: int
    title: str
    holds: Callable[[Facts], bool]
    reason: Callable[[Facts], str | None]
    decision: str = "deny"
    operator_alert: bool = False
    requestable: bool = False


def says(reason: str | None) -> Callable[[Facts], str | None]:
    return lambda facts: reason


def signers_missing(facts: Facts) -> str:
    return "dual_signers_required" if facts.found.required_signer_count >= 2 else "signature_required"


def named_otherwise(asked: str | None, approved: str) -> bool:
    return asked is not None and asked != approved


RULES = (
    Rule(
        1,
        "approval_id null or malformed",
        lambda f: not well_formed(f.request.approval_id),
        says("approval_id_invalid"),
    ),
    Rule(2, "no such approval", lambda f: f.approval is None, says("approval_not_found")),
    Rule(
        3,
        "withdrawn or closed",
        lambda f: f.found.state == "withdrawn" or f.found.closed_at is not None,
        says("approval_withdrawn"),
    ),
    Rule(
        4,
        "state and signatures disagree",
        lambda f: disagreement(f.found) is not None,
        says("approval_inconsistent"),
        operator_alert=True,
    ),
    Rule(5, "another action", lambda f: named_otherwise(f.request.action, f.found.action), says("action_mismatch")),
    Rule(
        6,
        "another resource",
        lambda f: f.found.resource is not None and named_otherwise(f.request.resource, f.found.resource),
        says("resource_mismatch"),
    ),
    Rule(7, "stale", lambda f: f.ttl == "stale", says("approval_expired"), operator_alert=True),
    Rule(8, "expired", lambda f: f.ttl == "expired", says("approval_expired")),
    Rule(9, "not signed in full", lambda f: f.found.state != "signed_full", signers_missing, requestable=True),
    Rule(10, "otherwise", lambda f: True, says(None), decision="valid"),
)


def gather(store: Mapping[str, Approval], request: Request, at: Moment) -> Facts:
    approval = store.get(request.approval_id) if well_formed(request.approval_id) else None
    ttl = None if approval is None else ttl_state(approval.state, approval.closed_at, approval.sla_deadline, at)
    return Facts(request, approval, ttl)


def first_match(facts: Facts) -> Rule:
    return next(rule for rule in RULES if rule.holds(facts))


compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def response(facts: Facts, rule: Rule, at: Moment) -> str:
    approval = facts.approval
    return compact(
        {
            "contract": CONTRACT,
            "approval_id": facts.request.approval_id,
            "decision": rule.decision,
            "reason": rule.reason(facts),
            "state": approval.state if approval else None,
            "ttl_state": facts.ttl,
            "required_signer_count": approval.required_signer_count if approval else None,
            "signature_count": len(approval.signatures) if approval else None,
            "valid_until": rfc3339(approval.sla_deadline) if approval and rule.decision == "valid" else None,
            "evaluated_at": rfc3339(at),
            "meta": {
                "operator_alert": rule.operator_alert,
                "precedence": rule.precedence,
                "requestable": rule.requestable,
            },
            "audit": {"event_type": CONTRACT, "audit_id": None, "sink_status": "deferred"},
        }
    )


def decide(store: Mapping[str, Approval], request: Request, at: datetime) -> str:
    """The answer to a request as of an instant: the response's exact text, as a preview gives it.

    Raises OverLimit for an action or resource that is longer than any approval's."""
    for name, argument, limit in (
        ("action", request.action, ACTION_BYTES),
        ("resource", request.resource, RESOURCE_BYTES),
    ):
        if argument is not None and len(octets(argument)) > limit:
            raise OverLimit(f'argument "{name}" has {len(octets(argument))} bytes, the limit is {limit}')
    facts = gather(store, request, at)
    return response(facts, first_match(facts), at)


def explain(store: Mapping[str, Approval], request: Request, at: datetime) -> str:
    """Which rule decides, and upon what, in a sentence."""
    facts = gather(store, request, at)
    rule = first_match(facts)
    approval, looked_at = facts.approval, "no such approval"
    if approval is not None:
        age = at - approval.sla_deadline
        distance = age if age >= timedelta(0) else -age
        looked_at = (
            f"state {approval.state}, {len(approval.signatures)} of "
            f"{approval.required_signer_count} signed, {distance} {'after' if age >= timedelta(0) else 'before'} "
            f"the deadline ({facts.ttl})"
        )
        if approval.state != "withdrawn" and (wrong := disagreement(approval)):
            looked_at += f"; {wrong}"
    return f"rule {rule.precedence}, {rule.title}: {looked_at}"
