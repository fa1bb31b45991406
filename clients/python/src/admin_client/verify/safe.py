"""Reads what others have written without surprises, and shows it so that it cannot pass for the
verifier's own words.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterator
from typing import IO, Any

from ..evidence import merkle
from ..parity import instant
from .report import CannotLook, printable

MOST_LINE = 256 << 20
"""Of one line: a document is far below, and memory stays bounded."""
_SURROGATE = "\\ud"


class Oversized(CannotLook):
    """A line is longer than the verifier reads."""

    def __init__(self) -> None:
        super().__init__(f"a line is longer than {MOST_LINE:,} bytes, which is the most that the verifier reads")


class Unreadable(ValueError):
    """Why something cannot be read, in words of the verifier's own."""


_OURS = (Unreadable, instant.NoInstant, merkle.NoPath, OSError)
"""Whose text is for people.  Texts of Python's own functions name no member, and say nothing to a reader."""


def why(error: BaseException) -> str:
    """Why something cannot be read, in words for people."""
    if isinstance(error, json.JSONDecodeError):
        if error.doc.startswith("\ufeff"):
            return "it begins with a byte order mark (the bytes EF BB BF), which is no part of JSON"
        return f"it is no JSON from its character {error.pos + 1:,} on" if error.doc else "it is empty"
    if isinstance(error, UnicodeError):
        return "it has bytes that are no letters in UTF-8"
    if isinstance(error, KeyError):
        return f'it has no member "{error.args[0] if error.args else ""}"'
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, binascii.Error):
        return "a value is not base64"
    return str(error) if isinstance(error, _OURS) else "a member has a value that is not of its kind"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Unreadable("a member is there twice")
    return found


_PLAIN, _STRICT = json.JSONDecoder().decode, json.JSONDecoder(object_pairs_hook=_unique).decode


def load_json(text: bytes, twice: bool = False) -> Any:
    """Parses JSON. Raises only ValueError: Unreadable, too, for a duplicate member, deep nesting, and half a character.

    twice: duplicate members and half characters are allowed, as in the data of events from elsewhere. The last one
    counts.
    """
    try:
        decoded = text.decode()
        value = (_PLAIN if twice else _STRICT)(decoded)
        if not twice and _SURROGATE in decoded.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    return value


def top_members(text: bytes, name: str) -> list[Any]:
    """All members of an object with this name, should it be there more than once.  Raises ValueError."""
    try:
        pairs = json.loads(text.decode(), object_pairs_hook=tuple)
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    return (
        [pair[1] for pair in pairs if isinstance(pair, tuple) and len(pair) == 2 and pair[0] == name]
        if isinstance(pairs, tuple)
        else []
    )


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file.  Raises Oversized."""
    while line := file.readline(MOST_LINE + 1):
        if len(line) > MOST_LINE:
            raise Oversized
        yield line


def printable_all(value: Any) -> Any:
    """The same, with all its texts printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {name: printable_all(member) for name, member in value.items()}
    return [printable_all(member) for member in value] if isinstance(value, list) else value
