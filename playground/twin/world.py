"""The twin's world: who and what there is, and what happens to it. No I/O: what happens is told to listeners."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from playground.twin import payloads
from playground.twin import permissions as rules
from playground.twin.clock import Clock, timestamp
from playground.twin.commands import Commands
from playground.twin.errors import NotPossible, unknown
from playground.twin.model import (
    Channel,
    ChannelType,
    Entitlement,
    Guild,
    Json,
    Member,
    Overwrite,
    Role,
    User,
)
from playground.twin.snowflakes import Snowflakes


@dataclass(frozen=True, slots=True)
class Event:
    """Something the gateway tells the bot.

    Attributes:
        name: Discord's name of the event, such as ``GUILD_CREATE``.
        guild_id: the guild it belongs to; it goes to the sessions of its shard.
        data: the ``d`` of the dispatch; of GUILD_CREATE only ``id`` and ``lazily``, for sessions see it differently.
        channel_id: the bot must see this channel to be told.
        session: only this gateway session is told.
    """

    name: str
    guild_id: int
    data: Json
    channel_id: int | None = None
    session: str | None = None


Listener = Callable[[Event], None]


class World:
    """All state of the twin that Discord would keep, but for messages and interactions."""

    def __init__(self, *, name: str = "Tonearm", token: str | None = None) -> None:
        self.clock = Clock()
        self.snowflakes = Snowflakes()
        self.application_id = self.snowflakes.make()
        self.bot = User(self.application_id, name, bot=True)
        self.token = token or f"twin.{secrets.token_urlsafe(24)}"
        self.owner = User(self.snowflakes.make(), "Olga Owner")
        self.users: dict[int, User] = {self.bot.id: self.bot, self.owner.id: self.owner}
        self.guilds: dict[int, Guild] = {}
        self.channels: dict[int, Channel] = {}
        self.entitlements: dict[int, Entitlement] = {}
        self.skus: list[Json] = []
        self.commands = Commands(self.application_id, self.snowflakes)
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Tell ``listener`` of every event from now on, in order."""
        self._listeners.append(listener)

    def emit(
        self, name: str, guild_id: int, data: Json, *, channel_id: int | None = None, session: str | None = None
    ) -> None:
        """Tell all listeners of an event."""
        event = Event(name, guild_id, data, channel_id, session)
        for listener in self._listeners:
            listener(event)

    # --- looking things up -------------------------------------------------------------------------------------------

    def guild(self, guild_id: int) -> Guild:
        """Return a guild the bot may see.

        Raises:
            DiscordError: 10004, there is none, it is unavailable, or the bot is not in it.
        """
        guild = self.guilds.get(guild_id)
        if guild is None or guild.unavailable or not guild.bot_joined:
            raise unknown("Guild")
        return guild

    def channel(self, channel_id: int) -> Channel:
        """Return a channel of a guild the bot is in.

        Raises:
            DiscordError: 10003, there is none.
        """
        channel = self.channels.get(channel_id)
        if channel is None or self.guilds[channel.guild_id].unavailable:
            raise unknown("Channel")
        if not self.guilds[channel.guild_id].bot_joined:
            raise unknown("Channel")
        return channel

    def permissions(self, channel: Channel, user_id: int) -> int:
        """Return what a user may do in a channel."""
        return rules.in_channel(self.guilds[channel.guild_id], channel, user_id)

    def guild_permissions(self, guild: Guild, user_id: int) -> int:
        """Return what a user may do in a guild as a whole."""
        return rules.in_guild(guild, user_id)

    def has_ended(self, entitlement_id: int) -> bool:
        """Return whether an entitlement was deleted or is past its end."""
        what = self.entitlements[entitlement_id]
        return what.deleted or (what.ends_at is not None and datetime.fromisoformat(what.ends_at) < datetime.now(UTC))

    # --- access ------------------------------------------------------------------------------------------------------

    def create_sku(self, name: str, kind: int = 5) -> Json:
        """Add a SKU; kind 5 is a subscription."""
        slug = name.lower().replace(" ", "-")
        sku = {"id": str(self.snowflakes.make()), "type": kind, "application_id": str(self.application_id)}
        self.skus.append(sku | {"name": name, "slug": slug, "flags": 1 << 2 | 1 << 7})
        return self.skus[-1]

    def entitle(self, what: Entitlement, event: str) -> None:
        """Keep an entitlement and tell of it: ``ENTITLEMENT_CREATE``, ``_UPDATE`` or ``_DELETE``."""
        self.entitlements[what.id] = what
        self.emit(event, what.guild_id or 0, payloads.entitlement(self, what))

    # --- making things -----------------------------------------------------------------------------------------------

    def create_user(self, name: str, locale: str = "en-US") -> User:
        """Make a user who is nowhere yet."""
        user = User(self.snowflakes.make(), name, locale=locale)
        self.users[user.id] = user
        return user

    def create_guild(
        self,
        name: str,
        *,
        shard: tuple[int, int] | None = None,
        bot: bool = True,
        bot_permissions: int = rules.BOT,
        text_channels: int = 1,
        voice_channels: int = 2,
        roles: int = 0,
        locale: str = "en-US",
        announce: bool = True,
    ) -> Guild:
        """Make a guild with @everyone, an owner, channels and, where ``bot``, the bot with its own role.

        Args:
            shard: (shard, count) that its id must fall on; None leaves it to chance.
            roles: roles beside @everyone and the bot's.
        """
        guild_id = self.snowflakes.make() if shard is None else self.snowflakes.for_shard(*shard)
        guild = Guild(guild_id, name, self.owner.id, locale=locale, bot_joined=bot)
        guild.roles[guild_id] = Role(guild_id, "@everyone", rules.EVERYONE)
        guild.members[self.owner.id] = Member(self.owner.id, timestamp())
        for number in range(roles):
            self.create_role(guild, f"Role {number + 1}", 0)
        names = ["general", *(f"text-{number}" for number in range(2, text_channels + 1))][:text_channels]
        for each in names:
            self.create_channel(guild, each, ChannelType.TEXT, announce=False)
        for number in range(voice_channels):
            self.create_channel(guild, f"Voice {number + 1}", ChannelType.VOICE, announce=False)
        if bot:
            self._add_bot(guild, bot_permissions)
        self.guilds[guild_id] = guild
        if bot and announce:
            self._announce(guild, lazily=False)
        return guild

    def _add_bot(self, guild: Guild, allowed: int) -> None:
        role = self.create_role(guild, self.bot.name, allowed, bot_id=self.bot.id)
        guild.members[self.bot.id] = Member(self.bot.id, timestamp(), [role.id])
        guild.bot_joined = guild.commands_installed = True

    def _announce(self, guild: Guild, *, lazily: bool) -> None:
        self.emit("GUILD_CREATE", guild.id, {"id": str(guild.id), "lazily": lazily})

    def create_role(self, guild: Guild, name: str, allowed: int, *, bot_id: int | None = None) -> Role:
        """Add a role above all others."""
        role = Role(self.snowflakes.make(), name, allowed, len(guild.roles), bot_id)
        guild.roles[role.id] = role
        if guild.id in self.guilds:
            data = {"guild_id": str(guild.id), "role": payloads.role(role)}
            self.emit("GUILD_ROLE_CREATE", guild.id, data)
        return role

    def create_channel(self, guild: Guild, name: str, kind: int, *, announce: bool = True) -> Channel:
        """Add a channel at the end."""
        channel = Channel(self.snowflakes.make(), guild.id, kind, name, position=len(guild.channels))
        guild.channels[channel.id] = self.channels[channel.id] = channel
        if announce:
            self.emit("CHANNEL_CREATE", guild.id, payloads.channel(channel))
        return channel

    # --- changing things ---------------------------------------------------------------------------------------------

    def join_guild(self, guild: Guild, user_id: int) -> None:
        """Make a user a member; nothing if they are one."""
        if user_id in guild.members:
            return
        guild.members[user_id] = Member(user_id, timestamp())
        data = {"guild_id": str(guild.id)} | payloads.member(self, guild, user_id)
        self.emit("GUILD_MEMBER_ADD", guild.id, data)

    def leave_guild(self, guild: Guild, user_id: int) -> None:
        """Remove a member, who must have left voice before.

        Raises:
            NotPossible: not a member, or the bot or the owner.
        """
        if user_id not in guild.members or user_id in (guild.owner_id, self.bot.id):
            raise NotPossible("not a member who can leave")
        del guild.members[user_id]
        data = {"guild_id": str(guild.id), "user": payloads.user(self.users[user_id])}
        self.emit("GUILD_MEMBER_REMOVE", guild.id, data)

    def change_member(self, guild: Guild, user_id: int, **changes: Any) -> None:
        """Change a member's ``roles``, ``nick``, ``mute``, ``deaf`` or ``timed_out`` and tell of it.

        Raises:
            NotPossible: not a member.
        """
        member = guild.members.get(user_id)
        if member is None:
            raise NotPossible("not a member of this guild")
        for key, value in changes.items():
            setattr(member, key, value)
        data = {"guild_id": str(guild.id)} | payloads.member(self, guild, user_id)
        self.emit("GUILD_MEMBER_UPDATE", guild.id, data)

    def change_role(self, guild: Guild, role_id: int, allowed: int) -> None:
        """Set a role's permissions.

        Raises:
            NotPossible: no such role.
        """
        if role_id not in guild.roles:
            raise NotPossible("no such role")
        guild.roles[role_id].permissions = allowed
        data = {"guild_id": str(guild.id), "role": payloads.role(guild.roles[role_id])}
        self.emit("GUILD_ROLE_UPDATE", guild.id, data)

    def overwrite(self, channel: Channel, target: int, allow: int, deny: int) -> None:
        """Set what a role or member may do in a channel; nothing allowed and nothing denied removes the overwrite."""
        kind = 0 if target in self.guilds[channel.guild_id].roles else 1
        if allow or deny:
            channel.overwrites[target] = Overwrite(target, kind, allow, deny)
        else:
            channel.overwrites.pop(target, None)
        self.channel_changed(channel)

    def channel_changed(self, channel: Channel) -> None:
        """Tell of a change of a channel."""
        self.emit("CHANNEL_UPDATE", channel.guild_id, payloads.channel(channel))

    def delete_channel(self, channel: Channel) -> None:
        """Remove a channel; who is in it must have been sent out before."""
        del self.channels[channel.id]
        del self.guilds[channel.guild_id].channels[channel.id]
        self.emit("CHANNEL_DELETE", channel.guild_id, payloads.channel(channel))

    def add_bot(self, guild: Guild, allowed: int = rules.BOT) -> None:
        """Invite the bot (again).

        Raises:
            NotPossible: it is a member.
        """
        if guild.bot_joined:
            raise NotPossible("the bot is a member already")
        self._add_bot(guild, allowed)
        self._announce(guild, lazily=False)

    def remove_bot(self, guild: Guild) -> None:
        """Remove the bot and the commands; its voice state must have ended before.

        Raises:
            NotPossible: it is not a member.
        """
        if not guild.bot_joined:
            raise NotPossible("the bot is not a member")
        for role in [each.id for each in guild.roles.values() if each.bot_id == self.bot.id]:
            del guild.roles[role]
        del guild.members[self.bot.id]
        guild.commands_installed = False
        self.emit("GUILD_DELETE", guild.id, {"id": str(guild.id)})
        guild.bot_joined = False

    def set_unavailable(self, guild: Guild, unavailable: bool) -> None:
        """Begin or end an outage of a guild; nothing if it is so already."""
        if guild.unavailable == unavailable:
            return
        if unavailable:
            self.emit("GUILD_DELETE", guild.id, {"id": str(guild.id), "unavailable": True})
            guild.unavailable = True
        else:
            guild.unavailable = False
            self._announce(guild, lazily=True)
