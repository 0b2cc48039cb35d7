"""Discord's objects as JSON, as the API and the gateway write them (Discord documentation, "Resources")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playground.twin.model import Channel, ChannelType, Entitlement, Guild, Json, Message, Role, User, VoiceState

if TYPE_CHECKING:
    from playground.twin.world import World

ATTACHMENT_SIZE_LIMIT = 10 * 1024 * 1024


def user(who: User) -> Json:
    """Return a user object, as others see it."""
    payload: Json = {
        "id": str(who.id),
        "username": who.name.lower().replace(" ", "_"),
        "discriminator": f"{who.id % 9999 + 1:04}" if who.bot else "0",
        "global_name": None if who.bot else who.name,
        "avatar": None,
        "avatar_decoration_data": None,
        "banner": None,
        "accent_color": None,
        "collectibles": None,
        "primary_guild": None,
        "public_flags": 0,
        "flags": 0,
    }
    if who.bot:
        payload["username"] = who.name
        payload["bot"] = True
    return payload


def own_user(who: User) -> Json:
    """Return the bot's own user object, with what only it sees."""
    return user(who) | {
        "verified": True,
        "email": None,
        "mfa_enabled": True,
        "locale": who.locale,
    }


def member(world: World, guild: Guild, user_id: int, *, with_user: bool = True) -> Json:
    """Return a guild member object."""
    who = guild.members[user_id]
    payload: Json = {
        "roles": [str(role) for role in who.roles],
        "joined_at": who.joined_at,
        "nick": who.nick,
        "avatar": None,
        "banner": None,
        "premium_since": None,
        "communication_disabled_until": "2099-01-01T00:00:00+00:00" if who.timed_out else None,
        "pending": False,
        "flags": 0,
        "deaf": who.deaf,
        "mute": who.mute,
    }
    if with_user:
        payload["user"] = user(world.users[user_id])
    return payload


def role(what: Role) -> Json:
    """Return a role object."""
    payload: Json = {
        "id": str(what.id),
        "name": what.name,
        "description": None,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "icon": None,
        "unicode_emoji": None,
        "position": what.position,
        "permissions": str(what.permissions),
        "managed": what.bot_id is not None,
        "mentionable": False,
        "flags": 0,
    }
    if what.bot_id is not None:
        payload["tags"] = {"bot_id": str(what.bot_id)}
    return payload


def channel(what: Channel) -> Json:
    """Return a channel object."""
    payload: Json = {
        "id": str(what.id),
        "type": what.type,
        "guild_id": str(what.guild_id),
        "name": what.name,
        "position": what.position,
        "parent_id": None if what.parent_id is None else str(what.parent_id),
        "flags": 0,
        "permission_overwrites": [
            {"id": str(each.id), "type": each.type, "allow": str(each.allow), "deny": str(each.deny)}
            for each in what.overwrites.values()
        ],
    }
    if what.type == ChannelType.CATEGORY:
        return payload
    last = None if what.last_message_id is None else str(what.last_message_id)
    payload |= {"nsfw": False, "rate_limit_per_user": 0, "last_message_id": last}
    if what.type == ChannelType.TEXT:
        return payload | {"topic": what.topic}
    return payload | {
        "bitrate": what.bitrate,
        "user_limit": what.user_limit,
        "rtc_region": None,
        "video_quality_mode": 1,
    }


def voice_state(world: World, guild: Guild, state: VoiceState, *, base: bool = False) -> Json:
    """Return a voice state object; ``base`` as in GUILD_CREATE, without guild and member."""
    who = guild.members.get(state.user_id)
    payload: Json = {
        "channel_id": str(state.channel_id) if state.channel_id else None,
        "user_id": str(state.user_id),
        "session_id": state.session_id,
        "deaf": who.deaf if who else False,
        "mute": who.mute if who else False,
        "self_deaf": state.self_deaf,
        "self_mute": state.self_mute,
        "self_video": False,
        "suppress": state.suppress,
        "request_to_speak_timestamp": None,
    }
    if base:
        return payload
    payload |= {"guild_id": str(guild.id), "self_stream": False}
    if who is not None:
        payload["member"] = member(world, guild, state.user_id)
    return payload


def guild_base(what: Guild) -> Json:
    """Return what REST's guild object and GUILD_CREATE have in common."""
    return {
        "id": str(what.id),
        "name": what.name,
        "icon": None,
        "description": None,
        "splash": None,
        "discovery_splash": None,
        "features": [],
        "banner": None,
        "owner_id": str(what.owner_id),
        "application_id": None,
        "region": "deprecated",
        "afk_channel_id": None,
        "afk_timeout": 300,
        "system_channel_id": None,
        "system_channel_flags": 0,
        "verification_level": 0,
        "roles": [role(each) for each in what.roles.values()],
        "default_message_notifications": 0,
        "mfa_level": 0,
        "explicit_content_filter": 0,
        "max_members": 25_000_000,
        "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25,
        "vanity_url_code": None,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "preferred_locale": what.locale,
        "rules_channel_id": None,
        "safety_alerts_channel_id": None,
        "public_updates_channel_id": None,
        "premium_progress_bar_enabled": False,
        "hub_type": None,
        "nsfw": False,
        "nsfw_level": 0,
        "emojis": [],
        "stickers": [],
        "incidents_data": None,
    }


def guild_rest(what: Guild) -> Json:
    """Return the guild object of REST."""
    return guild_base(what) | {
        "home_header": None,
        "max_presences": None,
        "widget_enabled": False,
        "widget_channel_id": None,
    }


def guild_create(world: World, what: Guild, *, lazily: bool, members: bool) -> Json:
    """Return the data of GUILD_CREATE.

    Args:
        lazily: part of connecting, or the end of an outage, and not a new guild.
        members: the session has the GUILD_MEMBERS intent; else only the bot and people in voice are listed.
    """
    bot = what.members[world.bot.id]
    listed = what.members if members else {world.bot.id, *what.voice_states}
    payload = guild_base(what) | {
        "joined_at": bot.joined_at,
        "large": len(what.members) > 250,
        "member_count": len(what.members),
        "voice_states": [voice_state(world, what, each, base=True) for each in what.voice_states.values()],
        "members": [member(world, what, each) for each in listed if each in what.members],
        "channels": [channel(each) for each in what.channels.values()],
        "threads": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }
    if lazily:
        payload["unavailable"] = False
    return payload


def message(world: World, what: Message) -> Json:
    """Return a message object."""
    author = world.users[what.author_id]
    payload: Json = {
        "id": str(what.id),
        "channel_id": str(what.channel_id),
        "type": _message_type(what),
        "author": user(author),
        "content": what.content,
        "timestamp": what.timestamp,
        "edited_timestamp": what.edited_timestamp,
        "tts": what.tts,
        "mention_everyone": what.mention_everyone,
        "mentions": [user(world.users[each]) for each in what.mentions if each in world.users],
        "mention_roles": [],
        "attachments": [],
        "embeds": what.embeds,
        "components": what.components,
        "pinned": False,
        "flags": what.flags,
    }
    if author.id == world.bot.id and what.interaction_id is not None:
        payload |= {"application_id": str(world.application_id), "webhook_id": str(world.application_id)}
    if what.interaction_metadata is not None:
        payload["interaction_metadata"] = what.interaction_metadata
    if what.nonce is not None:
        payload["nonce"] = what.nonce
    return payload


def message_event(world: World, what: Message) -> Json:
    """Return the data of MESSAGE_CREATE and MESSAGE_UPDATE."""
    payload = message(world, what) | {"guild_id": str(what.guild_id), "channel_type": 0}
    guild = world.guilds[what.guild_id]
    payload["channel_type"] = guild.channels[what.channel_id].type
    if what.author_id in guild.members:
        payload["member"] = member(world, guild, what.author_id, with_user=False)
    return payload


def _message_type(what: Message) -> int:
    if (metadata := what.interaction_metadata) is None:
        return 0
    return 20 if metadata["type"] == 2 else 19


def entitlement(world: World, what: Entitlement) -> Json:
    """Return an entitlement object; a guild's without a user was paid by the owner of all guilds."""
    payload: Json = {
        "id": str(what.id),
        "sku_id": str(what.sku_id),
        "application_id": str(world.application_id),
        "user_id": str(what.user_id or world.owner.id),
        "deleted": what.deleted,
        "consumed": what.consumed,
        "starts_at": what.starts_at,
        "ends_at": what.ends_at,
        "type": what.type,
    }
    if what.guild_id is not None:
        payload["guild_id"] = str(what.guild_id)
    return payload


def gateway_event(name: str, data: Any, sequence: int) -> Json:
    """Return a gateway dispatch (op 0)."""
    return {"op": 0, "t": name, "s": sequence, "d": data}
