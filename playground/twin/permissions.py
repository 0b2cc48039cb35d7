"""Permissions and how they are computed (Discord documentation, "Permissions")."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntFlag

from playground.twin.model import Channel, ChannelType, Guild


class Permission(IntFlag):
    """The permission bits that something in the twin looks at or gives by default."""

    CREATE_INSTANT_INVITE = 1 << 0
    KICK_MEMBERS = 1 << 1
    BAN_MEMBERS = 1 << 2
    ADMINISTRATOR = 1 << 3
    MANAGE_CHANNELS = 1 << 4
    MANAGE_GUILD = 1 << 5
    ADD_REACTIONS = 1 << 6
    VIEW_AUDIT_LOG = 1 << 7
    PRIORITY_SPEAKER = 1 << 8
    STREAM = 1 << 9
    VIEW_CHANNEL = 1 << 10
    SEND_MESSAGES = 1 << 11
    SEND_TTS_MESSAGES = 1 << 12
    MANAGE_MESSAGES = 1 << 13
    EMBED_LINKS = 1 << 14
    ATTACH_FILES = 1 << 15
    READ_MESSAGE_HISTORY = 1 << 16
    MENTION_EVERYONE = 1 << 17
    USE_EXTERNAL_EMOJIS = 1 << 18
    CONNECT = 1 << 20
    SPEAK = 1 << 21
    MUTE_MEMBERS = 1 << 22
    DEAFEN_MEMBERS = 1 << 23
    MOVE_MEMBERS = 1 << 24
    USE_VAD = 1 << 25
    CHANGE_NICKNAME = 1 << 26
    MANAGE_NICKNAMES = 1 << 27
    MANAGE_ROLES = 1 << 28
    MANAGE_WEBHOOKS = 1 << 29
    USE_APPLICATION_COMMANDS = 1 << 31
    REQUEST_TO_SPEAK = 1 << 32
    CREATE_PUBLIC_THREADS = 1 << 35
    CREATE_PRIVATE_THREADS = 1 << 36
    USE_EXTERNAL_STICKERS = 1 << 37
    SEND_MESSAGES_IN_THREADS = 1 << 38
    USE_EMBEDDED_ACTIVITIES = 1 << 39
    MODERATE_MEMBERS = 1 << 40
    USE_SOUNDBOARD = 1 << 42
    SEND_VOICE_MESSAGES = 1 << 46
    SET_VOICE_CHANNEL_STATUS = 1 << 48
    SEND_POLLS = 1 << 49


P = Permission

ALL = (1 << 53) - 1
"""Every permission, also those the twin has no name for."""

EVERYONE = int(
    P.CREATE_INSTANT_INVITE
    | P.ADD_REACTIONS
    | P.STREAM
    | P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.EMBED_LINKS
    | P.ATTACH_FILES
    | P.READ_MESSAGE_HISTORY
    | P.MENTION_EVERYONE
    | P.USE_EXTERNAL_EMOJIS
    | P.CONNECT
    | P.SPEAK
    | P.USE_VAD
    | P.CHANGE_NICKNAME
    | P.USE_APPLICATION_COMMANDS
    | P.REQUEST_TO_SPEAK
    | P.CREATE_PUBLIC_THREADS
    | P.CREATE_PRIVATE_THREADS
    | P.USE_EXTERNAL_STICKERS
    | P.SEND_MESSAGES_IN_THREADS
    | P.USE_EMBEDDED_ACTIVITIES
    | P.USE_SOUNDBOARD
    | P.SEND_VOICE_MESSAGES
    | P.SEND_POLLS
)
"""What @everyone may do in a new guild."""

BOT = int(
    P.VIEW_CHANNEL
    | P.SEND_MESSAGES
    | P.EMBED_LINKS
    | P.ATTACH_FILES
    | P.READ_MESSAGE_HISTORY
    | P.CONNECT
    | P.SPEAK
    | P.SET_VOICE_CHANNEL_STATUS
)
"""What the role of an invited music bot may do."""

_VOICE = int(
    P.STREAM
    | P.PRIORITY_SPEAKER
    | P.CONNECT
    | P.SPEAK
    | P.MUTE_MEMBERS
    | P.DEAFEN_MEMBERS
    | P.MOVE_MEMBERS
    | P.USE_VAD
    | P.REQUEST_TO_SPEAK
    | P.USE_SOUNDBOARD
    | P.SET_VOICE_CHANNEL_STATUS
    | P.MANAGE_CHANNELS
    | P.MANAGE_ROLES
)
_SENDING = int(P.MENTION_EVERYONE | P.SEND_TTS_MESSAGES | P.ATTACH_FILES | P.EMBED_LINKS)
_TIMED_OUT = int(P.VIEW_CHANNEL | P.READ_MESSAGE_HISTORY)


def in_guild(guild: Guild, user_id: int) -> int:
    """Return what a member may do in the guild as a whole; 0 for someone who is not a member."""
    if user_id == guild.owner_id:
        return ALL
    member = guild.members.get(user_id)
    if member is None:
        return 0
    granted = guild.roles[guild.id].permissions
    for role_id in member.roles:
        granted |= guild.roles[role_id].permissions
    return ALL if granted & P.ADMINISTRATOR else granted


def in_channel(guild: Guild, channel: Channel, user_id: int) -> int:
    """Return what a member may do in a channel: overwrites, then what a denied permission takes with it."""
    base = in_guild(guild, user_id)
    if base == ALL or user_id not in guild.members:
        return base
    member = guild.members[user_id]
    granted = _overwritten(base, channel, guild.id, member.roles, user_id)
    if member.timed_out:
        granted &= _TIMED_OUT
    return _implied(granted, channel.type)


def _overwritten(base: int, channel: Channel, guild_id: int, roles: Iterable[int], user_id: int) -> int:
    granted = base
    if (everyone := channel.overwrites.get(guild_id)) is not None:
        granted = granted & ~everyone.deny | everyone.allow
    allow = deny = 0
    for role_id in roles:
        if (overwrite := channel.overwrites.get(role_id)) is not None:
            allow |= overwrite.allow
            deny |= overwrite.deny
    granted = granted & ~deny | allow
    if (own := channel.overwrites.get(user_id)) is not None:
        granted = granted & ~own.deny | own.allow
    return granted


def _implied(granted: int, kind: int) -> int:
    if not granted & P.VIEW_CHANNEL:
        return 0
    if not granted & P.SEND_MESSAGES:
        granted &= ~_SENDING
    if kind in (ChannelType.VOICE, ChannelType.STAGE) and not granted & P.CONNECT:
        granted &= ~_VOICE
    return granted
