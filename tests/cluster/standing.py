"""Rows about what stands there: pods, autoscalers, volumes, and who is kept out."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Any

from tests.cluster.figures import readings, restarts, running_problems
from tests.cluster.images import PLAYGROUND
from tests.cluster.kube import NAMESPACE, TWIN, Json, Kubectl, KubeError, eventually
from tests.cluster.rows import Failed, Stage

RUNNING_WITHIN = 120.0
READINGS_WITHIN = 240.0
STORES_WITHIN = 240.0
PLAYER_WITHIN = 60.0
"""Seconds until a shard that lost its owner has one."""
GUARDED = {"redis": 6379, "postgres": 5432, "lavalink": 2333}
KNOCK = f"""
import socket
for name, port in {GUARDED!r}.items():
    try:
        socket.create_connection((name + ".{NAMESPACE}.svc.cluster.local", port), 4).close()
        print(name, "open")
    except socket.gaierror:
        print(name, "unknown")
    except OSError:
        print(name, "shut")
"""
"""What is open to a pod, in Python; ``unknown`` if its name says nothing."""
ADDED = """
import os, sys
total = 0
for top, compiled_only in (("/opt/tonearm", False), (os.path.dirname(os.__file__), True)):
    for folder, below, files in os.walk(top):
        if compiled_only and "site-packages" in below:
            below.remove("site-packages")
        if compiled_only and not folder.endswith("__pycache__"):
            continue
        total += sum(os.lstat(os.path.join(folder, name)).st_size for name in files)
print(total)
"""
"""What infra/Dockerfile puts on top of a base, in bytes: our folder and the standard library's compiled modules, also
those that the base had already."""
MOST_ADDED_MB = 120
SQL = 'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U tonearm -d tonearm -Atqc "$0"'


async def sql(kubectl: Kubectl, statement: str) -> str:
    """What PostgreSQL answers."""
    return (await kubectl.inside("postgres-0", "sh", "-c", SQL, statement)).strip()


async def redis(kubectl: Kubectl, *words: str) -> str:
    """What Redis answers."""
    return (await kubectl.inside("redis-0", "redis-cli", *words)).strip()


async def owner(kubectl: Kubectl) -> str:
    """The pod of the voice node that holds the shard.

    Raises:
        KubeError: nobody holds it, or no such pod is there any more.
    """
    lease = await redis(kubectl, "hget", "{s0}:lease", "owner")
    pods = {each["metadata"]["name"] for each in await kubectl.pods("voice-node")}
    name = lease.rpartition("-")[0]
    if name not in pods:
        raise KubeError(f"the shard's lease is held by {lease!r}, and the pods are {sorted(pods)}")
    return name


async def all_running(stage: Stage) -> str:
    """Every pod runs and is ready, or ended well."""
    kubectl = stage.system.kubectl

    async def ask() -> list[Json]:
        items: list[Json] = (await kubectl.get("pods"))["items"]
        return [each for each in items if "deletionTimestamp" not in each["metadata"]]

    pods = await eventually(ask, lambda found: bool(found) and not running_problems(found), RUNNING_WITHIN)
    if problems := running_problems(pods):
        raise Failed("; ".join(problems))
    nodes = {each["spec"]["nodeName"] for each in pods}
    names = sorted({each["metadata"]["labels"].get("app.kubernetes.io/name", "?") for each in pods})
    return f"{len(pods)} pods on {len(nodes)} nodes ({', '.join(names)}), {restarts(pods)} restarts"


async def size(stage: Stage) -> str:
    """A first click waits for this image where it has to be pulled first."""
    kubectl = stage.system.kubectl
    pod = (await kubectl.pods("interactions"))[0]
    container = next(each["name"] for each in pod["spec"]["containers"] if each["name"] != "queue-proxy")
    said = await kubectl.inside(pod["metadata"]["name"], "/opt/tonearm/bin/python", "-c", ADDED, container=container)
    megabytes = int(said) / 1e6
    if not 0 < megabytes <= MOST_ADDED_MB:
        raise Failed(f"interactions: {megabytes:.0f} MB, {MOST_ADDED_MB} MB are the limit")
    return f"interactions: at most {megabytes:.0f} MB"


async def autoscalers(stage: Stage) -> str:
    """Every autoscaler has a reading."""

    async def ask() -> dict[str, int | None]:
        return readings((await stage.system.kubectl.get("hpa"))["items"])

    found = await eventually(ask, lambda told: bool(told) and None not in told.values(), READINGS_WITHIN, 3)
    said = ", ".join(f"{name} {'no reading' if value is None else f'{value}%'}" for name, value in found.items())
    if not found or None in found.values():
        raise Failed(said or "there is none")
    return f"CPU of what is requested: {said}"


async def volumes(stage: Stage) -> str:
    """What was written is there after the pod was deleted."""
    kubectl = stage.system.kubectl
    word = secrets.token_hex(8)
    before = {each: (await kubectl.get("pod", each))["metadata"]["uid"] for each in ("redis-0", "postgres-0")}
    await sql(kubectl, f"create table for_tests (word text); insert into for_tests values ('{word}')")
    await redis(kubectl, "set", "for-tests", word)
    await kubectl.run("-n", NAMESPACE, "delete", "pod", *before, "--timeout=120s", within=140)
    await kubectl.rolled_out("statefulset/redis", "statefulset/postgres", within=STORES_WITHIN)
    after = {each: (await kubectl.get("pod", each))["metadata"]["uid"] for each in before}
    found = await sql(kubectl, "select word from for_tests"), await redis(kubectl, "get", "for-tests")
    if found != (word, word) or any(before[each] == after[each] for each in before):
        raise Failed(f"wrote {word}, read {found}")
    await sql(kubectl, "drop table for_tests")
    await redis(kubectl, "del", "for-tests")
    await stage.system.rolled_out()
    await eventually(lambda: owner(kubectl), bool, PLAYER_WITHIN)
    return "a row in PostgreSQL and a key in Redis, written before both pods were deleted, are there in the next ones"


async def strangers(stage: Stage) -> str:
    """Neither from another namespace nor from ours does anybody reach the stores and Lavalink, but those who may."""
    kubectl = stage.system.kubectl
    await kubectl.run("apply", "-f", "-", given=json.dumps(_stranger()))
    await kubectl.run(*("-n", NAMESPACE, "wait", "--for=condition=Ready", "pod/stranger", "--timeout=90s"), within=100)
    node = (await kubectl.pods("voice-node"))[0]["metadata"]["name"]
    try:
        # A rule may take some seconds to be in force on a pod that is new.
        await asyncio.sleep(NEW_RULE)
        friend = await _knock(kubectl, node, NAMESPACE, "/opt/tonearm/bin/python", "voice-node")
        inside = await _knock(kubectl, "stranger", NAMESPACE, "python")
        outside = await _knock(kubectl, "twin", TWIN, "python")
    finally:
        await kubectl.run("-n", NAMESPACE, "delete", "pod", "stranger", "--wait=false", "--ignore-not-found")
    if set(friend.values()) != {"open"}:
        raise Failed(f"not even a voice node gets in, so this proves nothing: {friend}")
    if set(inside.values()) != {"shut"} or set(outside.values()) != {"shut"}:
        raise Failed(f"a pod of the namespace: {inside}; of another: {outside}")
    return f"{', '.join(GUARDED)}: open to a voice node, shut to a pod of this namespace and to one of another"


NEW_RULE = 6.0


async def _knock(kubectl: Kubectl, pod: str, namespace: str, python: str, container: str | None = None) -> Json:
    said = await kubectl.inside(pod, python, "-c", KNOCK, namespace=namespace, container=container)
    return dict(line.split() for line in said.splitlines())


def _stranger() -> dict[str, Any]:
    container = {
        "name": "stranger",
        "image": PLAYGROUND,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "600"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    about = {"name": "stranger", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}
