"""Who is in which voice channel: of whom discord.py's cache of voice states tells, and of whom it says nothing.

A gateway session tells of everybody when it begins. One that was taken over does not: known is who was in the bot's
own channel, as that was saved, and whoever moved since. Without this, who is not in the cache would count as being
nowhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

EVERYBODY = "everybody_here"
"""The field of a saved guild that tells whether its voice states are all there were in the bot's channel."""


class Whereabouts:
    """Of one shard's guilds."""

    def __init__(self) -> None:
        self._channels: dict[int, set[int]] = {}
        """Guilds that are not known as a whole, and the channels of theirs that are."""
        self._users: defaultdict[int, set[int]] = defaultdict(set)
        """Whose whereabouts in such a guild were told of."""

    def take_over(self, guilds: Iterable[dict[str, Any]]) -> None:
        """Another process saved ``guilds``, with who was in the bot's channel."""
        for guild in guilds:
            whole = guild.get(EVERYBODY, True)
            here = {int(state["channel_id"]) for state in guild["voice_states"] if whole}
            self._channels[int(guild["id"])] = here

    def event(self, name: str, data: dict[str, Any]) -> None:
        """The gateway brought an event, which discord.py has taken."""
        match name:
            case "READY":
                self._users.clear()
                self._channels = {int(guild["id"]): set() for guild in data["guilds"]}
            case "GUILD_CREATE" if not data.get("unavailable"):
                self._forget(int(data["id"]))
            case "GUILD_DELETE" if not data.get("unavailable"):
                self._forget(int(data["id"]))
            case "VOICE_STATE_UPDATE" if data.get("guild_id"):
                self.told(int(data["guild_id"]), int(data["user_id"]))

    def _forget(self, guild: int) -> None:
        self._channels.pop(guild, None)
        self._users.pop(guild, None)

    def told(self, guild: int, user: int) -> None:
        """The cache has it from now on where ``user`` is, or that it is in no channel."""
        if guild in self._channels:
            self._users[guild].add(user)

    def knows_user(self, guild: int, user: int) -> bool:
        """Whether ``user`` is in no channel if the cache has it in none."""
        return guild not in self._channels or user in self._users[guild]

    def knows_channel(self, guild: int, channel: int) -> bool:
        """Whether nobody is in ``channel`` but those of whom the cache says so."""
        return guild not in self._channels or channel in self._channels[guild]
