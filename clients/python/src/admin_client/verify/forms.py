"""The forms in which the extension writes its documents: members, their order, and the type of each value.

The functions that write approvals, signatures and decisions depend on no setting, so each of these documents has one
form only. Its regular expression excludes missing and duplicate members, and members of another type.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_CLOCK = rb'-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"'
TIME = rb'"(?:[0-9]{4}|\+[1-9][0-9]{4,5}|-(?!0000)[0-9]{4})' + _CLOCK
_RFC3339 = rb'"[0-9]{4}' + _CLOCK
_INSTANT = rb"(?:" + TIME + rb'|"-?infinity")'
_COUNT = rb"-?[0-9]{1,9}"
_FLAG = rb"(?:true|false)"
_HASH = rb'"[0-9a-f]{64}"'
_BYTES = rb'"\\\\x[0-9a-f]{64}"'
_ID = rb'"[1-9][0-9]{0,18}"'
_TEXTS = rb"\[(?:" + TEXT + rb"(?:," + TEXT + rb")*+)?\]"


def _or_null(form: bytes) -> bytes:
    return rb"(?:" + form + rb"|null)"


def _object(members: Iterable[tuple[str, bytes]], end: bytes = b"") -> bytes:
    return rb"\{" + b",".join(b'"%s":%s' % (name.encode(), form) for name, form in members) + end + rb"\}"


def token(text: bytes) -> bytes:
    """The form of what is recorded of a token. text: the form of its texts."""
    return _object((("issuer", text), ("key_id", text), ("token_id", _or_null(text)), ("sha256", _HASH)))


_TOKEN = token(TEXT)
_APPROVAL = {
    "approval_id": TEXT,
    "action": TEXT,
    "resource": _or_null(TEXT),
    "required_roles": _TEXTS,
    "required_signer_count": _COUNT,
    "requested_by": TEXT,
    "state": TEXT,
    "sla_deadline": TIME,
    "created_at": _INSTANT,
    "updated_at": _INSTANT,
    "closed_at": _or_null(TIME),
    "closed_by": _or_null(TEXT),
    "close_reason": _or_null(TEXT),
}
_SIGNATURE = {
    "signature_id": _ID,
    "approval_id": TEXT,
    "signer_role": TEXT,
    "signer": TEXT,
    "signed_at": TIME,
    "approval_digest": _BYTES,
    "token_issuer": _or_null(TEXT),
    "token_key_id": _or_null(TEXT),
    "token_id": _or_null(TEXT),
    "token_sha256": _or_null(_BYTES),
    "comment": _or_null(TEXT),
}
_DECISION = _object(
    (
        ("contract", TEXT),
        ("approval_id", _or_null(TEXT)),
        ("decision", TEXT),
        ("reason", _or_null(TEXT)),
        ("state", _or_null(TEXT)),
        ("ttl_state", _or_null(TEXT)),
        ("required_signer_count", _or_null(_COUNT)),
        ("signature_count", _or_null(_COUNT)),
        ("valid_until", _or_null(TIME)),
        ("evaluated_at", TIME),
        ("meta", _object((("operator_alert", _FLAG), ("precedence", _COUNT), ("requestable", _FLAG)))),
        (
            "audit",
            _object((("event_type", rb'"sensitive\.check\.2b"'), ("audit_id", _ID), ("sink_status", rb'"pending"'))),
        ),
        ("request", _object((("action", _or_null(TEXT)), ("resource", _or_null(TEXT)), ("token", _or_null(_TOKEN))))),
    )
)


def _changed(row: dict[str, bytes]) -> bytes:
    """The form of the changes of an UPDATE: members of the row in its order, each with the old and the new value."""
    return (
        rb"\{"
        + b"".join(
            rb'(?:"%s":\[%s,%s\](?:,(?=")|(?=\})))?+' % (name.encode(), form, form) for name, form in row.items()
        )
        + rb"\}"
    )


def _row_change(row: dict[str, bytes]) -> bytes:
    evidence = rb'(?:,"by":' + TEXT + rb'|,"verified":false|,"verified":true,"token":' + _TOKEN + rb")?+"
    return _object(
        (("op", rb'"(?:INSERT|UPDATE|DELETE)"'), ("changed", _changed(row)), ("row", _object(row.items()))), evidence
    )


def _compiled(form: bytes) -> re.Pattern[bytes]:
    return re.compile(form, re.DOTALL)


OPTIONAL = (b"partitionkey", b"actor", b"traceparent", b"requestid")
_OPTIONAL = b"".join(b'(?:,"%s":%s)?' % (name, TEXT) for name in OPTIONAL)
ENVELOPE = _compiled(
    rb'\{"specversion":"1\.0","id":"([1-9][0-9]{0,18})","source":"/admin_ext/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","type":"ptt\.admin\.([^"\\]*)"'
    rb'(?:,"subject":'
    + TEXT
    + rb')?,"time":'
    + _RFC3339
    + rb',"datacontenttype":"application/json","sequence":"([0-9]{19})","recordedtime":'
    + _RFC3339
    + _OPTIONAL
    + rb',"auditid":"([1-9][0-9]{0,18})","data":'
)
"""How the worker begins a document of its own store, up to the data, which is its last member.  Groups: id, store, type, sequence, auditid."""
FOREIGN = _compiled(rb'\{"specversion":"1\.0","id":' + TEXT + rb',"source":"(?!/admin_ext/)[^"\\]*"')
"""How it begins one of another source."""

CHECK, SIGNED = "sensitive.check.2b", "signature.added"
APPROVAL_STEPS = frozenset(
    ("approval.issued", "approval.signed_partial", "approval.signed_full", "approval.withdrawn", "approval.altered")
)
STEPS = APPROVAL_STEPS | {SIGNED}
DATA = {
    CHECK.encode(): _compiled(_DECISION),
    SIGNED.encode(): _compiled(_row_change(_SIGNATURE)),
    **dict.fromkeys((kind.encode() for kind in APPROVAL_STEPS), _compiled(_row_change(_APPROVAL))),
}
"""By type: the form of the data of what is replayed."""
