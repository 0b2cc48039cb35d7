"""Who is where, as a gateway knows it that went on with another's session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import discord
import pytest

from playground.twin.handles import Actor, Channel
from tests.support.gateway import Place, make
from tests.support.voice_nodes import running
from tonearm.discord.rest import RestClient
from tonearm.errors import DiscordAway
from tonearm.redis.sessions import SavedGateway
from voice_nodes import resuming
from voice_nodes.gateway import Gateway


class Takeover:
    """The session of one gateway, taken over by ``gateway``: the bot was in the first channel with Ada, and Bob in the
    second."""

    def __init__(self, place: Place, bob: Actor, gateway: Gateway) -> None:
        self.place, self.bob, self.gateway = place, bob, gateway
        self.guild = int(place.guild.id)
        self.here, self.there = (int(channel.id) for channel in place.guild.voice_channels[:2])

    async def where(self, actor: Actor, *, here: int | None = None) -> int | None:
        return await self.gateway.fetch_caller_channel(self.guild, int(actor.id), here=here)

    def seen(self, actor: Actor) -> int | None:
        return self.gateway.caller_channel(self.guild, int(actor.id))

    async def moved(self, actor: Actor, channel: Channel | None) -> None:
        """Move ``actor``, and wait until the gateway has told of it."""
        async with asyncio.timeout(5):
            told = asyncio.create_task(
                self.gateway.wait_for("voice_state_update", check=lambda member, *_: member.id == int(actor.id))
            )
            await asyncio.sleep(0)
            await (actor.join(channel) if channel is not None else actor.leave())
            await told


def saved_of(gateway: Gateway, guild: int) -> tuple[SavedGateway, dict[str, Any]]:
    """What the next owner of the session is told."""
    assert gateway.user is not None
    session = SavedGateway(
        gateway.ws.session_id, gateway.ws.sequence or 0, str(gateway.ws.gateway), resuming.reduced_user(gateway.user)
    )
    return session, gateway.snapshot(gateway.find_guild(guild))


@pytest.fixture
async def rest(aimed: Any) -> AsyncIterator[RestClient]:
    async with RestClient(aimed["api_url"], bot_token=aimed["bot_token"]) as rest:
        yield rest


@asynccontextmanager
async def taken_over(before: Gateway, guild: int, rest: RestClient, aimed: Any) -> AsyncIterator[Gateway]:
    """Another gateway goes on with the session of ``before``, which is left behind."""
    session, snapshot = saved_of(before, guild)
    await before.leave_behind()
    gateway = make(rest=rest)
    await gateway.restore(session, [snapshot])
    resumed = asyncio.create_task(gateway.wait_for("resumed", timeout=10))
    await asyncio.sleep(0)
    async with running(gateway.run_forever(aimed["bot_token"])):
        await resumed
        yield gateway
        await gateway.leave_behind()


@pytest.fixture
async def takeover(place: Place, rest: RestClient, aimed: Any) -> AsyncIterator[Takeover]:
    bob = await place.client.create_user("Bob")
    await bob.join_guild(place.guild)
    guild = place.gateway.find_guild(int(place.guild.id))
    first, second = place.guild.voice_channels[:2]
    before = Takeover(place, bob, place.gateway)
    await before.moved(bob, second)
    entered = asyncio.create_task(place.gateway.wait_for("voice_state_update", timeout=5))
    await asyncio.sleep(0)
    await place.gateway.send_voice_state(guild, discord.Object(int(first.id)))
    await entered
    async with taken_over(place.gateway, guild.id, rest, aimed) as gateway:
        yield Takeover(place, bob, gateway)


@asynccontextmanager
async def rest_away(takeover: Takeover) -> AsyncIterator[None]:
    hold = await takeover.place.client.hold_rest("GET", "/guilds/.*", count=None, status=503)
    try:
        yield
    finally:
        await hold.release()


async def test_who_is_in_the_bots_channel_is_known_though_rest_is_away(takeover: Takeover) -> None:
    async with rest_away(takeover):
        await known_without_rest(takeover)


async def known_without_rest(takeover: Takeover) -> None:
    assert await takeover.where(takeover.place.ada) == takeover.here
    assert await takeover.where(takeover.bob, here=takeover.here) is None, "wherever he is, he is not here"
    assert takeover.gateway.is_alone(takeover.guild, takeover.here) is False
    await takeover.moved(takeover.place.ada, None)
    assert await takeover.where(takeover.place.ada) is None, "she was seen to leave"
    assert takeover.gateway.is_alone(takeover.guild, takeover.here) is True
    with pytest.raises(DiscordAway):
        await takeover.where(takeover.bob)


async def test_discord_is_asked_once_where_somebody_is(takeover: Takeover) -> None:
    assert takeover.seen(takeover.bob) is None
    assert await takeover.where(takeover.bob) == takeover.there
    async with rest_away(takeover):
        assert await takeover.where(takeover.bob) == takeover.there
    await takeover.moved(takeover.bob, None)
    assert await takeover.where(takeover.bob) is None


async def test_what_the_gateway_tells_is_newer_than_what_was_asked(takeover: Takeover) -> None:
    hold = await takeover.place.client.hold_rest("GET", "/guilds/.*")
    asked = asyncio.create_task(takeover.where(takeover.bob))
    await hold.hit()
    await takeover.moved(takeover.bob, takeover.place.guild.voice_channels[0])
    await hold.release()
    assert await asyncio.wait_for(asked, 5) == takeover.here


async def test_a_channel_of_which_not_everybody_is_known_is_not_empty_for_the_next_owner_either(
    takeover: Takeover, rest: RestClient, aimed: Any
) -> None:
    """Else the bot would leave Bob, who sits where it was moved to, because it believes itself alone."""
    async with asyncio.timeout(5):
        moved = asyncio.create_task(takeover.gateway.wait_for("voice_state_update"))
        await asyncio.sleep(0)
        await takeover.place.guild.move_bot(takeover.place.guild.voice_channels[1])
        await moved
    assert takeover.gateway.is_alone(takeover.guild, takeover.there) is None
    async with taken_over(takeover.gateway, takeover.guild, rest, aimed) as third:
        assert third.is_alone(takeover.guild, takeover.there) is None
        assert await third.fetch_caller_channel(takeover.guild, int(takeover.bob.id)) == takeover.there
        assert third.is_alone(takeover.guild, takeover.there) is False
