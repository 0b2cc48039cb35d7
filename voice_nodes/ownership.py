"""One shard, for as long as this node owns it: gateway session, Lavalink sessions, intake and guilds."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Coroutine
from typing import Any

import wavelink

from tonearm.errors import LeaseLost
from tonearm.outbox import Outbox
from tonearm.redis import guilds, removal, servers
from tonearm.redis.client import FAILURES
from tonearm.redis.sessions import SavedShard
from tonearm.telemetry import LOG, context
from voice_nodes.actor import GuildActor
from voice_nodes.announcer import Announcer
from voice_nodes.converger import Converger
from voice_nodes.gateway import Gateway
from voice_nodes.identifying import Turns
from voice_nodes.intake import Intake
from voice_nodes.lavalink import Sound
from voice_nodes.lease import Lease
from voice_nodes.listener import Report
from voice_nodes.node import Node
from voice_nodes.patience import complaining, patiently
from voice_nodes.reconciler import Reconciler
from voice_nodes.roster import Roster
from voice_nodes.saver import Saver
from voice_nodes.voicelink import server_of

DRAIN_SECONDS = 1.5
"""How long jobs in hand may take when the node leaves."""

SAVE_SECONDS = 1.0
LAY_DOWN_SECONDS = 0.5
LEAVE_SECONDS = 1.0
"""How long closing the sockets may take."""

AWAY_SECONDS = 0.7
"""How long a Lavalink server may be away before its players go on at another one."""

HELD_SECONDS = 2.0
"""The same for a server that the owner before played at."""


class Ownership:
    """The parts that a shard is made of; the listener for what concerns Lavalink's servers.

    ``saved`` is what the owner before left.
    """

    def __init__(self, shard: int, node: Node, lease: Lease, saved: SavedShard) -> None:
        self.number = shard
        self._node = node
        self._lease = lease
        self._saved = saved
        self._running: set[asyncio.Task[None]] = set()
        self.roster = Roster(
            make=self._make_actor,
            spawn=self._spawn,
            entered=lambda guild: self._sound.entered(guild),
            forget=lambda guild, life_ms: self._spawn(self._forget(guild, life_ms)),
        )
        self._gateway = Gateway(
            shard=shard,
            shard_count=node.settings.shard_count,
            listener=self.roster,
            servers=self,
            turns=Turns(node.redis, node.rest, shard, check=lease.check),
            lease=lease,
            rest=node.rest,
        )
        self._saver = Saver(node.redis, lease, shard, self._gateway, known=saved.guilds)
        self._sound = Sound(
            node.settings.lavalink_nodes,
            shard=shard,
            api_url=node.settings.discord_api_url,
            lease=lease,
            saved=saved,
            on_voice=self._saver.voice,
            on_voice_lost=lambda guild: self.roster.tell(guild, Converger.voice_lost),
            on_leave=lambda guild: self.roster.tell(guild, Converger.server_lost),
            report=lambda seen: servers.report(node.redis, seen),
        )
        self._outbox = Outbox(
            node.redis,
            node.rest.checked(lease.check),
            shard,
            token=lambda: lease.token,
            clock=lease.now_ms,
            until_held=lease.until_held,
        )
        self._reconciler = Reconciler(
            shard,
            redis=node.redis,
            gateway=self._gateway,
            sound=self._sound,
            known=self.roster,
            wake=self.roster.wake,
        )

    @property
    def latency(self) -> float:
        """Seconds of the last heartbeat's round trip at the gateway; not a finite number without one."""
        return self._gateway.latency

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """Own the shard until ``stop``; then hand it over, but for the lease, which is kept by the caller.

        Raises:
            ExceptionGroup: of LeaseLost, where the shard is another's; of SettingsError, where Discord or Lavalink
                refuse what this process was told.
        """
        self._stop = stop
        self._lease.on_jump = self._drop_sockets
        if self._saved.gateway is not None:
            await self._gateway.restore(self._saved.gateway, list(self._saved.guilds.values()))
        self._gateway.watch(self._saver.event)
        try:
            async with asyncio.TaskGroup() as self._tasks:
                helpers = [
                    self._tasks.create_task(self._outbox.run()),
                    self._tasks.create_task(self._gateway.run_forever(self._node.settings.discord_bot_token)),
                    self._tasks.create_task(self._saver.run()),
                ]
                if await self._first(complaining(self._gateway.ready, "a session at the gateway", self.number)):
                    helpers.append(self._tasks.create_task(self._sound.run(self._gateway)))
                    if await self._first(self._wake_all()):
                        await self._serve(ready, helpers)
                await self._leave(helpers)
        finally:
            await self._gateway.leave_behind()
            await self._lay_down()

    async def _serve(self, ready: asyncio.Event, helpers: list[asyncio.Task[None]]) -> None:
        """Take jobs until the stop."""
        helpers.append(self._tasks.create_task(self._lease.persist(self._reconciler.run)))
        reader = Intake(
            self._node.intake, self.number, self._node.name, self.roster.receive, remaining=self._lease.remaining
        )
        intake = self._tasks.create_task(reader.run())
        ready.set()
        self._lease.taken_over()
        LOG.info("Shard ready", extra=context(shard=self.number))
        await self._stop.wait()
        intake.cancel()

    async def _first(self, wanted: Coroutine[Any, Any, object]) -> bool:
        """Wait for ``wanted``; ``False`` when the stop comes first."""
        waiting = [self._tasks.create_task(wanted), self._tasks.create_task(self._stop.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return not self._stop.is_set()
        finally:
            for wait in waiting:
                wait.cancel()

    # The beginning and the end.

    async def _wake_all(self) -> None:
        """Wake the guilds that should be in a channel; where music plays, nothing is touched yet."""
        for guild in await patiently(lambda: guilds.fetch_active(self._node.redis, self.number), self._lease):
            actor = self.roster.wake(guild)
            if guild in self._saved.voices:
                actor.converger.hold()
        self._spawn(self._stop_holding())

    async def _stop_holding(self) -> None:
        """Whose server has not come back by now goes on at another one."""
        await asyncio.sleep(HELD_SECONDS)
        for actor in self.roster.values():
            if actor.converger.held:
                actor.converger.server_lost()

    async def _leave(self, helpers: list[asyncio.Task[None]]) -> None:
        """Nothing is read any more: finish what is in hand, save, then let the sessions outlive us."""
        await self._drain()
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(SAVE_SECONDS):
                await self._saver.flush()
        for task in (*self._running, *helpers):
            task.cancel()
        await self._gateway.leave_behind()
        await asyncio.wait(helpers, timeout=LEAVE_SECONDS)

    async def _drain(self) -> None:
        """Give what is in hand a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                for actor in self.roster.values():
                    await actor.finished()

    async def _lay_down(self) -> None:
        """Who was cut short had nothing to do with it."""
        with contextlib.suppress(*FAILURES):
            async with asyncio.timeout(LAY_DOWN_SECONDS):
                for actor in self.roster.values():
                    await actor.lay_down()

    def _drop_sockets(self) -> None:
        self._gateway.drop_socket()
        self._sound.drop_sockets()

    # Guilds.

    def _make_actor(self, guild: int) -> GuildActor:
        announcer = Announcer(
            guild,
            rest=self._node.rest.checked(self._lease.check),
            check=self._lease.check,
            now_ms=self._lease.now_ms,
            submit=lambda event: self.roster.wake(guild).submit(event),
        )
        actor = GuildActor(
            guild,
            shard=self.number,
            redis=self._node.redis,
            lease=self._lease,
            gateway=self._gateway,
            sound=self._sound,
            announcer=announcer,
            on_deferred=self._outbox.notify,
            on_end=lambda: self.roster.ended(actor),
            terms=self._node.terms,
        )
        return actor

    async def _forget(self, guild: int, life_ms: int) -> None:
        """Let the state of a guild that removed the bot run out, unless it invites it again."""
        redis, lease = self._node.redis, self._lease
        await patiently(lambda: removal.forget(redis, self.number, guild, lease.token, life_ms=life_ms), lease)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done beside the others: what breaks in it stops nothing else."""
        task = self._tasks.create_task(self._guarded(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except* LeaseLost:
            raise
        except* Exception:
            LOG.exception("A part of the shard broke", extra=context(shard=self.number))

    # What is said of Lavalink's servers.

    def session_started(self, node: wavelink.Node, resumed: bool) -> None:
        LOG.info("Lavalink session", extra=context(shard=self.number, node=node.identifier, resumed=resumed))
        before = self._sound.began(node)
        self._saver.lavalink(server_of(node), node.session_id)
        go_on = functools.partial(self._reconciler.go_on, node, before, resumed=resumed)
        self._spawn(self._lease.persist(go_on))

    def player_reported(self, node: wavelink.Node, guild: int, report: Report) -> None:
        self._sound.reported(node)
        self.roster.tell(guild, lambda converger: converger.reported(report))

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
            self.roster.tell(guild, Converger.server_lost)
