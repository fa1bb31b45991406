"""Parses JSON more strictly than Python's parser, in time that grows as the text does.

Python's parser accepts a member that is named twice, refuses a number of more than 4300 digits with advice about
Python, and raises RecursionError for a deep text. PostgreSQL's parser refuses numbers and characters that JSON allows.
An error in one element of a batch is reported for that element.

A text that may have many values is scanned before it is parsed. The scan refuses a text with more values than the
database accepts in anything.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

MOST_MEMBERS = 64  # of an object of a request; the largest has eight
MOST_DIGITS = 10_000  # well within what the type numeric takes; the database itself takes 1000
MOST_LEVELS = 500  # well within the stack of Python and of the database, which takes 100
MOST_VALUES = (
    131_072  # of an event: more do not fit into the 256 KiB that the database takes, were they all of one digit
)
FEW_VALUES = 5_000  # so few that parsing them takes no noticeable time
MOST_REQUEST_VALUES = 1_000
BLANKS = re.compile(r"[ \t\n\r]*+")
NUMBER = re.compile(r"-?([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?")
TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|([\[{])|([\]}])|,', re.DOTALL)
# What JSON can say and PostgreSQL's text cannot: NUL, and halves of surrogate pairs.  Escaped backslashes have been taken out before.
UNSTORABLE = re.compile(
    r"\\u(?:0000|[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2}\\u)[dD][c-fC-F])"
)


TOO_DEEP = "it is nested too deep"
TOO_LARGE = f"it has more than {MOST_VALUES} values"


@dataclass(slots=True)
class Reading:
    """Collects errors in the parsed text that can be reported without refusing it as JSON."""

    faults: list[str] = field(default_factory=list)
    is_wide: bool = False
    """An object has more than MOST_MEMBERS members."""

    def object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) < len(pairs) and not self.faults:
            seen: set[str] = set()
            name = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
            self.faults.append(f"member {json.dumps(name[:64])} is named twice")
        self.is_wide |= len(members) > MOST_MEMBERS
        return members

    def number(self, text: str) -> float | int:
        """Returns the number's value, or infinity if it has too many digits."""
        if len(text) <= 15 and text.lstrip("-").isdigit():
            return int(text)
        whole, fraction, exponent = NUMBER.fullmatch(text).groups()  # type: ignore[union-attr]
        power = (
            0 if exponent is None else int(exponent[:8])
        )  # of more digits: too large or too small, whatever they are
        if len(whole) + power > MOST_DIGITS or len(fraction or "") - power > MOST_DIGITS:
            self.faults.append("it has a number of more than 1000 digits")
            return math.inf
        return float(text) if fraction or exponent else int(text) if len(whole) < 400 else math.inf


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def decoder(reading: Reading) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=reading.object,
        parse_int=reading.number,
        parse_float=reading.number,
        parse_constant=refuse_constant,
    )


def survey(text: str, start: int, most_values: int) -> tuple[int, str | None]:
    """Returns where the array or object that begins here ends, and which limit it exceeds.

    Looks only at brackets and commas.
    """
    depth = deepest = values = 0
    for token in TOKEN.finditer(text, start):
        if token[1]:
            depth += 1
            values += 1
            deepest = max(deepest, depth)
        elif token[2]:
            depth -= 1
            if depth == 0:
                return token.end(), TOO_DEEP if deepest > MOST_LEVELS else TOO_LARGE if values > most_values else None
        elif token[0] == ",":
            values += 1
    raise ValueError("it ends within an array or an object")


def has_many(text: str) -> bool:
    """Returns whether the text may have many values. Counts commas and brackets within strings, too."""
    return (
        text.count(",") + text.count("[") + text.count("{") > FEW_VALUES
        or min(text.count("["), text.count("]")) + min(text.count("{"), text.count("}")) > MOST_LEVELS
    )


def parse(text: str) -> Any:
    """Returns the value of a request's whole text.

    Raises ValueError, also for a member that is named twice and for a text that is nested too deep. Raises TooWide.
    """
    reading = Reading()
    if has_many(text) and text[(start := after_blanks(text, 0)) : start + 1] in ("[", "{"):
        _, too_much = survey(text, start, MOST_REQUEST_VALUES)
        if too_much == TOO_DEEP:
            raise ValueError(too_much)
        if too_much is not None:
            raise TooWide(f"it has more than {MOST_REQUEST_VALUES} values")
    try:
        value = decoder(reading).decode(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    for fault in reading.faults:
        if "named twice" in fault:
            raise ValueError(fault)
    if reading.is_wide:
        raise TooWide(f"an object has more than {MOST_MEMBERS} members")
    return value


class TooWide(Exception):
    """The text has more values than any request has. The models would report an error for each member."""


class NoArray(Exception):
    """The text is JSON, but no array."""


class TooMany(Exception):
    """The array has too many elements."""


@dataclass(slots=True)
class Batch:
    """An array of documents: those that the database can read, and the errors of the others."""

    count: int
    sound: list[int]
    """Their indices."""
    rejected: list[dict[str, Any]]
    document: str
    """The array of the sound ones, as they came."""

    def merged(self, answer: str) -> str:
        """Turns the database's answer for `document` into an answer for the received array."""
        if not self.rejected:
            return answer
        told = json.loads(answer)
        rejected = [{**one, "index": self.sound[one["index"]]} for one in told["rejected"]] + self.rejected
        return json.dumps({**told, "rejected": sorted(rejected, key=lambda one: one["index"])})


def read_batch(text: str, most: int) -> Batch:
    """Reads a batch. Raises ValueError if the text is not JSON, NoArray, and TooMany."""
    place = after_blanks(text, 0)
    if text[place : place + 1] != "[":
        parse(text)
        raise NoArray()
    batch = Batch(0, [], [], "[]")
    is_surveyed = has_many(text)
    parts: list[str] = []
    place = after_blanks(text, place + 1)
    is_over = text[place : place + 1] == "]"
    while not is_over:
        if batch.count == most:
            raise TooMany()
        start, (place, name, fault) = place, read_element(text, place, is_surveyed)
        if fault is None:
            batch.sound.append(batch.count)
            parts.append(text[start:place])
        else:
            batch.rejected.append({"index": batch.count, "id": name, "error": fault})
        batch.count += 1
        place = after_blanks(text, place)
        is_over = text[place : place + 1] == "]"
        if not is_over:
            if text[place : place + 1] != ",":
                raise ValueError(f"neither a comma nor the array's end is at character {place}")
            place = after_blanks(text, place + 1)
    if after_blanks(text, place + 1) < len(text):
        raise ValueError(f"something follows the array, at character {place + 1}")
    batch.document = "[" + ",".join(parts) + "]"
    return batch


def after_blanks(text: str, place: int) -> int:
    return BLANKS.match(text, place).end()  # type: ignore[union-attr]


def read_element(text: str, start: int, is_surveyed: bool) -> tuple[int, str | None, str | None]:
    """Returns where the element ends, its id or None, and its error or None."""
    reading = Reading()
    if is_surveyed and text[start : start + 1] in ("[", "{"):
        end, too_much = survey(text, start, MOST_VALUES)
        if too_much is not None:
            return end, None, too_much
    try:
        value, end = decoder(reading).raw_decode(text, start)
    except RecursionError:  # if Python's limit was lowered
        return survey(text, start, MOST_VALUES)[0], None, TOO_DEEP
    element = text[start:end]
    name = value.get("id") if isinstance(value, dict) else None
    sound_name = name[:256] if isinstance(name, str) and is_text(name) else None
    if reading.faults:
        return end, sound_name, reading.faults[0]
    if "\\u" in element and UNSTORABLE.search(element.replace("\\\\", "")):
        return end, sound_name, "it holds NUL, or half of a surrogate pair, which text cannot"
    return end, sound_name, None


def is_text(text: str) -> bool:
    """Returns whether PostgreSQL's type text can hold it."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
