"""A file-backed store's document: a JSON array of approvals with their signatures.

It is read leniently: an unsound element is named by its index and left out, and the rest is taken. The rules of
soundness are those of admin.import_approvals(), so that file and database hold the same approvals.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, NoReturn

from .engine import MOST_SIGNERS, STATES, Approval, Signature, octets, state_reached, well_formed
from .instants import after, instant

Document = list[Any]
Element = dict[str, Any]

INSTANTS = ("sla_deadline", "created_at", "closed_at")
MEMBERS = frozenset(
    (
        "approval_id",
        "action",
        "resource",
        "required_roles",
        "required_signer_count",
        "requested_by",
        "state",
        "signatures",
    )
    + ("closed_by", "close_reason", "fixture", "expected", *INSTANTS, *(f"{name}_offset" for name in INSTANTS))
)
SIGNATURE_MEMBERS = frozenset(("signer_role", "signer", "signed_at", "signed_at_offset", "comment"))
"""What is read of an element, and of a signature; members of other names are passed by."""


class Unsound(ValueError):
    """What is wrong with an element."""


class Unreadable(ValueError):
    """The document is not a store."""


@dataclass(frozen=True, slots=True)
class Rejected:
    index: int
    error: str
    approval_id: str | None = None
    as_told: Approval | None = None  # the element taken at its word, where it has enough of one


@dataclass(slots=True)
class Store:
    approvals: dict[str, Approval] = field(default_factory=dict)
    rejected: list[Rejected] = field(default_factory=list)
    imported: int = 0
    unchanged: int = 0
    index: dict[str, int] = field(default_factory=dict)  # approval_id -> the element it came from


@dataclass(frozen=True, slots=True)
class Incoming:
    """A parsed element: the approval, and the values that only matter for deciding whether a second
    one says the same.
    """

    approval: Approval
    created_at: datetime | None
    closed_by: str | None
    close_reason: str | None
    signed_at: tuple[datetime | None, ...]
    comments: tuple[str | None, ...]


def parse(text: str | bytes) -> Document:
    """Returns the elements of a document. Raises Unreadable if it is not a JSON array that a database would accept."""

    def refuse(constant: str) -> NoReturn:
        raise Unreadable(f"{constant} is no JSON")

    def whole(digits: str) -> int | Decimal:
        return int(digits) if len(digits) < 1000 else Decimal(digits)

    try:
        document = json.loads(text, parse_float=Decimal, parse_int=whole, parse_constant=refuse)
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise Unreadable(f"the document is no JSON: {error}") from error
    if not isinstance(document, list):
        raise Unreadable("the document is no JSON array")
    refuse_strings(document)
    return document


def refuse_strings(value: object) -> None:
    """Refuses a document with U+0000 or half of a surrogate pair, because jsonb cannot hold them."""
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise Unreadable("a string has U+0000, or half of a surrogate pair")
    elif isinstance(value, list):
        for member in value:
            refuse_strings(member)
    elif isinstance(value, dict):
        for key, member in value.items():
            refuse_strings(key)
            refuse_strings(member)


def passed_by(elements: Document) -> Counter[str]:
    """Returns the members that no side reads, and how many elements have each. A misspelt member's value is lost."""
    found: Counter[str] = Counter()
    for element in elements:
        if not isinstance(element, dict):
            continue
        found.update(element.keys() - MEMBERS)
        signatures = element.get("signatures")
        for signature in signatures if isinstance(signatures, list) else []:
            if isinstance(signature, dict):
                found.update(f"signatures.{name}" for name in signature.keys() - SIGNATURE_MEMBERS)
    return found


# -- members ----------------------------------------------------------------------------------------------------------


def text_of(element: Element, key: str, most: int, least: int = 0) -> str | None:
    value = element.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Unsound(f'"{key}" is not a string')
    if not least <= len(octets(value)) <= most:
        raise Unsound(f'"{key}" has {len(octets(value))} bytes, {least} to {most} are allowed')
    return value


def needed_text_of(element: Element, key: str, most: int, least: int = 0) -> str:
    value = text_of(element, key, most, least)
    if value is None:
        raise Unsound(f'"{key}" is missing')
    return value


CONTROL = re.compile("[\x01-\x1f\x7f-\x9f\u2028\u2029]")
"""Control characters, and the separators of lines and paragraphs: no text has one that is shown on one line."""


def line_of(element: Element, key: str, most: int) -> str | None:
    value = text_of(element, key, most, 1)
    if value is not None and CONTROL.search(value):
        raise Unsound(f'"{key}" has a control character')
    return value


def needed_line_of(element: Element, key: str, most: int) -> str:
    value = line_of(element, key, most)
    if value is None:
        raise Unsound(f'"{key}" is missing')
    return value


def instant_of(element: Element, key: str, loaded_at: datetime) -> datetime | None:
    value = text_of(element, key, 64)
    offset = text_of(element, key + "_offset", 64)
    if value is not None and offset is not None:
        raise Unsound(f'"{key}" is given twice, as an instant and as an offset')
    try:
        if value is not None:
            return instant(value)
        return None if offset is None else after(loaded_at, offset)
    except OverflowError as error:
        raise Unsound(f'"{key}" is not in the years 1 to 9999') from error
    except ValueError as error:
        raise Unsound(f'"{key}": {error}: "{value or offset}"') from error


# -- elements ---------------------------------------------------------------------------------------------------------


def roles_of(element: Element) -> tuple[str, ...]:
    roles = element.get("required_roles")
    if not isinstance(roles, list) or not all(isinstance(role, str) for role in roles):
        raise Unsound('"required_roles" is not an array of strings')
    count = element.get("required_signer_count")
    if count is not None and (isinstance(count, bool) or not isinstance(count, (int, Decimal)) or count != len(roles)):
        raise Unsound(f'"required_signer_count" is {count}, but "required_roles" names {len(roles)}')
    if not 1 <= len(roles) <= MOST_SIGNERS:
        raise Unsound(f'"required_roles" names {len(roles)}, 1 to {MOST_SIGNERS} are allowed')
    if len(set(roles)) < len(roles):
        raise Unsound('"required_roles" names a role twice')
    if not all(1 <= len(octets(role)) <= 128 for role in roles):
        raise Unsound('a role of "required_roles" has no bytes, or more than 128')
    if any(CONTROL.search(role) for role in roles):
        raise Unsound('a role of "required_roles" has a control character')
    return tuple(roles)


def signatures_of(element: Element, loaded_at: datetime) -> Iterable[tuple[Signature, datetime | None, str | None]]:
    signatures = element.get("signatures")
    if signatures is None:
        return
    if not isinstance(signatures, list):
        raise Unsound('"signatures" is not an array')
    for signature in signatures:
        if not isinstance(signature, dict):
            raise Unsound("a signature is not an object")
        yield (
            Signature(
                needed_text_of(signature, "signer_role", 128, 1),
                needed_line_of(signature, "signer", 256),
            ),
            instant_of(signature, "signed_at", loaded_at),
            text_of(signature, "comment", 4096),
        )


def read_element(element: object, loaded_at: datetime) -> Incoming:
    if not isinstance(element, dict):
        raise Unsound("not an object")
    approval_id = needed_text_of(element, "approval_id", 64)
    if not well_formed(approval_id):
        raise Unsound(f'"approval_id" is not of the form APP-nnnnnn-name: "{approval_id}"')
    roles = roles_of(element)
    signed = tuple(signatures_of(element, loaded_at))
    state = text_of(element, "state", 64)
    action = needed_line_of(element, "action", 256)
    resource = line_of(element, "resource", 2048)
    requested_by = needed_line_of(element, "requested_by", 256)
    sla_deadline = instant_of(element, "sla_deadline", loaded_at)
    closed_at = instant_of(element, "closed_at", loaded_at)
    created_at = instant_of(element, "created_at", loaded_at)
    closed_by = line_of(element, "closed_by", 256)
    close_reason = text_of(element, "close_reason", 4096)
    if sla_deadline is None:
        raise Unsound('"sla_deadline" is missing')
    approval = Approval(
        approval_id,
        action,
        resource,
        roles,
        len(roles),
        requested_by,
        "pending" if state is None else state,
        sla_deadline,
        closed_at,
        tuple(signature for signature, _, _ in signed),
    )
    incoming = Incoming(
        approval,
        created_at,
        closed_by,
        close_reason,
        tuple(at for _, at, _ in signed),
        tuple(said for _, _, said in signed),
    )
    check_state(incoming)
    return incoming


def check_state(incoming: Incoming) -> None:
    approval = incoming.approval
    if approval.state not in STATES:
        raise Unsound(f'state "{approval.state}" is unknown')
    if approval.state != "withdrawn" and (incoming.closed_by is not None or incoming.close_reason is not None):
        raise Unsound('"closed_by" and "close_reason" are for withdrawn approvals')
    if (approval.state == "withdrawn") != (approval.closed_at is not None):
        raise Unsound('"closed_at" is set if and only if the state is withdrawn')


def check_signatures(approval: Approval) -> None:
    signatures = approval.signatures
    for number, signature in enumerate(signatures):
        if signature.signer_role not in approval.required_roles:
            raise Unsound(f'role "{signature.signer_role}" signed, but is not required')
        if signature.signer == approval.requested_by:
            raise Unsound(f'"{signature.signer}" signed, who is the requester')
        if any(signature.signer_role == s.signer_role for s in signatures[:number]):
            raise Unsound(f'role "{signature.signer_role}" signed twice')
        if any(signature.signer == s.signer for s in signatures[:number]):
            raise Unsound(f'"{signature.signer}" signed twice')
    reached = state_reached(approval.required_signer_count, len(signatures))
    if approval.state not in ("withdrawn", reached):
        raise Unsound(f'state is "{approval.state}", but its signatures amount to "{reached}"')


Signed = tuple[str, str, str | None, datetime | None]


def same(there: Incoming, incoming: Incoming, element: Element) -> bool:
    """Returns whether the stored element says everything that a further element says.

    Members that the further one leaves open, or gives relative to the load, agree.
    """
    old, new = there.approval, incoming.approval
    if (
        old.action,
        old.resource,
        old.required_roles,
        old.requested_by,
        old.state,
        there.closed_by,
        there.close_reason,
    ) != (
        new.action,
        new.resource,
        new.required_roles,
        new.requested_by,
        new.state,
        incoming.closed_by,
        incoming.close_reason,
    ):
        return False
    for key, at, now in (
        ("sla_deadline", old.sla_deadline, new.sla_deadline),
        ("created_at", there.created_at, incoming.created_at),
        ("closed_at", old.closed_at, new.closed_at),
    ):
        if element.get(key) is not None and at != now:
            return False

    def signed(of: Incoming) -> list[Signed]:
        return [
            (s.signer_role, s.signer, said, at)
            for s, said, at in zip(of.approval.signatures, of.comments, of.signed_at)
        ]

    def matches(a: Signed, b: Signed, number: int) -> bool:
        stated: bool = element["signatures"][number].get("signed_at") is not None
        return a[:3] == b[:3] and (not stated or a[3] == b[3])

    before = signed(there)
    return len(before) == len(new.signatures) == len({s.signer_role for s in new.signatures}) and all(
        any(matches(a, b, number) for a in before) for number, b in enumerate(signed(incoming))
    )


def complete(incoming: Incoming, loaded_at: datetime) -> Incoming:
    """Fills in what an element leaves open, as the load does."""
    return Incoming(
        incoming.approval,
        incoming.created_at or loaded_at,
        incoming.closed_by,
        incoming.close_reason,
        tuple(at or loaded_at for at in incoming.signed_at),
        incoming.comments,
    )


def at_its_word(element: Any, loaded_at: datetime) -> Approval | None:
    """Takes an unsound element literally, for the answer of a reader of the file alone.

    Returns None if it does not say enough.
    """
    try:
        signed = element.get("signatures") or []
        roles = element.get("required_roles")
        count = element.get("required_signer_count")
        sla_deadline = instant_of(element, "sla_deadline", loaded_at)
        if sla_deadline is None or count is not None and not abs(count) < 1 << 15:
            return None
        approval = Approval(
            element["approval_id"],
            element["action"],
            element.get("resource"),
            tuple(roles),
            len(roles) if count is None else int(count),
            element["requested_by"],
            element.get("state") or "pending",
            sla_deadline,
            instant_of(element, "closed_at", loaded_at),
            tuple(Signature(s["signer_role"], s["signer"]) for s in signed),
        )
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError):
        return None
    texts = [
        approval.approval_id,
        approval.action,
        approval.requested_by,
        approval.state,
        *approval.required_roles,
        *(text for s in approval.signatures for text in (s.signer_role, s.signer)),
    ]
    if not all(isinstance(text, str) for text in texts) or not isinstance(approval.resource, str | None):
        return None
    return approval


def read(elements: Document, loaded_at: datetime) -> Store:
    """Returns the sound approvals of a document that is loaded at an instant, and by index what is wrong with the
    others.
    """
    store = Store()
    there: dict[str, Incoming] = {}
    for index, element in enumerate(elements):
        try:
            incoming = read_element(element, loaded_at)
            approval = incoming.approval
            if approval.approval_id in there:
                if not same(there[approval.approval_id], incoming, element):
                    raise Unsound(
                        f'approval "{approval.approval_id}" is element {store.index[approval.approval_id]} already, and differs'
                    )
                store.unchanged += 1
                continue
            check_signatures(approval)
        except Unsound as error:
            approval_id = element.get("approval_id") if isinstance(element, dict) else None
            store.rejected.append(
                Rejected(
                    index,
                    str(error),
                    approval_id if isinstance(approval_id, str) else None,
                    at_its_word(element, loaded_at),
                )
            )
            continue
        there[approval.approval_id] = complete(incoming, loaded_at)
        store.approvals[approval.approval_id] = approval
        store.index[approval.approval_id] = index
        store.imported += 1
    return store
