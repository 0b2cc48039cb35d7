"""The message with the buttons, against a small Discord that checks what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.discord_api import DiscordApi
from tests.support.messages import words_of
from tests.support.scenes import NOW, TEXT, busy, entry, idle
from tests.support.voice_nodes import GUILD, running
from tonearm.backoff import Backoff
from tonearm.discord import rest
from tonearm.discord.rest import RestClient
from tonearm.errors import LeaseLost
from tonearm.music.events import Announced, Event
from tonearm.music.player import Player, PlayerMessage
from tonearm.redis.guilds import GuildView
from voice_nodes import announcer as module
from voice_nodes.announcer import Announcer


class World:
    """An announcer, and what it submits."""

    def __init__(self, api: DiscordApi, client: RestClient) -> None:
        self.api = api
        self.lost = False
        self.task: asyncio.Task[None]
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.announcer = Announcer(
            GUILD, rest=client, check=self._check, now_ms=lambda: NOW, submit=self.events.put_nowait
        )

    def _check(self) -> None:
        if self.lost:
            raise LeaseLost("gone")

    def show(self, player: Player, **view: Any) -> None:
        self.announcer.show(GuildView(player, **view))

    async def announced(self) -> PlayerMessage | None:
        event = await asyncio.wait_for(self.events.get(), 5)
        assert isinstance(event, Announced)
        return event.message

    async def calls(self, number: int) -> list[str]:
        await self.api.received(number)
        return self.api.calls()


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(rest, "BACKOFF", ())
    monkeypatch.setattr(module, "Backoff", lambda: Backoff(0.001, 0.01))
    async with DiscordApi() as api, RestClient(api.url, bot_token="x") as client:
        world = World(api, client)
        async with running(world.announcer.run()) as world.task:
            yield world
        assert api.complaints == []


async def test_a_player_gets_one_message_that_is_edited(world: World) -> None:
    world.show(busy())
    message = await world.announced()
    assert message is not None
    assert message.channel == TEXT
    world.show(busy(volume=50, message=message))
    assert await world.calls(2) == ["POST messages", f"PATCH {message.id}"]


async def test_what_the_message_does_not_show_is_no_edit(world: World) -> None:
    player = busy()
    world.show(player)
    message = await world.announced()
    assert player.playing is not None
    later = msgspec.structs.replace(player.playing, position_ms=5)
    world.show(msgspec.structs.replace(player, playing=later, message=message))
    world.show(msgspec.structs.replace(player, message=message), queue_length=1, first=entry("next"))
    assert len(await world.calls(2)) == 2
    assert "next" in words_of(world.api.requests[1].body)


async def test_a_message_of_before_is_gone_on_with(world: World) -> None:
    world.show(busy(message=PlayerMessage(TEXT, 5)))
    assert await world.calls(1) == ["PATCH 5"]


async def test_a_deleted_message_is_replaced_once(world: World) -> None:
    gone = world.api.status(404, {"code": 10008, "message": "Unknown Message"})
    world.api.faults.append(gone)
    world.show(busy(message=PlayerMessage(TEXT, 5)))
    message = await world.announced()
    assert message is not None
    # A state that was written before does not bring the old one back.
    world.show(busy(volume=7, message=PlayerMessage(TEXT, 5)))
    assert await world.calls(3) == ["PATCH 5", "POST messages", f"PATCH {message.id}"]


async def test_another_channel_gets_a_message_of_its_own(world: World) -> None:
    world.show(busy(message=PlayerMessage(99, 5)))
    message = await world.announced()
    assert message is not None
    assert message.channel == TEXT


async def test_an_ended_player_is_told_and_the_next_one_gets_a_new_message(world: World) -> None:
    old = PlayerMessage(TEXT, 5)
    world.show(idle(message=old))
    assert await world.announced() is None
    world.show(busy(message=old))
    assert await world.announced() is not None
    assert await world.calls(2) == ["PATCH 5", "POST messages"]


async def test_nothing_is_said_before_anything_plays(world: World) -> None:
    world.show(idle())
    world.show(busy())
    await world.announced()
    assert await world.calls(1) == ["POST messages"]


async def test_a_channel_where_it_may_not_write_is_left_alone(world: World) -> None:
    world.api.faults.append(world.api.status(403, {"code": 50013, "message": "Missing Permissions"}))
    world.announcer.say("Not for another channel.", "n")
    world.show(busy())
    await world.calls(1)
    world.show(busy(volume=50))
    world.show(busy(text_channel=TEXT + 1))
    message = await world.announced()
    assert message is not None
    assert message.channel == TEXT + 1
    assert [request.path for request in world.api.requests] == [
        f"/channels/{TEXT}/messages",
        f"/channels/{TEXT + 1}/messages",
    ]


async def test_discord_away_is_tried_again_and_a_notice_comes_once(world: World) -> None:
    world.api.faults += [world.api.status(502), world.api.forget, world.api.status(502)]
    world.show(idle(volume=3))
    world.announcer.say("I could not connect.", "join:1")
    world.show(busy())
    await world.announced()
    posts = [request.body for request in world.api.requests]
    notices = [body for body in posts if "could not connect" in words_of(body)]
    assert len({body["nonce"] for body in notices}) == 1
    assert len(world.api.posted) == 2


async def test_without_the_lease_discord_is_not_touched(world: World) -> None:
    world.lost = True
    world.show(busy())
    with pytest.raises(LeaseLost):
        await asyncio.wait_for(world.task, 5)
    assert world.api.requests == []
    world.lost = False
    async with running(world.announcer.run()):
        assert await world.announced() is not None, "what was left undone is done when it is run again"
