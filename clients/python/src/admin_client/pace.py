"""Limits how much is sent at once, so that it arrives in time.

A batch that is too large for a slow link, or for the server's `statement_timeout`, would fail at every attempt. So the
next batch is half as large. A batch that goes through quickly lets the next one grow again.
"""

import logging

log = logging.getLogger(__name__)

LONGEST = 16
"""So many times its usual time a batch of one event may take: a smaller one cannot be made."""


class Pace:
    """Limits of the next batch: `events`, `bytes`, and `seconds` for it to arrive.

    events, bytes: the maximum of any batch. seconds: how long a batch may usually take.
    """

    def __init__(self, events: int, bytes: int, seconds: float) -> None:
        self.events, self.bytes, self.seconds = events, bytes, seconds
        self._most_events, self._most_bytes, self._usual = events, bytes, seconds
        self._given_up_after = seconds  # the shorter of the client's time and the server's, as far as it is known

    def late(self, events: int, bytes: int, took: float) -> None:
        """Records that a batch of this many events and bytes was given up after `took` seconds."""
        self._given_up_after = min(took, self._usual)
        if events > 1:
            self.events, self.bytes = events // 2, max(1, bytes // 2)
        else:
            self.seconds = min(2 * self.seconds, LONGEST * self._usual)
        log.warning(
            "%s events (%s bytes) were given up after %.1f s: the link or the server is slow, throttled, or does not answer; "
            "the next batch has at most %s events, and %.1f s",
            events,
            bytes,
            took,
            self.events,
            self.seconds,
        )

    def arrived(self, took: float) -> None:
        """Records that a batch arrived within `took` seconds.

        The next batch is larger if one of twice the size would take at most half of the time limit.
        """
        self.seconds = self._usual
        self._given_up_after = min(1.25 * self._given_up_after, self._usual)
        if 4 * took <= self._given_up_after:
            self.events, self.bytes = min(2 * self.events, self._most_events), min(2 * self.bytes, self._most_bytes)
