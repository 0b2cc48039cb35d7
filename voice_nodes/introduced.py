"""What the gateway's present connection may be used for: a session begins, or goes on, and then tells of its guilds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Introduced:
    """Of one shard. ``on_new`` is told of each guild that a session tells of after the first was complete.

    Before a guild is told of it can't be joined in a session; and later it may have been (Discord's documentation,
    *Gateway*, *Ready* and *Guild Create*).
    """

    def __init__(self, on_new: Callable[[int], None]) -> None:
        self._on_new = on_new
        self._connection: object = None
        """The one over which a session began or went on."""
        self._awaited: set[int] = set()

    def event(self, name: str, data: dict[str, Any], connection: object, *, first: bool) -> None:
        """An event came over ``connection``; ``first``: the first session is not complete yet."""
        match name:
            case "READY":
                self._connection = connection
                self._awaited = {int(guild["id"]) for guild in data["guilds"]}
            case "RESUMED":
                self._connection = connection
            case "GUILD_CREATE" if not data.get("unavailable") and int(data["id"]) in self._awaited:
                self._awaited.discard(int(data["id"]))
                if not first:
                    self._on_new(int(data["id"]))

    def knows(self, guild: int, connection: object) -> bool:
        """Whether something can be asked for in ``guild`` over ``connection``."""
        return connection is not None and connection is self._connection and guild not in self._awaited
