"""Instants as PostgreSQL has them, beyond the years of Python's datetime, with infinity and -infinity.

An instant is the time since 1970-01-01 00:00 UTC. The extension writes the years 0 to 9999 in four digits. It writes
any other year with its sign (ISO 8601, expanded representation), and "infinity" and "-infinity". PostgreSQL itself
appends " BC" to a year before 1.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

Instant = timedelta


class NoInstant(ValueError):
    """A text has no form in which an instant is written, or is beyond PostgreSQL's years."""


_EPOCH_YEAR = 1970
_EPOCH = datetime(_EPOCH_YEAR, 1, 1, tzinfo=UTC)
_CYCLE_YEARS, _CYCLE = 400, timedelta(days=146_097)
"""The Gregorian calendar repeats itself after 400 years."""
_ENDLESS = {"infinity": timedelta(days=400_000_000), "-infinity": timedelta(days=-400_000_000)}
_NAMES = {instant: name for name, instant in _ENDLESS.items()}
_FIRST, _BEHIND = datetime(1, 1, 1, tzinfo=UTC) - _EPOCH, datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH
_OLDEST = datetime(1687, 11, 24, tzinfo=UTC) - _EPOCH - 16 * _CYCLE
"""4714-11-24 BC, the first day that PostgreSQL has.  Its last one is 294276-12-31."""
_BEYOND = datetime(2277, 1, 1, tzinfo=UTC) - _EPOCH + 730 * _CYCLE
_CLOCK = r"T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"
"""Some versions of Python take hour 24 as well."""
_USUAL = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}" + _CLOCK + r"\.[0-9]{6}Z", re.ASCII)
_FORM = re.compile(
    r"(?!(?:[+-]|0000).* BC)(-(?!0000)[0-9]{4}|\+?[1-9][0-9]{4,5}|[0-9]{4})(-[0-9]{2}-[0-9]{2}"
    + _CLOCK
    + r"(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}(?::[0-9]{2}){0,2}))( BC)?",
    re.ASCII,
)


@lru_cache(maxsize=4000)
def parse(text: str) -> Instant:
    """An instant as the extension or PostgreSQL writes it in JSON.  Raises ValueError, also for a day that the calendar does not have."""
    if _USUAL.fullmatch(text) and not text.startswith("0000"):
        return datetime.fromisoformat(text) - _EPOCH
    if text in _ENDLESS:
        return _ENDLESS[text]
    form = _FORM.fullmatch(text)
    if form is None:
        raise NoInstant(f"{text[:40]!r} is no instant")
    year = 1 - int(form[1]) if form[3] else int(form[1])
    cycles, place = divmod(year - _EPOCH_YEAR, _CYCLE_YEARS)
    instant = datetime.fromisoformat(f"{_EPOCH_YEAR + place}{form[2]}") - _EPOCH + cycles * _CYCLE
    if not _OLDEST <= instant < _BEYOND:
        raise NoInstant(f"{text[:40]!r} is no instant of PostgreSQL")
    return instant


@lru_cache(maxsize=4000)
def written(instant: Instant) -> str:
    """As the extension writes it."""
    if _FIRST <= instant < _BEHIND:
        return f"{(_EPOCH + instant).isoformat(timespec='microseconds')[:26]}Z"
    if instant in _NAMES:
        return _NAMES[instant]
    cycles, rest = divmod(instant, _CYCLE)
    text = (_EPOCH + rest).isoformat(timespec="microseconds")
    year = int(text[:4]) + cycles * _CYCLE_YEARS
    return f"{year:04}{text[4:26]}Z" if 0 <= year <= 9999 else f"{year:+05}{text[4:26]}Z"
