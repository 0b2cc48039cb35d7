"""Errands: jobs that need only the database, done by a worker. What is said of jobs holds for them too."""

from __future__ import annotations

import msgspec

from tonearm.jobs.job import Job, Reply


class ShowPlan(msgspec.Struct, frozen=True, tag="show_plan", omit_defaults=True):
    """What the guild has, and what there is to be had."""


class StartTrial(msgspec.Struct, frozen=True, tag="start_trial", omit_defaults=True):
    """The guild's one trial begins, and it is the caller's one too."""


class ShowSettings(msgspec.Struct, frozen=True, tag="show_settings", omit_defaults=True):
    """What the guild has set."""


class ChangeSettings(msgspec.Struct, frozen=True, tag="change_settings", omit_defaults=True):
    """Set what is not ``None``, and leave the rest. The units are those of the settings."""

    default_volume: int | None = None
    alone_seconds: int | None = None
    idle_seconds: int | None = None
    always_on: bool | None = None
    announcements: bool | None = None


AnyErrand = ShowPlan | StartTrial | ShowSettings | ChangeSettings


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
