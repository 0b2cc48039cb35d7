"""One shard on this node: its lease, gateway session, Lavalink sessions, intake and guilds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import wavelink

from tonearm.discord.rest import RestClient
from tonearm.errors import DiscordAway, DiscordError, LeaseLost
from tonearm.music.events import Disconnected, Moved, TrackOver
from tonearm.postgres.pool import Pool
from tonearm.redis import guilds, identify
from tonearm.redis.client import FAILURES, Client
from tonearm.sentences import Sentence
from tonearm.settings import Settings
from tonearm.telemetry import EVENTS_DROPPED, LEASES, LOG, context
from voice_nodes.actor import GuildActor
from voice_nodes.announcer import Announcer
from voice_nodes.backoff import Backoff
from voice_nodes.gateway import Gateway
from voice_nodes.intake import Intake, Received
from voice_nodes.lavalink import Sound
from voice_nodes.lease import Lease
from voice_nodes.outbox import Outbox

DRAIN_SECONDS = 1.5
"""How long jobs in hand may take when the node leaves."""

LEAVE_SECONDS = 1.0
"""How long closing the sockets may take."""

ENDED = frozenset({"finished", "loadFailed", "stuck"})
"""Lavalink's reasons after which the next track is due; the others are of our own making."""


class Node(msgspec.Struct, frozen=True):
    """What all shards of this process share. ``intake`` is a client that may wait long for the stream; ``pool``
    is there where a database is configured."""

    name: str
    settings: Settings
    redis: Client
    intake: Client
    rest: RestClient
    pool: Pool | None = None


class Shard:
    """The owner of a shard, as long as it has the lease; the listener of its gateway."""

    def __init__(self, number: int, node: Node) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self._node = node
        self._stop = asyncio.Event()
        self._actors: dict[int, GuildActor] = {}

    def stop(self) -> None:
        """Hand the shard over: finish what is in hand, then let go of it."""
        self._stop.set()

    async def run(self) -> None:
        """Own the shard whenever it is free, until :meth:`stop`.

        Raises:
            SettingsError: Discord or Lavalink refuse what this process was told.
        """
        while not self._stop.is_set():
            lease = await Lease.acquire(self._node.redis, self.number, self._node.name, stop=self._stop)
            if lease is None:
                return
            LOG.info("Shard taken", extra=context(shard=self.number, token=lease.token))
            LEASES.inc()
            try:
                await self._own(lease)
            except* LeaseLost as lost:
                LOG.warning("Shard lost: %s", lost.exceptions[0], extra=context(shard=self.number))
            finally:
                LEASES.dec()
                self.ready.clear()
                self._actors = {}

    async def _own(self, lease: Lease) -> None:
        settings = self._node.settings
        gateway = Gateway(
            shard=self.number,
            shard_count=settings.shard_count,
            listener=self,
            before_identify=self._before_identify,
            check=lease.check,
        )
        sound = Sound(settings.lavalink_nodes, shard=self.number, api_url=settings.discord_api_url, check=lease.check)
        outbox = Outbox(self._node.redis, self._node.rest, self.number, clock=lease.now_ms, check=lease.check)
        self._sound = sound
        try:
            async with asyncio.TaskGroup() as tasks:
                self._make_actor = self._actor_maker(lease, gateway, sound, outbox, tasks)
                helpers = [
                    tasks.create_task(lease.keep()),
                    tasks.create_task(outbox.run()),
                    tasks.create_task(gateway.run_forever(settings.discord_bot_token)),
                ]
                if await self._first(gateway.ready.wait()):
                    helpers.append(tasks.create_task(sound.run(gateway)))
                    if await self._first(self._restore()):
                        reader = Intake(self._node.intake, self.number, self._node.name, self._receive)
                        intake = tasks.create_task(reader.run())
                        self.ready.set()
                        LOG.info("Shard ready", extra=context(shard=self.number))
                        await self._stop.wait()
                        intake.cancel()
                await self._leave(gateway, helpers)
                await lease.release()
        finally:
            await gateway.leave_behind()

    async def _leave(self, gateway: Gateway, helpers: list[asyncio.Task[None]]) -> None:
        """Nothing is read any more: finish what is in hand, then let the sessions outlive us."""
        await self._drain()
        for task in (*self._running, *helpers):
            task.cancel()
        await gateway.leave_behind()
        await asyncio.wait(helpers, timeout=LEAVE_SECONDS)

    async def _first(self, wanted: Coroutine[Any, Any, object]) -> bool:
        """Wait for ``wanted``; ``False`` when the process stops first."""
        waiting = [asyncio.create_task(wanted), asyncio.create_task(self._stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return not self._stop.is_set()
        finally:
            for wait in waiting:
                wait.cancel()

    async def _before_identify(self, shard: int) -> None:
        """Wait for this shard's turn among all processes."""
        backoff = Backoff()
        while True:
            try:
                start = await self._node.rest.fetch_gateway_bot()
                limit = int(start["session_start_limit"]["max_concurrency"])
                await asyncio.sleep(await identify.reserve(self._node.redis, shard % limit))
                return
            except (*FAILURES, DiscordAway, DiscordError) as error:
                LOG.warning("The turn to identify is not known: %r", error, extra=context(shard=shard))
                await backoff.wait()

    async def _restore(self) -> None:
        """Wake the actors of the guilds that should be in a channel."""
        backoff = Backoff()
        while True:
            try:
                active = await guilds.fetch_active(self._node.redis, self.number)
                break
            except FAILURES as error:
                LOG.warning("Redis does not answer: %r", error, extra=context(shard=self.number))
                await backoff.wait()
        for guild in active:
            self._actor(guild)

    async def _drain(self) -> None:
        """Give what is in hand a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                for actor in tuple(self._actors.values()):
                    await actor.finished()

    # Guilds.

    def _actor_maker(
        self, lease: Lease, gateway: Gateway, sound: Sound, outbox: Outbox, tasks: asyncio.TaskGroup
    ) -> Callable[[int], GuildActor]:
        self._running: set[asyncio.Task[None]] = set()

        def make(guild: int) -> GuildActor:
            announcer = Announcer(
                guild,
                rest=self._node.rest,
                check=lease.check,
                now_ms=lease.now_ms,
                submit=lambda event: self._actor(guild).submit(event),
            )
            actor = GuildActor(
                guild,
                shard=self.number,
                redis=self._node.redis,
                lease=lease,
                gateway=gateway,
                sound=sound,
                announcer=announcer,
                on_deferred=outbox.notify,
                on_end=lambda: self._actors.pop(guild, None),
                pool=self._node.pool,
            )
            task = tasks.create_task(actor.run(), name=f"guild {guild}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            return actor

        return make

    def _actor(self, guild: int) -> GuildActor:
        actor = self._actors.get(guild)
        if actor is None:
            actor = self._actors[guild] = self._make_actor(guild)
        return actor

    def _receive(self, received: Received) -> None:
        self._actor(received.job.guild).submit(received)

    @property
    def playing(self) -> int:
        """How many players play something."""
        return sum(actor.plays for actor in self._actors.values())

    # What the gateway and Lavalink say.

    def bot_moved(self, guild: int, channel: int | None) -> None:
        actor = self._actors.get(guild)
        if actor is None:
            return
        before = actor.voice_channel
        if channel is not None:
            if channel != before:
                actor.submit(Moved(channel, f"moved:{channel}:{actor.now_ms()}"))
            return
        # Before the first voice state of a connection, this is the echo of our own leaving.
        if before is not None and self._sound.entered(guild):
            actor.submit(Disconnected(before, f"taken out:{before}:{actor.now_ms()}"))

    def track_over(self, guild: int, play: str, reason: str) -> None:
        if reason not in ENDED:
            return
        if play:
            self._actor(guild).submit(TrackOver(play, failed=reason != "finished"))
        else:
            EVENTS_DROPPED.labels("TrackOver").inc()

    def track_failed(self, guild: int, play: str, title: str, reason: str) -> None:
        actor = self._actors.get(guild)
        if actor is not None:
            text = Sentence.TRACK_BROKEN.value.format(query=title, reason=reason.rstrip("."))
            actor.announcer.say(text, f"broken:{guild}:{play}")

    def voice_closed(self, guild: int, code: int) -> None:
        actor = self._actors.get(guild)
        if actor is not None:
            actor.converger.voice_closed(code)

    def session_started(self, node: wavelink.Node, resumed: bool) -> None:
        self._sound.alive(node)
        LOG.info("Lavalink session", extra=context(shard=self.number, node=node.identifier, resumed=resumed))
        if not resumed:
            for guild in tuple(node.players):
                if guild in self._actors:
                    self._actors[guild].converger.session_lost()

    def gateway_started(self) -> None:
        for actor in self._actors.values():
            actor.converger.gateway_lost()
