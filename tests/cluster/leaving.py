"""Rows in which something goes while people listen and click."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tests.cluster.figures import Clicks, Heard
from tests.cluster.kube import NAMESPACE, Json, Kubectl, eventually
from tests.cluster.load import TONE_HZ
from tests.cluster.rows import Failed, NotRun, Stage
from tests.cluster.standing import owner
from tests.cluster.waking import keep

QUIET_SECONDS = 5.0
ROLLED_WITHIN = 300.0
GONE_WITHIN = 180.0
SCALED_WITHIN = 120.0
LONGEST_MOVE_MS = 3_000.0
"""A player that goes to another audio server may be silent for so long: promise 6."""
OF_OURS = "app.kubernetes.io/part-of=tonearm"


@dataclass
class Watched:
    """What people met, from the begin to the end."""

    clicks: Clicks
    heard: Heard

    def __str__(self) -> str:
        return f"{self.heard}; {self.clicks}"


@asynccontextmanager
async def watched(stage: Stage) -> AsyncIterator[Watched]:
    """The tone is begun anew; all that is heard and clicked inside is counted."""
    await stage.audience.play()
    await stage.audience.mark()
    seen = Watched(Clicks(), Heard())
    async with stage.audience.clicking() as seen.clicks:
        yield seen
    seen.heard = await stage.audience.heard()


async def play(stage: Stage) -> str:
    """`/play`, and a listener hears it."""
    began = time.monotonic()
    await stage.audience.open()
    await stage.audience.play()
    took = time.monotonic() - began
    sound = await stage.audience.rooms[0].ear.sound()
    await stage.audience.mark()
    await asyncio.sleep(QUIET_SECONDS)
    heard = await stage.audience.heard()
    if not heard.unbroken:
        raise Failed(str(heard))
    return (
        f"{sound.frequency:.0f} Hz at {sound.level:.0f} dBFS, decoded, {TONE_HZ:.0f} Hz was asked for; in "
        f"{len(stage.audience.rooms)} guilds after {took:.1f} s; then, quietly, {heard}"
    )


async def voice_nodes_rolled(stage: Stage) -> str:
    """All voice nodes are replaced, one by one."""
    async with watched(stage) as seen:
        await _restart(stage.system.kubectl, "voice-node")
    return _unbroken(seen)


async def everything_else_rolled(stage: Stage) -> str:
    """The HTTP side, the API, the worker; then Lavalink, drained."""
    kubectl = stage.system.kubectl
    async with watched(stage) as seen:
        turn = {"spec": {"template": {"metadata": {"annotations": {"for-tests/turn": str(time.time_ns())}}}}}
        words = ("-n", NAMESPACE, "patch", "ksvc", "interactions", "--type=merge", "-p", json.dumps(turn))
        await kubectl.run(*words)
        await stage.system.served()
        await _restart(kubectl, "api", "worker")
        old = {each["metadata"]["name"] for each in await kubectl.pods("lavalink")}
        await _restart(kubectl, "lavalink")
        await _gone(kubectl, old)
    return _went_on(seen)


async def voice_node_deleted(stage: Stage) -> str:
    """The one that plays: asked to end, then killed."""
    kubectl = stage.system.kubectl
    said = []
    for how, words in (("asked to end", ()), ("killed", ("--grace-period=0", "--force"))):
        async with watched(stage) as seen:
            victim = await owner(kubectl)
            await kubectl.run("-n", NAMESPACE, "delete", "pod", victim, *words, within=90)
            await kubectl.rolled_out("deployment/voice-node", within=ROLLED_WITHIN)
            await eventually(lambda: owner(kubectl), lambda now, was=victim: now != was, 30)  # type: ignore[misc]
        said.append(f"{how}: {_unbroken(seen)}")
    return "; ".join(said)


async def node_drained(stage: Stage) -> str:
    """The node of the voice node that plays: all of ours there has to go elsewhere.

    With two pods of the HTTP side and two workers, as in k8s/base: of one there is no other until the next is ready,
    which costs the clicks until then.
    """
    kubectl, system = stage.system.kubectl, stage.system
    if len(system.nodes) < 2:
        raise NotRun("the cluster has one node")
    await keep(system, 2)
    await _keep_workers(stage, 2)
    await _away_from(stage, system.kept_on)
    playing = await owner(kubectl)
    node = (await kubectl.get("pod", playing))["spec"]["nodeName"]
    there = [each for each in await _on_node(kubectl, node) if each["status"].get("phase") == "Running"]
    names = sorted(each["metadata"]["labels"].get("app.kubernetes.io/name", "?") for each in there)
    try:
        async with watched(stage) as seen:
            await kubectl.run(
                *("drain", node, f"--pod-selector={OF_OURS}", "--delete-emptydir-data", "--ignore-daemonsets"),
                f"--timeout={GONE_WITHIN:.0f}s",
                within=GONE_WITHIN + 30,
            )
            await kubectl.rolled_out(*(f"deployment/{each}" for each in ("voice-node", "lavalink", "api", "worker")))
            await system.served()
        left = [each["metadata"]["name"] for each in await _on_node(kubectl, node)]
    finally:
        await kubectl.run("uncordon", node)
    await keep(system, 1)
    await _keep_workers(stage, 1)
    if left:
        raise Failed(f"{', '.join(left)} stayed on {node}")
    return f"{', '.join(names)} left {node}: {_went_on(seen)}"


async def _keep_workers(stage: Stage, pods: int) -> None:
    kubectl = stage.system.kubectl
    change = json.dumps({"spec": {"minReplicas": pods}})
    await kubectl.run("-n", NAMESPACE, "patch", "hpa", "worker", "--type=merge", "-p", change)
    if len(await eventually(lambda: kubectl.pods("worker"), lambda found: len(found) >= pods, SCALED_WITHIN)) < pods:
        raise Failed(f"the autoscaler does not keep {pods} workers")
    await kubectl.rolled_out("deployment/worker")


async def _away_from(stage: Stage, node: str) -> None:
    """Let a voice node hold the shard that is not on this node: the one there goes, and another stands by."""
    kubectl = stage.system.kubectl
    for _ in range(3):
        playing = await eventually(lambda: owner(kubectl), bool, 60)
        if (await kubectl.get("pod", playing))["spec"]["nodeName"] != node:
            return
        await kubectl.run("-n", NAMESPACE, "delete", "pod", playing, within=90)
        await kubectl.rolled_out("deployment/voice-node", within=ROLLED_WITHIN)
    raise NotRun(f"all voice nodes are on {node}, where the volumes are")


async def _on_node(kubectl: Kubectl, node: str) -> list[Json]:
    found = await kubectl.get("pods", "-l", OF_OURS, "--field-selector", f"spec.nodeName={node}")
    return [each for each in found["items"] if each["status"].get("phase") not in ("Succeeded", "Failed")]


async def _restart(kubectl: Kubectl, *names: str) -> None:
    for name in names:
        await kubectl.run("-n", NAMESPACE, "rollout", "restart", f"deployment/{name}")
        await kubectl.rolled_out(f"deployment/{name}", within=ROLLED_WITHIN)


async def _gone(kubectl: Kubectl, pods: set[str]) -> None:
    async def ask() -> set[str]:
        return pods & {each["metadata"]["name"] for each in (await kubectl.get("pods"))["items"]}

    if left := await eventually(ask, lambda found: not found, GONE_WITHIN):
        raise Failed(f"{', '.join(left)} does not end")


def _unbroken(seen: Watched) -> str:
    if not seen.heard.unbroken or seen.clicks.failed or not seen.clicks.used:
        raise Failed(str(seen))
    return str(seen)


def _went_on(seen: Watched) -> str:
    """Players that go to another audio server begin a new stream, after a short silence."""
    heard = seen.heard
    stopped = heard.lost or heard.drops or heard.silent or heard.largest_gap_ms > LONGEST_MOVE_MS
    if stopped or seen.clicks.failed or not seen.clicks.used:
        raise Failed(str(seen))
    return str(seen)
