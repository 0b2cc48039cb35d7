"""Settings that change while a process runs: those of a secret that is rotated.

The secret is read again on an interval, and when the database refuses a password. What of it can change without a
restart is replaced in the settings themselves, so that who reads them when they are needed has what is so now.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from tonearm.errors import SettingsError
from tonearm.settings import PREFIX, Settings, load
from tonearm.telemetry import LOG, SECRETS_READ

LIVE = (
    "database_url",
    "database_read_url",
    "discord_public_key",
    "stripe_secret_key",
    "stripe_webhook_secrets",
    "webhook_secrets",
)
"""What changes without a restart; all else is what it was when the process began."""

AT_LEAST_S = 10.0
"""Seconds between two readings: who is refused again and again asks no more often."""


for _outcome in ("done", "failed"):  # how many there were is seen from the first one on
    SECRETS_READ.labels(_outcome)


class Rotation:
    """Reads the secret of ``settings`` again; without one it does nothing."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Take over what is live, unless that was done a moment ago. What can't be read stays as it was."""
        if not self._settings.secrets:
            return
        async with self._reading:
            if time.monotonic() - self._read_at < AT_LEAST_S:
                return
            self._read_at = time.monotonic()
            try:
                read = await asyncio.to_thread(load, ())
            except SettingsError as error:
                SECRETS_READ.labels("failed").inc()
                LOG.warning("The secret was not read again: %s", error)
                return
        SECRETS_READ.labels("done").inc()
        self._take_over(read)

    def _take_over(self, read: Settings) -> None:
        changed = [name for name in Settings.__struct_fields__ if getattr(read, name) != getattr(self._settings, name)]
        live = [name for name in changed if name in LIVE and getattr(read, name)]
        for name in live:
            # Frozen for everybody else: this is the one place where a setting changes.
            msgspec.structs.force_setattr(self._settings, name, getattr(read, name))
        if live:
            LOG.info("Rotated: %s", _names(live))
        if kept := [name for name in changed if name not in LIVE]:
            LOG.warning("Changed, and in use after a restart: %s", _names(kept))

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._settings.secrets_refresh)
            await self.refresh()


def _names(fields: list[str]) -> str:
    return ", ".join(f"{PREFIX}{name.upper()}" for name in fields)


@asynccontextmanager
async def rotating(settings: Settings) -> AsyncIterator[None]:
    """Meanwhile the secret of ``settings``, if it has one, is read again on its interval."""
    if not settings.secrets:
        yield
        return
    running = asyncio.create_task(Rotation(settings).run(), name="rotation")
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
