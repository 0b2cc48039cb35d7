"""Exports: all of a guild in one file, made by a worker, to be fetched from the bucket for seven days."""

from __future__ import annotations

from datetime import datetime

import msgspec

from interactions.api.guild_tasks import fetch_task, open_task, require_exports, require_storage, task_id
from interactions.api.operation import Call, Page, Reply, operation
from interactions.api.paging import decode_number, encode_cursor, next_link
from interactions.api.problems import BASE
from tonearm.aws.places import export_key
from tonearm.guild_data.tasks import Export, TaskKind, TaskState
from tonearm.postgres import guild_tasks
from tonearm.postgres.guild_tasks import Task

PATH = "/guilds/{guild_id}/exports"


class ExportView(msgspec.Struct, frozen=True):
    """An export. ``url`` is there while it is done and kept: a link that needs no key, valid until ``expires_at``.

    ``size`` is in bytes. ``detail`` says why it failed.
    """

    id: str
    guild_id: str
    status: TaskState
    detail: str | None
    requested_at: datetime
    finished_at: datetime | None
    expires_at: datetime | None
    size: int | None
    url: str | None


class ExportsView(msgspec.Struct, frozen=True):
    """A page of exports, the latest first, without their links."""

    data: list[ExportView]
    next_cursor: str | None


@operation("POST", PATH, scope="data:write", answer=ExportView, statuses=(202,))
async def create_export(call: Call) -> Reply:
    """Has all of the guild written to a file."""
    require_storage(call)
    await require_exports(call)
    task = await open_task(call, task_id(call, "exp"), TaskKind.EXPORT, Export())
    location = f"{BASE}/guilds/{call.guild}/exports/{task.id}"
    return Reply(_view(task), 202, {"Location": location})


@operation("GET", PATH, scope="data:read", query=Page, answer=ExportsView)
async def list_exports(call: Call) -> Reply:
    """What was exported, and is known."""
    page: Page = call.query
    before = decode_number(page.cursor)
    pool = call.parts.pools.write
    found = await guild_tasks.fetch_page(pool, call.guild, TaskKind.EXPORT, before=before, most=page.limit + 1)
    shown = found[: page.limit]
    cursor = encode_cursor(shown[-1].seq) if len(found) > page.limit else None
    path = PATH.format(guild_id=call.guild)
    return Reply(ExportsView([_view(task) for task in shown], cursor), headers=next_link(path, page, cursor))


@operation("GET", PATH + "/{export_id}", scope="data:read", answer=ExportView)
async def get_export(call: Call) -> Reply:
    """How it stands, with its link."""
    task = await fetch_task(call, call.path["export_id"], TaskKind.EXPORT)
    if task.state is not TaskState.DONE or task.expires_at is None or task.expires_at <= call.now:
        return Reply(_view(task))
    store = require_storage(call)
    url = await store.link_to_get(
        export_key(call.guild, task.id),
        seconds=(task.expires_at - call.now).total_seconds(),
        name=f"tonearm-{call.guild}-{task.requested_at:%Y%m%d}.json",
    )
    return Reply(_view(task, url))


def _view(task: Task, url: str | None = None) -> ExportView:
    assert isinstance(task.work, Export)
    detail = task.detail if task.state is TaskState.FAILED else None
    return ExportView(
        task.id,
        str(task.guild),
        task.state,
        detail,
        task.requested_at,
        task.finished_at,
        task.expires_at,
        task.work.size,
        url,
    )
