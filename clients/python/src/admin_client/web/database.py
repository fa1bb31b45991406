"""The pool, and one request's time with it.

A request has a budget: to get a connection, and for its statements.  A statement that is given up is cancelled at the server; its
connection is given back by a task of its own, since that takes the server's answer, and ended where that does not come.
"""
from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import Request

from .settings import AppSettings

log = logging.getLogger(__name__)

CLEAN_UP_SECONDS = 5.0


class Unavailable(Exception):
    """There is no connection to be had: the database is away, or all of ours are in use.  The cause says why."""


async def _no_reset(connection: Any) -> None:
    """No session state is used, so there is none to reset."""


class Database:
    """Opens connections when they are needed: the database may be away when the app starts."""

    def __init__(self, settings: AppSettings) -> None:
        self.settings = settings
        self._pool = asyncpg.create_pool(settings.dsn, min_size=0, max_size=settings.connections, reset=_no_reset, timeout=settings.budget,
                                         **({"statement_cache_size": 0} if settings.pooler else {}))
        self._returning: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        await self._pool

    async def close(self) -> None:
        try:
            async with asyncio.timeout(CLEAN_UP_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()
        if self._returning:
            await asyncio.wait(self._returning, timeout=CLEAN_UP_SECONDS)

    @asynccontextmanager
    async def connection(self, token: str | None = None, seconds: float | None = None) -> AsyncIterator[asyncpg.Connection]:
        """One, for the request's time; with a token, once it has been verified.

        Raises Unavailable, TimeoutError when the time is over, and what the server raises: 28000 for a token that is not good.
        """
        async with asyncio.timeout(seconds or self.settings.budget):
            connection = await self._acquire()
            try:
                if token is not None:
                    await connection.execute("select admin.jwt_verify($1)", token)
                yield connection
            except BaseException:
                self._give_back_later(connection)
                raise
            await self._pool.release(connection)

    async def value(self, statement: str, *arguments: Any, token: str | None = None, seconds: float | None = None) -> Any:
        """The one value of a statement."""
        async with self.connection(token, seconds) as connection:
            return await connection.fetchval(statement, *arguments)

    async def _acquire(self) -> asyncpg.Connection:
        try:
            return await self._pool.acquire()
        except asyncio.CancelledError as error:     # what asyncio.timeout does to who waits
            raise Unavailable("no connection was free in time") from error
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise Unavailable(f"{type(error).__name__}: {error}") from error

    def _give_back_later(self, connection: asyncpg.Connection) -> None:
        task = asyncio.create_task(self._give_back(connection))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        try:
            await self._pool.release(connection, timeout=CLEAN_UP_SECONDS)
        except Exception as error:      # asyncpg has ended it, and makes a new one when needed
            log.debug("a connection was ended: %r", error)


def database_of(request: Request) -> Database:
    """The app's."""
    database: Database = request.app.state.database
    return database
