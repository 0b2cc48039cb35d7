"""Telling the operator's own systems: signed, at least once, with one id at all attempts.

A request has the headers ``Tonearm-Delivery`` (the id, by which a receiver knows what it has had), ``Tonearm-Event``
(the type), ``Tonearm-Timestamp`` (seconds since 1970) and ``Tonearm-Signature``: ``v1=<hex>`` for each live secret,
separated by commas, the HMAC-SHA256 of ``<timestamp>.<body>``. A receiver accepts any one of them, and no timestamp
that is older than five minutes.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import aiohttp

from tonearm.postgres import outgoing
from tonearm.postgres.outgoing import Delivery
from tonearm.postgres.pool import Pool
from tonearm.telemetry import LOG, context

TIMEOUT = 5.0
"""Seconds that one attempt may take."""

LEASE = timedelta(seconds=60)
"""After so long, a delivery whose worker died is tried by another."""

BACKOFF = tuple(timedelta(seconds=each) for each in (5, 30, 120, 600, 3_600, 10_800, 43_200))
"""How long is waited after each failed attempt; after the last one it is a dead letter."""

BATCH = 20


def signature(secrets: Sequence[str], timestamp: int, body: bytes) -> str:
    """The value of ``Tonearm-Signature``."""
    signed = b"%d." % timestamp + body
    return ",".join(f"v1={hmac.new(each.encode(), signed, hashlib.sha256).hexdigest()}" for each in secrets)


class Messenger:
    """Delivers what is due. ``secrets`` gives those that are live: two while one is replaced by the other."""

    def __init__(
        self,
        pool: Pool,
        http: aiohttp.ClientSession,
        *,
        secrets: Callable[[], Sequence[str]],
        clock: Callable[[], datetime],
        timeout: float = TIMEOUT,
    ) -> None:
        self._pool = pool
        self._http = http
        self._secrets = secrets
        self._clock = clock
        self._timeout = timeout

    async def deliver(self) -> int:
        """Try what is due, once; returns how many arrived.

        Raises:
            FAILURES: PostgreSQL doesn't answer, or refuses. What arrived may be sent once more.
        """
        due = await outgoing.claim_due(self._pool, self._clock(), lease=LEASE, most=BATCH)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._attempt(each)) for each in due]
        return sum(task.result() for task in tasks)

    async def _attempt(self, delivery: Delivery) -> bool:
        error = await self._post(delivery)
        now = self._clock()
        if error is None:
            await outgoing.delivered(self._pool, delivery.id, now)
            return True
        number = delivery.attempts - 1
        retry_at = now + BACKOFF[number] if number < len(BACKOFF) else None
        LOG.warning(
            "A delivery %s: %s", "is given up" if retry_at is None else "failed", error, extra=context(id=delivery.id)
        )
        await outgoing.failed(self._pool, delivery.id, now, error, retry_at=retry_at)
        return False

    async def _post(self, delivery: Delivery) -> str | None:
        """Why it did not arrive, if it did not."""
        timestamp = int(self._clock().timestamp())
        headers = {
            "Content-Type": "application/json",
            "Tonearm-Delivery": delivery.id,
            "Tonearm-Event": delivery.type,
            "Tonearm-Timestamp": str(timestamp),
            "Tonearm-Signature": signature(self._secrets(), timestamp, delivery.body),
        }
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._http.post(delivery.url, data=delivery.body, headers=headers, allow_redirects=False) as response,
            ):
                return None if 200 <= response.status < 300 else f"status {response.status}"
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            return type(error).__name__
