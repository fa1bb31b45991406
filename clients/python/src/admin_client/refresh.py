"""Listens on Redis for changed approvals, and drops their answers from the cache.

Redis does not report messages that it could not deliver. So the cache is emptied whenever a subscription begins or
ends, and is off in between. A silent connection is pinged.

A message may arrive twice. The trail's numbers belong to one store, and several stores may share a channel. So the
messages already taken are identified by store and approval. A message without a store, from an older version, always
counts as new.
"""

import asyncio
import json
import logging
import random
from collections import OrderedDict
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from .cache import Cache
from .decision import describe
from .settings import Settings

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
MOST_APPROVALS = 10_000
"""Of so many approvals the last message is remembered."""


class Subscriber:
    """Runs as a task until it is cancelled."""

    def __init__(self, settings: Settings, cache: Cache) -> None:
        assert settings.redis_url is not None
        self._url, self._channel = settings.redis_url, settings.redis_channel
        self._silence, self._longest_pause = settings.redis_silence, settings.backoff_seconds
        self._cache = cache
        self._pause = FIRST_PAUSE
        self._taken: OrderedDict[tuple[str, str], int] = OrderedDict()

    async def run(self) -> None:
        """Subscribes, and subscribes again after each failure, with growing pauses."""
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
        # redis-py must not reconnect by itself: the messages that it missed meanwhile would go unnoticed.
        client = Redis.from_url(
            self._url, socket_connect_timeout=2 * self._silence, retry=Retry(NoBackoff(), 0), decode_responses=True
        )
        async with client, client.pubsub() as channel:
            async with asyncio.timeout(4 * self._silence):
                await channel.subscribe(self._channel)
            asked = False
            while True:
                # The outer timeout is for half a message: get_message would wait for its rest.
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
            self._taken.clear()
            self._cache.hear(True)
        elif message["type"] == "message":
            try:
                event = json.loads(message["data"])
                if self._is_new(event):
                    self._cache.drop(event["approval_id"])
            except (ValueError, KeyError, TypeError, RecursionError):  # something has changed; who knows what
                self._cache.hear(True)

    def _is_new(self, event: dict[str, Any]) -> bool:
        """Returns whether the message is new.

        Messages of one approval come in order, so a message that is not newer than the last of its store has been
        taken.
        """
        store = event.get("store")
        if not isinstance(store, str):
            return True
        key, number = (store, event["approval_id"]), int(event["audit_id"])
        if number <= self._taken.get(key, -1):
            return False
        self._taken[key] = number
        self._taken.move_to_end(key)
        if len(self._taken) > MOST_APPROVALS:
            self._taken.popitem(last=False)
        return True
