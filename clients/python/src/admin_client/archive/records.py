"""Tells what a Kafka record is: a document of a store's stream, or a foreign record."""

import json
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

NUMBER_HEADER = "admin-ext-number"
SEAL_HEADER = "admin-ext-seal"
STORE_HEADER = "admin-ext-store"
REGISTRY_PREFIX_BYTES = 5
_HASH = re.compile(r"[0-9a-f]{64}")
_STORE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST_DIGITS = 19
_BRACE, _ZERO, _BACKSLASH = b"{0\\"
# The worker writes these members first; an ingested event cannot claim a source of this form.
_ID_AT = len(b'{"specversion":"1.0","id":"')
_SOURCE = b'","source":"/admin_ext/'
_STORE_BYTES = 36
_RECEIPT = b'","source":"/admin_ext/%s","type":"ptt.admin.archive.receipt"'
_OWN_SOURCE = re.compile(rb'\{"specversion":"1\.0","id":"(?:[^"\\]|\\.)*","source":"/admin_ext/([0-9a-f-]{36})"')

Headers = list[tuple[str, bytes | None]]


class Document(NamedTuple):
    """One document of a stream, and where it was read."""

    body: bytes
    partition: int
    offset: int
    schema_id: int | None


@dataclass(frozen=True)
class BatchSeal:
    """The worker's seal of one batch: the header on the batch's last record."""

    store: str
    sink: str
    first: int
    last: int
    chain: bytes
    previous: bytes
    continues: dict[str, Any] | None


class Numbered(NamedTuple):
    """A record with a delivery number. store is None if only a seal can tell the record's store."""

    number: int
    store: str | None
    document: Document
    seal: BatchSeal | None


_new = tuple.__new__  # what a NamedTuple's own constructor ends with, without the call in between


def is_store(text: object) -> bool:
    """Returns whether the text is a store's uuid in lower case."""
    return isinstance(text, str) and _STORE.fullmatch(text) is not None


def _is_number(value: object) -> bool:
    return type(value) is int and 1 <= value < 2**63


def _continues(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    if (
        not isinstance(value, dict)
        or not is_store(value.get("store"))
        or type(value.get("last")) is not int
        or not _HASH.fullmatch(str(value.get("chain")))
    ):
        raise ValueError("continues is malformed")
    return {name: value[name] for name in ("store", "last", "chain")}


def parse_seal(header: bytes) -> BatchSeal:
    """The seal in a header.  Raises ValueError for anything else."""
    seal = json.loads(header)
    if not isinstance(seal, dict) or seal.get("v") != 1 or not is_store(seal.get("store")):
        raise ValueError("not a seal of version 1")
    if not _is_number(seal.get("first")) or not _is_number(seal.get("last")) or seal["first"] > seal["last"]:
        raise ValueError("the numbers of the seal are malformed")
    if not isinstance(seal.get("sink"), str) or not all(
        _HASH.fullmatch(str(seal.get(name))) for name in ("chain", "previous")
    ):
        raise ValueError("sink or chain of the seal is malformed")
    return BatchSeal(
        seal["store"],
        seal["sink"],
        seal["first"],
        seal["last"],
        bytes.fromhex(seal["chain"]),
        bytes.fromhex(seal["previous"]),
        _continues(seal.get("continues")),
    )


def _source_store(body: bytes) -> str | None:
    """Returns the store that a document names as its source, or None for an event from elsewhere."""
    end = body.find(b'"', _ID_AT)
    at = end + len(_SOURCE)
    if body[end:at] == _SOURCE and body[end - 1] != _BACKSLASH and body.startswith(b'{"specversion":"1.0","id":"'):
        store = body[at : at + _STORE_BYTES].decode("latin-1")
        return store if _STORE.fullmatch(store) and body[at + _STORE_BYTES : at + _STORE_BYTES + 1] == b'"' else None
    found = _OWN_SOURCE.match(body)
    return found[1].decode() if found and is_store(found[1].decode()) else None


def is_receipt(body: bytes, store: str) -> bool:
    """Returns whether the document is a store's own event about an archiver's receipt.

    The event's id is a number, so no character in it is escaped.
    """
    return body.startswith(_RECEIPT % store.encode(), body.find(b'"', _ID_AT))


def _is_number_header(number: bytes | None) -> bool:
    return (
        number is not None
        and number.isdigit()
        and len(number) <= _MOST_DIGITS
        and number[0] != _ZERO
        and int(number) < 2**63
    )


def parse(value: bytes | None, headers: Headers | None, partition: int, offset: int) -> Numbered | None:
    """Returns the numbered record. Returns None for a foreign record: it has no number, no document, or a malformed
    seal.

    It is called for each record, so it is optimised for speed.
    """
    number = seal_header = store_header = None
    for name, content in headers or ():
        if name == NUMBER_HEADER:
            number = content
        elif name == SEAL_HEADER:
            seal_header = content
        elif name == STORE_HEADER:
            store_header = content
    if not value or number is None or not _is_number_header(number):
        return None
    schema_id = None
    if value[0] == 0 and len(value) > REGISTRY_PREFIX_BYTES:
        schema_id, value = int.from_bytes(value[1:REGISTRY_PREFIX_BYTES], "big"), value[REGISTRY_PREFIX_BYTES:]
    if value[0] != _BRACE or b"\n" in value:
        return None
    document = _new(Document, (value, partition, offset, schema_id))
    if seal_header is not None:
        return _sealed(int(number), document, seal_header)
    if store_header is not None:
        store = store_header.decode("ascii", "replace")
        return Numbered(int(number), store, document, None) if is_store(store) else None
    return _new(Numbered, (int(number), _source_store(value), document, None))


def _sealed(number: int, document: Document, header: bytes) -> Numbered | None:
    try:
        seal = parse_seal(header)
    except (ValueError, RecursionError):
        return None
    return Numbered(number, seal.store, document, seal) if seal.last == number else None
