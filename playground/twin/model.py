"""What there is in the twin's world: plain records without behaviour, so that they can be written to a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any

Json = dict[str, Any]


class ChannelType(IntEnum):
    """Kinds of channels (Discord documentation, "Channel Types")."""

    TEXT = 0
    VOICE = 2
    CATEGORY = 4
    STAGE = 13


class MessageFlag(IntFlag):
    """Flags of messages (Discord documentation, "Message Flags")."""

    SUPPRESS_EMBEDS = 1 << 2
    EPHEMERAL = 1 << 6
    LOADING = 1 << 7
    SUPPRESS_NOTIFICATIONS = 1 << 12
    IS_COMPONENTS_V2 = 1 << 15


@dataclass(slots=True)
class User:
    """A person or a bot. ``name`` is what people see."""

    id: int
    name: str
    bot: bool = False
    locale: str = "en-US"


@dataclass(slots=True)
class Role:
    """A role of a guild; the role with the guild's id is @everyone."""

    id: int
    name: str
    permissions: int
    position: int = 0
    bot_id: int | None = None


@dataclass(slots=True)
class Overwrite:
    """Permissions of a role (``type`` 0) or a member (``type`` 1) in one channel."""

    id: int
    type: int
    allow: int = 0
    deny: int = 0


@dataclass(slots=True)
class Channel:
    """A channel of a guild. ``user_limit`` 0 means no limit; ``bitrate`` is in bits a second."""

    id: int
    guild_id: int
    type: int
    name: str
    position: int = 0
    parent_id: int | None = None
    topic: str | None = None
    user_limit: int = 0
    bitrate: int = 64_000
    status: str | None = None
    last_message_id: int | None = None
    overwrites: dict[int, Overwrite] = field(default_factory=dict)


@dataclass(slots=True)
class Member:
    """A user in a guild. ``joined_at`` is ISO 8601."""

    user_id: int
    joined_at: str
    roles: list[int] = field(default_factory=list)
    nick: str | None = None
    mute: bool = False
    deaf: bool = False
    timed_out: bool = False


@dataclass(slots=True)
class VoiceState:
    """Where a user is in voice. ``session_id`` is the gateway session that keeps a bot there."""

    user_id: int
    channel_id: int
    session_id: str
    self_mute: bool = False
    self_deaf: bool = False
    suppress: bool = False


@dataclass(slots=True)
class Guild:
    """A guild with all that is in it.

    Attributes:
        unavailable: an outage; nothing of it is reachable.
        bot_joined: the bot user is a member; False with only the commands installed.
        commands_installed: the app's commands are offered there.
    """

    id: int
    name: str
    owner_id: int
    locale: str = "en-US"
    unavailable: bool = False
    bot_joined: bool = True
    commands_installed: bool = True
    roles: dict[int, Role] = field(default_factory=dict)
    channels: dict[int, Channel] = field(default_factory=dict)
    members: dict[int, Member] = field(default_factory=dict)
    voice_states: dict[int, VoiceState] = field(default_factory=dict)


@dataclass(slots=True)
class Message:
    """A message.

    Attributes:
        ephemeral_for: the only user who sees it, or None for a real message in the channel.
        interaction_id: the interaction it answers, or None.
        edits: how often it was edited; a deferred answer's first content counts as one.
    """

    id: int
    channel_id: int
    guild_id: int
    author_id: int
    timestamp: str
    content: str = ""
    embeds: list[Json] = field(default_factory=list)
    components: list[Json] = field(default_factory=list)
    flags: int = 0
    tts: bool = False
    nonce: str | int | None = None
    edited_timestamp: str | None = None
    mentions: list[int] = field(default_factory=list)
    mention_everyone: bool = False
    ephemeral_for: int | None = None
    interaction_id: int | None = None
    interaction_metadata: Json | None = None
    edits: int = 0

    @property
    def loading(self) -> bool:
        """Whether it shows "is thinking..."."""
        return bool(self.flags & MessageFlag.LOADING)


@dataclass(slots=True)
class Entitlement:
    """Access to a SKU (Discord documentation, "Entitlement Object"); times are ISO 8601 or None."""

    id: int
    sku_id: int
    type: int = 8
    user_id: int | None = None
    guild_id: int | None = None
    starts_at: str | None = None
    ends_at: str | None = None
    deleted: bool = False
    consumed: bool = False
