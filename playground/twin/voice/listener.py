"""An ear in a voice channel: it counts every packet, keeps the last seconds, and decodes only when asked."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from playground.library import chirp_seconds
from playground.twin.voice import analysis
from playground.twin.voice.counting import Counter, Report
from playground.twin.voice.rtp import FRAME_NS, SILENCE_FRAME, Frame
from playground.twin.voice.tones import Start, ToneTracker

KEEP_S: Final = 10.0
WINDOW_FRAMES: Final = 10
"""What the ear judges by: the last 200 ms."""
_ENOUGH_FRAMES: Final = 8
_STALE_NS: Final = 60_000_000
"""So much later than its length may the window have begun: what came earlier is past."""
_LEAD_FRAMES: Final = 5
"""Decoded before the window, for the decoder to settle."""
_TRACK_FRAMES: Final = 50

T = TypeVar("T")


class NotHeard(AssertionError):
    """What was waited for did not come; the message says what was heard instead."""


class Packet(NamedTuple):
    """A frame as it arrived. `order` is the sequence number, counted on across its wrap."""

    arrival_ns: int
    ssrc: int
    order: int
    payload: bytes


class Sound(msgspec.Struct, frozen=True):
    """What the last 200 ms sound like; 0 Hz and -120 dBFS if there was nothing."""

    frequency: float
    level: float
    packets: int
    until_ns: int
    """Arrival of its last packet; 0 without one."""

    @property
    def is_silent(self) -> bool:
        """Below what anybody would call music."""
        return self.level <= analysis.SILENT_DBFS

    def __str__(self) -> str:
        if not self.packets:
            return "no packets"
        return f"{self.frequency:.1f} Hz at {self.level:.1f} dBFS ({self.packets} packets)"


class Listener:
    """Hears what is sent in one guild, whoever sends it and through however many connections."""

    def __init__(self, guild_id: int, drops: Callable[[], int] = lambda: 0) -> None:
        self.guild_id = guild_id
        self._socket_drops = drops
        self._counter = Counter(guild_id, time.monotonic_ns())
        self._counter.mark(time.monotonic_ns(), drops())
        self._created_ns = time.monotonic_ns()
        self._packets: deque[Packet] = deque(maxlen=_frames(KEEP_S))
        self._taken = 0
        self._waiting: set[asyncio.Future[None]] = set()
        self._tones: ToneTracker | None = None
        self._untracked: list[Packet] = []

    # What the server says

    def take(self, arrival: int, ssrc: int, frame: Frame) -> None:
        """Hear one frame."""
        self._taken += 1
        order = self._counter.add(ssrc, frame.sequence, frame.timestamp, arrival, frame.payload)
        if order is None:
            return
        packet = Packet(arrival, ssrc, order, frame.payload)
        self._packets.append(packet)
        if self._tones is not None:
            self._untracked.append(packet)
            if len(self._untracked) >= _TRACK_FRAMES:
                self._track(self._tones)

    def take_bad(self) -> None:
        """Note a packet that did not decrypt."""
        self._taken += 1
        self._counter.bad += 1

    def take_unheard(self) -> None:
        """Note a packet that nobody is to hear."""
        self._taken += 1
        self._counter.unheard += 1

    def wake(self) -> None:
        """Let those look who wait: packets came."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    # What may be asked at any time

    def mark(self) -> int:
        """Begin a new count; return the moment (CLOCK_MONOTONIC, ns)."""
        now = time.monotonic_ns()
        self._counter.mark(now, self._socket_drops())
        return now

    def report(self) -> Report:
        """Return the count since the mark."""
        return self._counter.report(time.monotonic_ns(), self._socket_drops())

    def sound(self) -> Sound:
        """Decode the last 200 ms and say what they sound like."""
        window, lead = self._window()
        if len(window) < _ENOUGH_FRAMES:
            return Sound(0.0, analysis.FLOOR_DBFS, len(window), window[-1].arrival_ns if window else 0)
        pcm = analysis.decode(packet.payload for packet in (*lead, *window))
        pcm = pcm[:, -sum(960 for _ in window) :]
        frequency = analysis.dominant_frequency(analysis.mono(pcm))
        return Sound(frequency, analysis.level(pcm), len(window), window[-1].arrival_ns)

    def level(self) -> float:
        """Return the level of the last 200 ms in dBFS (RMS), -120 for nothing."""
        return self.sound().level

    def frequency(self) -> float:
        """Return the dominant frequency of the last 200 ms in Hz, 0 for silence."""
        return self.sound().frequency

    def is_silent(self) -> bool:
        """Whether the last 200 ms were silent, or nothing came."""
        return self.sound().is_silent

    def chirp_position(self) -> float:
        """Return the place in a chirp of `library.chirp` that is being heard, in seconds.

        It is that of the last packet's end. Raises `NotHeard` if there is silence.
        """
        sound = self.sound()
        if sound.is_silent:
            raise NotHeard(f"Expected a chirp in guild {self.guild_id}; heard {sound}.")
        return chirp_seconds(sound.frequency) + sound.packets * FRAME_NS / 2e9

    def follow(self) -> None:
        """Decode everything from now on, for `starts`; costs about 1% of a core while somebody plays."""
        if self._tones is None:
            self._tones = ToneTracker()
            self._untracked = list(self._packets)

    def starts(self) -> list[Start]:
        """Return the tones that began since the mark.

        Without `follow` before, only those among the seconds that are kept.
        """
        self.follow()
        assert self._tones is not None
        self._track(self._tones)
        return [start for start in self._tones.starts if start.started_ns >= self._counter.since_ns]

    def keep(self, seconds: float) -> None:
        """Keep so much of what is heard; `math.inf` for everything."""
        self._packets = deque(self._packets, maxlen=None if math.isinf(seconds) else _frames(seconds))

    def record(self) -> None:
        """Keep everything from now on, forgetting what was before."""
        self._packets.clear()
        self.keep(math.inf)

    def wav(self) -> Callable[[], bytes]:
        """Return what makes a WAV file of what is kept; it is slow and may run in another thread."""
        packets = list(self._packets)
        return lambda: _wav(packets)

    # What is waited for

    async def hears(self, frequency: float, within: float, tolerance: float = 5.0) -> Sound:
        """Wait until the last 200 ms are dominantly of that frequency (Hz), at most `within` seconds.

        Raises `NotHeard`.
        """
        heard: list[Sound] = []

        def look() -> Sound | None:
            heard[:] = [self.sound()]
            return heard[0] if abs(heard[0].frequency - frequency) <= tolerance else None

        sound = await self._wait(look, within, every=2)
        if sound is None:
            raise NotHeard(
                f"Expected {frequency:.1f} ± {tolerance:.1f} Hz in guild {self.guild_id} within {within:g} s; "
                f"heard {self.sound()}."
            )
        return sound

    async def hears_silence(self, for_ms: float, within: float) -> int:
        """Wait until there was no packet but silence frames for so long; return since when (ns).

        The time before the call counts. Raises `NotHeard`.
        """
        wanted = int(for_ms * 1e6)

        def look() -> int | None:
            return since if time.monotonic_ns() - (since := self._silent_since()) >= wanted else None

        def due() -> float:
            return (self._silent_since() + wanted - time.monotonic_ns()) / 1e9

        since = await self._wait(look, within, due=due)
        if since is None:
            raise NotHeard(
                f"Expected {for_ms:g} ms of silence in guild {self.guild_id} within {within:g} s; heard {self.sound()}."
            )
        return since

    async def wait_first_packet(self, after_ns: int, timeout: float) -> int:
        """Wait for the first packet after that moment that is no silence frame; return its arrival (ns).

        Raises `NotHeard`.
        """

        def look() -> int | None:
            found = None
            for packet in reversed(self._packets):
                if packet.arrival_ns <= after_ns:
                    break
                if packet.payload != SILENCE_FRAME:
                    found = packet.arrival_ns
            return found

        arrival = await self._wait(look, timeout)
        if arrival is None:
            raise NotHeard(f"Expected a packet in guild {self.guild_id} within {timeout:g} s; none came.")
        return arrival

    async def wait_packets(self, count: int, timeout: float) -> Report:
        """Wait until so many packets came since the mark, heard or not; return the report.

        Raises `NotHeard`.
        """

        def look() -> Report | None:
            report = self.report()
            return report if report.packets + report.bad + report.unheard >= count else None

        report = await self._wait(look, timeout)
        if report is None:
            raise NotHeard(f"Expected {count} packets in guild {self.guild_id} within {timeout:g} s; {self.report()}.")
        return report

    async def _wait(
        self,
        look: Callable[[], T | None],
        within: float,
        *,
        every: int = 1,
        due: Callable[[], float] = lambda: math.inf,
    ) -> T | None:
        """Look whenever `every` packets came, or `due` seconds passed, until there is something to see."""
        loop = asyncio.get_running_loop()
        end = loop.time() + within
        while True:
            if (seen := look()) is not None:
                return seen
            left = end - loop.time()
            if left <= 0:
                return None
            await self._packets_or(min(left, max(due(), 0.001)), every)

    async def _packets_or(self, seconds: float, count: int) -> None:
        wanted = self._taken + count
        try:
            async with asyncio.timeout(seconds):
                while self._taken < wanted:
                    future = asyncio.get_running_loop().create_future()
                    self._waiting.add(future)
                    try:
                        await future
                    finally:
                        self._waiting.discard(future)
        except TimeoutError:
            pass

    def _silent_since(self) -> int:
        return self._counter.last_loud_ns or self._created_ns

    def _window(self) -> tuple[list[Packet], list[Packet]]:
        """Return the packets of the last 200 ms in order, and a few before them."""
        recent = list(islice(reversed(self._packets), WINDOW_FRAMES + _LEAD_FRAMES))
        if not recent:
            return [], []
        ssrc = recent[0].ssrc
        recent = sorted((p for p in recent if p.ssrc == ssrc), key=lambda packet: packet.order)
        oldest = time.monotonic_ns() - WINDOW_FRAMES * FRAME_NS - _STALE_NS
        window = [packet for packet in recent[-WINDOW_FRAMES:] if packet.arrival_ns >= oldest]
        return window, recent[: len(recent) - len(window)]

    def _track(self, tones: ToneTracker) -> None:
        for packet in self._untracked:
            tones.add(packet.ssrc, packet.order, packet.arrival_ns, packet.payload)
        self._untracked.clear()


def _frames(seconds: float) -> int:
    return max(WINDOW_FRAMES + _LEAD_FRAMES, round(seconds * 1e9 / FRAME_NS))


def _wav(packets: list[Packet]) -> bytes:
    """Decode everything; where nothing was sent for longer than 100 ms there is silence."""
    pieces: list[analysis.Pcm] = []
    decoder, ssrc, last = analysis.Decoder(), None, 0
    for packet in packets:
        if packet.ssrc != ssrc:
            decoder, ssrc = analysis.Decoder(), packet.ssrc
        absent = (packet.arrival_ns - last) // FRAME_NS - 1 if last else 0
        if absent >= 5:
            pieces.append(np.zeros((2, 960 * absent), np.float32))
        last = packet.arrival_ns
        pieces.append(decoder.decode(packet.payload))
    return analysis.wav(pieces)
