"""Deletion of what is kept of a guild, on request: the player is stopped, and nothing stays but what is named here."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from interactions.api.guild_tasks import fetch_task, open_task, task_id
from interactions.api.operation import Call, Reply, operation
from interactions.api.problems import BASE
from tonearm.errors import Problem
from tonearm.guild_data.tasks import Deletion, TaskKind, TaskState
from tonearm.postgres import grants
from tonearm.postgres.guild_tasks import Task
from tonearm.premium.grants import are_over

PATH = "/guilds/{guild_id}/deletions"


class DeletionWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether what the guild was granted goes too; it can only once it has ended. What began anew by then stays."""

    subscription: Literal["keep", "delete"] = "keep"


class DeletionView(msgspec.Struct, frozen=True):
    """A deletion. It is known for 30 days after it was done."""

    id: str
    guild_id: str
    status: TaskState
    detail: str | None
    subscription: Literal["keep", "delete"]
    requested_at: datetime
    finished_at: datetime | None


@operation("POST", PATH, scope="data:write", body=DeletionWish, answer=DeletionView, statuses=(202,))
async def create_deletion(call: Call) -> Reply:
    """Deletes what is kept of the guild."""
    wish: DeletionWish = call.body
    with_subscription = wish.subscription == "delete"
    if with_subscription:
        theirs = await grants.fetch_grants(call.parts.pools.write, call.guild)
        if not are_over(theirs, call.now):
            raise Problem("subscription-state", "The guild has a plan. Cancel it first, or keep its subscription.")
    work = Deletion(with_subscription)
    task = await open_task(call, task_id(call, "del"), TaskKind.DELETION, work)
    return Reply(_view(task), 202, {"Location": f"{BASE}/guilds/{call.guild}/deletions/{task.id}"})


@operation("GET", PATH + "/{deletion_id}", scope="data:read", answer=DeletionView)
async def get_deletion(call: Call) -> Reply:
    """How it stands."""
    return Reply(_view(await fetch_task(call, call.path["deletion_id"], TaskKind.DELETION)))


def _view(task: Task) -> DeletionView:
    assert isinstance(task.work, Deletion)
    return DeletionView(
        task.id,
        str(task.guild),
        task.state,
        task.detail if task.state is TaskState.FAILED else None,
        "delete" if task.work.with_subscription else "keep",
        task.requested_at,
        task.finished_at,
    )
