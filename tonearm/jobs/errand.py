"""Errands: jobs that need only the database, done by a worker. What is said of jobs holds for them too."""

from __future__ import annotations

import msgspec

from tonearm.jobs.job import Job, Reply


class ShowPlan(msgspec.Struct, frozen=True, tag="show_plan", omit_defaults=True):
    """What the guild has, and what there is to be had."""


class StartTrial(msgspec.Struct, frozen=True, tag="start_trial", omit_defaults=True):
    """The guild's one trial begins, and it is the caller's one too."""


class Subscribe(msgspec.Struct, frozen=True, tag="subscribe", omit_defaults=True):
    """The caller wants to pay for ``plan`` (its id) by card."""

    plan: str


class ManagePlan(msgspec.Struct, frozen=True, tag="manage_plan", omit_defaults=True):
    """The caller wants to change or cancel what they pay by card."""


class ShowSettings(msgspec.Struct, frozen=True, tag="show_settings", omit_defaults=True):
    """What the guild has set."""


class ChangeSettings(msgspec.Struct, frozen=True, tag="change_settings", omit_defaults=True):
    """Set what is not ``None``, and leave the rest. The units are those of the settings."""

    default_volume: int | None = None
    alone_seconds: int | None = None
    idle_seconds: int | None = None
    always_on: bool | None = None
    announcements: bool | None = None


class SetAlwaysOn(msgspec.Struct, frozen=True, tag="247"):
    """Set whether the bot stays when alone or idle (24/7), and say so to all."""

    on: bool


AnyErrand = ShowPlan | StartTrial | Subscribe | ManagePlan | ShowSettings | ChangeSettings | SetAlwaysOn


class ErrandJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """An errand to be done once. The fields mean what they mean in :class:`~tonearm.jobs.job.Job`."""

    id: str
    guild: int
    user: int
    text_channel: int
    action: AnyErrand
    valid_ms: int
    reply: Reply | None = None
    trace: str | None = None


AnyJob = Job | ErrandJob

decode_errand = msgspec.json.Decoder(ErrandJob).decode


def replayed(job: AnyJob) -> AnyJob:
    """``job`` under another name, which is the same whenever the same job is handed over again: ``<id>:r<n>``."""
    first, mark, count = job.id.rpartition(":r")
    if mark and count.isdecimal():
        return msgspec.structs.replace(job, id=f"{first}:r{int(count) + 1}", reply=None)
    return msgspec.structs.replace(job, id=f"{job.id}:r1", reply=None)
