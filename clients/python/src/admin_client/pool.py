"""Connections to the server, each with the one statement that it is for.

For asyncpg, giving out a connection, taking it back and looking up a statement cost more than the statement's round
trip. So a usable connection stays at hand with its statement. Through a pooler in transaction mode the statement has no
name: it travels with each execution, in the same round trip.

asyncpg cancels a statement that is given up (timeout, caller gone) at the server. The connection cannot be used until
the server has answered that. Callers do not wait for it: a separate task gives the connection back within a time limit
of its own, and closes it if that fails.
"""

import asyncio
import logging
from typing import Any

import asyncpg

from .decision import describe
from .settings import Settings

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS = 5.0

# Errors about the statement's arguments: an impossible value, or a token that is not good.
REFUSALS = (asyncpg.DataError, asyncpg.InvalidAuthorizationSpecificationError)


class ArgumentRefused(Exception):
    """The server has answered that it does not accept these arguments. The cause is the server's error."""


async def _no_reset(connection: Any) -> None:
    """Does nothing, because no session state is used. asyncpg's own reset would be one more round trip."""


class _Session:
    """A connection of asyncpg's pool, and the statement once it is prepared."""

    __slots__ = ("connection", "prepared")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.prepared: Any = None


class Pool:
    """Opens connections when they are needed, and never gives a connection in doubtful state to the next caller.

    statement: the statement of all connections. size: maximum number of connections. connect_seconds: time limit of one
    attempt to connect.
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
        """Opens the pool without asking the server, which may be away."""
        await self._pool

    async def value(self, *arguments: Any, deadline: float) -> Any:
        """Returns the statement's single value. deadline: time of the event loop's clock; after it, raises
        TimeoutError.

        Raises the errors of asyncpg and of the network, and ArgumentRefused if the arguments are at fault.
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
        """Returns an open connection that is at hand, or None."""
        while self._at_hand:
            session = self._at_hand.pop()
            if not session.connection.is_closed():
                return session
            self._give_back_later(session)
        return None

    async def _new_one(self) -> _Session:
        """Returns a connection from asyncpg's pool. While a caller waits for one, no connection is kept at hand."""
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
        """Closes all connections, gracefully if that takes no longer than this many seconds."""
        self._waiting += 1  # so that no connection is kept at hand any more
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
