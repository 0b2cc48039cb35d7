"""What became of a stream of RTP packets on its way: lost, late, doubled, broken off.

The arithmetic only: sequence numbers, timestamps and arrival times go in, a `Report` comes out.
"""

from typing import Final

import msgspec

from playground.twin.voice.rtp import FRAME_SAMPLES, SILENCE_FRAME

LATE_NS: Final = 200_000_000
"""A longer time without a packet is heard as a hole."""
SILENT_IN_TRACK: Final = 2
"""More silence frames in a row than these, between two that are none, are a hole filled with silence."""
BREAK_FRAMES: Final = 5
"""So many silence frames announce that the sender stops for a while.

Source: https://docs.discord.com/developers/topics/voice-connections#voice-data-interpolation
"""
_MISORDER: Final = 1_000
"""Sequence numbers further back than this are no late packets: the sender counts anew."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a listener heard since the mark. Times are CLOCK_MONOTONIC in ns, gaps in ms.

    A *break* is a pause that the sender announced with at least five silence frames before it stopped sending:
    what follows it is no late packet. `unbroken` allows none.
    """

    guild_id: int
    since_ns: int
    until_ns: int
    packets: int
    lost: int
    """Sequence numbers that never came; one that comes late is taken off again, and counted in `reordered`."""
    reordered: int
    duplicates: int
    restarts: int
    """Sequences begun anew under the same SSRC, which no sender may."""
    step_errors: int
    """RTP timestamps that did not move by 960 for each sequence number."""
    silence_frames: int
    silence_runs: int
    """Runs of more than two silence frames between two that are none."""
    longest_silence_run: int
    trailing_silence: int
    """Silence frames at the end, so far."""
    largest_gap_ms: float
    """The longest time between two packets, or since the last one, breaks excepted."""
    late_gaps: int
    """Gaps of more than 200 ms, breaks excepted."""
    breaks: int
    bad: int
    """Packets that did not decrypt."""
    unheard: int
    """Packets that came without SPEAK, or before any op 5."""
    ssrc: int | None
    ssrc_changes: int
    first_packet_ns: int | None
    """Arrival of the first packet that is no silence frame."""
    last_packet_ns: int | None
    """Arrival of the last packet of any kind."""
    socket_drops: int
    """Datagrams that the kernel dropped meanwhile, of whatever guild: if not 0, the report is void."""

    @property
    def unbroken(self) -> bool:
        """Music without a hole from the mark to now; late packets up to 200 ms are no hole."""
        holes = (self.lost, self.restarts, self.step_errors, self.silence_runs, self.late_gaps, self.breaks)
        return (
            self.packets > 0 and not any(holes) and self.trailing_silence <= SILENT_IN_TRACK and self.socket_drops == 0
        )


class Counter:
    """Counts one guild's packets as they arrive. `mark` begins a new count in the midst of the same stream."""

    def __init__(self, guild_id: int, now: int) -> None:
        self.guild_id = guild_id
        self.ssrc: int | None = None
        self.last_ns: int | None = None
        self.last_loud_ns: int | None = None
        self._highest = 0
        self._timestamp = 0
        self._idle_run = 0
        self._loud_before = False
        self._drops = 0
        self.mark(now)

    def mark(self, now: int, drops: int = 0) -> None:
        """Count from here. A sender in a break is taken as one that has not begun yet."""
        self.since_ns = now
        self.packets = self.bad = self.unheard = 0
        self._lost = self._reordered = self._duplicates = self._restarts = self._step_errors = 0
        self._silence_frames = self._silence_runs = self._longest_run = self._run = 0
        self._largest_gap = self._late_gaps = self._breaks = 0
        self._ssrc_changes = 0
        self.first_loud_ns: int | None = None
        self._missing: dict[int, None] = {}
        self._drops = drops
        if self._idle_run >= BREAK_FRAMES:
            self._loud_before = False
            self.last_ns = None

    def add(self, ssrc: int, sequence: int, timestamp: int, arrival: int, payload: bytes) -> int | None:
        """Count one packet; return its extended sequence number, `None` for one that was heard before."""
        self.packets += 1
        after_break = self._idle_run >= BREAK_FRAMES
        self._count_gap(arrival, after_break)
        if ssrc == self.ssrc:
            extended = self._place(sequence, timestamp, after_break)
        else:
            self._ssrc_changes += self.ssrc is not None
            self.ssrc = ssrc
            extended = self._begin(sequence, timestamp)
        if extended is not None:
            self._count_silence(arrival, payload == SILENCE_FRAME)
        return extended

    def report(self, now: int, drops: int = 0) -> Report:
        """Say how it stands."""
        largest, late = self._largest_gap, self._late_gaps
        if self.last_ns is not None and self._idle_run < BREAK_FRAMES:
            open_gap = now - max(self.last_ns, self.since_ns)
            largest, late = max(largest, open_gap), late + (open_gap > LATE_NS)
        return Report(
            guild_id=self.guild_id,
            since_ns=self.since_ns,
            until_ns=now,
            packets=self.packets,
            lost=self._lost,
            reordered=self._reordered,
            duplicates=self._duplicates,
            restarts=self._restarts,
            step_errors=self._step_errors,
            silence_frames=self._silence_frames,
            silence_runs=self._silence_runs,
            longest_silence_run=self._longest_run,
            trailing_silence=self._run,
            largest_gap_ms=largest / 1e6,
            late_gaps=late,
            breaks=self._breaks,
            bad=self.bad,
            unheard=self.unheard,
            ssrc=self.ssrc,
            ssrc_changes=self._ssrc_changes,
            first_packet_ns=self.first_loud_ns,
            last_packet_ns=self.last_ns,
            socket_drops=drops - self._drops,
        )

    def _count_gap(self, arrival: int, after_break: bool) -> None:
        if self.last_ns is not None:
            gap = arrival - max(self.last_ns, self.since_ns)
            if gap > LATE_NS and after_break:
                self._breaks += 1
            else:
                self._largest_gap = max(self._largest_gap, gap)
                self._late_gaps += gap > LATE_NS
        self.last_ns = arrival

    def _begin(self, sequence: int, timestamp: int) -> int:
        self._missing.clear()
        self._highest = 0x10000 + sequence  # so that what came before the first stays positive
        self._timestamp = timestamp
        return self._highest

    def _place(self, sequence: int, timestamp: int, after_break: bool) -> int | None:
        step = ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
        if step < -_MISORDER:
            self._restarts += 1
            return self._begin(sequence, timestamp)
        extended = self._highest + step
        wrong = (timestamp - self._timestamp - step * FRAME_SAMPLES) & 0xFFFFFFFF != 0
        if step > 0:
            self._step_errors += wrong and not after_break
            self._lost += step - 1
            for missing in range(self._highest + 1, extended):
                self._missing[missing] = None
            while len(self._missing) > _MISORDER:
                del self._missing[next(iter(self._missing))]
            self._highest, self._timestamp = extended, timestamp
            return extended
        if extended not in self._missing:
            self._duplicates += 1
            return None
        del self._missing[extended]
        self._lost -= 1
        self._reordered += 1
        self._step_errors += wrong
        return extended

    def _count_silence(self, arrival: int, silent: bool) -> None:
        if silent:
            self._silence_frames += 1
            self._run += 1
            self._idle_run += 1
            return
        if self._run > SILENT_IN_TRACK and self._loud_before:
            self._silence_runs += 1
            self._longest_run = max(self._longest_run, self._run)
        self._run = self._idle_run = 0
        self._loud_before = True
        self.last_loud_ns = arrival
        if self.first_loud_ns is None:
            self.first_loud_ns = arrival
