"""A circuit breaker in front of the server.

purgatory keeps the state and counts failures. This module differs from it in three points:

- purgatory lets every waiting caller through when half open. Here one caller tries at a time, and the others wait for
  its result.
- purgatory counts an excluded exception as a success. A cancelled call says nothing about the server, so this module
  does not count it at all. Otherwise a caller that hangs up would close the breaker.
- purgatory uses the wall clock. A clock that was set back must not keep the breaker open.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from purgatory import ContextChanged
from purgatory.domain.model import CLOSED, HALF_OPENED, OPENED, Context, HalfOpenedState, OpenedState

log = logging.getLogger(__name__)
T = TypeVar("T")


class BreakerOpen(Exception):
    """The breaker is open, and the server was not asked."""


class Breaker:
    """Opens after `failures` consecutive failures, for `seconds`. Use it within one event loop only.

    harmless: exceptions that are the caller's own fault. They show that the server has answered.
    """

    def __init__(self, failures: int, seconds: float, harmless: tuple[type[Exception], ...] = ()) -> None:
        self._context = Context("admin_ext", failures, seconds, exclude=list(harmless))
        self._turn = asyncio.Semaphore(1)

    @property
    def state(self) -> str:
        """`closed`, `opened` or `half-opened`."""
        return self._context.state

    async def call(self, work: Callable[[], Awaitable[T]], deadline: float) -> T:
        """Runs the work and returns its result. The work itself has to keep the deadline (time of the event loop's
        clock).

        Raises BreakerOpen if the work was not tried, and any exception of the work.
        """
        while self._context.state != CLOSED:
            await self._wait_for_turn(deadline)
            try:
                if self._context.state != CLOSED:
                    return await self._try(work)
            finally:
                self._turn.release()
        return await self._try(work)

    async def _wait_for_turn(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._turn.acquire()
        except TimeoutError:
            raise BreakerOpen("another caller is still trying") from None

    async def _try(self, work: Callable[[], Awaitable[T]]) -> T:
        self._enter()
        try:
            result = await work()
        except Exception as error:
            self._context.handle_exception(error)
            raise
        else:
            self._context.handle_end_request()
            return result
        finally:
            if self._context.messages:
                self._tell()

    def _enter(self) -> None:
        if self._context.state == OPENED and time.time() < (self._context.opened_at or 0):
            self._context.set_state(HalfOpenedState())
        try:
            self._context.handle_new_request()
        except OpenedState as opened:
            raise BreakerOpen(str(opened)) from None

    def _tell(self) -> None:
        for message in self._context.messages:
            if isinstance(message, ContextChanged) and message.state != HALF_OPENED:
                log.warning("the circuit breaker of admin_ext is %s", message.state)
        self._context.messages.clear()
