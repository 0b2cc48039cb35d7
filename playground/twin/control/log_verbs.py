"""Verbs on the log, and waiting."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from playground.twin.journal import Entry, contains
from playground.twin.model import Json

if TYPE_CHECKING:
    from playground.twin.app import Twin

LONGEST = 600.0
"""Seconds a single wait may take."""


async def mark(twin: Twin) -> int:
    """Return the number of the last entry."""
    return twin.journal.last


async def log(twin: Twin, since: int = 0, name: str | None = None, kind: str | None = None) -> list[Json]:
    """Return the entries after ``since``, of one name or kind if wanted."""
    return [
        entry.json() for entry in twin.journal.since(since) if name in (None, entry.name) and kind in (None, entry.kind)
    ]


async def violations(twin: Twin, since: int = 0) -> list[Json]:
    """Return what the bot did that a correct bot never does."""
    return [entry.json() for entry in twin.journal.violations(since)]


async def wait_for(
    twin: Twin, name: str, fields: Json | None = None, since: int | None = None, timeout: float = 5.0
) -> Json | None:
    """Return the first entry of a name after ``since`` (None: from now on) that has all ``fields``."""

    def match(entry: Entry) -> bool:
        return entry.name == name and contains(entry.data, fields or {})

    start = twin.journal.last if since is None else since
    entry = await twin.journal.wait(match, since=start, seconds=min(timeout, LONGEST))
    return None if entry is None else entry.json()


async def wait_ready(twin: Twin, shard: int | None = None, timeout: float = 10.0) -> Json | None:
    """Return a session of a shard once it is connected and was sent all its guilds; None if there is none in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(timeout, LONGEST)
    while True:
        since = twin.journal.last
        for session in twin.hub.of_shard(shard):
            if session.socket is not None and not session.unsent:
                return {"id": session.id, "shard": session.shard, "count": session.count}
        left = deadline - loop.time()
        if left <= 0 or await twin.journal.wait(_about_sessions, since=since, seconds=left) is None:
            return None


def _about_sessions(entry: Entry) -> bool:
    return entry.name in ("guilds_sent", "session_resumed")


async def wait_command(twin: Twin, name: str, guild: str | None = None, timeout: float = 10.0) -> bool:
    """Wait until a command is registered; False if it is not in time."""
    since = twin.journal.last
    if twin.world.commands.find(int(guild or 0), name) is not None:
        return True

    def match(entry: Entry) -> bool:
        return entry.name == "command_registered" and entry.data["command"] == name

    return await twin.journal.wait(match, since=since, seconds=min(timeout, LONGEST)) is not None


async def wait_bot_voice(twin: Twin, guild: str, channel: str | None, timeout: float = 5.0) -> bool:
    """Wait until the bot is in a voice channel (None: in none); False if it is not in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + min(timeout, LONGEST)
    bot = twin.world.bot.id
    about = {"guild_id": guild, "user_id": str(bot)}
    while True:
        since = twin.journal.last
        state = twin.world.guilds[int(guild)].voice_states.get(bot)
        if (state and str(state.channel_id)) == channel:
            return True
        left = deadline - loop.time()

        def match(entry: Entry) -> bool:
            return entry.name == "voice_state_update" and contains(entry.data, about)

        if left <= 0 or await twin.journal.wait(match, since=since, seconds=left) is None:
            return False
