"""Durations and sizes as a command line has them, and the end of a retention."""

import argparse
import datetime
import re

_SIZES = {"": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


def size(text: str) -> int:
    """Bytes: 64MB is 64 times 2^20, as PostgreSQL's settings have it.  Raises argparse.ArgumentTypeError."""
    match = re.fullmatch(r"([1-9][0-9]{0,11})(kB|MB|GB|)", text)
    if match is None:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a size: bytes, or a whole number with kB, MB or GB, like 64MB'
        )
    return int(match[1]) * _SIZES[match[2]]


def seconds(text: str) -> float:
    """Seconds: 30s, 5min, 1h.  Raises argparse.ArgumentTypeError."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(s|min|h|d)", text)
    if match is None or float(match[1]) == 0:
        raise argparse.ArgumentTypeError(f'"{text}" is not a duration: a number with s, min, h or d, like 5min')
    return float(match[1]) * _SECONDS[match[2]]


class Retention:
    """How long an object is kept: whole years of the calendar, or days."""

    def __init__(self, text: str) -> None:
        """text is like 7y or 30d.  Raises argparse.ArgumentTypeError."""
        match = re.fullmatch(r"([1-9][0-9]{0,4})(y|d)", text)
        if match is None or int(match[1]) > (100 if match[2] == "y" else 36525):
            raise argparse.ArgumentTypeError(f'"{text}" is not a retention: 1y to 100y, or days up to 36525d')
        self._count, self._years = int(match[1]), match[2] == "y"

    def end(self, start: datetime.datetime) -> datetime.datetime:
        """The instant until which an object that is written now is kept; whole seconds, rounded up.

        A year is one of the calendar, with its leap day: what is written on a 29 February is
        kept until a 1 March, never a day less.
        """
        if start.microsecond:
            start = start.replace(microsecond=0) + datetime.timedelta(seconds=1)
        if not self._years:
            return start + datetime.timedelta(days=self._count)
        try:
            return start.replace(year=start.year + self._count)
        except ValueError:
            return start.replace(year=start.year + self._count, month=3, day=1)
