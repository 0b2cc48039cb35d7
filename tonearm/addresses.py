"""Names that stand for all of their addresses: ``dns+http://`` and ``dns+https://``."""

from __future__ import annotations

import asyncio
import socket
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tonearm.telemetry import traces

DNS = "dns+"
RESOLVE_TIMEOUT = 5.0
"""Seconds that one look-up may take."""


async def addresses_of(url: str) -> tuple[str, ...]:
    """All addresses of the host in ``url``, in order.

    Raises:
        OSError: the name has none, or nobody could be asked in time.
    """
    parts = urlsplit(url)
    async with asyncio.timeout(RESOLVE_TIMEOUT):
        found = await asyncio.get_running_loop().getaddrinfo(
            parts.hostname or "", parts.port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
        )
    return tuple(sorted({str(each[4][0]) for each in found}))


def session_to(address: str | None, timeout: float) -> aiohttp.ClientSession:
    """An HTTP session whose requests go to ``address``, whatever name they are for; ``None``: to where the name says.

    So certificates are judged by the name. ``timeout`` is for a whole request, in seconds. A request that belongs to a
    trace carries it on.
    """
    resolver = _Pinned(address) if address is not None else None
    connector = aiohttp.TCPConnector(resolver=resolver)
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=timeout), trace_configs=traces.outgoing()
    )


class _Pinned(AbstractResolver):
    def __init__(self, address: str) -> None:
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        kind = socket.AF_INET6 if ":" in self._address else socket.AF_INET
        return [
            ResolveResult(
                hostname=host, host=self._address, port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
        ]

    async def close(self) -> None:
        pass
