"""People who listen and click, while something is done to the system."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from playground.twin.actors import TwinClient
from playground.twin.client import TwinError
from playground.twin.seen import Unanswered
from tests.chaos.rooms import Room, open_rooms
from tests.cluster.figures import Clicks, Heard
from tonearm.sentences import Sentence

ROOMS = 4
PEOPLE = 6
"""So many take turns in each room, as nobody may use a command at any rate."""
TONE, TONE_HZ = "long440", 440.0
HEARD_WITHIN = 30.0
EVERY = 0.5
"""Seconds from one command to the next."""
ANSWERED_WITHIN = 20.0
SETTLED = 75
"""Packets of 20 ms."""
COMMANDS: tuple[tuple[str, dict[str, Any]], ...] = (("queue", {}), ("volume", {"percent": 100}), ("premium", {}))
"""By turns: what the HTTP side answers by itself, what a voice node does, what a worker does."""
AFTERMATH = 5.0
"""Seconds that are still counted in the end."""

FAILURES = (
    Sentence.TOO_LATE,
    Sentence.NOT_DONE_IN_TIME,
    Sentence.MEMORY_AWAY,
    Sentence.NO_WORKER,
    Sentence.DATABASE_AWAY,
    Sentence.NO_PLAYER,
    Sentence.SOUND_AWAY,
    Sentence.DISCORD_AWAY,
    Sentence.INTERNAL,
    Sentence.TOO_BUSY,
)
"""Answers that say that nothing came of it."""


def failure_in(text: str) -> str | None:
    """The sentence's name, if an answer says that nothing came of the command."""
    for each in FAILURES:
        pattern = re.sub(r"\\\{\w+\\\}", ".+", re.escape(str(each.value)))
        if re.search(pattern, text):
            return each.name
    return None


class Audience:
    """Rooms in which a tone is heard, and people who click."""

    def __init__(self, twin: TwinClient) -> None:
        self._twin = twin
        self._turns = itertools.count()
        self.rooms: list[Room] = []

    async def open(self) -> None:
        """Bring them together."""
        self.rooms = await open_rooms(self._twin, ROOMS, 1, PEOPLE)

    async def play(self) -> None:
        """Begin the tone anew, and hear it everywhere.

        Raises:
            Unanswered: a command was not answered.
            NotHeard: it is not heard.
        """
        for room in self.rooms:
            said = (await room.ask("play", next(self._turns), query=TONE, where="now")).text
            if failed := failure_in(said):
                raise Unanswered(f"/play was answered with {failed}")
        await asyncio.gather(*(room.ear.hears(TONE_HZ, within=HEARD_WITHIN) for room in self.rooms))
        # The one before is heard until the server's buffer has drained.
        for room in self.rooms:
            await room.ear.wait_packets((await room.ear.report()).packets + SETTLED, timeout=HEARD_WITHIN)

    async def mark(self) -> None:
        """Count from now."""
        await asyncio.gather(*(room.ear.mark() for room in self.rooms))

    async def heard(self) -> Heard:
        """What was heard since the mark."""
        heard = Heard()
        for report in await asyncio.gather(*(room.ear.report() for room in self.rooms)):
            heard.add(report)
        return heard

    @asynccontextmanager
    async def clicking(self) -> AsyncIterator[Clicks]:
        """Commands at an even pace, whether they are answered or not; all have ended when this is left."""
        clicks = Clicks()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._click(group, clicks, stop))
            try:
                yield clicks
                await asyncio.sleep(AFTERMATH)
            finally:
                stop.set()

    async def _click(self, group: asyncio.TaskGroup, clicks: Clicks, stop: asyncio.Event) -> None:
        while not stop.is_set():
            turn = next(self._turns)
            name, options = COMMANDS[turn % len(COMMANDS)]
            room = self.rooms[turn % len(self.rooms)]
            group.create_task(self._use(clicks, room, turn // len(self.rooms), name, options))
            try:
                async with asyncio.timeout(EVERY):
                    await stop.wait()
            except TimeoutError:
                continue

    async def _use(self, clicks: Clicks, room: Room, person: int, name: str, options: dict[str, Any]) -> None:
        clicks.used += 1
        try:
            reply = await room.say(name, person, **options)
            clicks.slowest_ms = max(clicks.slowest_ms, reply.elapsed_ms or 0.0)
            message = await reply.answer(timeout=ANSWERED_WITHIN)
        except (Unanswered, TwinError, TimeoutError, OSError, aiohttp.ClientError) as error:
            clicks.failed.append(f"/{name}: {error}")
        else:
            if failed := failure_in(message.text):
                clicks.failed.append(f"/{name}: {failed}")
