"""What the twin's gateway needs of its voice server."""

from __future__ import annotations

from typing import Protocol


class VoiceLink(Protocol):
    """The side of the voice server that the gateway sees."""

    @property
    def endpoint(self) -> str:
        """Where clients connect to, as host:port."""
        ...

    def expect(self, guild_id: int, channel_id: int, user_id: int, session_id: str, token: str) -> None:
        """Make an identify with these valid; it replaces an older one of that guild and user."""
        ...

    async def disconnect(self, guild_id: int, user_id: int, code: int = 4014) -> None:
        """Void what was expected of a user in a guild, before anything is awaited, and close their connection."""
        ...

    def mute(self, guild_id: int, user_id: int, muted: bool) -> None:
        """Let listeners hear a user, or not."""
        ...
