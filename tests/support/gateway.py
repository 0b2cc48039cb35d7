"""A shard's gateway, and a guild of the twin that it knows."""

from __future__ import annotations

import asyncio
from unittest.mock import create_autospec

from playground.twin.actors import TwinClient
from playground.twin.handles import Actor, Channel, Guild
from tests.support.voice_nodes import Tenured
from tonearm.discord.rest import RestClient
from voice_nodes.gateway import Gateway
from voice_nodes.identifying import Turns
from voice_nodes.listener import GuildListener, ServerListener


def make(
    rest: RestClient | None = None, lease: Tenured | None = None, turns: Turns | None = None, shard_count: int = 1
) -> Gateway:
    return Gateway(
        shard=0,
        shard_count=shard_count,
        listener=create_autospec(GuildListener, instance=True),
        servers=create_autospec(ServerListener, instance=True),
        turns=turns or create_autospec(Turns, instance=True),
        lease=lease or Tenured(),
        rest=rest,
    )


class Place:
    """A guild that the gateway knows, with Ada in its voice channel."""

    def __init__(self, gateway: Gateway, client: TwinClient, guild: Guild, ada: Actor, lease: Tenured) -> None:
        self.gateway, self.client, self.guild, self.ada, self.lease = gateway, client, guild, ada, lease
        self.voice: Channel = guild.voice_channels[0]
        self.running: asyncio.Task[None]

    def require(self, channel: str | None = None) -> None:
        self.gateway.require_entry(int(self.guild.id), int(channel or self.voice.id))

    async def changed(self) -> None:
        """Wait until the gateway has told of the channel."""
        await self.gateway.wait_for(
            "guild_channel_update", check=lambda _, after: after.id == int(self.voice.id), timeout=5
        )
