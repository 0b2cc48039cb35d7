"""All Lavalink servers of one shard: which there are, which of them takes a player, and which is to be left."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Awaitable, Callable, Iterable

from tonearm.addresses import DNS
from tonearm.backoff import Backoff
from tonearm.errors import LavalinkAway
from tonearm.redis.client import FAILURES
from tonearm.redis.servers import SeenServer
from tonearm.settings import LavalinkNode
from tonearm.telemetry import LOG, context
from voice_nodes import placement
from voice_nodes.gateway import Gateway
from voice_nodes.lease import Tenure
from voice_nodes.measuring import measured
from voice_nodes.servers import Server, find_servers, make_node
from voice_nodes.station import Station

EVERY = 10.0
"""Seconds between two looks at DNS, at what operators want, and at which server has too many players."""

Report = Callable[[Iterable[SeenServer]], Awaitable[frozenset[str]]]
"""Writes how the servers are; returns the names of those that an operator wants empty."""

MoveAway = Callable[[int, str], Awaitable[None]]
"""Has a guild's player go on at a better server, and counts it by the cause that is named."""


async def report_to_nobody(_: Iterable[SeenServer]) -> frozenset[str]:
    """Where there is no store, nobody wants anything."""
    return frozenset()


class Fleet:
    """The servers. ``on_server`` is called with each one before its session is opened."""

    def __init__(
        self,
        settings: tuple[LavalinkNode, ...],
        *,
        shard: int,
        api_url: str,
        lease: Tenure,
        on_server: Callable[[Station], None],
        move_away: MoveAway,
        report: Report = report_to_nobody,
        every: float = EVERY,
    ) -> None:
        self.stations: dict[str, Station] = {}
        """By name."""
        self.opened = asyncio.Event()
        """Set whenever a session was opened."""
        self._settings = settings
        self._shard = shard
        self._api_url = api_url
        self._lease = lease
        self._on_server = on_server
        self._move_away = move_away
        self._report = report
        self._every = every
        self._drained: frozenset[str] = frozenset()
        self._keeping: dict[str, asyncio.Task[None]] = {}

    async def run(self, client: Gateway) -> None:
        """Find the servers and keep their sessions until cancelled. The sockets are closed, the sessions outlive them.

        Raises:
            LeaseLost: the shard is another's.
            SettingsError: a server refuses its password, or may not be used with this Discord.
        """
        async with asyncio.TaskGroup() as tasks:
            self._client, self._tasks = client, tasks
            for setting in self._settings:
                tasks.create_task(self._follow(setting))
            tasks.create_task(self._tend_forever())

    # Which there are.

    async def _follow(self, setting: LavalinkNode) -> None:
        """Have a session at each of the servers that a setting stands for, as long as it stands for them."""
        own: set[str] = set()
        backoff = Backoff()
        while True:
            try:
                servers = await find_servers(setting)
            except OSError as error:
                LOG.warning("%s has no address: %s", setting.url, str(error) or "nobody answers")
                await (asyncio.sleep(self._every) if own else backoff.wait())
                continue
            for server in servers:
                if server.name not in self._keeping:
                    self._begin(server, required=not own)
            own |= {server.name for server in servers}
            for name in own & self.stations.keys():
                self._see(self.stations[name], there=name in {server.name for server in servers})
            if not setting.url.startswith(DNS):
                return
            await asyncio.sleep(self._every)

    def _begin(self, server: Server, *, required: bool) -> None:
        task = self._tasks.create_task(self._keep(server, required=required))
        self._keeping[server.name] = task
        task.add_done_callback(lambda _: self._keeping.pop(server.name, None))

    async def _keep(self, server: Server, *, required: bool) -> None:
        async with make_node(server, self._shard, self._client) as node:
            station = self.stations[server.name] = Station(server, node, lease=self._lease)
            station.drained = server.name in self._drained
            self._on_server(station)
            try:
                with measured(station):
                    await station.keep(self._api_url, required=required)
            finally:
                self.stations.pop(server.name, None)

    def _see(self, station: Station, *, there: bool) -> None:
        if station.vanished is there:
            LOG.warning(
                "The server is back" if there else "The server's address is gone: it is to be left",
                extra=context(node=station.node.identifier),
            )
        station.vanished = not there

    # Which takes a player.

    def ranked(self, region: str = "") -> list[Station]:
        """The servers that may be used, the best first; those that are to be left only where there is no other."""
        usable = [station for station in self.stations.values() if station.usable]
        staying = [station for station in usable if not station.draining] or usable
        loads = placement.ranked((station.load() for station in staying), region)
        return [self.stations[load.name] for load in loads]

    def choose(self, region: str = "") -> Station:
        """The best of them.

        Raises:
            LavalinkAway: there is none.
        """
        ranked = self.ranked(region)
        if not ranked:
            raise LavalinkAway("no session is open")
        return ranked[0]

    async def wait_usable(self, timeout: float) -> None:
        """Give a server that comes back just now so many seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not any(station.usable for station in self.stations.values()):
                    self.opened.clear()
                    await self.opened.wait()

    # Which is to be left.

    async def _tend_forever(self) -> None:
        for pause in itertools.chain((min(1.0, self._every),), itertools.repeat(self._every)):
            await self._tell()
            if any(station.draining for station in self.stations.values()):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._every):
                        await self._empty_all()
                await self._tell()
            await self._relieve()
            await asyncio.sleep(pause)

    def _seen(self, station: Station) -> SeenServer:
        bad = round(placement.penalty(station.load()), 1)
        return SeenServer(station.name, self._shard, station.state, station.players, bad)

    async def _tell(self) -> None:
        """Tell how the servers are, and hear which of them an operator wants empty."""
        try:
            async with asyncio.timeout(self._every):
                self._drained = await self._report([self._seen(each) for each in self.stations.values()])
        except FAILURES as error:
            LOG.warning("What is to be drained is not known: %r", error, extra=context(shard=self._shard))
        for station in self.stations.values():
            station.drained = station.name in self._drained

    async def _empty_all(self) -> None:
        for station in tuple(self.stations.values()):
            if station.draining:
                await self._empty(station)
            if station.vanished and not station.players:
                await self._end(station)

    async def _relieve(self) -> None:
        pair = placement.relief(station.load() for station in self.ranked())
        if pair is not None and (guild := next(iter(self.stations[pair[0]].node._players), None)) is not None:
            LOG.warning("A player is moved, as its server has too many", extra=context(node=pair[0], guild=guild))
            await self._move_away(guild, "overload")

    async def _empty(self, station: Station) -> None:
        """Move the players one by one, as each one's gap is shortest so."""
        for guild in tuple(station.node._players):
            others = [each for each in self.ranked() if not each.draining]
            if not others or not station.draining:
                return
            await self._move_away(guild, "drain")

    async def _end(self, station: Station) -> None:
        """Nobody needs it any more: its session ends with its socket."""
        if station.connected:
            await station.close_session()
        task = self._keeping.get(station.name)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        LOG.info("A server was left", extra=context(node=station.node.identifier))
