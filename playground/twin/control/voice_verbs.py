"""Verbs on who is in voice. Ids are strings of digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playground.twin import payloads
from playground.twin.control.world_verbs import _channel, _guild
from playground.twin.errors import NotPossible
from playground.twin.model import Guild, Json

if TYPE_CHECKING:
    from playground.twin.app import Twin


def _where(twin: Twin, user: str) -> Guild:
    if (found := twin.voicing.where(int(user))) is None:
        raise NotPossible("not in a voice channel")
    return found


async def voice_join(twin: Twin, user: str, channel: str) -> None:
    """Put a person into a voice channel."""
    twin.voicing.join(_channel(twin, channel), int(user))


async def voice_leave(twin: Twin, user: str) -> None:
    """Take a person out of voice, wherever they are."""
    twin.voicing.leave(_where(twin, user), int(user))


async def voice_change(twin: Twin, user: str, self_mute: bool | None = None, self_deaf: bool | None = None) -> None:
    """Let a person mute or deafen themselves."""
    twin.voicing.change(_where(twin, user), int(user), self_mute=self_mute, self_deaf=self_deaf)


async def voice_state(twin: Twin, guild: str, user: str | None = None) -> Json | None:
    """Return the voice state of a user, or the bot, in a guild."""
    found = _guild(twin, guild)
    state = found.voice_states.get(twin.world.bot.id if user is None else int(user))
    return None if state is None else payloads.voice_state(twin.world, found, state)


async def disconnect_bot(twin: Twin, guild: str) -> None:
    """Throw the bot out of voice."""
    await twin.voicing.disconnect_bot(_guild(twin, guild))


async def move_bot(twin: Twin, channel: str) -> None:
    """Move the bot to another voice channel of the guild."""
    found = _channel(twin, channel)
    await twin.voicing.move_bot(twin.world.guilds[found.guild_id], found)


async def change_voice_server(twin: Twin, guild: str, outage: bool = False) -> None:
    """Give the bot a new voice server, or for now none."""
    await twin.voicing.change_server(_guild(twin, guild), outage=outage)
