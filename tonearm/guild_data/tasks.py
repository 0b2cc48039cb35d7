"""What can be asked for about a guild's data, and what came of it. A worker does it; the rows are in PostgreSQL."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class TaskKind(StrEnum):
    """What is to be done."""

    EXPORT = "export"
    IMPORT = "import"
    DELETION = "deletion"


class TaskState(StrEnum):
    """``waiting`` is for an upload; ``expired`` is one that never came, or an export that is deleted by now."""

    WAITING = "waiting"
    QUEUED = "queued"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"


class Export(msgspec.Struct, frozen=True, tag="export", omit_defaults=True):
    """Write all of the guild to a file of ``size`` bytes, which is known once it is done."""

    size: int | None = None


class Import(msgspec.Struct, frozen=True, tag="import", omit_defaults=True):
    """Restore what the object ``key`` has; ``size`` is what was announced of an upload.

    ``voice_channel`` is where the queue is to play; without one it waits for somebody who plays something.
    """

    key: str
    size: int | None = None
    voice_channel: int | None = None
    settings_restored: bool | None = None
    tracks_restored: int | None = None
    tracks_left_out: int | None = None
    notes: tuple[str, ...] = ()


class Deletion(msgspec.Struct, frozen=True, tag="deletion", omit_defaults=True):
    """Delete all of the guild; its subscription too where ``with_subscription`` says so."""

    with_subscription: bool = False


AnyWork = Export | Import | Deletion
