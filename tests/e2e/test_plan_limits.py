"""A guild's plan, as its people meet it: refused with a sentence, granted, allowed, and taken back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from playground.system import System
from tests.e2e.conftest import OpenRoom, Room
from tonearm.cache import TermsCache
from tonearm.music.guild_settings import GuildSettings
from tonearm.postgres import grants, guild_settings
from tonearm.postgres.pool import Pool
from tonearm.premium.grants import Event, Source
from tonearm.premium.plans import PlanId
from tonearm.premium.states import Kind
from tonearm.redis.client import connect

NEEDED = "**Premium**"


@dataclass
class Office:
    """Where plans are given and taken, and settings are made, as the API does it."""

    pool: Pool
    cache: TermsCache

    async def give(self, room: Room, plan: PlanId = PlanId.PREMIUM, length: timedelta = timedelta(days=1)) -> None:
        now = datetime.now(UTC)
        event = Event(f"give:{now}", Kind.ACTIVATE, now, plan, now + length)
        await self._record(room, event)

    async def take(self, room: Room) -> None:
        now = datetime.now(UTC)
        await self._record(room, Event(f"take:{now}", Kind.REVOKE, now))

    async def set(self, room: Room, settings: GuildSettings) -> None:
        await guild_settings.save_guild_settings(self.pool, int(room.guild.id), settings)
        await self.cache.forget(int(room.guild.id))

    async def _record(self, room: Room, event: Event) -> None:
        guild = int(room.guild.id)
        await grants.record(self.pool, guild, Source.MANUAL, str(guild), event, now=event.at, asked=True)
        await self.cache.forget(guild)


@pytest.fixture
async def office(system: System) -> AsyncIterator[Office]:
    async with (
        Pool(system.environ["TONEARM_DATABASE_URL"], timeout=5) as pool,
        connect(system.environ["TONEARM_REDIS_URL"], timeout=5) as redis,
    ):
        yield Office(pool, TermsCache(redis, pool, shard_count=2, local=False))


async def until_level(room: Room, wanted: Callable[[float], bool], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not wanted(await room.ear.level()):
            await room.ear.wait_packets((await room.ear.report()).packets + 5)


async def test_a_free_guild_is_refused_with_a_sentence_and_a_granted_one_is_not(room: Room, office: Office) -> None:
    await room.ask("play", query="long 440")
    refused = await room.ask("volume", percent=150)
    assert NEEDED in refused.text
    assert refused.ephemeral
    await office.give(room)
    assert "150%" in (await room.ask("volume", percent=150)).text
    await office.take(room)
    assert NEEDED in (await room.ask("volume", percent=120)).text


async def test_a_plan_that_ends_is_heard_and_a_new_one_too(room: Room, office: Office) -> None:
    await office.give(room)
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ear.wait_packets((await room.ear.report()).packets + 20)
    normal = await room.ear.level()
    await room.ask("volume", percent=200)
    await until_level(room, lambda level: level > normal + 2)
    await office.take(room)
    await until_level(room, lambda level: abs(level - normal) < 1)
    await office.give(room, PlanId.PRO)
    await until_level(room, lambda level: level > normal + 2)


async def test_what_time_ends_is_heard_though_nobody_says_so(room: Room, office: Office) -> None:
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ear.wait_packets((await room.ear.report()).packets + 20)
    normal = await room.ear.level()
    await office.give(room, length=timedelta(seconds=8))
    await room.ask("volume", percent=200)
    await until_level(room, lambda level: level > normal + 2)
    await until_level(room, lambda level: abs(level - normal) < 1, seconds=30)
    assert NEEDED in (await room.ask("volume", percent=200)).text


async def test_left_alone_it_leaves_and_keeps_the_queue(room: Room, office: Office) -> None:
    await office.set(room, GuildSettings(alone_seconds=0))
    await room.ask("play", query="long 440")
    await room.ask("play", query="long 660")
    await room.ear.hears(440)
    await room.ada.leave()
    await room.guild.wait_bot_in(None)
    await room.text.wait_message(lambda message: "Nobody was left" in message.text, 10)
    assert "660 Hz" in (await room.ask("queue")).text


async def test_with_nothing_playing_it_leaves(room: Room, office: Office) -> None:
    await office.set(room, GuildSettings(idle_seconds=0))
    await room.ask("play", query="long 440")
    await room.ear.hears(440)
    await room.ask("stop")
    await room.guild.wait_bot_in(None)
    await room.text.wait_message(lambda message: "Nothing was playing" in message.text, 10)


async def test_24_7_stays_until_the_plan_ends(open_room: OpenRoom, office: Office) -> None:
    room, other = await open_room(), await open_room()
    for each in (room, other):
        await office.set(each, GuildSettings(idle_seconds=0, announcements=False, always_on=each is room))
    await office.give(room)
    for each in (room, other):
        await each.ask("play", query="long 440")
        await each.ear.hears(440)
        await each.ask("stop")
    await other.guild.wait_bot_in(None)  # and by then the one that stays would be gone
    await room.guild.wait_bot_in(room.voice)
    await room.ask("play", query="long 660")
    await room.ear.hears(660)
    await room.ask("stop")
    await office.take(room)
    await room.guild.wait_bot_in(None)
