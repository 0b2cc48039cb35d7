"""One Lavalink server, as one shard sees it: the session, whether the server answers, and how it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
import wavelink

from tonearm.backoff import Backoff
from tonearm.errors import LavalinkAway, LavalinkSilent, LeaseLost, SettingsError
from tonearm.telemetry import LAVALINK_FAILURES, LOG, context
from voice_nodes.breaker import Breaker
from voice_nodes.lease import Tenure
from voice_nodes.measuring import KINDS, count_frames
from voice_nodes.placement import Load
from voice_nodes.resuming import abort
from voice_nodes.servers import Server, Socket, judge

CALL_TIMEOUT = 2.0
PROBE_TIMEOUT = 0.7
WATCH_TIMEOUT = 1.0
"""Seconds. Two such probes in a row without an answer are a server that hangs."""

HUNG_TIMEOUT = 10.0
"""Seconds that the first question to a server that hangs may stay open: it is answered when the server goes on."""

TICK = 0.25
QUIET = 1.0
"""Seconds without a word of a server that plays for us, after which it is asked."""

QUIET_IDLE = 10.0
"""The same for one that does not; so long its figures may be old as well."""

FRESH = 1.0
"""Seconds for which a sign of life is believed."""

AGAIN = 0.3
"""Seconds before a second attempt to open a socket; the breaker says when the others are made."""

SMOOTHING = 0.2
"""How much one look at a CPU counts: it is that of a moment."""

T = TypeVar("T")


class Station:
    """One server. The lease is looked at before each call."""

    def __init__(self, server: Server, node: wavelink.Node, *, lease: Tenure) -> None:
        self.server = server
        self.node = node
        self.breaker = Breaker()
        self.vanished = False
        """Its address is no longer one of its name's."""
        self.drained = False
        """An operator wants it empty."""
        self.hung = False
        """Its last session was given up because it did not answer, though nobody had closed the socket."""
        self.reported = asyncio.Event()
        """Set at each report of a player."""
        self.session: str | None = None
        self._lease = lease
        self._heard_at = 0.0
        self._load = Load(server.name, regions=server.regions)
        self._others = 0

    @property
    def name(self) -> str:
        """The same in every process."""
        return self.server.name

    @property
    def draining(self) -> bool:
        """Whether it is to be left."""
        return self.vanished or self.drained

    @property
    def connected(self) -> bool:
        """Whether a session is open."""
        return self.node.status is wavelink.NodeStatus.CONNECTED and self.node.session_id is not None

    @property
    def usable(self) -> bool:
        """Whether a session is open, and it answers as far as is known."""
        return self.connected and self.breaker.closed

    @property
    def state(self) -> str:
        """One of :data:`voice_nodes.measuring.STATES`."""
        if not self.breaker.closed:
            return "open"
        if not self.connected:
            return "away"
        return "draining" if self.draining else "connected"

    @property
    def players(self) -> int:
        """How many of its players are this shard's."""
        return len(self.node._players)

    def load(self) -> Load:
        """How it is: its own figures, with our players as of now."""
        load = self._load
        return Load(
            name=self.name,
            players=self._others + self.players,
            cpu=load.cpu,
            nulled=load.nulled,
            deficit=load.deficit,
            failures=self.breaker.failures,
            regions=self.server.regions,
        )

    # Calls.

    async def call(self, call: Callable[[], Awaitable[T]], timeout: float = CALL_TIMEOUT, *, counts: bool = True) -> T:
        """What ``call`` returns within ``timeout`` seconds. A call that does not ``count`` may hang for other reasons
        than the server.

        Raises:
            LavalinkAway: the server can't be reached.
            LavalinkSilent: it was reached, and does not answer.
            LeaseLost: the lease has run out.
            wavelink.LavalinkException: it answers with an error.
        """
        self._lease.check()
        try:
            async with asyncio.timeout(timeout):
                result = await call()
        except wavelink.LavalinkException:
            self.heard()
            raise
        except (TimeoutError, aiohttp.ClientError, OSError, wavelink.NodeException) as error:
            if counts:
                self._failed(error)
            reached = not isinstance(error, aiohttp.ClientConnectorError)
            raise (LavalinkSilent if reached else LavalinkAway)(f"{self.name}: {error!r}") from None
        self.heard()
        self.breaker.succeeded()
        return result

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard_at = time.monotonic()

    async def show_alive(self) -> None:
        """Have a sign of life that is no older than :data:`FRESH`.

        Raises:
            LavalinkAway: there is none.
            LeaseLost: the shard is another's.
        """
        if time.monotonic() - self._heard_at > FRESH:
            await self.call(lambda: self.node.send("GET", path="version"), PROBE_TIMEOUT)

    def _failed(self, error: BaseException) -> None:
        LAVALINK_FAILURES.inc()
        if self.breaker.failed():
            LOG.warning("Lavalink does not answer: %r", error, extra=context(node=self.node.identifier))

    # The session.

    async def keep(self, api_url: str, *, required: bool) -> None:
        """Keep a session open until cancelled. Then the socket is closed, and the session outlives it.

        Raises:
            LeaseLost: the shard is another's.
            SettingsError: ``required``, and it refuses its password, is no Lavalink, or not for this Discord.
        """
        await self._judge(api_url, required=required)
        socket = Socket(self.node, on_message=self.heard, on_stats=self._take_message)
        self.node._websocket = socket
        try:
            while True:
                await self._lease.until_held()
                try:
                    await self._wait_for_turn()
                    self._lease.check()  # Whoever does not own the shard must not take its sessions.
                    await socket.open()
                except LeaseLost:
                    continue  # Whether it is to be had again is seen above.
                except (TimeoutError, aiohttp.ClientError, OSError) as error:
                    self._failed(error)
                    continue
                await self._serve(socket)
        finally:
            await socket.close()
            self.node._status = wavelink.NodeStatus.DISCONNECTED

    async def _judge(self, api_url: str, *, required: bool) -> None:
        backoff = Backoff(first=1.0, most=30.0)
        while True:
            try:
                await judge(self.node, api_url)
                return
            except SettingsError as error:
                if required:
                    raise
                LOG.error("%s", error, extra=context(node=self.node.identifier))
            await backoff.wait()

    async def _wait_for_turn(self) -> None:
        """A server that does not answer is asked first: a socket would resume the session for nobody."""
        patience = HUNG_TIMEOUT if self.hung else PROBE_TIMEOUT
        while not self.breaker.closed:
            if patience == PROBE_TIMEOUT:
                await asyncio.sleep(self.breaker.due())
            with contextlib.suppress(LavalinkAway, wavelink.LavalinkException):
                await self.call(lambda: self.node.send("GET", path="version"), patience)
                return
            patience = PROBE_TIMEOUT
        if self.breaker.failures:
            await asyncio.sleep(AGAIN)

    async def _serve(self, socket: Socket) -> None:
        """Until the socket is closed, or the server hangs."""
        self.heard()
        reading, watching = asyncio.create_task(socket.read()), asyncio.create_task(self._watch())
        try:
            await asyncio.wait([reading, watching], return_when=asyncio.FIRST_COMPLETED)
            self.hung = not reading.done()
            if watching.done():
                watching.result()
        finally:
            reading.cancel()
            watching.cancel()
            await asyncio.wait([reading, watching])
            await socket.close(at_once=self.hung)
        socket.lost()

    async def _watch(self) -> None:
        """Until the server does not answer any more."""
        while self.breaker.closed:
            await asyncio.sleep(TICK)
            if time.monotonic() - self._heard_at > (QUIET if self.players else QUIET_IDLE):
                # A lease that ran out may be taken again; who keeps it says when it is lost.
                with contextlib.suppress(LavalinkAway, LeaseLost, wavelink.LavalinkException):
                    stats = await self.call(lambda: self.node.send("GET", path="v4/stats"), WATCH_TIMEOUT)
                    self._take(stats)

    def _take_message(self, stats: wavelink.StatsEventPayload) -> None:
        """Each minute; only here are the frames told."""
        self._others = max(0, stats.players - self.players)
        frames = {kind: getattr(stats.frames, kind, None) or 0 for kind in KINDS}
        count_frames(self.name, self.players, frames)
        self._load = Load(
            self.name,
            cpu=self._load.cpu + (stats.cpu.system_load - self._load.cpu) * SMOOTHING,
            nulled=frames["nulled"],
            deficit=frames["deficit"],
        )

    def _take(self, stats: dict[str, Any]) -> None:
        """Lavalink's documentation, REST API, *Stats*. What is not as written there is left alone: it is an answer."""
        try:
            players, load = int(stats["players"]), float(stats["cpu"]["systemLoad"])
        except (KeyError, TypeError, ValueError) as error:
            LOG.warning("Lavalink's figures can't be read: %r", error, extra=context(node=self.node.identifier))
            return
        self._others = max(0, players - self.players)
        before = self._load
        cpu = before.cpu + (load - before.cpu) * SMOOTHING
        self._load = Load(self.name, cpu=cpu, nulled=before.nulled, deficit=before.deficit)

    def began(self) -> str | None:
        """Note that a session is open; returns the one that was to be resumed and was not, if there was one."""
        self.heard()
        self.hung = False
        self.breaker.succeeded()
        before, self.session = self.session, self.node.session_id
        return before if before != self.session else None

    async def end_session(self, session: str) -> None:
        """Destroy the players of a session of ours that is not the open one, so that nobody is heard twice.

        Raises:
            LavalinkAway: the server does not answer.
            LeaseLost: the shard is another's.
        """
        try:
            await self.destroy_players(session)
        except wavelink.LavalinkException:
            # A session without a client plays on, and is not to be had by REST: be its client, and end it.
            await self.call(lambda: self._resume_and_end(session), 2 * CALL_TIMEOUT, counts=False)

    async def destroy_players(self, session: str) -> None:
        """Destroy all players of a session.

        Raises:
            LavalinkAway: the server does not answer.
            LeaseLost: the shard is another's.
            wavelink.LavalinkException: it does not know the session.
        """
        path = f"v4/sessions/{session}/players"
        for player in await self.call(lambda: self.node.send("GET", path=path)):
            await self.destroy(int(player["guildId"]), session)

    async def destroy(self, guild: int, session: str | None = None) -> None:
        """Destroy a player, of the open session unless another is named. One that is not there is none.

        Raises:
            LavalinkAway: the server does not answer.
            LeaseLost: the shard is another's.
        """
        path = f"v4/sessions/{session or self.node.session_id}/players/{guild}"
        with contextlib.suppress(wavelink.LavalinkException):
            await self.call(lambda: self.node.send("DELETE", path=path))

    async def close_session(self) -> None:
        """Have the session end with its socket: nobody will come back for it. Else it runs out by itself."""
        with contextlib.suppress(LavalinkAway, LeaseLost, wavelink.LavalinkException):
            await self.call(lambda: self._end_with_socket(self.node.session_id))

    async def _end_with_socket(self, session: str | None) -> None:
        await self.node.send("PATCH", path=f"v4/sessions/{session}", data={"resuming": False})

    async def _resume_and_end(self, session: str) -> None:
        headers = {**self.node.headers, "Session-Id": session}
        socket = await self.node._session.ws_connect(f"{self.node.uri}/v4/websocket", headers=headers)
        try:
            while (message := await socket.receive_json()).get("op") != "ready":
                pass
            if message["resumed"]:
                await self._end_with_socket(session)
                await self.destroy_players(session)
        finally:
            abort(socket)
