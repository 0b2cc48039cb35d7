"""Rows about a release, as docs/operations/deploy.md has it, and about going back."""

from __future__ import annotations

from tests.cluster.images import MIGRATED, NEXT, VERSION
from tests.cluster.kube import NAMESPACE
from tests.cluster.leaving import watched
from tests.cluster.rows import Failed, Stage
from tests.cluster.standing import sql

LAST = "select max(name) from tonearm_migrations"
ADDED = "9999_only_in_tests.sql"
HTTP = "app.kubernetes.io/name"


async def migrated(stage: Stage) -> str:
    """The next version, whose database has another form: the Job goes first, and the old pods serve meanwhile."""
    system, kubectl = stage.system, stage.system.kubectl
    before = await sql(kubectl, LAST)
    async with watched(stage) as seen:
        overlay = system.overlay(dict.fromkeys(MIGRATED, NEXT))
        await kubectl.run("-n", NAMESPACE, "delete", "job", "migrate", "--ignore-not-found")
        await system.apply(overlay, "-l", f"{HTTP} notin (interactions,api)")
        waiting = await _images(stage, "worker")
        await system.migrated()
        await kubectl.rolled_out("deployment/worker", "deployment/voice-node")
        await system.apply(overlay)
        await kubectl.rolled_out("deployment/api")
        await system.served()
    after = await sql(kubectl, LAST)
    if before == ADDED or after != ADDED:
        raise Failed(f"the last migration was {before}, and is {after}")
    if not any(image.endswith(VERSION) for image in waiting):
        raise Failed(f"no old worker served while the Job ran: {waiting}")
    if not all(image.endswith(NEXT) for image in await _images(stage, "worker", "api")):
        raise Failed("not every pod is of the next version")
    if seen.clicks.failed or not seen.heard.unbroken:
        raise Failed(str(seen))
    return f"from {before} to {after}; {seen}"


async def rolled_back(stage: Stage) -> str:
    """``kubectl rollout undo``: the version before runs on the newer tables."""
    kubectl = stage.system.kubectl
    async with watched(stage) as seen:
        for name in MIGRATED:
            await kubectl.run("-n", NAMESPACE, "rollout", "undo", f"deployment/{name}")
            await kubectl.rolled_out(f"deployment/{name}")
    if not all(image.endswith(VERSION) for image in await _images(stage, *MIGRATED)):
        raise Failed("not every pod is of the version before")
    if await sql(kubectl, LAST) != ADDED:
        raise Failed("the database went back")
    if seen.clicks.failed or not seen.heard.unbroken:
        raise Failed(str(seen))
    return f"{' and '.join(MIGRATED)} {VERSION} on the newer tables; {seen}"


async def _images(stage: Stage, *apps: str) -> list[str]:
    """The images of the pods that are there and stay."""
    return [pod["spec"]["containers"][0]["image"] for app in apps for pod in await stage.system.kubectl.pods(app)]
