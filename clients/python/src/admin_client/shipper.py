"""Ships the spool's events with `admin.audit_ingest`, each event once.

A batch whose answer did not arrive is sent again: the trail recognises its events by source and id. The spool removes a
batch only after the answer. After a batch that did not arrive in time, the next one is smaller.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Awaitable, Callable

import asyncpg

from .decision import describe
from .pace import Pace
from .pool import ArgumentRefused
from .spool import Numbered, Spool, SpoolError

log = logging.getLogger(__name__)

INGEST = "select admin.audit_ingest($1::text::jsonb)"
BATCH_EVENTS = 1000
BATCH_BYTES = 4 << 20
FIRST_PAUSE = 0.1

# A time limit was exceeded: the client's own, or the server's statement_timeout.
DEADLINES = (TimeoutError, asyncpg.QueryCanceledError)
# The batch is all right, but other transactions interfered.
CONFLICTS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)


class Late(Exception):
    """A batch did not arrive in time."""

    def __init__(self, can_shrink: bool) -> None:
        super().__init__("a batch did not arrive in time")
        self.can_shrink = can_shrink


class Shipper:
    """Runs as a task until it is cancelled.

    ask: executes INGEST with a document and returns its value, or raises, within `pace.seconds`. seconds: how long that
    usually takes.
    """

    def __init__(
        self, spool: Spool, ask: Callable[[str], Awaitable[str]], longest_pause: float, seconds: float = 10.0
    ) -> None:
        self._spool, self._ask, self._longest_pause = spool, ask, longest_pause
        self.pace = Pace(BATCH_EVENTS, BATCH_BYTES, seconds)

    async def run(self) -> None:
        """Ships events until cancelled. Retries after a failure, with growing pauses."""
        pause = FIRST_PAUSE
        while True:
            batch: list[Numbered] = []
            self._spool.appended.clear()
            try:
                batch = await self._spool.first(self.pace.events, self.pace.bytes)
                if batch:
                    await self._ship(batch)
                pause = FIRST_PAUSE
            except Late as late:
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = FIRST_PAUSE if late.can_shrink else min(2 * pause, self._longest_pause)
                continue
            except Exception as error:
                log.warning("%s events are not shipped yet: %s", len(batch), describe(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1))
                pause = FIRST_PAUSE if isinstance(error, CONFLICTS) else min(2 * pause, self._longest_pause)
                continue
            if not batch and not self._spool.appended.is_set():
                self._spool.is_empty.set()
                await self._spool.appended.wait()

    async def _ship(self, batch: list[Numbered]) -> None:
        try:
            answer = json.loads(await self._ask_in_time(batch))
        except ArgumentRefused as error:
            # One event makes the server refuse the whole document. Halve the batch until that event is alone.
            if len(batch) == 1:
                await self._spool.settle((), [(batch[0], str(error))])
            else:
                await self._ship(batch[: len(batch) // 2])
                await self._ship(batch[len(batch) // 2 :])
            return
        refused = {each["index"]: each["error"] for each in answer["rejected"]}
        if answer["accepted"] + answer["duplicates"] + len(refused) != len(batch):
            raise SpoolError(f"the answer to {len(batch)} events does not add up: {describe(answer)}")
        for index, reason in refused.items():
            log.error("event %s was refused and set aside: %s", batch[index].event.id, reason)
        await self._spool.settle(
            (numbered.sequence for index, numbered in enumerate(batch) if index not in refused),
            ((batch[index], reason) for index, reason in refused.items()),
        )

    async def _ask_in_time(self, batch: list[Numbered]) -> str:
        """Returns the answer. If it does not arrive in time, makes the next batch smaller and raises Late."""
        document, began = _document(batch), time.monotonic()
        try:
            answer = await self._ask(document)
        except DEADLINES as error:
            self.pace.late(len(batch), len(document), time.monotonic() - began)
            raise Late(len(batch) > 1) from error
        self.pace.arrived(time.monotonic() - began)
        return answer


def _document(batch: list[Numbered]) -> str:
    return "[" + ",".join(numbered.event.numbered(numbered.sequence) for numbered in batch) + "]"
