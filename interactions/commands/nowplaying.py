"""/nowplaying."""

from __future__ import annotations

from interactions.commands.declare import Call, Message, command
from tonearm.discord.cards import now_playing


@command("Show what is playing.", private=True)
async def nowplaying(call: Call) -> Message:
    """The current track, how far it is, and the buttons."""
    seen = await call.memory.fetch_queue(call.guild)
    return now_playing(seen.player, seen.length, now_ms=seen.now_ms)
