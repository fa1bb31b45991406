"""Waiting for something that is away, without losing patience or the log's reader."""

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

_log = logging.getLogger(__name__)
_SHORTEST, _LONGEST = 0.1, 30.0

Result = TypeVar("Result")


class Away(Exception):
    """A service gave no answer, or asked to be called again later."""


class Refusal(Away):
    """The service refused. That may change after somebody has changed a setting."""


class Patience:
    """Repeats an act until it succeeds, with pauses that double up to half a minute.

    idle is called before each pause: metrics are kept up to date there.  A signal ends the
    wait by the exception that its handler raises.
    """

    def __init__(self, idle: Callable[[], None] = lambda: None, longest: float = _LONGEST) -> None:
        self._idle, self._longest = idle, longest
        self._wake = threading.Event()

    def until(self, act: Callable[[], Result], what: str) -> Result:
        """Calls act() until it no longer raises Away, and returns its result."""
        pause, since = _SHORTEST, time.monotonic()
        failed = False
        while True:
            try:
                result = act()
            except Away as reason:
                if not failed:
                    _log.warning("%s: %s; the archiver retries", what, reason)
                failed = True
            else:
                if failed:
                    _log.info("%s: succeeded after %.0f s", what, time.monotonic() - since)
                return result
            self._idle()
            self._wake.wait(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, self._longest)
