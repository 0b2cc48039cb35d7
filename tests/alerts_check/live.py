"""Break a running Tonearm, and wait until somebody is told; mend it, and wait until they are told that it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from tests.alerts_check import rules
from tests.alerts_check.faults import Fault, Place
from tests.alerts_check.watching import Told, Watching, watching
from tests.chaos.cluster import API, AUDIO, HTTP, VOICE, WORKER, Cluster, Shape
from tonearm.child_logs import Log

FIRE_SECONDS = 120.0
RESOLVE_SECONDS = 150.0
READY_SECONDS = 60.0
"""How long to wait for what takes a quarter of it, where nothing else runs."""

JOBS = {VOICE: "voice-node", HTTP: "interactions", WORKER: "worker", API: "api"}
"""Prometheus' jobs by the roles of processes."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What became of one alert: seconds until somebody was told, and until they were told that it is over; or what went
    wrong."""

    alert: str
    fault: Fault
    fired: float | None = None
    resolved: float | None = None
    problem: str = ""


async def run(folder: Path, rounds: Sequence[Sequence[Fault]], log: Log, say: Say) -> list[Outcome]:
    """All rounds, one after the other.

    Raises:
        ProgramMissing: Prometheus or Alertmanager is not there.
        StartFailed: something does not start.
        TimeoutError: nothing is well even before it is broken.
    """
    shape = Shape(
        voice_nodes=1,
        audio_nodes=2 if len(rounds) > 1 else 1,
        http=1,
        workers=1,
        api=1,
        shards=1,
        settings={"INLINE_REPLY_MS": "0"},  # so that each answer is an edit, which Discord can refuse
    )
    library = folder / "music"
    library.mkdir()

    def on_told(told: Told) -> None:
        say(f"{told.receiver}: {told.alert} {'fires' if told.firing else 'is over'}: {told.summary}")

    async with Cluster(folder, library, shape, log) as cluster:
        await _wait_ready(cluster)
        say("Tonearm is up")
        async with watching(_made(folder / "watch"), _targets(cluster), log, on_told) as watch:
            place = await _place(cluster)
            outcomes: list[Outcome] = []
            for faults in rounds:
                await _wait_well(cluster, watch)
                async with asyncio.TaskGroup() as group:
                    proofs = [group.create_task(Proof(fault, place, watch, say).run()) for fault in faults]
                outcomes += [outcome for proof in proofs for outcome in proof.result()]
    return outcomes


class Proof:
    """That one fault is told of, and that it is told to be over."""

    def __init__(self, fault: Fault, place: Place, watch: Watching, say: Say) -> None:
        self._fault = fault
        self._place = place
        self._watch = watch
        self._receiver = watch.receiver
        self._say = say
        self._severities = {alert.name: alert.severity for alert in rules.alerts()}

    async def run(self) -> list[Outcome]:
        """Break, wait, mend, wait; what became of each alert."""
        try:
            for alert in self._fault.alerts:
                await self._receiver.wait_over(alert, RESOLVE_SECONDS)
        except TimeoutError:
            return [Outcome(each, self._fault, problem=f"{alert} fired before") for each in self._fault.alerts]
        self._say(f"{self._fault.what}: {', '.join(self._fault.alerts)} to be told")
        begun = time.monotonic()
        async with self._fault.make(self._place):
            fired = await asyncio.gather(*(self._fires(alert, begun) for alert in self._fault.alerts))
            loud = [alert for alert in self._fault.held_back if not await self._is_held_back(alert)]
        self._watch.aim(_targets(self._place.cluster))
        begun = time.monotonic()
        ended = await asyncio.gather(*(self._ends(outcome, begun) for outcome in fired))
        return [replace(each, problem=f"{', '.join(loud)} was not held back") if loud else each for each in ended]

    async def _is_held_back(self, alert: str) -> bool:
        try:
            await self._watch.wait_held_back(alert, FIRE_SECONDS)
        except TimeoutError:
            return False
        return not self._receiver.is_firing(alert)

    async def _fires(self, alert: str, begun: float) -> Outcome:
        try:
            told = await self._receiver.wait_firing(alert, FIRE_SECONDS)
        except TimeoutError:
            return Outcome(alert, self._fault, problem="was not told")
        wrong = "" if told.receiver == self._severities[alert] else f"was told to {told.receiver}"
        return Outcome(alert, self._fault, told.at - begun, problem=wrong)

    async def _ends(self, outcome: Outcome, begun: float) -> Outcome:
        if outcome.problem:
            return outcome
        try:
            await self._receiver.wait_over(outcome.alert, RESOLVE_SECONDS)
        except TimeoutError:
            return replace(outcome, problem="was not told to be over")
        return replace(outcome, resolved=time.monotonic() - begun)


async def _wait_well(cluster: Cluster, watch: Watching) -> None:
    """Until everything is up, and all that alerts look at is known."""
    await _wait_ready(cluster)
    targets = _targets(cluster)
    watch.aim(targets)
    await cluster.wait_owned()
    await watch.until(f"count(up == 1) == {sum(map(len, targets.values()))} unless (up == 0)", READY_SECONDS)
    await watch.until("max(tonearm_redis_up) == 1 and max(tonearm_postgres_up) == 1", READY_SECONDS)
    await watch.until('max(tonearm_shards{state="ownerless"}) == 0', READY_SECONDS)
    await watch.until(f"count(max by (node) (tonearm_lavalink_up) == 1) == {cluster.shape.audio_nodes}", READY_SECONDS)


async def _wait_ready(cluster: Cluster) -> None:
    for role in (AUDIO, *JOBS):
        for name in cluster.processes.names(role):
            await cluster.processes.wait_ready(name)


async def _place(cluster: Cluster) -> Place:
    guild = await cluster.twin.create_guild("The Listening Room", shard=0, shard_count=cluster.shape.shards)
    person = await cluster.twin.create_user("Ada")
    await person.join_guild(guild)
    await person.join(guild.voice_channels[0])
    return Place(cluster, guild, guild.text_channels[0], person)


def _targets(cluster: Cluster) -> dict[str, list[str]]:
    """Where each process of ours answers, or did last."""
    processes = cluster.processes
    return {
        job: [urlsplit(str(processes[name].said["url"])).netloc for name in processes.names(role)]
        for role, job in JOBS.items()
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
