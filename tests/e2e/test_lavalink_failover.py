"""An audio node dies, hangs, comes back or is drained, and the music goes on at the other one."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from playground.library import chirp
from playground.system import PASSWORD, System
from tonearm.child_logs import LogFolder
from tonearm.up import tonearm

if TYPE_CHECKING:
    from tests.e2e.conftest import OpenRoom, Room

FAILOVER_MS = 3_000
HANG_MS = 5_000
"""A server that hangs is found when two questions, a second each, were not answered."""

DRAIN_MS = 1_500
OFF_SECONDS = 1.0
OGG_OFF_SECONDS = OFF_SECONDS + 0.5
"""lavaplayer goes on in Ogg at the beginning of a page, and a page holds up to a second (RFC 7845, 6). That is on top
of what any format is off, so the second that is promised is kept for Opus in Ogg mostly, not always."""


class Pair:
    """A system with two audio nodes."""

    def __init__(self, system: System, http: aiohttp.ClientSession) -> None:
        self.system = system
        self._http = http

    async def players(self, name: str) -> int:
        """How many players an audio node has, whoever owns them; 0 while it is down."""
        try:
            async with self._http.get(f"{self.system.audio_urls[name]}/v4/stats") as answer:
                return int((await answer.json())["players"])
        except aiohttp.ClientError:
            return 0

    async def fullest(self) -> tuple[str, str]:
        """The audio node with most players, and the other one."""
        one, other = sorted(self.system.audio_urls, key=dict(await self._all()).__getitem__)
        return other, one

    async def _all(self) -> list[tuple[str, int]]:
        return [(name, await self.players(name)) for name in self.system.audio_urls]

    def pid(self, name: str) -> int:
        pid = self.system.supervisor.pid(name)
        assert pid is not None
        return pid

    def netloc(self, name: str) -> str:
        """The audio node's name in Tonearm."""
        return urlsplit(self.system.audio_urls[name]).netloc

    async def lavalink(self, *words: str) -> str:
        """What ``tonearm lavalink`` prints."""
        process = await asyncio.create_subprocess_exec(
            *tonearm("lavalink", *words), env={**os.environ, **self.system.environ}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode()

    async def both_connected(self) -> None:
        await until(self._connected, lambda count: count == 2)

    async def _connected(self) -> int:
        found = await self._metrics('tonearm_lavalink_sessions{state="connected"}')
        return int(found)

    async def _metrics(self, name: str) -> float:
        async with self._http.get(f"{self.voice_url}/metrics") as answer:
            text = await answer.text()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    voice_url = ""


async def until(ask: Callable[[], Awaitable[Any]], enough: Callable[[Any], bool], within: float = 20) -> Any:
    """Ask other processes, which have no event to wait for, until they answer as wanted."""
    answer: Any = None
    try:
        async with asyncio.timeout(within):
            while not enough(answer := await ask()):  # noqa: ASYNC110 - they have none
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError(f"still {answer!r}") from None
    return answer


@pytest.fixture(scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    folder = tmp_path_factory.mktemp("failover")
    (library := folder / "library").mkdir()
    for name in ("rise webm.webm", "climb flac.flac", "soar opus.opus"):
        chirp(library / name, 75)
    with LogFolder(folder / "logs") as log:
        async with (
            System(folder, library=library, log=log, audio_nodes=2) as system,
            aiohttp.ClientSession(headers={"Authorization": PASSWORD}, timeout=aiohttp.ClientTimeout(total=10)) as http,
        ):
            pair = Pair(system, http)
            pair.voice_url = system.voice_url
            await pair.both_connected()
            yield pair


class Listening:
    """Where a room's chirp was, and when."""

    def __init__(self, room: Room, name: str) -> None:
        self.room = room
        self.name = name
        self._began = 0.0

    async def start(self) -> None:
        await self.room.ask("play", query=self.name)
        await self.room.ear.wait_packets(30, timeout=10)
        await self.mark()

    async def mark(self) -> None:
        """Note which place is heard, and count from here."""
        self._began = time.monotonic() - await self.room.ear.chirp_position()
        await self.room.ear.mark()

    async def off(self) -> float:
        """By how many seconds the place that is heard is not the one that should be."""
        return abs(time.monotonic() - self._began - await self.room.ear.chirp_position())

    async def changes(self) -> int:
        """How many other senders were heard since the mark."""
        return (await self.room.ear.report()).ssrc_changes

    async def changed(self, within: float = 20) -> None:
        """Wait for another sender, and for half a second of what it sends."""
        await until(self.changes, bool, within)
        heard = (await self.room.ear.report()).packets
        await self.room.ear.wait_packets(heard + 25)


async def listen(open_room: OpenRoom, pair: Pair, names: tuple[str, ...]) -> list[Listening]:
    found = [Listening(await open_room(where=pair.system), name) for name in names]
    await asyncio.gather(*(each.start() for each in found))
    return found


async def moved(listening: list[Listening], count: int, gap_ms: float) -> float:
    """Wait until so many of them go on elsewhere; the longest gap in ms. Nobody heard two senders by turns, and no
    sender announced a pause, which would be no gap."""
    changes = await until(
        lambda: asyncio.gather(*(each.changes() for each in listening)), lambda found: sum(map(bool, found)) >= count
    )
    concerned = [each for each, changed in zip(listening, changes, strict=True) if changed]
    await asyncio.gather(*(each.changed() for each in concerned))
    reports = [await each.room.ear.report() for each in concerned]
    longest = max(report.largest_gap_ms for report in reports)
    offs = [await each.off() for each in listening if each.name != OPUS]
    ogg = [0.0, *[await each.off() for each in listening if each.name == OPUS]]
    print(f"longest gap: {longest:.0f} ms, farthest off: {max(offs):.2f} s, in Ogg {max(ogg):.2f} s")
    assert longest <= gap_ms
    assert [(report.ssrc_changes, report.breaks) for report in reports] == [(1, 0)] * count
    for each in listening:
        assert await each.off() <= (OGG_OFF_SECONDS if each.name == OPUS else OFF_SECONDS)
    return longest


WEBM, FLAC, OPUS = "rise", "climb", "soar"


async def test_a_dead_audio_node_is_survived_and_used_again(open_room: OpenRoom, pair: Pair) -> None:
    listening = await listen(open_room, pair, (WEBM, WEBM, WEBM, FLAC, FLAC, WEBM, WEBM, OPUS, OPUS, OPUS))
    full, other = await pair.fullest()
    count = await pair.players(full)
    os.kill(pair.pid(full), signal.SIGKILL)
    await moved(listening, count, FAILOVER_MS)
    assert await pair.players(other) == 10
    await pair.both_connected()
    assert await pair.players(full) == 0  # Who plays stays.
    for each in listening:
        await each.room.guild.disconnect_bot()
    await until(lambda: pair.players(other), lambda players: players == 0)


async def test_what_hangs_is_left_and_silenced_when_it_goes_on(open_room: OpenRoom, pair: Pair) -> None:
    await pair.both_connected()
    listening = await listen(open_room, pair, (WEBM, FLAC, WEBM, FLAC))
    full, _ = await pair.fullest()
    count = await pair.players(full)
    os.kill(pair.pid(full), signal.SIGSTOP)
    try:
        await moved(listening, count, HANG_MS)
        late = Listening(await open_room(where=pair.system), WEBM)
        await late.start()
    finally:
        os.kill(pair.pid(full), signal.SIGCONT)
    await until(lambda: pair.players(full), lambda players: players == 0)
    await pair.both_connected()
    for each in (*listening, late):
        report = await each.room.ear.report()
        assert (report.restarts, report.bad, report.duplicates) == (0, 0, 0)
        await each.room.guild.disconnect_bot()


async def test_a_drained_audio_node_is_left_without_losing_a_track(open_room: OpenRoom, pair: Pair) -> None:
    await pair.both_connected()
    listening = await listen(open_room, pair, (WEBM, FLAC, WEBM, FLAC))
    full, other = await pair.fullest()
    count = await pair.players(full)
    assert "being left" in await pair.lavalink("drain", pair.netloc(full))
    await moved(listening, count, DRAIN_MS)
    assert (await pair.players(full), await pair.players(other)) == (0, 4)
    late = Listening(await open_room(where=pair.system), WEBM)
    await late.start()
    assert await pair.players(full) == 0
    assert re.search(rf"^{pair.netloc(full)} +0 +draining +0 ", await pair.lavalink("list"), re.MULTILINE)
    await pair.lavalink("undrain", pair.netloc(full))
    for each in (*listening, late):
        await each.room.guild.disconnect_bot()
