"""How often a key may be used, in the headers of the IETF's draft *RateLimit header fields for HTTP*.

Where Redis is away nobody counts: the request goes on, and a metric tells of it.
"""

from __future__ import annotations

import asyncio
import math

from tonearm.errors import Problem
from tonearm.redis.client import FAILURES, HOT_TIMEOUT, Client
from tonearm.redis.rates import spend
from tonearm.telemetry import API_UNLIMITED, LIMITED

POLICY = "key"

_limited = LIMITED.labels("api_key")


async def count(redis: Client, key: str, *, per_minute: int) -> dict[str, str]:
    """The headers that tell ``key`` how much is left.

    Raises:
        Problem: nothing is.
    """
    try:
        async with asyncio.timeout(HOT_TIMEOUT):
            rate = await spend(redis, key, per_minute=per_minute)
    except FAILURES:
        API_UNLIMITED.inc()
        return {}
    headers = {
        "RateLimit-Policy": f'"{POLICY}";q={per_minute};w=60',
        "RateLimit": f'"{POLICY}";r={rate.left};t={math.ceil(rate.reset_ms / 1000)}',
    }
    if rate.allowed:
        return headers
    _limited.inc()
    seconds = max(1, math.ceil(rate.retry_ms / 1000))
    raise Problem(
        "too-many-requests",
        f"This key has made more than {per_minute} requests in a minute. Wait {seconds} s.",
        headers={**headers, "Retry-After": str(seconds)},
    )
