"""Verbs on guilds, channels, members, entitlements and the twin as a whole. Ids are strings of digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playground.twin import payloads, permissions
from playground.twin.errors import NotPossible
from playground.twin.model import Channel, ChannelType, Entitlement, Guild, Json
from playground.twin.voice.protocol import Close

if TYPE_CHECKING:
    from playground.twin.app import Twin


def _guild(twin: Twin, guild: str) -> Guild:
    if (found := twin.world.guilds.get(int(guild))) is None:
        raise NotPossible(f"there is no guild {guild}")
    return found


def _channel(twin: Twin, channel: str) -> Channel:
    if (found := twin.world.channels.get(int(channel))) is None:
        raise NotPossible(f"there is no channel {channel}")
    return found


def _about_channel(channel: Channel) -> Json:
    return {"id": str(channel.id), "guild_id": str(channel.guild_id), "type": channel.type, "name": channel.name}


def _about_guild(guild: Guild) -> Json:
    return {
        "id": str(guild.id),
        "name": guild.name,
        "owner_id": str(guild.owner_id),
        "channels": [_about_channel(each) for each in guild.channels.values()],
        "roles": [{"id": str(each.id), "name": each.name} for each in guild.roles.values()],
    }


def _shard(twin: Twin, shard: int | None, shard_count: int | None) -> tuple[int, int] | None:
    return None if shard is None else (shard, shard_count or twin.hub.shard_count)


async def about(twin: Twin) -> Json:
    """Return where everything is."""
    return twin.about() | {"bot_id": str(twin.world.bot.id), "owner_id": str(twin.world.owner.id)}


async def create_user(twin: Twin, name: str, locale: str = "en-US") -> Json:
    """Make a user."""
    user = twin.world.create_user(name, locale)
    return {"id": str(user.id), "name": user.name}


async def create_guild(
    twin: Twin, name: str, *, shard: int | None = None, shard_count: int | None = None, **options: Any
) -> Json:
    """Make a guild; options as of :meth:`World.create_guild`."""
    return _about_guild(twin.world.create_guild(name, shard=_shard(twin, shard, shard_count), **options))


async def create_guilds(
    twin: Twin, name: str, count: int, *, shard: int | None = None, shard_count: int | None = None, **options: Any
) -> list[Json]:
    """Make many guilds at once."""
    where = _shard(twin, shard, shard_count)
    made = (twin.world.create_guild(f"{name} {number + 1}", shard=where, **options) for number in range(count))
    return [_about_guild(each) for each in made]


async def guild(twin: Twin, guild: str) -> Json:
    """Describe a guild."""
    return _about_guild(_guild(twin, guild))


async def join_guild(twin: Twin, user: str, guild: str) -> None:
    """Make a user a member."""
    twin.world.join_guild(_guild(twin, guild), int(user))


async def leave_guild(twin: Twin, user: str, guild: str) -> None:
    """Let a member leave voice and the guild."""
    found = _guild(twin, guild)
    if int(user) in found.voice_states and int(user) != twin.world.bot.id:
        twin.voicing.leave(found, int(user))
    twin.world.leave_guild(found, int(user))


async def create_channel(twin: Twin, guild: str, name: str, type: int = ChannelType.VOICE) -> Json:
    """Add a channel."""
    return _about_channel(twin.world.create_channel(_guild(twin, guild), name, type))


async def delete_channel(twin: Twin, channel: str) -> None:
    """Delete a channel and send out who is in it."""
    gone = _channel(twin, channel)
    found = twin.world.guilds[gone.guild_id]
    for state in list(found.voice_states.values()):
        if state.channel_id == gone.id and state.user_id == twin.world.bot.id:
            await twin.voicing.disconnect_bot(found, Close.CALL_TERMINATED)
        elif state.channel_id == gone.id:
            twin.voicing.leave(found, state.user_id)
    twin.world.delete_channel(gone)


async def create_role(twin: Twin, guild: str, name: str, allowed: int = 0) -> Json:
    """Add a role."""
    return {"id": str(twin.world.create_role(_guild(twin, guild), name, allowed).id), "name": name}


async def set_role(twin: Twin, guild: str, role: str, allowed: int) -> None:
    """Set a role's permissions."""
    twin.world.change_role(_guild(twin, guild), int(role), allowed)
    twin.voicing.permissions_changed(_guild(twin, guild))


async def set_member(twin: Twin, guild: str, user: str, **changes: Any) -> None:
    """Change a member's roles, nick, mute, deaf or timed_out."""
    if "roles" in changes:
        changes["roles"] = [int(each) for each in changes["roles"]]
    found = _guild(twin, guild)
    twin.world.change_member(found, int(user), **changes)
    twin.voicing.member_changed(found, int(user), voice="mute" in changes or "deaf" in changes)


async def set_permissions(twin: Twin, channel: str, target: str, allow: int = 0, deny: int = 0) -> None:
    """Set the overwrite of a role or member."""
    found = _channel(twin, channel)
    twin.world.overwrite(found, int(target), allow, deny)
    twin.voicing.permissions_changed(twin.world.guilds[found.guild_id])


async def set_user_limit(twin: Twin, channel: str, limit: int) -> None:
    """Set how many fit into a voice channel; 0 for no limit."""
    found = _channel(twin, channel)
    found.user_limit = limit
    twin.world.channel_changed(found)


async def channel_status(twin: Twin, channel: str) -> str | None:
    """Return a voice channel's status."""
    return _channel(twin, channel).status


async def add_bot(twin: Twin, guild: str, allowed: int = permissions.BOT) -> None:
    """Invite the bot."""
    twin.world.add_bot(_guild(twin, guild), allowed)


async def remove_bot(twin: Twin, guild: str) -> None:
    """Remove the bot and its commands."""
    found = _guild(twin, guild)
    await twin.voicing.disconnect_bot(found)
    twin.world.remove_bot(found)


async def set_unavailable(twin: Twin, guild: str, unavailable: bool = True) -> None:
    """Begin or end an outage of a guild."""
    twin.world.set_unavailable(_guild(twin, guild), unavailable)


async def create_sku(twin: Twin, name: str, type: int = 5) -> Json:
    """Add a SKU."""
    return twin.world.create_sku(name, type)


async def create_entitlement(
    twin: Twin,
    sku: str,
    *,
    user: str | None = None,
    guild: str | None = None,
    starts_at: str | None = None,
    ends_at: str | None = None,
    type: int = 8,
) -> Json:
    """Give a user or guild access to a SKU."""
    ids = None if user is None else int(user), None if guild is None else int(guild)
    made = Entitlement(twin.world.snowflakes.make(), int(sku), type, *ids, starts_at, ends_at)
    twin.world.entitle(made, "ENTITLEMENT_CREATE")
    return payloads.entitlement(twin.world, made)


async def change_entitlement(
    twin: Twin, entitlement: str, *, ends_at: str | None = None, deleted: bool = False
) -> Json:
    """End or delete an entitlement."""
    found = twin.world.entitlements[int(entitlement)]
    found.ends_at, found.deleted = ends_at, deleted
    twin.world.entitle(found, "ENTITLEMENT_DELETE" if deleted else "ENTITLEMENT_UPDATE")
    return payloads.entitlement(twin.world, found)


async def advance_clock(twin: Twin, seconds: float) -> None:
    """Let tokens and nonces age."""
    twin.world.clock.advance(seconds)
