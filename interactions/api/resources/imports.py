"""Imports: a guild's settings and queue, from a file of an export.

A file is larger than a body may be. So it comes from an export that is still kept, or is sent to the bucket by a link:
make the import with the file's size, PUT the file to ``upload_url``, then start it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import msgspec

from interactions.api.guild_tasks import fetch_task, open_task, require_exports, require_storage, task_id
from interactions.api.operation import Call, Reply, Snowflake, operation
from interactions.api.problems import BASE, invalid, not_found
from tonearm.aws.places import export_key, upload_key
from tonearm.errors import Problem
from tonearm.guild_data.document import MOST_BYTES
from tonearm.guild_data.tasks import Import, TaskKind, TaskState
from tonearm.postgres import guild_tasks
from tonearm.postgres.guild_tasks import Task

PATH = "/guilds/{guild_id}/imports"

UPLOAD_WITHIN = timedelta(hours=1)
"""How long a file may be sent, and its import started."""

Size = Annotated[int, msgspec.Meta(ge=2, le=MOST_BYTES)]
ExportId = Annotated[str, msgspec.Meta(pattern="^exp_[0-9a-f]{24}$")]


class ImportWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Either ``export_id``, an export of this guild that is kept, or ``size``, of a file to be sent.

    With ``voice_channel_id`` what is restored begins to play there; else in the bot's channel, if it is in one.
    """

    export_id: ExportId | msgspec.UnsetType = msgspec.UNSET
    size: Size | msgspec.UnsetType = msgspec.UNSET
    voice_channel_id: Snowflake | None = None


class ImportView(msgspec.Struct, frozen=True):
    """An import. While it is ``waiting``, the file is to be sent to ``upload_url`` by PUT, before ``upload_until``.

    Once it is done: whether the settings were restored, how many tracks were, how many were left out, and ``notes``,
    sentences on what was not allowed. ``detail`` says why it failed.
    """

    id: str
    guild_id: str
    status: TaskState
    detail: str | None
    requested_at: datetime
    finished_at: datetime | None
    upload_url: str | None
    upload_until: datetime | None
    settings_restored: bool | None
    tracks_restored: int | None
    tracks_left_out: int | None
    notes: list[str]


def _without_link(body: ImportView) -> ImportView:
    return msgspec.structs.replace(body, upload_url=None)


@operation(
    "POST", PATH, scope="data:write", body=ImportWish, answer=ImportView, statuses=(201, 202), kept=_without_link
)
async def create_import(call: Call) -> Reply:
    """Restores an export (202), or makes room for a file (201)."""
    wish: ImportWish = call.body
    if (wish.export_id is msgspec.UNSET) == (wish.size is msgspec.UNSET):
        raise invalid("Say either `export_id` or `size`.")
    require_storage(call)
    await require_exports(call)
    id = task_id(call, "imp")
    channel = int(wish.voice_channel_id) if wish.voice_channel_id else None
    until = None
    if wish.export_id is not msgspec.UNSET:
        export = await fetch_task(call, wish.export_id, TaskKind.EXPORT)
        if export.state is not TaskState.DONE or export.expires_at is None or export.expires_at <= call.now:
            raise not_found("There is no such export, or it is not kept (yet, or any more).")
        work = Import(export_key(call.guild, export.id), voice_channel=channel)
    else:
        until = call.now + UPLOAD_WITHIN
        assert wish.size is not msgspec.UNSET
        work = Import(upload_key(call.guild, id), wish.size, channel)
    task = await open_task(call, id, TaskKind.IMPORT, work, upload_until=until)
    location = f"{BASE}/guilds/{call.guild}/imports/{task.id}"
    return Reply(await _view(call, task), 202 if until is None else 201, {"Location": location})


@operation("POST", PATH + "/{import_id}/start", scope="data:write", answer=ImportView, statuses=(202,))
async def start_import(call: Call) -> Reply:
    """The file is sent: restores it."""
    require_storage(call)
    name = call.path["import_id"]
    await fetch_task(call, name, TaskKind.IMPORT)
    started = await guild_tasks.start(call.parts.pools.write, name, call.guild, call.now)
    task = await fetch_task(call, name, TaskKind.IMPORT)
    if not started and task.state in (TaskState.WAITING, TaskState.EXPIRED):
        raise Problem("not-waiting", "The time for sending the file is over. Make another import.")
    return Reply(await _view(call, task), 202)


@operation("GET", PATH + "/{import_id}", scope="data:read", answer=ImportView)
async def get_import(call: Call) -> Reply:
    """How it stands, and what was restored."""
    return Reply(await _view(call, await fetch_task(call, call.path["import_id"], TaskKind.IMPORT)))


async def _view(call: Call, task: Task) -> ImportView:
    work = task.work
    assert isinstance(work, Import)
    waits = task.state is TaskState.WAITING
    url = None
    if waits and work.size is not None and task.expires_at is not None and task.expires_at > call.now:
        left = (task.expires_at - call.now).total_seconds()
        url = await require_storage(call).link_to_put(work.key, size=work.size, seconds=left)
    return ImportView(
        task.id,
        str(task.guild),
        task.state,
        task.detail if task.state is TaskState.FAILED else None,
        task.requested_at,
        task.finished_at,
        url,
        task.expires_at if waits else None,
        work.settings_restored,
        work.tracks_restored,
        work.tracks_left_out,
        list(work.notes),
    )
