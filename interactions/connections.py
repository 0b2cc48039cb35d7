"""Connections that ask for too much beside a request: uvicorn waits for headers for good, and keeps any number of them.

It leans on these parts of uvicorn's ``HttpToolsProtocol``: ``data_received``; ``cycle``, which is another one with each
request whose headers are there, and its ``body``, which the application has not taken yet; ``timeout_keep_alive_task``,
which runs while a connection rests between two requests; ``transport``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_BESIDE = 64 * 1024
"""Bytes that may come in pieces which neither bring a request nor something of its body; a piece has at most 256 kB."""


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools, with an end to headers: those before a body, and those after one that comes in chunks.

    A request that comes in one piece, as almost all do, costs two comparisons.
    """

    _beside = 0

    def data_received(self, data: bytes) -> None:
        """Closes the connection where something that nobody waits for goes on for too long."""
        before: Any = self.cycle  # None before the first request, whatever its type says
        held = 0 if before is None else len(before.body)
        super().data_received(data)
        after: Any = self.cycle
        if after is not before or (after is not None and len(after.body) > held):
            self._beside = 0
            return
        self._beside += len(data)
        if self._beside > MOST_BESIDE:
            self.transport.close()


class Silent:
    """Finds connections on which no request comes."""

    def __init__(self) -> None:
        self._last: dict[Any, Any] = {}

    def close(self, connections: Iterable[Any]) -> None:
        """Close those that were without a request at the last look too, and do not rest between two."""
        silent = {
            each: each.cycle for each in connections if _has_no_request(each) and each.timeout_keep_alive_task is None
        }
        for each, cycle in silent.items():
            if each in self._last and self._last[each] is cycle:
                each.transport.close()
        self._last = silent


def _has_no_request(connection: Any) -> bool:
    return connection.cycle is None or bool(connection.cycle.response_complete)
