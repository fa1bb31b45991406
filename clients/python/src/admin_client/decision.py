"""The answer to a check, whoever gave it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import orjson

CONTRACT = "sensitive.check.2b"


class Source(StrEnum):
    """Who decided."""

    SERVER = "server"
    """The database, just now."""
    CACHE = "cache"
    """The database, a moment ago; `audit_id` is the row of that answer."""
    CLIENT = "client"
    """This client, because there was no answer: always a deny, and without a row in the trail."""


class Reason(StrEnum):
    """Why this client denies by itself. The contract defines none of these reasons."""

    UNREACHABLE = "admin_unreachable"
    """No connection: refused, broken, name unknown, server starting or shutting down."""
    TIMEOUT = "admin_timeout"
    """No answer within the budget: slow server or network, or all connections in use."""
    ERROR = "admin_error"
    """The server raised an error that is not the call's own fault."""
    CALL_REFUSED = "call_refused"
    """The server refused this call's arguments or its token."""
    BREAKER_OPEN = "breaker_open"
    """Several calls have failed just before, so nobody was asked."""
    ANSWER_INVALID = "answer_invalid"
    """What came is not an answer of the contract to this question."""
    CLIENT_CLOSED = "client_closed"
    """The client is not open, or not any more."""


class AnswerInvalid(Exception):
    """The response is not an answer of the contract to the question that was asked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """*valid* or *deny*.  True where it is valid, so `if await client.check(...)` does what it says."""

    decision: str
    """`valid` or `deny`."""
    reason: str | None
    """Why it is denied: one of the contract's reasons, or a `Reason`.  None where it is valid."""
    valid_until: datetime | None
    """The approval's deadline where it is valid, by the server's clock."""
    evaluated_at: datetime | None
    """The server's clock when it decided; None where it did not."""
    audit_id: int | None
    """Row of `admin.audit`; None where the server did not answer."""
    source: Source
    response: Mapping[str, Any]
    """The contract's response as it came; empty where there was none."""
    detail: str | None = None
    """For a log: what went wrong where the client denies by itself."""

    def __bool__(self) -> bool:
        return self.decision == "valid"


def denied(reason: Reason, detail: object = None) -> Decision:
    """Returns a deny of the client's own."""
    return Decision("deny", reason, None, None, None, Source.CLIENT, {}, None if detail is None else describe(detail))


def describe(thing: object) -> str:
    """An error in one line, at most 200 characters."""
    text = f"{type(thing).__name__}: {thing}" if isinstance(thing, BaseException) else str(thing)
    return " ".join(text.split())[:200]


def read_answer(text: str, approval_id: str | None, source: Source = Source.SERVER) -> Decision:
    """Reads the decision from the response to a question about this approval.

    A response that is not exactly *valid* in the contract's form raises AnswerInvalid or is a deny, never a yes.
    """
    try:
        response = orjson.loads(text)
        decision, reason = response["decision"], response["reason"]
        audit_id = int(response["audit"]["audit_id"])
        evaluated_at = read_time(response["evaluated_at"])
        valid_until = None if response["valid_until"] is None else read_time(response["valid_until"])
        sound = (
            response["contract"] == CONTRACT
            and response["approval_id"] == approval_id
            and (
                decision == "valid"
                and reason is None
                and valid_until is not None
                or decision == "deny"
                and isinstance(reason, str)
            )
        )
    except (ValueError, TypeError, KeyError) as error:
        raise AnswerInvalid(describe(error)) from error
    if not sound:
        raise AnswerInvalid(f"not an answer of {CONTRACT} about {approval_id!r}: {text[:100]}")
    return Decision(decision, reason, valid_until, evaluated_at, audit_id, source, response)


FAR_AWAY = datetime.max.replace(tzinfo=UTC)


def read_time(text: str) -> datetime:
    """Reads a time of the contract.

    A year of more than four digits gives FAR_AWAY, the latest time that Python knows.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        if re.match(r"[0-9]{5,6}-", text):
            return FAR_AWAY
        raise
    if time.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    return time
