"""Hearing what is published, for as long as it takes: a lost subscription is noticed, and made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.asyncio.client import PubSub

from tonearm.redis.client import FAILURES, HOT_TIMEOUT, Client
from tonearm.telemetry import LOG

PING_EVERY = 5.0
"""Seconds between two questions whether the subscription stands."""

RECONNECT_AFTER = 0.5
"""Seconds until a lost subscription is made anew."""


async def hear(
    redis: Client, channel: str, *, on_begin: Callable[[], None], on_message: Callable[[bytes], None]
) -> None:
    """Call ``on_message`` with each message until cancelled, and ``on_begin`` each time that the subscription stands:
    whatever was published before was not heard."""
    while True:
        try:
            await _Ear(redis, on_message).listen(channel, on_begin)
        except FAILURES as error:
            LOG.warning("What is published on %s can't be heard: %r", channel, error)
        await asyncio.sleep(RECONNECT_AFTER)


class _Ear:
    """One subscription."""

    def __init__(self, redis: Client, on_message: Callable[[bytes], None]) -> None:
        self._pubsub = redis.pubsub()
        self._on_message = on_message
        self._heard = False

    async def listen(self, channel: str, on_begin: Callable[[], None]) -> None:
        """Ends by raising what Redis' failure raises."""
        pubsub = self._pubsub
        try:
            async with asyncio.timeout(HOT_TIMEOUT * 5):
                await pubsub.subscribe(channel)
                await pubsub.parse_response(block=True)  # that the subscription stands
            on_begin()
            while True:
                self._heard = False
                await self._hear_for(pubsub, PING_EVERY)
                self._heard = False
                await pubsub.ping()
                await self._hear_for(pubsub, HOT_TIMEOUT)
                if not self._heard:
                    raise TimeoutError("the subscription is silent")
        finally:
            await pubsub.aclose()  # type: ignore[no-untyped-call]

    async def _hear_for(self, pubsub: PubSub, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds) as period:
                while True:
                    message = await pubsub.parse_response(block=True)
                    self._heard = True
                    if isinstance(message, list) and message[0] == b"message":
                        self._on_message(message[2])
        except TimeoutError:
            if not period.expired():
                raise
