"""A cluster of three Valkey masters on this machine, each of which can be killed and started again.

As an object::

    async with ValkeyCluster() as cluster:
        tonearm.redis.client.connect(cluster.url)
        await cluster.masters[1].kill()
        await cluster.restart(1)

or as a process: ``python -m playground.stores.valkey_cluster --dir DIR [--aof]``, which says ``{"ready": true, "url":
...}`` on stdout. The slots lie in three equal ranges; there are no replicas, so the slots of a master that is down are
not served by anybody, and the others go on.
"""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import redis.asyncio

from playground.stores._server import Log, Store, log_to_stderr, no_log, run
from playground.stores.valkey import Valkey, bus_port
from tonearm.errors import StartFailed

MASTERS = 3
SLOTS = 16_384
NODE_TIMEOUT_MS = 1_000
"""After this long without a sign of life a master counts as gone, and says so itself once it is back."""
AGREE_TIMEOUT = 20.0
"""Seconds; it takes two to three, as a new master waits before it takes writes."""
POLL = 0.02


class ValkeyCluster(Store):
    """Three masters. ``folder`` keeps their ports, append-only files and what they know of each other.

    ``appendfsync`` is as in :class:`Valkey`, ``coverage`` their ``cluster-require-full-coverage``.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        aof: bool = False,
        appendfsync: str = "everysec",
        coverage: str = "no",
        log: Log = no_log,
    ) -> None:
        self._own_folder = folder is None
        self._folder = folder or Path(tempfile.mkdtemp(prefix="tonearm-valkey-cluster-"))
        options = ("--cluster-node-timeout", str(NODE_TIMEOUT_MS), "--cluster-require-full-coverage", coverage)
        self.masters = tuple(
            Valkey(self._folder / str(number), aof=aof, appendfsync=appendfsync, cluster=True, options=options, log=log)
            for number in range(MASTERS)
        )

    @property
    def url(self) -> str:
        """Where clients connect to: the first master, which tells of the others."""
        return f"redis+cluster://127.0.0.1:{self.masters[0].port}"

    async def start(self) -> str:
        """Starts the masters, makes a cluster of them if they are not one yet, and returns its URL.

        Raises StartFailed when they do not agree in time.
        """
        await asyncio.gather(*(master.start() for master in self.masters))
        if int((await self._info(0))["cluster_known_nodes"]) < MASTERS:
            await self._form()
        await self.agreed()
        return self.url

    async def restart(self, number: int) -> None:
        """Starts a master again after it was killed; returns when it takes writes.

        Raises StartFailed when it does not come back.
        """
        await self.masters[number].start()
        await self.agreed(number)

    async def agreed(self, *numbers: int) -> None:
        """Returns when these masters, or all of them, hold the cluster for whole.

        Raises StartFailed when they do not in time.
        """
        try:
            async with asyncio.timeout(AGREE_TIMEOUT):
                for number in numbers or range(MASTERS):
                    while not _whole(await self._info(number)):  # noqa: ASYNC110  there is no event for it
                        await asyncio.sleep(POLL)
        except TimeoutError:
            raise StartFailed(f"The Valkey cluster did not agree within {AGREE_TIMEOUT:g} s.") from None

    async def call(self, number: int, *words: str | int) -> Any:
        """What a master answers to a command."""
        client = redis.asyncio.from_url(self.masters[number].url, socket_timeout=5)
        try:
            return await client.execute_command(*words)  # type: ignore[no-untyped-call]
        finally:
            await client.aclose()

    async def id_of(self, number: int) -> str:
        """A master's name within the cluster."""
        name = await self.call(number, "CLUSTER MYID")
        return name.decode() if isinstance(name, bytes) else str(name)

    def master_of(self, slot: int) -> int:
        """The number of the master that serves ``slot``."""
        return min(MASTERS - 1, slot // (SLOTS // MASTERS))

    async def wait(self) -> int:
        """Waits until a master has exited; returns its exit code."""
        ends = [asyncio.ensure_future(master.wait()) for master in self.masters]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for end in ends:
                end.cancel()

    async def close(self) -> None:
        """Ends the masters and removes their folder if it was made here."""
        await asyncio.gather(*(master.stop() for master in self.masters))
        if self._own_folder:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    async def _form(self) -> None:
        share = SLOTS // MASTERS
        for number in range(MASTERS):
            last = SLOTS - 1 if number == MASTERS - 1 else (number + 1) * share - 1
            await self.call(number, "CLUSTER SET-CONFIG-EPOCH", number + 1)
            await self.call(number, "CLUSTER ADDSLOTSRANGE", number * share, last)
        for other in self.masters[1:]:
            await self.call(0, "CLUSTER MEET", "127.0.0.1", other.port, bus_port(other.port))

    async def _info(self, number: int) -> dict[str, str]:
        answer = await self.call(number, "CLUSTER INFO")
        if isinstance(answer, dict):
            return {str(name): str(value) for name, value in answer.items()}
        return dict(line.split(":", 1) for line in answer.decode().split())


def _whole(info: dict[str, str]) -> bool:
    whole = {"cluster_state": "ok", "cluster_size": str(MASTERS), "cluster_slots_ok": str(SLOTS)}
    return whole.items() <= info.items()


if __name__ == "__main__":
    sys.exit(
        run(
            "playground.stores.valkey_cluster",
            "Runs an embedded Valkey cluster.",
            lambda asked: ValkeyCluster(asked.dir, aof=asked.aof, log=log_to_stderr),
            "aof",
        )
    )
