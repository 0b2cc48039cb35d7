"""Promise 5: nobody hears a voice node go, and control is back soon."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp
import msgspec

from playground.twin.client import TwinError
from playground.twin.seen import Reply
from playground.twin.voice.counting import LATE_NS, Report
from tests.chaos.buffers import judge_buffer, receive_buffer
from tests.chaos.cluster import VOICE, Cluster, Shape
from tests.chaos.part import Run
from tests.chaos.report import Result, Row, Sheet
from tests.chaos.rooms import Room, open_rooms
from tests.chaos.stalls import STALL_MS, Stalls
from tests.chaos.tones import LONG, LONG_HZ, make_pair

GUILDS = 10
SHARDS = 4
PEOPLE = 12
"""So many take turns with ``/pause``, as nobody may use a command each 100 ms."""
REFRESH_SECONDS = 140.0
"""After so long the tone is begun anew, lest it end in the midst of a measurement."""

PROBE_EVERY = 0.1
SILENCE_MS = 200.0
CONTROL_WITHIN = 30.0
QUIET_SECONDS = 3.0
AFTERMATH = 1.5
"""Seconds that are still counted once control is back."""

ASKED, KILLED, ROLLED = "asked to end (SIGTERM)", "killed (SIGKILL)", "all replaced, one after the other"
CONTROL_SECONDS = {ASKED: 3.0, KILLED: 10.0, ROLLED: 3.0}
REPEATS = {ASKED: 2, KILLED: 2, ROLLED: 1}
LONG_REPEATS = 20
TRIES = 3
"""So often a repetition is made that the machine's own stalls may have made late; then it is missing."""
GAP_MS = LATE_NS / 1e6
BREAKS_OFF = (TimeoutError, AssertionError, TwinError, aiohttp.ClientError)
"""What ends one repetition, and not the run: somebody did not answer, or did not hear what was waited for."""

ASSUMPTION = (
    "Measured against our model of Discord: that a gateway session and its voice state outlive the socket for the "
    "resume window is an assumption."
)


@dataclass
class Measured:
    """All repetitions of one kind, where control must be back after ``limit`` seconds. Times in s, gaps in ms.

    ``times`` counts those that were judged; the others were made again.
    """

    limit: float = CONTROL_WITHIN
    times: int = 0
    broken: int = 0
    lost: int = 0
    controls: list[float] = field(default_factory=list)
    largest_gap_ms: float = 0.0
    void: int = 0
    details: list[str] = field(default_factory=list)
    unjudged: list[tuple[float, float, float]] = field(default_factory=list)
    """Control, gap and stall (ms) of those that were late by no more than the machine stood still."""
    broken_off: list[str] = field(default_factory=list)

    def take(self, reports: list[Report], controls: Sequence[float], stall_ms: float) -> bool:
        """One repetition, as each guild heard it, while the machine stood still for so long at most.

        Whether it is judged. It is not where it was late by no more than the stall: nobody can tell whose delay that
        is. What was lost is lost all the same.
        """
        gap_ms, control = max(each.largest_gap_ms for each in reports), max(controls, default=0.0)
        late_ms = max(gap_ms - GAP_MS, (control - self.limit) * 1000)
        judged = late_ms <= 0 or stall_ms <= STALL_MS or late_ms > stall_ms
        if judged:
            self.times += 1
            self.controls += controls
            self.largest_gap_ms = max(self.largest_gap_ms, gap_ms)
        else:
            self.unjudged.append((control, gap_ms, stall_ms))
            reports = [msgspec.structs.replace(report, late_gaps=0, largest_gap_ms=0.0) for report in reports]
        for report in reports:
            self.lost += report.lost
            if report.socket_drops:
                self.void += 1
            elif not report.unbroken:
                self.broken += 1
                self.details.append(_holes(report))
        return judged


async def run(asked: Run) -> Result:
    """A few (or twenty) of each kind, with ten guilds that play."""
    folder = asked.tones / "long"
    make_pair(folder)
    with Stalls() as stalls:
        async with Cluster(asked.folder, folder, Shape(shards=SHARDS), asked.log) as cluster:
            measured, quiet, complaints = await _measure(cluster, stalls, asked)
    result = judge(measured, quiet, _planned(asked))
    judge_buffer(result, long=asked.long, size=receive_buffer())
    result.missed += complaints
    return result


async def _measure(cluster: Cluster, stalls: Stalls, asked: Run) -> tuple[dict[str, Measured], Measured, list[str]]:
    handover = HandOver(cluster, stalls)
    await handover.begin()
    quiet = await handover.quiet()
    measured = {kind: Measured(limit) for kind, limit in CONTROL_SECONDS.items()}
    for kind, times in _planned(asked).items():
        for number in range(times):
            asked.log("chaos", f"--- {kind}, {number + 1}")
            try:
                await handover.repeat(kind, number, measured[kind])
            except BREAKS_OFF as error:
                measured[kind].broken_off.append(f"{number + 1}: {error!r}")
                with contextlib.suppress(*BREAKS_OFF):  # else the next one says so
                    await handover.begin_anew()
    return measured, quiet, await cluster.complaints()


def _planned(asked: Run) -> dict[str, int]:
    return {kind: LONG_REPEATS if asked.long else times for kind, times in REPEATS.items()}


class HandOver:
    """The guilds, and one more on each shard in which ``/pause`` tells whether there is control."""

    def __init__(self, cluster: Cluster, stalls: Stalls) -> None:
        self._cluster = cluster
        self._stalls = stalls
        self._rooms: list[Room] = []
        self._probes: list[Room] = []
        self._turns = itertools.count()
        self._begun = 0.0

    async def begin(self) -> None:
        """Everybody listens to the same tone."""
        twin = self._cluster.twin
        self._rooms = await open_rooms(twin, GUILDS, SHARDS)
        self._probes = await open_rooms(twin, SHARDS, SHARDS, PEOPLE)
        await self._play()

    async def begin_anew(self) -> None:
        """After a repetition that broke off, the next one finds everything as it should be.

        Raises:
            TimeoutError: nothing can be done.
        """
        await self._cluster.wait_owned()
        await self._play()

    async def _play(self) -> None:
        everybody = [*self._rooms, *self._probes]
        await asyncio.gather(*(room.ask("play", query=LONG, where="now") for room in everybody))
        await asyncio.gather(*(room.ear.hears(LONG_HZ, within=20) for room in everybody))
        self._begun = time.monotonic()

    async def quiet(self) -> Measured:
        """What is heard when nothing happens."""
        found = Measured()
        await self._mark()
        await asyncio.sleep(QUIET_SECONDS)
        found.take(await self._reports(), (), 0.0)
        return found

    async def repeat(self, kind: str, number: int, found: Measured) -> None:
        """One repetition; made again where it was late by no more than the machine stood still."""
        for _ in range(TRIES):
            self._stalls.mark()
            controls, reports = await self._once(kind, number)
            if found.take(reports, controls, self._stalls.worst_ms):
                return

    async def _once(self, kind: str, number: int) -> tuple[list[float], list[Report]]:
        """Seconds until there was control, of each that went, and what was heard."""
        processes = self._cluster.processes
        if time.monotonic() - self._begun > REFRESH_SECONDS:
            await self._play()
        victims = processes.names(VOICE) if kind == ROLLED else [await self._holder(number % SHARDS)]
        await self._mark()
        sig = signal.SIGKILL if kind == KILLED else signal.SIGTERM
        controls = [await self._replace(victim, sig) for victim in victims]
        await asyncio.sleep(AFTERMATH)
        reports = await self._reports()
        await self._cluster.wait_owned()
        return controls, reports

    async def _holder(self, shard: int) -> str:
        async with asyncio.timeout(CONTROL_WITHIN):
            while (name := await self._cluster.owner(shard)) is None:  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(PROBE_EVERY)
        return name

    async def _replace(self, victim: str, sig: signal.Signals) -> float:
        """Send the signal; seconds until there is control on each shard that the victim had."""
        shards = [shard for shard in range(SHARDS) if await self._cluster.owner(shard) == victim]
        since = time.monotonic_ns()
        ending = asyncio.create_task(self._cluster.processes.end(victim, sig))
        controls = await asyncio.gather(*(self._control(self._probes[shard], since) for shard in shards))
        await ending
        # As an orchestrator does: the next one goes when the new one stands by.
        await self._cluster.processes.wait_next(victim)
        await self._cluster.processes.wait_ready(victim)
        return max(controls, default=0.0)

    async def _control(self, probe: Room, since: int) -> float:
        silence = asyncio.create_task(probe.ear.hears_silence(for_ms=SILENCE_MS, within=CONTROL_WITHIN))
        pauses: list[asyncio.Task[Reply]] = []
        while not silence.done():
            pauses.append(asyncio.create_task(probe.say("pause", next(self._turns))))
            await asyncio.wait([silence], timeout=PROBE_EVERY)
        for reply in await asyncio.gather(*pauses, return_exceptions=True):
            if isinstance(reply, Reply) and reply.failed is None:
                with contextlib.suppress(AssertionError, TimeoutError):
                    await reply.answer(timeout=10)
        try:
            back = (silence.result() - since) / 1e9
        except AssertionError:  # nothing but the tone was heard
            return CONTROL_WITHIN
        await self._resume(probe)
        return back

    async def _resume(self, probe: Room) -> None:
        """Until the tone is heard: else this silence would be taken for the next one.

        Raises:
            TimeoutError: it is not.
        """
        async with asyncio.timeout(CONTROL_WITHIN):
            while True:
                with contextlib.suppress(AssertionError, TwinError, TimeoutError):
                    await probe.ask("resume", next(self._turns))
                    await probe.ear.hears(LONG_HZ, within=5)
                    return

    async def _mark(self) -> None:
        await asyncio.gather(*(room.ear.mark() for room in self._rooms))

    async def _reports(self) -> list[Report]:
        return await asyncio.gather(*(room.ear.report() for room in self._rooms))


def _holes(report: Report) -> str:
    names = ("lost", "restarts", "step_errors", "silence_runs", "late_gaps", "breaks", "trailing_silence", "packets")
    counts = ", ".join(f"{name} {value}" for name in names if (value := getattr(report, name)))
    return f"guild {report.guild_id}: {counts}; largest gap {report.largest_gap_ms:.0f} ms"


def judge(measured: dict[str, Measured], quiet: Measured, planned: Mapping[str, int]) -> Result:
    """The table, and what it means. So many repetitions of each kind must have been judged as were planned."""
    result = Result("handover", lines=[ASSUMPTION])
    sheet = Sheet(
        f"A voice node goes; {GUILDS} guilds listen",
        (
            "voice node",
            "judged",
            "made again",
            "control back, longest (s)",
            "packets lost",
            "guilds with a hole",
            "largest gap (ms)",
        ),
    )
    sheet.rows.append(
        Row(("(nothing happens)", quiet.times, "", "", quiet.lost, quiet.broken, f"{quiet.largest_gap_ms:.0f}"))
    )
    for kind, found in measured.items():
        missed = _missed(kind, found, planned[kind])
        counts = (found.times, len(found.unjudged))
        longest = f"{max(found.controls):.2f}" if found.controls else "never judged"
        cells = (kind, *counts, longest, found.lost, found.broken, f"{found.largest_gap_ms:.0f}")
        sheet.rows.append(Row(cells, not missed))
        result.missed += missed
        if found.unjudged:
            control, gap_ms, stall_ms = (max(figures) for figures in zip(*found.unjudged, strict=True))
            result.lines.append(
                f"{kind}: {len(found.unjudged)} made again: control back after {control:.2f} s, gap "
                f"{gap_ms:.0f} ms at worst, beyond the limit by no more than this machine stood still for: it stood "
                f"still for up to {stall_ms:.0f} ms"
            )
        result.figures[kind] = {
            "controls_s": [round(each, 3) for each in found.controls],
            "holes": found.details,
            "unjudged": found.unjudged,
        }
    result.sheets.append(sheet)
    return result


def _missed(kind: str, found: Measured, planned: int) -> list[str]:
    missed = [f"{kind}: repetition {each}" for each in found.broken_off]
    if found.times < planned:
        missed.append(f"{kind}: only {found.times} of {planned} repetitions could be judged")
    if found.lost or found.broken:
        missed.append(f"{kind}: {found.lost} packets lost, {found.broken} guilds heard a hole")
        missed += [f"   {each}" for each in found.details[:5]]
    if found.void:
        missed.append(f"{kind}: the kernel dropped datagrams, so the run is void")
    if (longest := max(found.controls, default=0.0)) > found.limit:
        missed.append(f"{kind}: control back after {longest:.2f} s, not {found.limit:g} s")
    return missed
