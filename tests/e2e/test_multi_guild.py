"""Guilds do not hear, wait for, or change each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import OpenRoom


async def test_three_guilds_on_two_shards_hear_each_their_own(open_room: OpenRoom) -> None:
    """Two clients of discord.py and two Lavalink sessions on one server work in one process."""
    rooms = [await open_room(shard=shard) for shard in (0, 1, 1)]
    wanted = [("long 440", 440), ("long 660", 660), ("long 880", 880)]
    await asyncio.gather(*(room.ask("play", query=query) for room, (query, _) in zip(rooms, wanted, strict=True)))
    await asyncio.gather(*(room.ear.hears(hertz) for room, (_, hertz) in zip(rooms, wanted, strict=True)))
    await rooms[1].ask("pause")
    await rooms[1].ear.hears_silence()
    await rooms[0].ear.hears(440)
    await rooms[2].ear.hears(880)
    await rooms[2].ask("stop")
    await rooms[1].ask("resume")
    await rooms[1].ear.hears(660)
    await rooms[0].ear.hears(440)


async def test_a_queue_belongs_to_its_guild(open_room: OpenRoom) -> None:
    one, two = await open_room(shard=0), await open_room(shard=0)
    for room, query in ((one, "long 440"), (one, "long 660"), (two, "long 880")):
        await room.ask("play", query=query)
    assert "660 Hz" in (await one.ask("queue")).text
    assert "660 Hz" not in (await two.ask("queue")).text
