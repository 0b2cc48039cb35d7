"""Connections that ask for too much before there is a request: uvicorn waits for headers for good, and for any number.

It leans on these parts of uvicorn's ``HttpToolsProtocol``: ``data_received``; ``cycle``, which is another one with each
request whose headers are there; ``timeout_keep_alive_task``, which runs while a connection rests between two requests;
``transport``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MOST_HEAD = 64 * 1024
"""Bytes of a request line and headers that come in pieces; a piece has at most 256 kB."""


class BoundedProtocol(HttpToolsProtocol):
    """HTTP/1.1 by httptools, with an end to the headers."""

    _head = 0

    def data_received(self, data: bytes) -> None:
        """Closes the connection where headers go on for too long."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or not _has_no_request(self):
            self._head = 0
            return
        self._head += len(data)
        if self._head > MOST_HEAD:
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
