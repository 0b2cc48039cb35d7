"""A gateway session: what it may see, what it was sent, and whether its socket is there."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from playground.twin import payloads
from playground.twin.gateway.settings import GUILD_MEMBERS, GUILD_VOICE_STATES, MESSAGE_CONTENT, intent_of
from playground.twin.model import Json
from playground.twin.permissions import Permission
from playground.twin.snowflakes import shard_of
from playground.twin.world import Event, World

if TYPE_CHECKING:
    from playground.twin.gateway.socket import GatewaySocket

_encode = msgspec.json.Encoder().encode


class Session:
    """One session of one shard.

    Attributes:
        socket: the connection it is on, or None while that is away.
        sequence: the number of the last dispatch.
        unsent: guilds whose GUILD_CREATE is still to come; their other events are not sent before it.
        expiry: ends the session when its socket stays away.
    """

    def __init__(self, world: World, shard: int, count: int, intents: int, kept: int) -> None:
        self.id = secrets.token_hex(16)
        self.shard = shard
        self.count = count
        self.intents = intents
        self.socket: GatewaySocket | None = None
        self.sequence = 0
        self.unsent: set[int] = set()
        self.expiry: asyncio.TimerHandle | None = None
        self.ended = False
        self._world = world
        self._sent: deque[tuple[int, bytes]] = deque(maxlen=kept)

    def dispatch(self, name: str, data: Json) -> None:
        """Send a dispatch, or keep it for the RESUME."""
        self.sequence += 1
        encoded = _encode(payloads.gateway_event(name, data, self.sequence))
        self._sent.append((self.sequence, encoded))
        if self.socket is not None:
            self.socket.send(encoded)

    def missed(self, sequence: int) -> list[bytes] | None:
        """Return the dispatches after ``sequence``; None when they cannot be replayed."""
        if sequence > self.sequence or sequence < 0:
            return None
        if self._sent and sequence < self._sent[0][0] - 1:
            return None
        return [encoded for number, encoded in self._sent if number > sequence]

    def tell(self, event: Event) -> None:
        """Dispatch an event of the world, if this session is one to be told."""
        if self._wants(event):
            self.dispatch(event.name, self._seen(event))

    def _wants(self, event: Event) -> bool:
        if event.session not in (None, self.id) or shard_of(event.guild_id, self.count) != self.shard:
            return False
        if event.name.startswith(("INTERACTION_", "ENTITLEMENT_")):
            return True
        guild = self._world.guilds[event.guild_id]
        if not guild.bot_joined or guild.unavailable or (event.guild_id in self.unsent):
            return False
        if event.channel_id is not None:
            allowed = self._world.permissions(guild.channels[event.channel_id], self._world.bot.id)
            if not allowed & Permission.VIEW_CHANNEL:
                return False
        needed = intent_of(event.name)
        if event.name == "GUILD_MEMBER_UPDATE" and event.data["user"]["id"] == str(self._world.bot.id):
            return True
        return not needed or bool(self.intents & needed)

    def _seen(self, event: Event) -> Json:
        if event.name == "GUILD_CREATE":
            return self.guild_create(event.guild_id, lazily=event.data["lazily"])
        if event.name.startswith("MESSAGE_") and not self.intents & MESSAGE_CONTENT:
            own = str(self._world.bot.id)
            author, mentions = event.data.get("author"), event.data.get("mentions", ())
            if author and author["id"] != own and all(each["id"] != own for each in mentions):
                return event.data | {"content": "", "embeds": [], "attachments": [], "components": []}
        return event.data

    def guild_create(self, guild_id: int, *, lazily: bool) -> Json:
        """Return GUILD_CREATE's data as this session sees it."""
        guild = self._world.guilds[guild_id]
        members = bool(self.intents & GUILD_MEMBERS)
        data = payloads.guild_create(self._world, guild, lazily=lazily, members=members)
        if not self.intents & GUILD_VOICE_STATES:
            data["voice_states"] = []
        return data
