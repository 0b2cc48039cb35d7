"""Break a running Tonearm, and wait until somebody is told; mend it, and wait until they are told that it is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    """What became of one fault: seconds until somebody was told, and until they were told that it is over; or what went
    wrong."""

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
    severities = {alert.name: alert.severity for alert in rules.alerts()}

    def on_told(told: Told) -> None:
        say(f"{told.receiver}: {told.alert} {'fires' if told.firing else 'is over'}: {told.summary}")

    async with Cluster(folder, library, shape, log) as cluster:
        await _wait_ready(cluster)
        say("Tonearm is up")
        async with watching(_made(folder / "watch"), _targets(cluster), log, on_told) as watch:
            place = await _place(cluster)
            outcomes = []
            for faults in rounds:
                await _wait_well(cluster, watch)
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(_prove(fault, severities[fault.alert], place, watch, say)) for fault in faults
                    ]
                outcomes += [task.result() for task in tasks]
    return outcomes


async def _prove(fault: Fault, severity: str, place: Place, watch: Watching, say: Say) -> Outcome:
    receiver = watch.receiver
    fired = resolved = None
    try:
        await receiver.wait_over(fault.alert, RESOLVE_SECONDS)  # it may be, of what came before
        say(f"{fault.what}: {fault.alert} is to be told")
        begun = time.monotonic()
        async with fault.make(place):
            told = await receiver.wait_firing(fault.alert, FIRE_SECONDS)
            fired = told.at - begun
        watch.aim(_targets(place.cluster))
        begun = time.monotonic()
        await receiver.wait_over(fault.alert, RESOLVE_SECONDS)
        resolved = time.monotonic() - begun
    except TimeoutError:
        return Outcome(fault, fired, problem="was not told" if fired is None else "was not told to be over")
    wrong = "" if told.receiver == severity else f"was told to {told.receiver}"
    return Outcome(fault, fired, resolved, wrong)


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
