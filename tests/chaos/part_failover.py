"""Promise 6: an audio node dies, and the music goes on elsewhere, where it was."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp

from playground.system import PASSWORD
from playground.twin.client import TwinError
from playground.twin.voice.listener import NotHeard
from tests.chaos.buffers import judge_buffer, receive_buffer
from tests.chaos.cluster import AUDIO, Cluster, Shape
from tests.chaos.part import Run
from tests.chaos.report import Result, Row, Sheet
from tests.chaos.rooms import Room, open_rooms
from tests.chaos.stalls import Stalls
from tests.chaos.tones import CHIRP, make_chirp

GUILDS = 10
SHARDS = 2
REFRESH_SECONDS = 90.0
"""A place in the chirp after which it is begun anew."""

GAP_SECONDS = 3.0
ERROR_SECONDS = 1.0
REPEATS, LONG_REPEATS = 2, 20
STALL_MS = 500.0
TRIES = 3
"""A kill that is late while the machine stood still for so long is made again; the last time counts."""

BREAKS_OFF = (TimeoutError, AssertionError, TwinError, aiohttp.ClientError)
"""What ends one repetition, and not the run: somebody did not answer, or did not hear what was waited for."""

GONE_NS = 150_000_000
"""A guild that heard nothing for so long after the kill was on the dead node."""
MUSIC_WITHIN = 20.0
BEGINNING = 30.0
"""A place before this one is heard only after the chirp was begun anew."""
PLACE_WITHIN = 5.0
LOOK_EVERY = 0.1
SETTLE_PACKETS = 20
"""Heard before the place is told: the ear judges by the last 200 ms."""
ESTABLISHED = "01"
BACK_SECONDS = 40.0


@dataclass(frozen=True)
class Heard:
    """One guild on the node that died: how long there was nothing, and how far off the music went on (s)."""

    gap: float
    error: float
    place: str

    @property
    def in_time(self) -> bool:
        """As promised."""
        return self.gap <= GAP_SECONDS and self.error <= ERROR_SECONDS


async def run(asked: Run) -> Result:
    """Twice (or twenty times): the node that plays more is killed."""
    folder = asked.tones / "chirp"
    make_chirp(folder)
    repeats = LONG_REPEATS if asked.long else REPEATS
    found: list[Heard] = []
    players: list[int] = []
    lost: list[str] = []
    again: list[str] = []
    async with AsyncExitStack() as stack:
        stalls = stack.enter_context(Stalls())
        shape = Shape(voice_nodes=1, http=1, shards=SHARDS)
        cluster = await stack.enter_async_context(Cluster(asked.folder, folder, shape, asked.log))
        failover = Failover(cluster)
        await failover.begin()
        for number in range(repeats):
            asked.log("chaos", f"--- an audio node is killed, {number + 1}")
            for _ in range(TRIES):
                stalls.mark()
                try:
                    heard, missing = await failover.repeat()
                except BREAKS_OFF as error:
                    heard, missing = [], [f"repetition {number + 1} broke off: {error!r}"]
                if missing or all(each.in_time for each in heard) or stalls.worst_ms < STALL_MS:
                    break
                gap, error = max(each.gap for each in heard), max(each.error for each in heard)
                late = f"music after {gap:.1f} s, off by {error:.1f} s"
                again.append(f"{late} on a machine that stood still for {stalls.worst_ms:.0f} ms; made again")
            found += heard
            lost += missing
            players.append(len(heard) + len(missing))
        complaints = await cluster.complaints()
    result = judge(found, lost, players)
    result.lines += again
    judge_buffer(result, long=asked.long, size=receive_buffer())
    result.missed += complaints
    return result


class Failover:
    """The guilds."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rooms: list[Room] = []
        self._begun = 0.0

    async def begin(self) -> None:
        """Everybody listens to the chirp."""
        self._rooms = await open_rooms(self._cluster.twin, GUILDS, SHARDS)
        await self._play()

    async def _play(self) -> None:
        await asyncio.gather(*(room.ask("play", query=CHIRP, where="now") for room in self._rooms))
        await asyncio.gather(*(self._hears_beginning(room) for room in self._rooms))
        self._begun = time.monotonic()

    async def repeat(self) -> tuple[list[Heard], list[str]]:
        """Kill one; what the guilds on it heard, and which never heard anything again."""
        if time.monotonic() - self._begun > REFRESH_SECONDS:
            await self._play()
        await asyncio.gather(*(room.ear.mark() for room in self._rooms))
        victim = await self._busiest()
        before = await asyncio.gather(*(self._place(room) for room in self._rooms))
        await self._cluster.processes.take_away(victim, signal.SIGKILL)
        await asyncio.sleep(2 * GONE_NS / 1e9)
        now = time.monotonic_ns()
        reports = await asyncio.gather(*(room.ear.report() for room in self._rooms))
        gone = [number for number, report in enumerate(reports) if now - (report.last_packet_ns or 0) > GONE_NS]
        results = await asyncio.gather(
            *(self._after(self._rooms[each], reports[each].last_packet_ns or 0, before[each]) for each in gone)
        )
        await self._cluster.processes.bring_back(victim)
        await self._cluster.processes.wait_ready(victim)
        await self._wait_connected(victim)
        return [each for each in results if isinstance(each, Heard)], [
            each for each in results if isinstance(each, str)
        ]

    async def _after(self, room: Room, last: int, before: tuple[float, int]) -> Heard | str:
        try:
            first = await room.ear.wait_first_packet(after_ns=last, timeout=MUSIC_WITHIN)
            await room.ear.wait_packets((await room.ear.report()).packets + SETTLE_PACKETS, timeout=5)
            place, at = await self._place(room)
        except NotHeard as silence:
            return f"guild {room.guild.id}: {silence}"
        wall = before[0] + (at - before[1]) / 1e9
        heard = wall - (first - last) / 1e9
        error = max(0.0, heard - place, place - wall)
        return Heard((first - last) / 1e9, error, f"{place:.2f} s, between {heard:.2f} and {wall:.2f}")

    async def _place(self, room: Room) -> tuple[float, int]:
        """The place that is heard, and when it was.

        Raises:
            NotHeard: there is silence, for so long that it is no stumbling of the machine.
        """
        end = time.monotonic() + PLACE_WITHIN
        while True:
            try:
                return await room.ear.chirp_position(), time.monotonic_ns()
            except NotHeard:
                if time.monotonic() >= end:
                    raise
            await asyncio.sleep(LOOK_EVERY)

    async def _hears_beginning(self, room: Room) -> None:
        """Of the chirp: neither the silence before it nor the end of the one before."""
        async with asyncio.timeout(MUSIC_WITHIN):
            while (await self._place(room))[0] > BEGINNING:  # noqa: ASYNC110 - it is heard, not told
                await asyncio.sleep(LOOK_EVERY)

    async def _busiest(self) -> str:
        playing: dict[str, int] = {}
        async with aiohttp.ClientSession(headers={"Authorization": PASSWORD}) as http:
            for name in self._cluster.processes.names(AUDIO):
                async with http.get(f"{self._cluster.audio_url(name)}/v4/stats") as response:
                    playing[name] = int((await response.json())["playingPlayers"])
        return max(playing, key=lambda name: playing[name])

    async def _wait_connected(self, name: str) -> None:
        """Wait until each shard has a connection to the node again, as the kernel tells."""
        port = urlsplit(self._cluster.audio_url(name)).port or 0
        async with asyncio.timeout(BACK_SECONDS):
            while _connections(port) < SHARDS:  # noqa: ASYNC110 - the kernel has no event for it
                await asyncio.sleep(0.1)


def _connections(port: int) -> int:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(each[3] == ESTABLISHED and int(each[2].partition(":")[2], 16) == port for each in fields)


def judge(found: list[Heard], lost: list[str], players: list[int]) -> Result:
    """The table, and what it means."""
    result = Result("failover")
    gap = max((each.gap for each in found), default=0.0)
    error = max((each.error for each in found), default=0.0)
    good = not lost and all(players) and gap <= GAP_SECONDS and error <= ERROR_SECONDS
    sheet = Sheet(
        "An audio node is killed; the music goes on at the other",
        ("times", "players on it", "longest without music (s)", "farthest off (s)", "never heard again"),
    )
    sheet.rows.append(Row((len(players), sum(players), f"{gap:.2f}", f"{error:.2f}", len(lost)), good))
    result.sheets.append(sheet)
    result.lines.append(
        "Off is how far the place is outside of what lies between going on where it broke off and never having stopped."
    )
    result.missed += lost
    if idle := players.count(0):
        result.missed.append(f"{idle} times no guild was on the node that was killed")
    if gap > GAP_SECONDS:
        result.missed.append(f"{gap:.2f} s without music, not {GAP_SECONDS:g} s")
    if error > ERROR_SECONDS:
        worst = max(found, key=lambda each: each.error)
        result.missed.append(f"the music went on {error:.2f} s off, not {ERROR_SECONDS:g} s: at {worst.place}")
    result.figures = {"gaps_s": [round(e.gap, 3) for e in found], "errors_s": [round(e.error, 3) for e in found]}
    return result
