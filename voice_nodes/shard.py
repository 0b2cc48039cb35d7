"""One shard on this node: had when it falls to this node, handed over, and had again."""

from __future__ import annotations

import asyncio
import math

from tonearm.errors import LeaseLost
from tonearm.redis import sessions
from tonearm.telemetry import LEASES, LOG, context
from voice_nodes.lease import Lease
from voice_nodes.node import Node
from voice_nodes.ownership import Ownership
from voice_nodes.patience import patiently


class Shard:
    """A shard, whoever owns it at the moment."""

    def __init__(self, number: int, node: Node) -> None:
        self.number = number
        self.ready = asyncio.Event()
        """Set while it is ours, and its guilds are played for."""
        self._node = node
        self._stop = asyncio.Event()
        self._ending = asyncio.Event()
        self._ownership: Ownership | None = None

    def stop(self) -> None:
        """Hand the shard over for good: finish what is in hand, then let go of it."""
        self._ending.set()
        self._stop.set()

    def hand_over(self) -> None:
        """Hand the shard over to another node, and be ready to take it again."""
        self._stop.set()

    @property
    def playing(self) -> int:
        """How many players play something."""
        return self._ownership.roster.playing if self._ownership is not None else 0

    @property
    def listeners(self) -> int:
        """How many others are in the channels where something plays."""
        return self._ownership.roster.listeners if self._ownership is not None else 0

    @property
    def latency(self) -> float:
        """Seconds of the last heartbeat's round trip at the gateway; not a finite number without one."""
        return self._ownership.latency if self._ownership is not None else math.nan

    def terms_changed(self, guild: int | None) -> None:
        """The plan or the settings of a guild, or of any, may be others now."""
        if self._ownership is not None:
            self._ownership.roster.terms_changed(guild)

    async def run(self) -> None:
        """Own the shard whenever it falls to this node, until :meth:`stop`.

        Raises:
            SettingsError: Discord or Lavalink refuse what this process was told.
        """
        while (lease := await self._acquire()) is not None:
            LOG.info("Shard taken", extra=context(shard=self.number, token=lease.token))
            if not self._ending.is_set():
                self._stop.clear()
            LEASES.inc()
            try:
                await self._own(lease)
            except* LeaseLost as lost:
                LOG.warning("Shard lost: %s", lost.exceptions[0], extra=context(shard=self.number))
            finally:
                LEASES.dec()
                self.ready.clear()
                self._ownership = None
                self._node.membership.dropped(self.number)

    async def _acquire(self) -> Lease | None:
        """The lease, once it is for this node to have; ``None`` when the process ends first."""
        acquiring = asyncio.create_task(self._node.membership.acquire(self.number))
        ending = asyncio.create_task(self._ending.wait())
        try:
            await asyncio.wait([acquiring, ending], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ending.cancel()
            acquiring.cancel()
            await asyncio.wait([acquiring])
        return None if acquiring.cancelled() else acquiring.result()

    async def _own(self, lease: Lease) -> None:
        async with asyncio.TaskGroup() as tasks:
            keeping = tasks.create_task(lease.keep())
            fetching = tasks.create_task(patiently(lambda: sessions.fetch(self._node.redis, self.number), lease))
            stopping = tasks.create_task(self._stop.wait())
            await asyncio.wait([fetching, stopping], return_when=asyncio.FIRST_COMPLETED)
            if fetching.done():
                self._ownership = Ownership(self.number, self._node, lease, fetching.result())
                await self._ownership.run(self._stop, self.ready)
            for task in (keeping, fetching, stopping):
                task.cancel()
            await asyncio.wait([keeping])
            await lease.release()
