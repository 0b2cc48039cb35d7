"""What the twin's gateway needs of its voice server."""

from __future__ import annotations

from typing import Protocol


class VoiceLink(Protocol):
    """The side of the voice server that the gateway sees."""

    def endpoint_of(self, guild_id: int) -> str:
        """Return where a guild's clients connect to, as host:port."""
        ...

    def expect(self, guild_id: int, channel_id: int, user_id: int, session_id: str, token: str) -> None:
        """Make an identify with these valid; it replaces an older one of that guild and user."""
        ...

    async def disconnect(self, guild_id: int, user_id: int, code: int = 4014) -> None:
        """Close a user's connection in a guild; what was expected of them is void at once if the code says so."""
        ...

    def cut(self, guild_id: int, user_id: int) -> bool:
        """Drop a user's connection without a close; return whether there was one."""
        ...

    def is_connected(self, guild_id: int, user_id: int) -> bool:
        """Return whether a user has a voice connection in a guild."""
        ...

    def mute(self, guild_id: int, user_id: int, muted: bool) -> None:
        """Let listeners hear a user, or not."""
        ...
