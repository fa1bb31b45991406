"""Repeats valid answers for a short time.

An answer is repeated no longer than configured, never after its `valid_until`, and never after the client heard of a
change of its approval.
"""

import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime

from .decision import Decision

Key = tuple[str, str | None, str | None]
"""approval_id, action, resource: what a decision depends on."""

MOST_ANSWERS = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server said, and when it was asked."""

    text: str
    valid_until: datetime
    asked_at: float
    asked_at_wall: float


class Cache:
    """Answers by key.

    seconds: how long an answer may be repeated, counted from its question. longest_call: how long an answer may take,
    in seconds. heard: whether changes of approvals are heard from the start.
    """

    def __init__(self, seconds: float, longest_call: float, heard: bool) -> None:
        self._seconds, self._longest_call = seconds, longest_call
        self._answers: dict[str, dict[Key, Answer]] = {}
        self._changed: OrderedDict[str, float] = OrderedDict()
        self._since: float | None = time.monotonic() if heard else None

    @property
    def is_on(self) -> bool:
        """Returns whether answers are kept. They are not kept while changes may go unheard."""
        return self._seconds > 0 and self._since is not None

    def get(self, key: Key) -> Answer | None:
        """Returns the answer if it may be repeated now, else None.

        Its age is measured by the monotonic clock and by the wall clock: the first stands still while the machine
        sleeps, and the second may be set.
        """
        answers = self._answers.get(key[0])
        answer = answers.get(key) if answers else None
        if answer is None:
            return None
        wall = time.time()
        is_young = (
            time.monotonic() - answer.asked_at < self._seconds and 0 <= wall - answer.asked_at_wall < self._seconds
        )
        if is_young and datetime.fromtimestamp(wall, UTC) < answer.valid_until:
            return answer
        self._remove(key)
        return None

    def keep(self, key: Key, text: str, decision: Decision, asked_at: float, asked_at_wall: float) -> None:
        """Keeps a valid answer, unless the approval may have changed since the question was asked."""
        if not decision or decision.valid_until is None or self._since is None or asked_at <= self._since:
            return
        if asked_at <= self._changed.get(key[0], float("-inf")):
            return
        if len(self._answers) >= MOST_ANSWERS and key[0] not in self._answers:
            del self._answers[next(iter(self._answers))]
        self._answers.setdefault(key[0], {})[key] = Answer(text, decision.valid_until, asked_at, asked_at_wall)

    def drop(self, approval_id: str) -> None:
        """Drops the answers of an approval that has changed.

        The answer to a question in progress will not be kept either.
        """
        now = time.monotonic()
        self._answers.pop(approval_id, None)
        self._changed[approval_id] = now
        self._changed.move_to_end(approval_id)
        while now - next(iter(self._changed.values())) > 2 * self._longest_call:
            self._changed.popitem(last=False)

    def hear(self, heard: bool) -> None:
        """Sets whether changes are heard from now on. Drops all answers, because they may be out of date either way."""
        self._answers.clear()
        self._changed.clear()
        self._since = time.monotonic() if heard else None

    def _remove(self, key: Key) -> None:
        answers = self._answers[key[0]]
        del answers[key]
        if not answers:
            del self._answers[key[0]]
