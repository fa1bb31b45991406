"""Hears on Redis which approvals have changed, and has the cache drop them.

Redis tells nobody what it could not deliver.  So the cache is emptied whenever a subscription begins or ends, and
off in between; a connection that is silent is asked for a sign of life.
"""
import asyncio
import json
import logging
import random
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .cache import Cache
from .decision import describe
from .settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1


class Subscriber:
    """Runs as a task until it is cancelled."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        assert settings.redis_url is not None
        self._url, self._channel = settings.redis_url, settings.redis_channel
        self._silence, self._longest_pause = settings.redis_silence, settings.backoff_seconds
        self._cache = cache
        self._pause = FIRST_PAUSE

    async def run(self) -> None:
        """Subscribes, and again after each failure, with pauses that grow."""
        try:
            while True:
                try:
                    await self._listen()
                except Exception as error:
                    log.warning("Redis is not heard, nothing is cached: %s", describe(error))
                self._cache.hear(False)
                await asyncio.sleep(self._pause * random.uniform(0.5, 1))
                self._pause = min(2 * self._pause, self._longest_pause)
        finally:
            self._cache.hear(False)

    async def _listen(self) -> None:
        # redis-py must not connect again by itself: what it missed meanwhile nobody would know.
        client = Redis.from_url(self._url, socket_connect_timeout=2 * self._silence, retry=Retry(NoBackoff(), 0), decode_responses=True)
        async with client, client.pubsub() as channel:
            async with asyncio.timeout(4 * self._silence):
                await channel.subscribe(self._channel)
            asked = False
            while True:
                # The limit outside is for half a message, which get_message would wait for.
                async with asyncio.timeout(2 * self._silence):
                    message = await channel.get_message(timeout=self._silence)
                    if message is None and not asked:
                        await channel.ping()
                if message is None and asked:
                    raise ConnectionError("Redis does not answer")
                asked = message is None
                if message is not None:
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "subscribe":
            log.info("Redis is heard")
            self._pause = FIRST_PAUSE
            self._cache.hear(True)
        elif message["type"] == "message":
            try:
                self._cache.drop(json.loads(message["data"])["approval_id"])
            except (ValueError, KeyError, TypeError):       # something has changed; who knows what
                self._cache.hear(True)
