"""One shard on this node: its lease, gateway session, Lavalink sessions, intake and guilds."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import wavelink

from tonearm.backoff import Backoff
from tonearm.errors import LeaseLost
from tonearm.music.events import Disconnected, Moved, TrackOver
from tonearm.outbox import Outbox
from tonearm.redis import guilds, removal, servers, sessions
from tonearm.redis.client import FAILURES
from tonearm.redis.sessions import SavedShard
from tonearm.sentences import Sentence
from tonearm.telemetry import EVENTS_DROPPED, LEASES, LOG, context
from voice_nodes.actor import GuildActor
from voice_nodes.announcer import Announcer
from voice_nodes.converger import Converger
from voice_nodes.gateway import Gateway
from voice_nodes.identifying import Turns
from voice_nodes.intake import Intake, Received
from voice_nodes.lavalink import Sound
from voice_nodes.lease import Lease
from voice_nodes.listener import Report
from voice_nodes.node import Node
from voice_nodes.reconciler import Reconciler
from voice_nodes.saver import Saver
from voice_nodes.voicelink import server_of

T = TypeVar("T")

DRAIN_SECONDS = 1.5
"""How long jobs in hand may take when the node leaves."""

LAY_DOWN_SECONDS = 0.5
LEAVE_SECONDS = 1.0
"""How long closing the sockets may take."""

AWAY_SECONDS = 0.7
"""How long a Lavalink server may be away before its players go on at another one."""

HELD_SECONDS = 2.0
"""The same for a server that the owner before played at."""

ENDED = frozenset({"finished", "loadFailed", "stuck"})
"""Lavalink's reasons after which the next track is due; the others are of our own making."""


class Shard:
    """The owner of a shard, as long as it has the lease; the listener of its gateway."""

    def __init__(self, number: int, node: Node) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self._node = node
        self._stop = asyncio.Event()
        self._ending = asyncio.Event()
        self._lease: Lease | None = None
        self._actors: dict[int, GuildActor] = {}

    def stop(self) -> None:
        """Hand the shard over for good: finish what is in hand, then let go of it."""
        self._ending.set()
        self._stop.set()

    def hand_over(self) -> None:
        """Hand the shard over to another node, and be ready to take it again."""
        self._stop.set()

    async def run(self) -> None:
        """Own the shard whenever it falls to this node, until :meth:`stop`.

        Raises:
            SettingsError: Discord or Lavalink refuse what this process was told.
        """
        while (lease := await self._acquire()) is not None:
            LOG.info("Shard taken", extra=context(shard=self.number, token=lease.token))
            if not self._ending.is_set():
                self._stop.clear()
            self._lease = lease
            LEASES.inc()
            try:
                await self._own(lease)
            except* LeaseLost as lost:
                LOG.warning("Shard lost: %s", lost.exceptions[0], extra=context(shard=self.number))
            finally:
                LEASES.dec()
                self.ready.clear()
                self._actors.clear()
                self._lease = None
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
        settings = self._node.settings
        gateway = Gateway(
            shard=self.number,
            shard_count=settings.shard_count,
            listener=self,
            turns=Turns(self._node.redis, self._node.rest, self.number, check=lease.check),
            lease=lease,
            rest=self._node.rest,
        )
        saved = await self._patiently(lambda: sessions.fetch(self._node.redis, self.number))
        if saved.gateway is not None:
            await gateway.restore(saved.gateway, list(saved.guilds.values()))
        saver = Saver(self._node.redis, lease, self.number, gateway, known=saved.guilds)
        gateway.watch(saver.event)
        sound = Sound(
            settings.lavalink_nodes,
            shard=self.number,
            api_url=settings.discord_api_url,
            lease=lease,
            saved=saved,
            on_voice=saver.voice,
            on_voice_lost=lambda guild: self._tell(guild, Converger.voice_lost),
            on_leave=lambda guild: self._tell(guild, Converger.server_lost),
            report=lambda seen: servers.report(self._node.redis, seen),
        )
        outbox = Outbox(
            self._node.redis,
            self._node.rest,
            self.number,
            token=lambda: lease.token,
            clock=lease.now_ms,
            until_held=lease.until_held,
        )
        self._sound, self._saver = sound, saver
        self._reconciler = Reconciler(
            self.number, redis=self._node.redis, gateway=gateway, sound=sound, known=self._actors, wake=self._actor
        )
        lease.on_jump = lambda: _drop_sockets(gateway, sound)
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks, self._running = tasks, set[asyncio.Task[None]]()
                self._make_actor = self._actor_maker(lease, gateway, sound, outbox)
                helpers = [
                    tasks.create_task(lease.keep()),
                    tasks.create_task(outbox.run()),
                    tasks.create_task(gateway.run_forever(settings.discord_bot_token)),
                    tasks.create_task(saver.run()),
                ]
                if await self._first(gateway.ready.wait()):
                    helpers.append(tasks.create_task(sound.run(gateway)))
                    if await self._first(self._restore(saved)):
                        helpers.append(tasks.create_task(lease.persist(self._reconciler.run)))
                        reader = Intake(
                            self._node.intake,
                            self.number,
                            self._node.name,
                            self._receive,
                            remaining=lease.remaining,
                        )
                        intake = tasks.create_task(reader.run())
                        self.ready.set()
                        LOG.info("Shard ready", extra=context(shard=self.number))
                        await self._stop.wait()
                        intake.cancel()
                await self._leave(gateway, saver, helpers)
                await lease.release()
        finally:
            await gateway.leave_behind()
            await self._lay_down()

    async def _leave(self, gateway: Gateway, saver: Saver, helpers: list[asyncio.Task[None]]) -> None:
        """Nothing is read any more: finish what is in hand, save, then let the sessions outlive us."""
        await self._drain()
        with contextlib.suppress(*FAILURES):
            await saver.flush()
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

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call`` returns, which is made again while Redis is away."""
        backoff = Backoff()
        while True:
            try:
                return await call()
            except FAILURES as error:
                LOG.warning("Redis does not answer: %r", error, extra=context(shard=self.number))
                await backoff.wait()

    async def _restore(self, saved: SavedShard) -> None:
        """Wake the actors of the guilds that should be in a channel; where music plays, nothing is touched yet."""
        for guild in await self._patiently(lambda: guilds.fetch_active(self._node.redis, self.number)):
            actor = self._actor(guild)
            if guild in saved.voices:
                actor.converger.hold()
        self._spawn(self._stop_holding())

    async def _stop_holding(self) -> None:
        """Whose server has not come back by now goes on at another one."""
        await asyncio.sleep(HELD_SECONDS)
        for actor in self._actors.values():
            if actor.converger.held:
                actor.converger.server_lost()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._tasks.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _lay_down(self) -> None:
        """Who was cut short had nothing to do with it."""
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(LAY_DOWN_SECONDS):
                for actor in tuple(self._actors.values()):
                    await actor.lay_down()

    async def _drain(self) -> None:
        """Give what is in hand a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                for actor in tuple(self._actors.values()):
                    await actor.finished()

    # Guilds.

    def _actor_maker(self, lease: Lease, gateway: Gateway, sound: Sound, outbox: Outbox) -> Callable[[int], GuildActor]:
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
                terms=self._node.terms,
            )
            self._spawn(actor.run())
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

    def company_changed(self, guild: int, channels: set[int]) -> None:
        actor = self._actors.get(guild)
        if actor is not None and actor.voice_channel in channels:
            actor.settle("company")

    def terms_changed(self, guild: int | None) -> None:
        """The plan or the settings of a guild, or of any, may be others now."""
        for each in self._actors if guild is None else self._actors.keys() & {guild}:
            self._actors[each].settle("terms")

    def track_over(self, guild: int, play: str, reason: str) -> None:
        if reason not in ENDED:
            return
        if guild in self._actors and self._actors[guild].converger.start_again(play):
            return
        if play:
            self._actor(guild).submit(TrackOver(play, failed=reason != "finished"))
        else:
            EVENTS_DROPPED.labels("TrackOver").inc()

    def track_failed(self, guild: int, play: str, title: str, reason: str) -> None:
        actor = self._actors.get(guild)
        if actor is not None and not actor.converger.excuses(play):
            text = Sentence.TRACK_BROKEN.format(query=title, reason=reason.rstrip("."))
            actor.announcer.say(text, f"broken:{guild}:{play}")

    def voice_closed(self, guild: int, code: int) -> None:
        actor = self._actors.get(guild)
        if actor is not None:
            actor.converger.voice_closed(code)

    def session_started(self, node: wavelink.Node, resumed: bool) -> None:
        LOG.info("Lavalink session", extra=context(shard=self.number, node=node.identifier, resumed=resumed))
        before = self._sound.began(node)
        self._saver.lavalink(server_of(node), node.session_id)
        if self._lease is not None:
            go_on = functools.partial(self._reconciler.go_on, node, before, resumed=resumed)
            self._spawn(self._lease.persist(go_on))

    def player_reported(self, node: wavelink.Node, guild: int, report: Report) -> None:
        self._sound.reported(node)
        if guild in self._actors:
            self._actors[guild].converger.reported(report)

    def session_away(self, node: wavelink.Node) -> None:
        if not self._stop.is_set():
            self._spawn(self._give_up(node))

    async def _give_up(self, node: wavelink.Node) -> None:
        """Move a server's players elsewhere, unless it comes back in a moment."""
        if not self._sound.hung(node):
            await asyncio.sleep(AWAY_SECONDS)
        if node in self._sound.connected():
            return
        LOG.warning("Lavalink is gone", extra=context(shard=self.number, node=node.identifier))
        for guild in tuple(node.players):
            self._tell(guild, Converger.server_lost)

    def _tell(self, guild: int, what: Callable[[Converger], None]) -> None:
        if guild in self._actors:
            what(self._actors[guild].converger)

    def gateway_started(self) -> None:
        for actor in self._actors.values():
            actor.converger.gateway_lost()

    def guild_removed(self, guild: int) -> None:
        self._spawn(self._forget(guild, removal.KEPT_MS))
        actor = self._actors.get(guild)
        if actor is not None and actor.voice_channel is not None:
            actor.submit(Disconnected(actor.voice_channel, f"removed:{guild}:{actor.now_ms()}"))

    def guild_joined(self, guild: int) -> None:
        self._spawn(self._forget(guild, 0))

    async def _forget(self, guild: int, life_ms: int) -> None:
        """Let the state of a guild that removed the bot run out, unless it invites it again."""
        lease = self._lease
        if lease is None:
            return

        async def forget() -> None:
            await lease.until_held()
            await removal.forget(self._node.redis, self.number, guild, lease.token, life_ms=life_ms)

        await self._patiently(forget)

    def guild_available(self, guild: int) -> None:
        if guild in self._actors:
            self._actors[guild].converger.guild_available()
            self._actors[guild].settle("available")


def _drop_sockets(gateway: Gateway, sound: Sound) -> None:
    gateway.drop_socket()
    sound.drop_sockets()
