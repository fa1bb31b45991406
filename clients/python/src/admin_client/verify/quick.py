"""The quick check of a decision: compares its bytes with those that the engine's answer leads to.

Nearly all decisions follow from the documents before them. So the engine writes down once, for each situation of an
approval, what a decision has to say. That text is compared with the document's bytes. Equal bytes have the extension's
form and the right content. Unequal bytes prove nothing: the full check then reads the document as JSON (document.read,
approvals.replay) and finds out what is wrong, if anything.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from ..parity import engine, instant
from . import forms

_PLAIN = rb'"[ !#-\[\]-~]*+"'
"""A text that has one form in JSON, whoever writes it: ASCII without quote and backslash."""
_PLAIN_OR_NULL = rb"(null|" + _PLAIN + rb")"
_AT = rb"([0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}Z)"
_ID = rb"(APP-[0-9]{6}-[a-z0-9]{1,53}+)"
_DECISION = re.compile(
    rb'\{"specversion":"1\.0","id":"([1-9][0-9]{0,17}+)","source":"/admin_ext/([0-9a-f-]{36})","type":"ptt\.admin\.sensitive\.check\.2b","subject":"'
    + _ID
    + rb'","time":"'
    + _AT
    + rb'","datacontenttype":"application/json","sequence":"(?=[0-9]{19}")0++\1","recordedtime":"\4"'
    + b"".join(b'(?:,"%s":%s)?+' % (name, _PLAIN) for name in forms.OPTIONAL)
    + rb',"auditid":"\1","data":\{"contract":"sensitive\.check\.2b","approval_id":"\3",("decision":[^{}]*+)\{([^{}]*+)\},"audit":\{"event_type":"sensitive\.check\.2b","audit_id":"\1","sink_status":"pending"\}'
    + rb',"request":\{"action":'
    + _PLAIN_OR_NULL
    + rb',"resource":'
    + _PLAIN_OR_NULL
    + rb',"token":(?:null|'
    + forms.token(_PLAIN)
    + rb")\}\}\}"
)
_RESPONSE = re.compile(rb'.*?("decision":.*"valid_until":)(null|"[^"]*"),"evaluated_at":"[^"]*","meta":\{([^{}]*)\}.*')
MOST_ANSWERS = 10_000
_answers: dict[tuple[object, ...], Answer] = {}


class Decision(NamedTuple):
    """A decision whose instants, numbers and ids are the same wherever it has them.

    begin: its response up to the instant; meta: what that has in its braces; action and resource as they were asked for, in JSON."""

    audit_id: bytes
    store: bytes
    approval_id: bytes
    at: bytes
    begin: bytes
    meta: bytes
    action: bytes
    resource: bytes


class Answer(NamedTuple):
    """What the engine answers.  begin: up to valid_until, which is the deadline or null; meta: what that has in its braces."""

    begin: bytes
    is_valid: bool
    meta: bytes


def decision(line: bytes) -> Decision | None:
    """Returns None if the document is no decision, or if it needs the full check."""
    form = _DECISION.fullmatch(line)
    if form is None:
        return None
    found = Decision(*form.groups())
    try:
        datetime.fromisoformat(found.at.decode())
    except ValueError:
        return None
    return found


class Expected:
    """What decisions on an approval in its current state have to say. is_consistent: the engine finds no disagreement
    in it.
    """

    def __init__(self, approval: engine.Approval, is_consistent: bool) -> None:
        self._approval = approval
        self._situation = (
            approval.state,
            approval.closed_at is not None,
            is_consistent,
            approval.required_signer_count,
            len(approval.signatures),
        )
        self._action, self._resource = (
            _json(approval.action),
            None if approval.resource is None else _json(approval.resource),
        )
        self._until = engine.rfc3339(approval.sla_deadline).encode()
        self._deadline = _comparable(self._until)

    def is_said_by(self, found: Decision) -> bool:
        """Returns whether the decision says what the engine answers."""
        key = (
            *self._situation,
            self._age(found.at),
            found.action in (b"null", self._action),
            self._resource is None or found.resource in (b"null", self._resource),
        )
        answer = _answers.get(key)
        if answer is None:
            if len(_answers) == MOST_ANSWERS:
                _answers.clear()
            answer = _answers[key] = self._ask(found)
        until = b'"%s"' % self._until if answer.is_valid else b"null"
        return found.meta == answer.meta and found.begin == b'%s%s,"evaluated_at":"%s","meta":' % (
            answer.begin,
            until,
            found.at,
        )

    def _age(self, at: bytes) -> int:
        """Tells whether an instant is before the deadline, after it, or so long after it that the approval is stale."""
        if at < self._deadline:
            return 0
        return 1 if at <= _comparable(engine.rfc3339(self._approval.sla_deadline + engine.STALE_AFTER).encode()) else 2

    def _ask(self, found: Decision) -> Answer:
        approval, at = self._approval, instant.parse(found.at.decode())
        request = engine.Request(approval.approval_id, json.loads(found.action), json.loads(found.resource))
        facts = engine.gather({approval.approval_id: approval}, request, at)
        form = _RESPONSE.fullmatch(engine.response(facts, engine.first_match(facts), at).encode())
        assert form is not None
        return Answer(form[1], form[2] != b"null", form[3])


@lru_cache(maxsize=4000)
def _json(text: str) -> bytes:
    return engine.compact(text).encode()


def _comparable(text: bytes) -> bytes:
    """An instant as text that can be compared with those of the years 1 to 9999."""
    return {b"+": b"~", b"-": b""}.get(text[:1], text)
