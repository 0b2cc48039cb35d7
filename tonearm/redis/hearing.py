"""Hearing what is published, for as long as it takes: a lost subscription is noticed, and made anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from redis.asyncio.client import PubSub

from tonearm.redis.client import FAILURES, Client
from tonearm.telemetry import LOG

LISTEN_TIMEOUT = 2.0
"""Seconds that Redis may take to begin a subscription, or to answer a ping on it."""

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
            await listen(redis, channel, on_begin=on_begin, on_message=lambda _, message: on_message(message))
        except FAILURES as error:
            LOG.warning("What is published on %s can't be heard: %r", channel, error)
        await asyncio.sleep(RECONNECT_AFTER)


async def listen(
    redis: Client, *channels: str, on_begin: Callable[[], None], on_message: Callable[[bytes, bytes], None]
) -> None:
    """Hear by one subscription, for as long as it stands: ``on_message`` is given the channel and the message.

    Raises:
        TimeoutError: nothing was heard, not even the answer to a ping.
        redis.exceptions.RedisError, OSError: whatever else ended it. It never ends without an error.
    """
    pubsub = redis.pubsub()
    try:
        async with asyncio.timeout(LISTEN_TIMEOUT):
            await pubsub.subscribe(*channels)
            for _ in channels:
                await pubsub.parse_response(block=True)  # that the subscription stands
        on_begin()
        while True:
            await _hear_for(pubsub, PING_EVERY, on_message)
            async with asyncio.timeout(LISTEN_TIMEOUT):
                await pubsub.ping()
            if not await _hear_for(pubsub, LISTEN_TIMEOUT, on_message, most=1):
                raise TimeoutError("the subscription is silent")
    finally:
        await pubsub.aclose()  # type: ignore[no-untyped-call]


async def _hear_for(
    pubsub: PubSub, seconds: float, on_message: Callable[[bytes, bytes], None], *, most: int | None = None
) -> int:
    """How many came in so many seconds; at ``most`` of them it ends."""
    heard = 0
    try:
        async with asyncio.timeout(seconds) as period:
            while heard != most:
                message = await pubsub.parse_response(block=True)
                heard += 1
                if isinstance(message, list) and message[0] == b"message":
                    on_message(message[1], message[2])
    except TimeoutError:
        if not period.expired():
            raise
    return heard
