"""Saves what the next owner of a shard needs, as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
from discord.gateway import DiscordWebSocket

from tonearm.redis import sessions
from tonearm.redis.client import FAILURES, Client
from tonearm.redis.sessions import SavedGateway, SavedVoice
from tonearm.telemetry import LOG, context
from voice_nodes.gateway import Gateway
from voice_nodes.lease import Lease
from voice_nodes.resuming import reduced_user, touched

EVERY = 1.0
"""Seconds between two saves. A RESUME replays as much, which is harmless, but for voice data: that is saved at once."""


class Saver:
    """One shard's saver. What it has not written yet is lost with the process, and comes again by the RESUME.

    ``known`` are the guilds that are saved already.
    """

    def __init__(self, redis: Client, lease: Lease, shard: int, gateway: Gateway, *, known: Iterable[int] = ()) -> None:
        self._redis = redis
        self._lease = lease
        self._shard = shard
        self._gateway = gateway
        self._guilds: set[int] = set()
        self._voices: dict[int, SavedVoice | None] = {}
        self._lavalink: dict[str, str | None] = {}
        self._written: dict[int, int] = dict.fromkeys(known, 0)
        self._dirty = False
        self._some = asyncio.Event()
        self._urgent = asyncio.Event()

    def event(self, name: str, data: dict[str, Any]) -> None:
        """The gateway brought an event, which discord.py has taken."""
        user = self._gateway.user
        if user is not None and (guild := touched(name, data, user.id)) is not None:
            self._guilds.add(guild)
        elif name == "GUILD_DELETE" and not data.get("unavailable"):
            self._guilds.add(int(data["id"]))
        self._dirty = True
        self._some.set()
        if name == "READY":
            self._guilds.update(self._written.keys() - {int(guild["id"]) for guild in data["guilds"]})
            self._urgent.set()

    def voice(self, guild: int, voice: SavedVoice | None) -> None:
        """A voice connection is another one, or gone."""
        self._voices[guild] = voice
        self._hurry()

    def lavalink(self, server: str, session: str | None) -> None:
        """A Lavalink session began, or is gone."""
        self._lavalink[server] = session
        self._hurry()

    def _hurry(self) -> None:
        self._some.set()
        self._urgent.set()

    async def run(self) -> None:
        """Save until cancelled.

        Raises:
            LeaseLost: the shard is another's.
        """
        while True:
            await self._some.wait()
            await self._lease.until_held()
            try:
                await self.flush()
            except FAILURES as error:
                LOG.warning("The sessions can't be saved: %r", error, extra=context(shard=self._shard))
            self._urgent.clear()
            try:
                async with asyncio.timeout(EVERY):
                    await self._urgent.wait()
            except TimeoutError:
                continue

    async def flush(self) -> None:
        """Save now.

        Raises:
            LeaseLost: the shard is another's.
            RedisError: Redis doesn't answer; it will be saved with the next.
        """
        guilds, voices, lavalink = self._guilds, self._voices, self._lavalink
        self._guilds, self._voices, self._lavalink = set(), {}, {}
        self._some.clear()
        # No await from here to the sequence: the snapshots stand for what came before it.
        changed = self._snapshots(guilds)
        gateway = self._session()
        if not (self._dirty or changed or voices or lavalink):
            return
        self._dirty = False
        try:
            await sessions.save(
                self._redis,
                self._shard,
                self._lease.token,
                gateway=gateway,
                lavalink=lavalink,
                guilds=changed,
                voices=voices,
            )
        except FAILURES:
            self._guilds |= guilds
            self._voices = voices | self._voices
            self._lavalink = lavalink | self._lavalink
            self._dirty = True
            for guild in guilds:
                self._written.pop(guild, None)
            self._some.set()
            raise

    def _snapshots(self, guilds: set[int]) -> dict[int, dict[str, Any] | None]:
        changed: dict[int, dict[str, Any] | None] = {}
        for guild in guilds:
            found = self._gateway.get_guild(guild)
            if found is None:
                changed[guild] = None
                self._written.pop(guild, None)
            elif not found.unavailable and found.me is not None:
                try:
                    reduced = self._gateway.snapshot(found)
                    fingerprint = hash(msgspec.json.encode(reduced))
                except Exception:
                    LOG.exception("What is known of a guild can't be saved", extra=context(guild=guild))
                    continue
                if self._written.get(guild) != fingerprint:
                    self._written[guild] = fingerprint
                    changed[guild] = reduced
        return changed

    def _session(self) -> SavedGateway | None:
        user = self._gateway.user
        socket: DiscordWebSocket | None = self._gateway.ws
        if socket is None or user is None or socket.session_id is None or socket.sequence is None:
            return None
        return SavedGateway(socket.session_id, socket.sequence, str(socket.gateway), reduced_user(user))
