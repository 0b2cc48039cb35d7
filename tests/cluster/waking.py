"""The row about scaling to zero: what a first click waits for."""

from __future__ import annotations

import json

import msgspec

from tests.cluster.figures import ColdStarts
from tests.cluster.kube import NAMESPACE, Kubectl, eventually
from tests.cluster.load import failure_in
from tests.cluster.rows import Failed, Stage
from tests.cluster.system import System

TO_ZERO_WITHIN = 240.0
PATIENCE = 30.0
"""Seconds that an answer is waited for, longer than Discord does."""
MESSAGE = 4
"""The type of an answer that is a message."""
MOST_LOST = 0.05
"""The share of first clicks, 0 to 1, that may be over Discord's 3 s; with more, scaling to zero is no offer to make."""


async def cold_starts(stage: Stage) -> str:
    """To zero, and a signed POST of a command, again and again."""
    system, room = stage.system, stage.audience.rooms[0]
    await keep(system, 0)
    found = ColdStarts()
    for number in range(stage.cold_starts):
        if left := await eventually(lambda: _pods(system.kubectl), lambda pods: pods == 0, TO_ZERO_WITHIN, 0.5):
            raise Failed(f"after {number} starts {left} pods don't go")
        payload = msgspec.json.encode(await room.people[0].draft(room.guild, room.text, "queue"))
        reply = await system.twin.send_raw(payload, await system.twin.sign(payload), timeout=PATIENCE)
        if reply.status == 200 and reply.answered_at_ns is not None:
            found.times.append((reply.answered_at_ns - reply.sent_at_ns) / 1e6)
            text = reply.body.decode(errors="replace")
            if msgspec.json.decode(reply.body).get("type") != MESSAGE or failure_in(text):
                found.wrong.append(failure_in(text) or text[:200])
        else:
            found.times.append(None)
            found.wrong.append(f"{reply.status} {reply.error or reply.body.decode(errors='replace')[:200]}")
        print(f"      cold start {number + 1}: {found}", flush=True)
    await keep(system, 1)
    if found.wrong:
        raise Failed(f"{found}; not answered rightly: {'; '.join(dict.fromkeys(found.wrong))}")
    if found.share_lost > MOST_LOST:
        raise Failed(str(found))
    return str(found)


async def keep(system: System, pods: int) -> None:
    """So many pods of the HTTP side stay; returns when Knative serves that form."""
    change = {"spec": {"template": {"metadata": {"annotations": {"autoscaling.knative.dev/min-scale": str(pods)}}}}}
    words = ("-n", NAMESPACE, "patch", "ksvc", "interactions", "--type=merge", "-p", json.dumps(change))
    await system.kubectl.run(*words)
    await system.served()


async def _pods(kubectl: Kubectl) -> int:
    """Those of the HTTP side, also those that are about to end."""
    found = await kubectl.get("pods", "-l", "serving.knative.dev/service=interactions")
    return len(found["items"])
