"""Rows about a release and about going back, by the commands of docs/operations/deploy.md."""

from __future__ import annotations

from tests.cluster.images import NEXT, OURS, VERSION
from tests.cluster.kube import NAMESPACE, eventually
from tests.cluster.leaving import watched
from tests.cluster.rows import Failed, Stage
from tests.cluster.standing import sql

LAST = "select max(name) from tonearm_migrations"
ADDED = "9999_only_in_tests.sql"
HTTP = "app.kubernetes.io/name"
OLD_GONE_WITHIN = 180.0


async def migrated(stage: Stage) -> str:
    """The next version, whose database has another form: the Job first, then who does jobs, then who makes them."""
    system, kubectl = stage.system, stage.system.kubectl
    before = await sql(kubectl, LAST)
    async with watched(stage) as seen:
        overlay = system.overlay(dict.fromkeys(OURS, NEXT))
        await kubectl.run("-n", NAMESPACE, "delete", "job", "migrate", "--ignore-not-found")
        await system.apply(overlay, "-l", f"{HTTP} notin (interactions,api)")
        waiting = await _images(stage, "worker")
        await system.migrated()
        await kubectl.rolled_out("deployment/worker", "deployment/voice-node")
        between = await _images(stage, "interactions", "api")
        await system.apply(overlay)
        await kubectl.rolled_out("deployment/api")
        await system.served()
    after = await sql(kubectl, LAST)
    if before == ADDED or after != ADDED:
        raise Failed(f"the last migration was {before}, and is {after}")
    if not any(image.endswith(VERSION) for image in waiting):
        raise Failed(f"no old worker served while the Job ran: {waiting}")
    if not all(image.endswith(VERSION) for image in between):
        raise Failed(f"who makes jobs was not last: {between}")
    await _all_of(stage, NEXT)
    if seen.clicks.failed or not seen.heard.unbroken:
        raise Failed(str(seen))
    return f"from {before} to {after}, {', '.join(OURS)} replaced; {seen}"


async def rolled_back(stage: Stage) -> str:
    """The version before runs on the newer tables: who makes jobs goes back first."""
    system, kubectl = stage.system, stage.system.kubectl
    async with watched(stage) as seen:
        overlay = system.overlay({})
        await kubectl.run("-n", NAMESPACE, "delete", "job", "migrate", "--ignore-not-found")
        await system.apply(overlay, "-l", f"{HTTP} in (interactions,api)")
        await kubectl.rolled_out("deployment/api")
        await system.served()
        between = await _images(stage, "worker", "voice-node")
        await system.apply(overlay)
        await system.migrated()
        await kubectl.rolled_out("deployment/worker", "deployment/voice-node")
    if not all(image.endswith(NEXT) for image in between):
        raise Failed(f"who does jobs was not last: {between}")
    await _all_of(stage, VERSION)
    if await sql(kubectl, LAST) != ADDED:
        raise Failed("the database went back")
    if seen.clicks.failed or not seen.heard.unbroken:
        raise Failed(str(seen))
    return f"{', '.join(OURS)} {VERSION} on the newer tables; {seen}"


async def _all_of(stage: Stage, version: str) -> None:
    """Every pod is of this version in the end; Knative lets one that nobody asks any more stay for a while."""

    async def ask() -> list[str]:
        return [image for image in await _images(stage, *OURS) if not image.endswith(version)]

    if wrong := await eventually(ask, lambda found: not found, OLD_GONE_WITHIN):
        raise Failed(f"not every pod is of {version}: {', '.join(wrong)}")


async def _images(stage: Stage, *apps: str) -> list[str]:
    """The images of the pods that are there and stay: what ours runs beside is not among it."""
    found = []
    for app in apps:
        for pod in await stage.system.kubectl.pods(app):
            found += [each["image"] for each in pod["spec"]["containers"] if f"tonearm-{app}:" in each["image"]]
    return found
