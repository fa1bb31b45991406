"""Instants and offsets of the file-backed store, as PostgreSQL reads them."""

import re
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

INSTANT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?\s*(Z|z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)


def rounded(seconds: str) -> timedelta:
    return timedelta(microseconds=int((Decimal(seconds) * 1000000).quantize(Decimal(1), ROUND_HALF_EVEN)))


def instant(text: str) -> datetime:
    """RFC 3339; a blank for the T, and UTC where no zone is named."""
    match = INSTANT.fullmatch(text)
    if not match:
        raise ValueError("not a timestamp of RFC 3339")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if int(hour or 0) > 23 or int(minute or 0) > 59 or int(second or 0) > 60:
        raise ValueError("no such time of the day")
    at = datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), tzinfo=UTC)
    at += timedelta(seconds=int(second or 0)) + rounded("0" + (fraction or ""))
    if zone and zone not in "Zz":
        hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
        if hours > 15 or minutes > 59:
            raise ValueError("no such time zone")
        at -= timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    return at


UNITS = {
    "microsecond": timedelta(microseconds=1),
    "millisecond": timedelta(milliseconds=1),
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
MONTHS = {"month": 1, "year": 12}
SHORT = {
    "us": "microsecond",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "m": "minute",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
    "w": "week",
    "mon": "month",
    "y": "year",
    "yr": "year",
}
PART = re.compile(
    r"\s*([+-]?)(?:(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?|(\d+(?:\.\d+)?)\s*([a-z]+|$))(?=[\s+-]|$)\s*",
    re.ASCII | re.IGNORECASE,
)


def after(base: datetime, offset: str) -> datetime:
    """An instant relative to another, as '-25 hours', '1 day 02:30:00', '1 month'."""
    months, span, place = 0, timedelta(0), 0
    if not offset.strip():
        raise ValueError("no interval")
    while place < len(offset):
        part = PART.match(offset, place)
        if not part:
            raise ValueError("no interval")
        place = part.end()
        sign, hours, minutes, seconds, number, unit = part.groups()
        sign = -1 if sign == "-" else 1
        if hours is not None:
            if int(minutes) > 59 or Decimal(seconds or 0) > 60:
                raise ValueError("no interval")
            span += sign * (timedelta(hours=int(hours), minutes=int(minutes)) + rounded(seconds or "0"))
            continue
        unit = unit.lower() or "second"  # a last number without one
        unit = SHORT.get(unit) or SHORT.get(unit.removesuffix("s")) or unit.removesuffix("s")
        if unit in MONTHS and "." not in number:
            months += sign * int(number) * MONTHS[unit]
        elif unit in UNITS:
            span += sign * rounded(str(Decimal(number) * (UNITS[unit] // timedelta(microseconds=1)) / 1000000))
        else:
            raise ValueError("no interval")
    year, month = divmod(base.year * 12 + base.month - 1 + months, 12)
    return base.replace(year=year, month=month + 1, day=min(base.day, monthrange(year, month + 1)[1])) + span
