"""What an ear says about what it was given, without a network."""

import asyncio
import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from playground.library import chirp_frequency
from playground.twin.voice.listener import Listener, NotHeard
from playground.twin.voice.rtp import SILENCE_FRAME, Frame

Wave = np.ndarray
Encode = Callable[[Wave], list[bytes]]
Sine = Callable[..., Wave]


class Ear:
    """A listener, and packets given to it as if they had come 20 ms apart until now."""

    def __init__(self) -> None:
        self.listener = Listener(7)
        self.sent = 0

    def give(self, payloads: Sequence[bytes], ago_ms: float = 0, ssrc: int = 1) -> None:
        end = time.monotonic_ns() - round(ago_ms * 1e6)
        for index, payload in enumerate(payloads):
            arrival = end - (len(payloads) - 1 - index) * 20_000_000
            frame = Frame(self.sent & 0xFFFF, self.sent * 960 & 0xFFFFFFFF, payload)
            self.listener.take(arrival, ssrc, frame)
            self.sent += 1
        self.listener.wake()


@pytest.fixture
def ear() -> Ear:
    return Ear()


def test_an_ear_that_heard_nothing(ear: Ear) -> None:
    assert ear.listener.level() == -120
    assert ear.listener.frequency() == 0
    assert ear.listener.is_silent()
    report = ear.listener.report()
    assert (report.packets, report.unbroken, report.first_packet_ns) == (0, False, None)


def test_what_is_heard_is_what_came_last(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.give(encode(np.concatenate([sine(440, 1), sine(660, 0.3, level=-14)])))
    assert ear.listener.frequency() == pytest.approx(660, abs=1)
    assert ear.listener.level() == pytest.approx(-14, abs=0.6)
    assert not ear.listener.is_silent()


def test_what_is_past_is_not_heard(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.give(encode(sine(440, 1)), ago_ms=500)
    assert ear.listener.frequency() == 0


async def test_hears_waits_for_the_tone(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.give(encode(sine(440, 0.5)))
    heard = asyncio.ensure_future(ear.listener.hears(660, within=5))
    asyncio.get_running_loop().call_soon(ear.give, encode(sine(660, 0.5)))
    assert (await heard).frequency == pytest.approx(660, abs=1)


async def test_not_heard_says_what_was_heard_instead(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.give(encode(sine(440, 0.5)))
    with pytest.raises(NotHeard, match=r"Expected 660.0 ± 5.0 Hz .* within 0 s; heard 440.0 Hz at -20.\d dBFS"):
        await ear.listener.hears(660, within=0)
    with pytest.raises(NotHeard, match="no packets"):
        await Ear().listener.hears(660, within=0.02)


async def test_silence_frames_are_silence(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.give(encode(sine(440, 0.5)), ago_ms=100)
    ear.give([SILENCE_FRAME] * 5)
    with pytest.raises(NotHeard, match="400 ms of silence"):
        await ear.listener.hears_silence(for_ms=400, within=0.05)
    began = time.monotonic_ns()
    since = await ear.listener.hears_silence(for_ms=250, within=5)
    assert since + 250_000_000 <= time.monotonic_ns()
    assert time.monotonic_ns() - began < 1_000_000_000


async def test_first_packet_is_no_silence_frame(ear: Ear, encode: Encode, sine: Sine) -> None:
    before = time.monotonic_ns()
    waiting = asyncio.ensure_future(ear.listener.wait_first_packet(before, timeout=5))
    loop = asyncio.get_running_loop()
    loop.call_later(0.02, ear.give, [SILENCE_FRAME])
    loop.call_later(0.04, ear.give, encode(sine(440, 0.02)))
    arrival = await waiting
    assert arrival - before >= 35_000_000
    assert ear.listener.report().first_packet_ns == arrival
    assert await ear.listener.wait_first_packet(before, timeout=0) == arrival
    with pytest.raises(NotHeard, match="none came"):
        await ear.listener.wait_first_packet(arrival, timeout=0)


async def test_a_mark_begins_a_new_count(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.give(encode(sine(440, 0.5)))
    ear.listener.take_bad()
    ear.listener.take_unheard()
    assert (ear.listener.report().packets, ear.listener.report().bad, ear.listener.report().unheard) == (25, 1, 1)
    assert ear.listener.mark() <= time.monotonic_ns()
    report = ear.listener.report()
    assert (report.packets, report.bad, report.unheard, report.first_packet_ns) == (0, 0, 0, None)
    with pytest.raises(NotHeard, match="Expected 1 packets"):
        await ear.listener.wait_packets(1, timeout=0)


def test_starts_are_those_since_the_mark(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.listener._counter.since_ns -= 10_000_000_000
    ear.give(encode(np.concatenate([sine(440, 1), sine(550, 1)])))
    assert [round(start.frequency) for start in ear.listener.starts()] == [440, 550]
    ear.listener.mark()
    assert ear.listener.starts() == []
    ear.give(encode(sine(660, 1)), ago_ms=-1_100)
    assert [round(start.frequency) for start in ear.listener.starts()] == [660]


def test_follow_misses_nothing_that_is_no_longer_kept(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.listener.keep(0.3)
    ear.listener._counter.since_ns -= 20_000_000_000
    ear.listener.follow()
    ear.give(encode(np.concatenate([sine(440, 1), sine(550, 1), sine(660, 1)])))
    assert [round(start.frequency) for start in ear.listener.starts()] == [440, 550, 660]


def test_chirp_position(ear: Ear, encode: Encode) -> None:
    seconds = 3.0
    t = np.arange(round(seconds * 48_000)) / 48_000
    ear.give(encode(0.2 * np.sin(2 * np.pi * (chirp_frequency(0) * t + 25 * t**2))))
    assert ear.listener.chirp_position() == pytest.approx(seconds, abs=0.03)


def test_chirp_position_of_silence(ear: Ear) -> None:
    with pytest.raises(NotHeard, match="chirp"):
        ear.listener.chirp_position()


def test_recording_keeps_everything_and_its_pauses(ear: Ear, encode: Encode, sine: Sine) -> None:
    ear.listener.record()
    first, second = encode(sine(440, 12)), encode(sine(550, 1))  # beforehand: both are dated from when they are given
    ear.give(first, ago_ms=1_000)
    ear.give(second, ago_ms=-1_000)
    assert len(ear.listener.wav()()) == pytest.approx(14 * 192_000, rel=0.01)
    ear.listener.keep(1)
    assert len(ear.listener.wav()()) == pytest.approx(192_000, rel=0.01)


async def test_waiters_leave_nothing_behind(ear: Ear) -> None:
    waiting = asyncio.ensure_future(ear.listener.hears(440, within=5))
    await asyncio.sleep(0)
    assert len(ear.listener._waiting) == 1
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not ear.listener._waiting
