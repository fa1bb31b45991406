"""Reads one document: whether it is written as the extension writes it, which row it is of, and what it says.

The extension's own documents have one form only, and a duplicate member is refused. Otherwise two readers could
understand such a document differently, and the one that shows it to people need not be this one.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple, NoReturn

from . import forms
from .safe import Unreadable

OWN = "/admin_ext/"
TYPE_PREFIX = "ptt.admin."
MOST_AUDIT_ID = 2**63 - 1
AUDITID = b'"auditid":"'
FORBIDDEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\ufdd0-\\ufdef"
    + "".join(chr(plane * 0x10000 + last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)
"""What CloudEvents 1.0 (section 3.2) allows in no attribute: control characters, and what Unicode calls noncharacters."""
VISIBLE = re.compile("[!-~]")
APPROVAL_ID = re.compile(r"(?=.{1,64}\Z)APP-[0-9]{6}-[a-z0-9]+")


class Document(NamedTuple):
    """event: None for one of another source that is nested too deeply to be read.  digest: of everything but the store's id, which is another one when a row is sent again by another store."""

    event: dict[str, Any] | None
    audit_id: int
    own: bool
    digest: bytes


class Twice(Unreadable):
    """An object has a duplicate member."""


class _Doubled(dict[str, Any]):
    """An object with a duplicate member, whose last value counts."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Twice("a member is there twice")
    return found


def _any(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else _Doubled(found)


def _no_number(text: str) -> NoReturn:
    raise Unreadable(f"{text} is no number")


_PLAIN = json.JSONDecoder(parse_constant=_no_number).raw_decode
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number).decode
_TOLERANT = json.JSONDecoder(object_pairs_hook=_any, parse_constant=_no_number, parse_int=str).decode


def attribute(text: Any) -> Any:
    """Returns a text as an attribute.

    Characters that an attribute may not have become U+FFFD. An empty text becomes None.
    """
    if not isinstance(text, str) or (text.isascii() and text.isprintable()):
        return None if text == "" else text
    return FORBIDDEN.sub("\ufffd", text)


def is_approval_id(text: Any) -> bool:
    """Returns whether the text is an approval's id.

    The row of a document from elsewhere has its subject only in that case.
    """
    return isinstance(text, str) and APPROVAL_ID.fullmatch(text) is not None


def is_subject(text: Any) -> bool:
    """Returns whether the text can be the subject of a check.

    A check may be asked about any text. Readers stop at a subject that CloudEvents forbids, or at one without a visible
    character.
    """
    return isinstance(text, str) and FORBIDDEN.search(text) is None and VISIBLE.search(text) is not None


def auditid_of(document: bytes) -> int | None:
    """Returns the audit_id of a document without parsing it. In the extension's documents it comes before the data."""
    start = document.find(AUDITID)
    if start < 0:
        return None
    end = document.find(b'"', start + len(AUDITID))
    digits = document[start + len(AUDITID) : end]
    return int(digits) if digits.isdigit() and len(digits) <= len(str(MOST_AUDIT_ID)) else None


def _parse(document: bytes) -> dict[str, Any]:
    """Parses a document. In the data of events from elsewhere, members may be duplicate and numbers of any length."""
    text = document.decode()
    try:
        event = _STRICT(text)
    except ValueError:
        event = _TOLERANT(text)
        if isinstance(event, _Doubled) or str(event.get("source")).startswith(OWN):
            raise
    if not isinstance(event, dict):
        raise Unreadable("it is no JSON object")
    return event


def read(document: bytes) -> Document:
    """Raises ValueError, or one of the exceptions of a missing or strange member."""
    form = forms.ENVELOPE.match(document)
    if form is None:
        return _read_foreign(document)
    data_form, end = forms.DATA.get(form[3]), form.end()
    if data_form is not None and data_form.fullmatch(document, end, len(document) - 1) and document.endswith(b"}"):
        event, _ = _PLAIN(document.decode())  # the form has each member once, and nothing behind the object
    else:
        event = _STRICT(document.decode())
        if data_form is not None:
            raise Unreadable("its data is not in the form that the extension writes")
    if not form[1] == form[5] == form[4].lstrip(b"0"):
        raise Unreadable(
            f"its id, sequence and auditid are different: {event['id']}, {event['sequence']}, {event['auditid']}"
        )
    return Document(event, _audit_id(int(form[5])), True, digest_of(document, form[2]))


def digest_of(document: bytes, store: bytes) -> bytes:
    """Returns the digest of everything but the store's id, which the source contains."""
    return hashlib.sha256(document.replace(store, b"", 1)).digest()


def _audit_id(number: int) -> int:
    if not 1 <= number <= MOST_AUDIT_ID:
        raise Unreadable("its audit_id is in another place than the extension puts it, or is none")
    return number


def _read_foreign(document: bytes) -> Document:
    """Reads a document of another source, or one of the extension's own in a form that the extension does not write."""
    try:
        event = _parse(document)
    except RecursionError:
        if forms.FOREIGN.match(document) and (found := auditid_of(document)):
            return Document(None, found, False, hashlib.sha256(document).digest())
        raise
    if not all(isinstance(event[name], str) for name in ("id", "source", "type", "auditid", "recordedtime")):
        raise Unreadable("a member that every event has is no text")
    audit_id = _audit_id(int(event["auditid"]))
    if auditid_of(document) != audit_id:
        raise Unreadable("its audit_id is in another place than the extension puts it, or is none")
    if event["source"].startswith(OWN):
        raise Unreadable("it is of the extension's own, but not in the form that the extension writes")
    return Document(event, audit_id, False, hashlib.sha256(document).digest())
