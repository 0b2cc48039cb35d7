"""The arithmetic of lost, late, doubled and silent packets."""

from itertools import accumulate, groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.twin.voice.counting import Counter
from playground.twin.voice.rtp import SILENCE_FRAME

MS = 1_000_000
LOUD = b"\xfcmusic"
START = 1_000_000_000_000


def counter() -> Counter:
    return Counter(7, START)


class Sender:
    """Sends numbered packets to a counter, 20 ms apart unless told otherwise."""

    def __init__(self, to: Counter, sequence: int = 0, timestamp: int = 0, ssrc: int = 1) -> None:
        self.counter, self.sequence, self.timestamp, self.ssrc = to, sequence, timestamp, ssrc
        self.now = START

    def send(self, index: int, payload: bytes = LOUD, after_ms: float = 20, stamp_error: int = 0) -> int | None:
        self.now += round(after_ms * MS)
        sequence = (self.sequence + index) & 0xFFFF
        timestamp = (self.timestamp + 960 * index + stamp_error) & 0xFFFFFFFF
        return self.counter.add(self.ssrc, sequence, timestamp, self.now, payload)


fates = st.sampled_from(["well", "well", "well", "lost", "doubled", "delayed"])


@given(
    st.lists(st.tuples(fates, st.integers(1, 5)), max_size=150),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
)
def test_every_fate_of_a_packet_is_counted(packets: list[tuple[str, int]], sequence: int, timestamp: int) -> None:
    """A model that knows each packet's true place, against a counter that sees 16 bits of it."""
    arrivals: list[tuple[float, int]] = [(0, 0)]
    for index, (fate, by) in enumerate(packets, start=1):
        if fate == "lost":
            continue
        arrivals.append((index + by + 0.5 if fate == "delayed" else index, index))
        if fate == "doubled":
            arrivals.append((index + by + 0.5, index))
    order = [index for _, index in sorted(arrivals)]
    heard = counter()
    sender = Sender(heard, sequence, timestamp)
    placed = [sender.send(index) for index in order]

    highest = list(accumulate(order, max))
    first_time = [index not in order[:place] for place, index in enumerate(order)]
    reordered = sum(new and index < top for new, index, top in zip(first_time, order, highest, strict=True))
    report = heard.report(sender.now)
    assert report.packets == len(order)
    assert report.lost == max(order) + 1 - len(set(order))
    assert report.duplicates == len(order) - len(set(order))
    assert report.reordered == reordered
    assert report.step_errors == report.restarts == 0
    base = placed[0]
    assert base is not None
    assert [place - base for place in placed if place is not None] == [
        index for new, index in zip(first_time, order, strict=True) if new
    ]


@given(st.lists(st.sampled_from([0, 0, 0, 960, -960, 1, 480, 48_000]), max_size=60), st.integers(0, 0xFFFFFFFF))
def test_a_timestamp_that_strays_from_its_sequence_is_an_error_once(jumps: list[int], timestamp: int) -> None:
    heard = counter()
    sender = Sender(heard, 0xFFF0, timestamp)
    sender.send(0)
    for index, stray in enumerate(accumulate(jumps), start=1):
        sender.send(index, stamp_error=stray)
    assert heard.report(sender.now).step_errors == sum(jump != 0 for jump in jumps)


@given(st.lists(st.booleans(), max_size=80))
def test_silence_counts_where_it_is_inside_music(silent: list[bool]) -> None:
    heard = counter()
    sender = Sender(heard)
    for index, is_silent in enumerate(silent):
        sender.send(index, SILENCE_FRAME if is_silent else LOUD)
    runs = [(key, len(list(group))) for key, group in groupby(silent)]
    inner = [length for key, length in runs[1:-1] if key and length > 2]
    report = heard.report(sender.now)
    assert report.silence_frames == sum(silent)
    assert report.silence_runs == len(inner)
    assert report.longest_silence_run == max(inner, default=0)
    assert report.trailing_silence == (runs[-1][1] if runs and runs[-1][0] else 0)


@given(st.lists(st.tuples(st.integers(0, 400), st.booleans()), min_size=1, max_size=80))
def test_gaps_are_late_unless_the_sender_announced_a_break(packets: list[tuple[int, bool]]) -> None:
    heard = counter()
    sender = Sender(heard)
    gaps, breaks, run = [], 0, 0
    for index, (after_ms, silent) in enumerate(packets):
        if index and after_ms > 200 and run >= 5:
            breaks += 1
        elif index:
            gaps.append(after_ms)
        run = run + 1 if silent else 0
        sender.send(index, SILENCE_FRAME if silent else LOUD, after_ms=after_ms)
    report = heard.report(sender.now)
    assert report.largest_gap_ms == max(gaps, default=0)
    assert report.late_gaps == sum(gap > 200 for gap in gaps)
    assert report.breaks == breaks


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.data())
def test_two_counts_add_up_to_one(came: list[bool], data: st.DataObject) -> None:
    """A mark loses nothing: what is lost across it belongs to the second count."""
    place = data.draw(st.integers(0, len(came)))
    whole, parts = counter(), counter()
    one, two = Sender(whole), Sender(parts)
    lost = 0
    for index, arrives in enumerate([True, *came, True]):
        if index == place:
            lost += parts.report(two.now).lost
            parts.mark(two.now)
        if arrives:
            one.send(index)
            two.send(index)
    assert whole.report(one.now).lost == lost + parts.report(two.now).lost == came.count(False)


def test_a_track_that_ends_without_a_word_is_a_gap_that_grows() -> None:
    heard = counter()
    sender = Sender(heard)
    for index in range(5):
        sender.send(index)
    assert heard.report(sender.now + 20 * MS).unbroken
    late = heard.report(sender.now + 300 * MS)
    assert (late.largest_gap_ms, late.late_gaps, late.unbroken) == (300, 1, False)


def test_a_track_that_ends_with_five_silence_frames_is_at_rest() -> None:
    heard = counter()
    sender = Sender(heard)
    for index in range(10):
        sender.send(index, SILENCE_FRAME if index >= 5 else LOUD)
    report = heard.report(sender.now + 3_000 * MS)
    assert (report.late_gaps, report.trailing_silence, report.unbroken) == (0, 5, False)


def test_a_mark_in_a_break_forgets_the_break() -> None:
    heard = counter()
    sender = Sender(heard)
    for index in range(8):
        sender.send(index, SILENCE_FRAME if index >= 3 else LOUD)
    heard.mark(sender.now + 1_000 * MS)
    for index in range(8, 12):
        sender.send(index, after_ms=5_000 if index == 8 else 20, stamp_error=48_000 * 5)
    report = heard.report(sender.now)
    assert report.unbroken
    assert report.first_packet_ns == sender.now - 60 * MS


def test_a_gap_across_a_mark_counts_from_the_mark() -> None:
    heard = counter()
    sender = Sender(heard)
    sender.send(0)
    heard.mark(sender.now + 400 * MS)
    sender.send(1, after_ms=500)
    assert heard.report(sender.now).largest_gap_ms == 100


def test_another_ssrc_begins_another_sequence() -> None:
    heard = counter()
    first = Sender(heard, sequence=100)
    first.send(0)
    second = Sender(heard, sequence=40_000, timestamp=123, ssrc=2)
    second.now = first.now
    second.send(0)
    second.send(1)
    report = heard.report(second.now)
    assert (report.lost, report.step_errors, report.ssrc_changes, report.ssrc) == (0, 0, 1, 2)


def test_a_sequence_begun_anew_is_seen_and_does_not_drown_the_rest() -> None:
    heard = counter()
    Sender(heard, sequence=30_000).send(0)
    again = Sender(heard, sequence=5)
    for index in range(3):
        again.send(index)
    report = heard.report(again.now)
    assert (report.restarts, report.duplicates, report.lost, report.unbroken) == (1, 0, 0, False)


@pytest.mark.parametrize(("drops", "unbroken"), [(4, True), (5, False)])
def test_drops_by_the_kernel_void_the_report(drops: int, unbroken: bool) -> None:
    heard = counter()
    heard.mark(START, drops=4)
    sender = Sender(heard)
    sender.send(0)
    report = heard.report(sender.now, drops=drops)
    assert (report.socket_drops, report.unbroken) == (drops - 4, unbroken)
