"""Verbs on who is in voice. Ids are strings of digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playground.twin import payloads
from playground.twin.control.world_verbs import _channel, _guild
from playground.twin.errors import NotPossible
from playground.twin.model import Guild, Json
from playground.twin.voice.faulty import Fault
from playground.twin.voice.protocol import Close

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


async def close_voice(twin: Twin, code: int, guild: str | None = None, channel: str | None = None) -> None:
    """Close the bot's voice connection in a guild, or in a channel if it is there."""
    if not 1000 <= code <= 4999 or code in (1005, 1006):
        raise NotPossible(f"{code} is no code to close with")
    if channel is None:
        await twin.voicing.close_voice(_guild(twin, guild or "0"), code)
        return
    where = _channel(twin, channel)
    found = twin.world.guilds[where.guild_id]
    state = found.voice_states.get(twin.world.bot.id)
    if state is None or state.channel_id != where.id:
        raise NotPossible("the bot is not in this channel")
    await twin.voicing.close_voice(found, code)


async def cut_voice(twin: Twin, guild: str) -> None:
    """Drop the TCP connection of the bot's voice."""
    twin.voicing.lose_voice(_guild(twin, guild))


async def delay_voice(twin: Twin, guild: str, ms: float = 0.0, loss: float = 0.0) -> None:
    """Let the audio of a guild come late, or in part; neither given: as usual again."""
    twin.voice.conditions.delay(_guild(twin, guild).id, ms / 1000, loss)


async def offer_voice_modes(twin: Twin, guild: str | None = None, modes: list[str] | None = None) -> None:
    """Say which encryption is offered in a guild, or everywhere, to those who connect from now on."""
    twin.voice.conditions.offer(None if guild is None else _guild(twin, guild).id, modes)


async def require_dave(twin: Twin, guild: str | None = None, channel: str | None = None, required: bool = True) -> None:
    """Demand DAVE in a guild or channel, and turn away (4017) the bot if it is connected there."""
    conditions = twin.voice.conditions
    if channel is not None:
        place = _channel(twin, channel).id
        found = twin.world.guilds[_channel(twin, channel).guild_id]
    else:
        found = _guild(twin, guild or "0")
        place = found.id
    conditions.require_dave(place, required)
    bot = twin.world.bot.id
    state = found.voice_states.get(bot)
    inside = state is not None and conditions.needs_dave(found.id, state.channel_id)
    if inside and twin.voice.is_connected(found.id, bot):
        await twin.voicing.close_voice(found, Close.DAVE_REQUIRED)


async def break_voice_endpoint(twin: Twin, guild: str, fault: str | None = None) -> None:
    """Let the voice servers that the guild is told of from now on fail; None mends it."""
    await twin.voice.break_endpoint(_guild(twin, guild).id, None if fault is None else Fault(fault))
