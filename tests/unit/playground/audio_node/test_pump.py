"""What a sink sends at each tick, without a JVM and without a clock."""

from __future__ import annotations

from typing import Any, cast

from playground.audio_node.pump import SILENCE_FRAMES, Sink
from playground.audio_node.rtp import SILENCE, RtpLink


class Frames:
    """Frames to come: a length for each, 0 for none."""

    def __init__(self, *lengths: int) -> None:
        self._lengths = list(lengths)
        self.length = 0

    def provide(self, _frame: Any) -> bool:
        self.length = self._lengths.pop(0) if self._lengths else 0
        return self.length > 0

    def getDataLength(self) -> int:
        return self.length


class Link:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, opus: bytes | memoryview) -> None:
        self.sent.append(bytes(opus))


def run(*lengths: int, ticks: int, wanted: bool = True) -> tuple[list[bytes], list[bool], Sink, bool]:
    frames, link, spoken = Frames(*lengths), Link(), []
    sink = Sink(frames.provide, spoken.append)
    sink.link = cast(RtpLink, link)
    sink.wanted = wanted
    alive = True
    for _ in range(ticks):
        alive = sink.tick(frames, memoryview(b"abcdefgh"))
    return link.sent, spoken, sink, alive


def test_a_frame_is_sent_with_its_length() -> None:
    sent, spoken, sink, alive = run(3, 2, ticks=2)
    assert sent == [b"abc", b"ab"]
    assert spoken == [True]
    assert alive
    assert (sink.sent, sink.nulled) == (2, 0)


def test_before_the_first_frame_nothing_is_sent() -> None:
    sent, spoken, _sink, alive = run(0, 0, 3, ticks=3)
    assert sent == [b"abc"]
    assert spoken == [True]
    assert alive


def test_silence_ends_with_the_next_frame() -> None:
    sent, spoken, sink, _alive = run(3, 0, 3, ticks=3)
    assert sent == [b"abc", SILENCE, b"abc"]
    assert spoken == [True]
    assert sink.nulled == 1


def test_the_end_is_five_frames_of_silence() -> None:
    sent, spoken, _sink, alive = run(3, ticks=20, wanted=False)
    assert sent == [b"abc"] + [SILENCE] * SILENCE_FRAMES
    assert spoken == [True, False]
    assert not alive


def test_a_playing_player_without_frames_is_asked_again() -> None:
    *_, alive = run(3, ticks=20)
    assert alive


def test_without_a_link_nothing_is_taken() -> None:
    frames = Frames(3)
    sink = Sink(frames.provide, lambda _speaking: None)
    sink.wanted = True
    assert not sink.tick(frames, memoryview(b"abc"))
    assert frames.provide(None)
