"""The twin's log: every request, event and interaction in order, and a way to wait for one."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from playground.twin.model import Json

KEPT = 100_000
"""Entries kept; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        seq: grows by one with each entry, from 1.
        at_ns: CLOCK_MONOTONIC in nanoseconds.
        kind: ``event`` (dispatched by the world), ``rest``, ``gateway``, ``interaction``, ``voice`` or ``violation``.
        name: what happened, in snake case, such as ``voice_state_update``.
    """

    seq: int
    at_ns: int
    kind: str
    name: str
    data: Json

    def json(self) -> Json:
        """Return the entry for the control API."""
        return {"seq": self.seq, "at_ns": self.at_ns, "kind": self.kind, "name": self.name, "data": self.data}


Match = Callable[[Entry], bool]


class Journal:
    """The log itself."""

    def __init__(self) -> None:
        self.last = 0
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._violations: list[Entry] = []
        self._waiting: dict[asyncio.Future[Entry], Match] = {}

    def add(self, kind: str, name: str, data: Json) -> Entry:
        """Write one entry and wake those who wait for it."""
        self.last += 1
        entry = Entry(self.last, time.monotonic_ns(), kind, name, data)
        self._entries.append(entry)
        if kind == "violation":
            self._violations.append(entry)
        for future, match in list(self._waiting.items()):
            if not future.done() and match(entry):
                future.set_result(entry)
        return entry

    def violation(self, name: str, reason: str, **context: Any) -> None:
        """Write down that the bot did what a correct bot never does."""
        self.add("violation", name, {"reason": reason, **context})

    def since(self, seq: int) -> Iterator[Entry]:
        """Yield the entries after ``seq`` that are still kept, oldest first."""
        skip = max(0, len(self._entries) - (self.last - seq))
        for index in range(skip, len(self._entries)):
            yield self._entries[index]

    def violations(self, seq: int = 0) -> list[Entry]:
        """Return all violations after ``seq``; none is ever forgotten."""
        return [entry for entry in self._violations if entry.seq > seq]

    async def wait(self, match: Match, *, since: int, seconds: float) -> Entry | None:
        """Return the first entry after ``since`` that matches, waiting up to ``seconds``; None if there was none."""
        for entry in self.since(since):
            if match(entry):
                return entry
        future: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        self._waiting[future] = match
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError:
            return None
        finally:
            del self._waiting[future]

    def close(self) -> None:
        """End all waiting."""
        for future in self._waiting:
            future.cancel()


def contains(data: Any, wanted: Any) -> bool:
    """Return whether ``data`` has all that ``wanted`` has: objects by their keys, everything else by equality."""
    if isinstance(wanted, dict):
        return isinstance(data, dict) and all(
            key in data and contains(data[key], value) for key, value in wanted.items()
        )
    return bool(data == wanted)
