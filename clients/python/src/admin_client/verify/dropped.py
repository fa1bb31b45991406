"""Months of the trail that a database has dropped.

Each dropped month leaves an event partition.dropped, which is delivered and sealed like any other. The event names the
bounds of the month, and its lowest and highest audit_id. Both are needed: the numbers of two months may overlap,
because a row gets its time before its number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from . import document
from .safe import Unreadable

TYPE = "partition.dropped"
MARK = f'"type":"{document.TYPE_PREFIX}{TYPE}"'.encode()
NUMBER = re.compile(r"[1-9][0-9]{0,17}")
UNSOUND = (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Month(NamedTuple):
    """The month's first instant and the one after its end, as documents write instants; its lowest and highest
    audit_id.
    """

    since: str
    until: str
    first: int
    last: int


def _instant(text: str) -> str:
    if text == "-infinity":
        return ""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise Unreadable("it is of no time zone")
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _number(text: str) -> int:
    if not NUMBER.fullmatch(text):
        raise Unreadable("it is no audit_id")
    return int(text)


def _month(data: Any) -> Month | None:
    """Returns the month, or None if it was empty or cannot be read. Nothing then counts as dropped."""
    try:
        return Month(
            _instant(data["from"]),
            _instant(data["to"]),
            _number(data["first_audit_id"]),
            _number(data["last_audit_id"]),
        )
    except UNSOUND:
        return None


def of_documents(store: str, text: bytes) -> Iterator[tuple[int, Month]]:
    """The months that documents of a store say were dropped, each with the audit_id of its event."""
    if MARK not in text:
        return
    for line in text.split(b"\n"):
        try:
            found = document.read(line) if MARK in line else None
            event = {} if found is None or not found.own else found.event or {}
            is_drop = event and event["type"] == document.TYPE_PREFIX + TYPE and event["source"] == document.OWN + store
        except UNSOUND:  # the reader of the documents' contents reports it
            continue
        if found is not None and is_drop and (month := _month(event["data"])) is not None:
            yield found.audit_id, month


def of_row(row: Any) -> Month | None:
    """The same of a row of the trail."""
    if row["event_type"] != TYPE or row["source_event_id"] is not None:
        return None
    try:
        return _month(json.loads(row["payload"]))
    except (ValueError, RecursionError):
        return None
