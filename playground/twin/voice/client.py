"""An ear in a voice channel of the twin, for tests and the demo in other processes.

    async with aiohttp.ClientSession() as http:
        listener = await ListenerClient(http, "http://127.0.0.1:8800/control", guild_id).open()
        await listener.hears(frequency=440, within=5)

`CLOCK_MONOTONIC` is one clock for all processes of a machine, so its times may be compared with one's own.
"""

import asyncio
import math
from pathlib import Path
from typing import Final, Self, TypeVar

import aiohttp
import msgspec

from playground.twin.voice.counting import Report
from playground.twin.voice.listener import KEEP_S, NotHeard, Sound
from playground.twin.voice.tones import Start

GRACE_S: Final = 10.0
"""What an answer may take beyond the wait that was asked for."""

T = TypeVar("T")


class ListenerClient:
    """The `Listener` of a guild, through the twin's control routes.

    `control_url` is where the twin's control routes begin, such as `http://127.0.0.1:8800/control`. Every method
    raises `aiohttp.ClientError` or `TimeoutError` if the twin does not answer; those that wait for sounds raise
    `NotHeard`, an `AssertionError` that tells what was heard instead.
    """

    def __init__(self, http: aiohttp.ClientSession, control_url: str, guild_id: int) -> None:
        self.guild_id = guild_id
        self._http = http
        self._url = f"{control_url.rstrip('/').removesuffix('/voice')}/voice/{guild_id}"

    async def open(self, keep: float = KEEP_S) -> Self:
        """Begin to listen, and keep the last `keep` seconds of audio (`math.inf`: all of it)."""
        await self._ask("listen", type(None), keep=None if math.isinf(keep) else keep)
        return self

    async def hears(self, frequency: float, within: float = 5.0, tolerance: float = 5.0) -> Sound:
        """Wait until the last 200 ms are dominantly of that frequency (Hz), at most `within` seconds."""
        return await self._ask("hears", Sound, within, frequency=frequency, within=within, tolerance=tolerance)

    async def hears_silence(self, for_ms: float = 400.0, within: float = 5.0) -> int:
        """Wait until nothing but silence frames came for so long, and return since when (ns)."""
        answer = await self._ask("hears-silence", dict[str, int], within, for_ms=for_ms, within=within)
        return answer["since_ns"]

    async def wait_first_packet(self, *, after_ns: int, timeout: float = 5.0) -> int:
        """Wait for the first packet after that moment that is no silence frame; return its arrival (ns)."""
        answer = await self._ask("first-packet", dict[str, int], timeout, after_ns=after_ns, timeout=timeout)
        return answer["arrival_ns"]

    async def wait_packets(self, count: int, timeout: float = 5.0) -> Report:
        """Wait until so many packets came since the mark, heard or not, and return the report."""
        return await self._ask("packets", Report, timeout, count=count, timeout=timeout)

    async def sound(self) -> Sound:
        """Return what the last 200 ms sound like."""
        return await self._ask("sound", Sound)

    async def level(self) -> float:
        """Return the level of the last 200 ms in dBFS (RMS), -120 for nothing."""
        return (await self.sound()).level

    async def frequency(self) -> float:
        """Return the dominant frequency of the last 200 ms in Hz, 0 for silence."""
        return (await self.sound()).frequency

    async def is_silent(self) -> bool:
        """Whether the last 200 ms were silent, or nothing came."""
        return (await self.sound()).is_silent

    async def report(self) -> Report:
        """Return what was counted since the mark."""
        return await self._ask("report", Report)

    async def mark(self) -> int:
        """Begin a new count; return the moment (CLOCK_MONOTONIC, ns)."""
        answer = await self._ask("mark", dict[str, int])
        return answer["since_ns"]

    async def follow(self) -> None:
        """Decode everything from now on, so that `starts` misses nothing however late it is asked."""
        await self._ask("follow", type(None))

    async def starts(self) -> list[Start]:
        """Return the tones that began since the mark, each with its frequency (Hz) and `started_ns`."""
        return await self._ask("starts", list[Start])

    async def chirp_position(self) -> float:
        """Return the place (s) in a `library.chirp` that is heard now."""
        answer = await self._ask("chirp-position", dict[str, float])
        return answer["seconds"]

    async def record(self) -> None:
        """Keep everything from now on, for `save_wav`."""
        await self._ask("record", type(None))

    async def save_wav(self, path: Path) -> Path:
        """Write what is kept as a WAV file, pauses included, and return its path."""
        async with self._http.post(f"{self._url}/wav", timeout=_timeout(60.0)) as response:
            response.raise_for_status()
            wav = await response.read()
        await asyncio.to_thread(path.write_bytes, wav)
        return path

    async def _ask(self, question: str, answer: type[T], wait: float = 0.0, **asked: object) -> T:
        async with self._http.post(
            f"{self._url}/{question}", data=msgspec.json.encode(asked), timeout=_timeout(wait)
        ) as response:
            response.raise_for_status()
            body = await response.read()
        if body.startswith(b'{"not_heard"'):
            raise NotHeard(msgspec.json.decode(body, type=dict[str, str])["not_heard"])
        return msgspec.json.decode(body, type=answer)


def _timeout(wait: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=wait + GRACE_S)
