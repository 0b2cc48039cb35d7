"""Whether there is a bucket. What talks to it is slow to import, so it is imported only where there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tonearm.errors import SettingsError
from tonearm.settings import Settings

if TYPE_CHECKING:
    from tonearm.aws.store import Store


def make_store(settings: Settings) -> Store | None:
    """The bucket, still to be opened; ``None`` where none is set.

    Raises:
        SettingsError: one is set, and what talks to it is not installed.
    """
    if not settings.s3_bucket:
        return None
    try:
        from tonearm.aws.store import Store
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"TONEARM_S3_BUCKET needs the package {error.name}, which is not installed: "
            "install tonearm with the extra aws."
        ) from None
    return Store(settings.s3_bucket)
