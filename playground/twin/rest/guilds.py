"""Guilds, members and voice states (Discord documentation, "Guild" and "Voice")."""

from __future__ import annotations

from playground.twin import payloads
from playground.twin.errors import missing_access, unknown
from playground.twin.model import Guild
from playground.twin.permissions import Permission
from playground.twin.rest.calls import Call, Result, Route, Services


async def _guild(services: Services, call: Call) -> Result:
    guild = services.world.guild(call.id("guild_id"))
    payload = payloads.guild_rest(guild)
    if call.flag("with_counts"):
        payload |= {"approximate_member_count": len(guild.members), "approximate_presence_count": 0}
    return Result(payload)


async def _channels(services: Services, call: Call) -> Result:
    guild = services.world.guild(call.id("guild_id"))
    return Result([payloads.channel(each) for each in guild.channels.values()])


async def _roles(services: Services, call: Call) -> Result:
    guild = services.world.guild(call.id("guild_id"))
    return Result([payloads.role(each) for each in guild.roles.values()])


async def _member(services: Services, call: Call) -> Result:
    guild, user_id = services.world.guild(call.id("guild_id")), call.id("user_id")
    if user_id not in services.world.users:
        raise unknown("User")
    if user_id not in guild.members:
        raise unknown("Member")
    return Result(payloads.member(services.world, guild, user_id))


async def _my_voice_state(services: Services, call: Call) -> Result:
    guild = services.world.guild(call.id("guild_id"))
    return _voice_state(services, guild, services.world.bot.id)


async def _users_voice_state(services: Services, call: Call) -> Result:
    guild = services.world.guild(call.id("guild_id"))
    return _voice_state(services, guild, call.id("user_id"))


def _voice_state(services: Services, guild: Guild, user_id: int) -> Result:
    state = guild.voice_states.get(user_id)
    if state is None:
        raise unknown("Voice State")
    bot = services.world.bot.id
    allowed = services.world.permissions(guild.channels[state.channel_id], bot)
    if user_id != bot and not (allowed & Permission.VIEW_CHANNEL and allowed & Permission.CONNECT):
        raise missing_access()
    return Result(payloads.voice_state(services.world, guild, state))


ROUTES = [
    Route("GET", "/guilds/{guild_id}", _guild),
    Route("GET", "/guilds/{guild_id}/channels", _channels),
    Route("GET", "/guilds/{guild_id}/roles", _roles),
    Route("GET", "/guilds/{guild_id}/members/{user_id}", _member),
    Route("GET", "/guilds/{guild_id}/voice-states/@me", _my_voice_state),
    Route("GET", "/guilds/{guild_id}/voice-states/{user_id}", _users_voice_state),
]
