"""The client: asks, repeats, records."""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Self

import asyncpg

from .breaker import Breaker, BreakerOpen
from .cache import Answer, Cache
from .decision import AnswerInvalid, Decision, Reason, Source, denied, read_answer
from .events import CACHED_CHECK, EventRefused, make_event
from .pool import ArgumentRefused, Pool
from .refresh import Subscriber
from .settings import Settings
from .shipper import INGEST, Shipper
from .spool import Spool, SpoolError

log = logging.getLogger(__name__)

CHECK = "select admin.sensitive_check($1, $2, $3, $4, $5, $6, $7)"
SHADOW = "select admin.sensitive_check_shadow($1, $2, $3, $4, $5, $6, $7, $8)"

# Errors that mean that there is no server to talk to.
AWAY = (
    OSError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)


class AdminClient:
    """Asks admin_ext whether an approval covers an action, and ships events about performed actions to the trail.

    An asynchronous context manager, for one event loop. Opening it needs the spool's file, but not the server.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_seconds, harmless=(ArgumentRefused,))
        self._cache = Cache(settings.cache_seconds, settings.budget, heard=settings.redis_url is None)
        self._spool: Spool | None = None
        self._checks: Pool | None = None
        self._shadows: Pool | None = None
        self._ships: Pool | None = None
        self._shipper: Shipper | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Opens the client. Raises SpoolError if the spool cannot be used."""
        try:
            await self._open()
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        settings = self._settings
        if settings.spool is not None and settings.source is not None:
            spool = Spool(settings.spool, settings.source)
            await spool.open()
            self._spool = spool
            self._ships = Pool(settings, INGEST, 1, settings.ship_seconds)
            await self._ships.open()
            self._shipper = Shipper(spool, self._send, settings.backoff_seconds, settings.ship_seconds)
            self._tasks.append(asyncio.create_task(self._shipper.run()))
        if settings.redis_url is not None and settings.cache_seconds:
            self._tasks.append(asyncio.create_task(Subscriber(settings, self._cache).run()))
        self._checks = Pool(settings, CHECK, settings.connections, settings.budget)
        await self._checks.open()
        self._shadows = Pool(settings, SHADOW, settings.connections, settings.budget)
        await self._shadows.open()

    async def close(self, seconds: float = 5.0) -> None:
        """Closes the client within about this many seconds, even if something hangs.

        Unshipped events stay in the spool.
        """
        pools = [pool for pool in (self._checks, self._shadows, self._ships) if pool]
        self._checks = self._shadows = self._ships = None
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds / 4)
        self._tasks.clear()
        await asyncio.gather(*(pool.close(seconds / 2) for pool in pools))
        spool, self._spool = self._spool, None
        if spool is not None:
            await spool.close(seconds / 4)

    @property
    def breaker_state(self) -> str:
        """`closed`, `opened` or `half-opened`."""
        return self._breaker.state

    async def check(
        self,
        approval_id: str | None,
        action: str | None = None,
        resource: str | None = None,
        *,
        actor: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
        token: str | None = None,
        file_answer: str | None = None,
    ) -> Decision:
        """Asks whether the approval covers this action on this resource. Name both: a value of None is not compared.

        file_answer: for shadow mode, the JSON text that the file-backed engine has answered to the same question. The
        database records whether its own answer differs. Such a check is never answered from the cache.

        Answers within the budget. Raises nothing except the cancellation of its own task.
        """
        asked_at, asked_at_wall = time.monotonic(), time.time()
        deadline = asyncio.get_running_loop().time() + self._settings.budget
        pool = self._checks if file_answer is None else self._shadows
        if pool is None:
            return denied(Reason.CLIENT_CLOSED)
        question = (approval_id, action, resource, actor, request_id, traceparent, token)
        arguments = question if file_answer is None else (file_answer, *question)
        key = None
        if token is None and approval_id is not None and file_answer is None and self._cache.is_on:
            key = approval_id, action, resource
            answer = self._cache.get(key)
            if answer is not None and await self._note(answer, key, actor, request_id, traceparent):
                return read_answer(answer.text, approval_id, Source.CACHE)

        async def ask() -> tuple[str, Decision]:
            text = await pool.value(*arguments, deadline=deadline)
            return text, read_answer(text, approval_id)

        try:
            text, decision = await self._breaker.call(ask, deadline)
        except Exception as error:
            return self._deny(error)
        if key is not None:
            self._cache.keep(key, text, decision, asked_at, asked_at_wall)
        return decision

    async def record(
        self,
        type: str,
        data: Any = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        request_id: str | None = None,
        traceparent: str | None = None,
        dataschema: str | None = None,
        extensions: Mapping[str, str] | None = None,
    ) -> str:
        """Puts one of FF's own events into the spool and returns its id. The client ships it from there to the trail.

        Once this returns, the event survives a crash of the process and of the machine.

        subject: the approval, if there is one. dataschema: the URI of data's schema. extensions: more attributes of the
        CloudEvent.

        Raises EventRefused for an event that the trail could not keep. Raises SpoolError if there is no spool or if
        writing to it fails.
        """
        if self._spool is None:
            raise SpoolError("there is no spool, or it is closed")
        event = make_event(
            self._spool.source,
            type,
            data,
            subject=subject,
            actor=actor,
            requestid=request_id,
            traceparent=traceparent,
            dataschema=dataschema,
            extensions=extensions,
        )
        await self._spool.append(event)
        return event.id

    async def flush(self, seconds: float) -> bool:
        """Waits up to this many seconds until all recorded events are in the trail. Returns whether they are."""
        if self._spool is None:
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._spool.is_empty.wait()
        except TimeoutError:
            return False
        return True

    async def _note(
        self,
        answer: Answer,
        key: tuple[str, str | None, str | None],
        actor: str | None,
        request_id: str | None,
        traceparent: str | None,
    ) -> bool:
        """Records a repeated answer before the client gives it, so that each answer leaves a row.

        Returns whether the answer may be given. If not, the client asks the server.
        """
        response = read_answer(answer.text, key[0])
        try:
            async with asyncio.timeout(self._settings.budget / 2):
                await self.record(
                    CACHED_CHECK,
                    {
                        "audit_id": str(response.audit_id),
                        "approval_id": key[0],
                        "action": key[1],
                        "resource": key[2],
                        "evaluated_at": response.response["evaluated_at"],
                        "valid_until": response.response["valid_until"],
                    },
                    subject=key[0],
                    actor=actor,
                    request_id=request_id,
                    traceparent=traceparent,
                )
        except (TimeoutError, EventRefused, SpoolError) as error:
            log.warning("an answer could not be repeated: %s", error)
            return False
        return self._cache.get(key) is answer  # a change may have been heard meanwhile

    async def _send(self, document: str) -> str:
        pool, shipper = self._ships, self._shipper
        if pool is None or shipper is None:
            raise SpoolError("the client is closed")
        answer: str = await pool.value(document, deadline=asyncio.get_running_loop().time() + shipper.pace.seconds)
        return answer

    def _deny(self, error: Exception) -> Decision:
        for kinds, reason in REASONS:
            if isinstance(error, kinds):
                return denied(reason, error)
        log.error("a check has failed", exc_info=error)
        return denied(Reason.ERROR, error)


# The first that fits.  TimeoutError is an OSError, too.
REASONS: tuple[tuple[Any, Reason], ...] = (
    (BreakerOpen, Reason.BREAKER_OPEN),
    (TimeoutError, Reason.TIMEOUT),
    (ArgumentRefused, Reason.CALL_REFUSED),
    (AnswerInvalid, Reason.ANSWER_INVALID),
    (AWAY, Reason.UNREACHABLE),
    (asyncpg.PostgresError, Reason.ERROR),
)
