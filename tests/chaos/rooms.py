"""Guilds with people in a voice channel, and an ear."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from playground.twin.actors import TwinClient
from playground.twin.handles import Actor, Channel, Guild
from playground.twin.seen import Reply, SeenMessage
from playground.twin.voice.client import ListenerClient


@dataclass
class Room:
    """A guild, its people, all in ``voice``, and the ear there."""

    guild: Guild
    shard: int
    text: Channel
    voice: Channel
    people: list[Actor]
    ear: ListenerClient

    async def say(self, name: str, person: int = 0, **options: str | int) -> Reply:
        """Somebody uses a command; returns with the first answer."""
        return await self.people[person % len(self.people)].command(self.guild, self.text, name, **options)

    async def ask(self, name: str, person: int = 0, within: float = 15.0, **options: str | int) -> SeenMessage:
        """Somebody uses a command and reads the final answer.

        Raises:
            Unanswered: there was none.
        """
        return await (await self.say(name, person, **options)).answer(timeout=within)


async def open_rooms(twin: TwinClient, count: int, shards: int, people: int = 1, only: int | None = None) -> list[Room]:
    """So many, evenly over the shards, or all on one."""
    numbers = range(count)
    return list(
        await asyncio.gather(
            *(_open(twin, number, number % shards if only is None else only, shards, people) for number in numbers)
        )
    )


async def _open(twin: TwinClient, number: int, shard: int, shards: int, people: int) -> Room:
    guild = await twin.create_guild(f"Room {number}", shard=shard, shard_count=shards)
    voice = guild.voice_channels[0]
    there = []
    for each in range(people):
        actor = await twin.create_user(f"Person {number}.{each}")
        await actor.join_guild(guild)
        await actor.join(voice)
        there.append(actor)
    ear = await there[0].listen(voice)
    return Room(guild, shard, guild.text_channels[0], voice, there, ear)
