"""Compares two answers to one request, byte for byte except evaluated_at and audit.

The source of an answer does not matter: a recorded answer is compared in the same way as a fresh one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

EXCEPTED = ("evaluated_at", "audit")
DECODER = json.JSONDecoder()
BLANKS = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True, slots=True)
class Difference:
    """A key and its values on both sides, as text; None: the key is missing on that side.

    A key of None: the texts as wholes.
    """

    key: str | None
    left: str | None
    right: str | None

    def __str__(self) -> str:
        return f"{self.key or 'text'}: {self.left} / {self.right}"


def members(text: str) -> list[tuple[str, str]]:
    """The members of a JSON object in their order: key, and value as it is written.  Raises ValueError."""

    def skip(place: int) -> int:
        blanks = BLANKS.match(text, place)
        return blanks.end() if blanks else place

    def expect(place: int, characters: str) -> int:
        if text[place : place + 1] == "" or text[place] not in characters:
            raise ValueError(f"{characters!r} expected at {place}")
        return skip(place + 1)

    found: list[tuple[str, str]] = []
    place = expect(skip(0), "{")
    while text[place : place + 1] != "}":
        if found:
            place = expect(place, ",")
        key, end = DECODER.raw_decode(text, place)
        if not isinstance(key, str):
            raise ValueError(f"a key expected at {place}")
        start = expect(skip(end), ":")
        _, end = DECODER.raw_decode(text, start)
        found.append((key, text[start:end]))
        place = skip(end)
    if expect(place, "}") != len(text):
        raise ValueError("text after the object")
    return found


def written(pairs: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{json.dumps(key, ensure_ascii=False)}:{value}" for key, value in pairs) + "}"


def compare(left: str, right: str) -> tuple[Difference, ...]:
    """Returns the differences between two answers; empty if they are the same except for the excepted members."""
    if left == right:
        return ()
    try:
        ours, theirs = members(left), members(right)
    except ValueError:
        return (Difference(None, left, right),)
    if [key for key, _ in ours] == [key for key, _ in theirs]:
        differences = tuple(
            Difference(key, a, b) for (key, a), (_, b) in zip(ours, theirs) if a != b and key not in EXCEPTED
        )
    else:
        a, b = dict(ours), dict(theirs)
        differences = tuple(
            Difference(key, a.get(key), b.get(key))
            for key in dict.fromkeys([*a, *b])
            if key not in EXCEPTED and a.get(key) != b.get(key)
        ) or (Difference("order of keys", " ".join(key for key, _ in ours), " ".join(key for key, _ in theirs)),)
    if not differences and (left == written(ours)) != (right == written(theirs)):
        return (Difference(None, left, right),)
    return differences
