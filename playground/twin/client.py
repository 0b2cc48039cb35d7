"""The connection of tests and the demo to a twin's control API."""

from __future__ import annotations

import io
from typing import Any

import aiohttp
import msgspec

GRACE = 10.0
"""Seconds an answer may take beyond the wait that was asked for."""


class TwinError(Exception):
    """The twin would not do it: Discord's clients do not offer it, or there is no such thing."""


class Link:
    """Calls verbs, whose answers may take ``grace`` seconds beyond the wait that was asked for."""

    def __init__(self, control_url: str, grace: float = GRACE) -> None:
        self.control_url = control_url.rstrip("/")
        self._grace = grace
        self._http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP session.

        Raises:
            RuntimeError: not open.
        """
        if self._http is None:
            raise RuntimeError("the client is not open: use `async with`")
        return self._http

    def open(self) -> None:
        """Make ready for calls."""
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    async def close(self) -> None:
        """Close all connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def call(self, verb: str, *, wait: float = 0.0, **arguments: Any) -> Any:
        """Call a verb, which may take ``wait`` seconds, and return its answer.

        Raises:
            TwinError: the twin would not do it.
            TimeoutError: the twin did not answer.
            aiohttp.ClientError: the twin is not there.
        """
        timeout = aiohttp.ClientTimeout(total=wait + self._grace)
        body = msgspec.json.encode(arguments)
        async with self.http.post(f"{self.control_url}/{verb}", data=io.BytesIO(body), timeout=timeout) as response:
            answer = msgspec.json.decode(await response.read())
            if response.status != 200:
                raise TwinError(answer["error"])
            return answer
