"""Connections to the server, each with one statement that it is for.

What asyncpg does to give out a connection and take it back, and to look a statement up, costs more than the
statement's round trip.  So a connection that is sound stays at hand with its statement.  Through a pooler in
transaction mode the statement has no name: it travels with each execution, in the same round trip.

A statement that is given up (time over, caller gone) is cancelled at the server, as asyncpg does it; until that is
answered the connection is of no use to others.  Nobody waits for it: it is given back by a task of its own, within
a time of its own, and ended where that does not do.
"""

import asyncio
import logging
from typing import Any

import asyncpg

from .decision import describe
from .settings import Settings

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS = 5.0

# What the statement says of its arguments: a value that cannot be, a token that is not good.
REFUSALS = (asyncpg.DataError, asyncpg.InvalidAuthorizationSpecificationError)


class ArgumentRefused(Exception):
    """The server has answered: it does not take these arguments.  The cause is its error."""


async def _no_reset(connection: Any) -> None:
    """There is nothing to reset: no session state is used.  asyncpg's own reset is one more round trip."""


class _Session:
    """A connection of asyncpg's pool, and the statement once it is prepared."""

    __slots__ = ("connection", "prepared")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.prepared: Any = None


class Pool:
    """Opens connections when they are needed, and gives none that is in doubt to the next caller.

    statement: what all of them are for.  size: most connections.  connect_seconds: limit of one attempt to connect.
    """

    def __init__(self, settings: Settings, statement: str, size: int, connect_seconds: float) -> None:
        options = dict(settings.connect_options)
        if settings.pooler:
            options["statement_cache_size"] = 0
        self._pool = asyncpg.create_pool(
            settings.dsn, min_size=0, max_size=size, reset=_no_reset, timeout=connect_seconds, **options
        )
        self._statement = statement
        self._at_hand: list[_Session] = []
        self._waiting = 0
        self._returning: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Does not ask the server: it may be away."""
        await self._pool

    async def value(self, *arguments: Any, deadline: float) -> Any:
        """The one value of the statement.  deadline: of the loop's clock; past it, TimeoutError.

        Raises what asyncpg and the network raise; ArgumentRefused where the arguments are at fault.
        """
        session = self._sound_one()
        if session is None:
            async with asyncio.timeout_at(deadline):
                session = await self._new_one()
        try:
            # asyncpg's own limit costs half as much as a timeout around it, and does the same.
            result = await session.prepared.fetchval(*arguments, timeout=deadline - asyncio.get_running_loop().time())
        except BaseException as error:
            self._give_back_later(session)
            if isinstance(error, REFUSALS):
                raise ArgumentRefused(describe(error)) from error
            raise
        if self._waiting:
            self._give_back_later(session)
        else:
            self._at_hand.append(session)
        return result

    def _sound_one(self) -> _Session | None:
        """One at hand."""
        while self._at_hand:
            session = self._at_hand.pop()
            if not session.connection.is_closed():
                return session
            self._give_back_later(session)
        return None

    async def _new_one(self) -> _Session:
        """One of asyncpg's.  While somebody waits for it, none is kept at hand."""
        self._waiting += 1
        try:
            session = _Session(await self._pool.acquire())
        finally:
            self._waiting -= 1
        try:
            session.prepared = await session.connection.prepare(self._statement)
        except BaseException:
            self._give_back_later(session)
            raise
        return session

    def _give_back_later(self, session: _Session) -> None:
        task = asyncio.create_task(self._give_back(session))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _give_back(self, session: _Session) -> None:
        try:
            await self._pool.release(session.connection, timeout=CLEAN_UP_SECONDS)
        except Exception as error:  # asyncpg has ended it, and makes a new one when needed
            log.debug("a connection was ended: %r", error)

    async def close(self, seconds: float) -> None:
        """Ends all connections, politely if that takes no longer than this."""
        self._waiting += 1  # so that none is kept at hand any more
        while self._at_hand:
            self._give_back_later(self._at_hand.pop())
        try:
            async with asyncio.timeout(seconds):
                await self._pool.close()
        except Exception as error:
            log.debug("the connections were ended: %r", error)
            self._pool.terminate()
        if self._returning:
            await asyncio.wait(self._returning, timeout=seconds)
