"""What is, against what should be: at the start of a session, and every minute or so.

Redis says what should play; Lavalink and Discord's voice states say what does. Each guild is told what was seen of it
and mends itself, so a broken one never stops the rest.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import wavelink

from tonearm.errors import LavalinkAway, LeaseLost
from tonearm.redis import guilds
from tonearm.redis.client import FAILURES, Client
from tonearm.telemetry import LOG, ORPHANS, context
from voice_nodes.converger import Converger
from voice_nodes.gateway import Gateway
from voice_nodes.lavalink import Sound

EVERY = 60.0
"""Seconds between two looks, give or take a quarter, so that many shards do not look at once."""


class Guild(Protocol):
    """What the reconciler needs of a guild's actor."""

    converger: Converger


class Reconciler:
    """One shard's. ``known`` are the guilds that are awake, ``wake`` wakes one."""

    def __init__(
        self,
        shard: int,
        *,
        redis: Client,
        gateway: Gateway,
        sound: Sound,
        known: Mapping[int, Guild],
        wake: Callable[[int], object],
        every: float = EVERY,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._shard = shard
        self._redis = redis
        self._gateway = gateway
        self._sound = sound
        self._known = known
        self._wake = wake
        self._every = every
        self._sleep = sleep

    async def run(self) -> None:
        """Look until cancelled.

        Raises:
            LeaseLost: the lease has run out.
        """
        while True:
            await self._sleep(self._every * random.uniform(0.75, 1.25))  # noqa: S311 - spreads load, guards nothing
            try:
                await self.look()
            except LeaseLost:
                raise
            except Exception:
                # What breaks here is looked at again in a minute; the shard goes on.
                LOG.exception("Not reconciled", extra=context(shard=self._shard))

    async def look(self) -> None:
        """Wake every guild of which something is, or should be, in a voice channel; compare what each server plays."""
        try:
            awake = await guilds.fetch_active(self._redis, self._shard)
        except FAILURES as error:
            LOG.warning("Not reconciled: %r", error, extra=context(shard=self._shard))
            return
        for guild in {*awake, *self._gateway.guilds_with_bot_in_voice()}:
            self._wake(guild)
        for node in self._sound.connected():
            await self.observe(node)

    async def observe(self, node: wavelink.Node) -> None:
        """Tell each guild of a server what the server does; destroy players that nobody wants."""
        steps = {guild: actor.converger.steps for guild, actor in self._known.items()}
        try:
            actual = await self._sound.fetch_actual(node)
            for guild in actual.keys() - node.players.keys():
                if guild in node.players:  # It came while another one was destroyed.
                    continue
                ORPHANS.inc()
                await self._sound.destroy_orphan(node, guild)
        except LavalinkAway as error:
            LOG.warning("Not reconciled: %s", error.detail, extra=context(shard=self._shard))
            return
        for guild in tuple(node.players):
            if guild in steps and guild in self._known:
                self._known[guild].converger.observe(actual.get(guild), steps[guild])

    async def go_on(self, node: wavelink.Node, before: str | None, *, resumed: bool) -> None:
        """A session is open: resumed, or another one while ``before`` may still play."""
        if resumed:
            await self._sound.wait_reported(node)
            await self.observe(node)
            return
        if before is not None:
            await self._sound.end_session(node, before)
        for guild in tuple(node.players):
            if guild in self._known:
                self._known[guild].converger.session_lost()
