"""A Tonearm that is in use: people listen, scripts ask, plans are sold, and something breaks now and then."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import httpx

from playground.library import tone
from playground.system import System
from playground.twin.client import TwinError
from playground.twin.seen import Unanswered
from tests.chaos.rooms import Room, open_rooms
from tests.dashboards_check.prometheus import SCRAPE_SECONDS, Prometheus
from tests.support.api.serving import ALL_SCOPES, Caller
from tonearm.child_logs import LogFolder
from tonearm.postgres.api_keys import create_key
from tonearm.postgres.pool import Pool
from tonearm.supervisor import Event, EventKind

SHARDS = 2
ROOMS, QUIET = 5, 4
"""Guilds where people use command after command, and those where they only listen."""
SETTINGS = {"SHARD_COUNT": str(SHARDS), "REBALANCE_AFTER": "5"}
STATS_SECONDS = 5
"""How often the audio nodes tell their figures here."""
SEEN_SECONDS = 45.0
"""For anything to be seen, on a busy machine."""
PACE = 0.7
"""Seconds between two things that the people of one room do: what makes the load, not what waits for it."""
TITLES = ("one", "two", "three")
BRIEF = "brief"

JOBS = frozenset(("interactions", "api", "worker", "voice-node"))
"""Prometheus' jobs, as monitoring/prometheus/prometheus.yml has them."""

COSTS = (Unanswered, TwinError, TimeoutError, httpx.TransportError)
"""What can come of a thing that is asked for while something breaks: it goes on, and the panels show it."""


class Loaded(System):
    """The system, with audio nodes that tell their figures more often."""

    def audio_node_argv(self, voice_ca: str) -> tuple[str, ...]:
        return (*super().audio_node_argv(voice_ca), "--stats-seconds", str(STATS_SECONDS))


def make_music(folder: Path) -> None:
    """Three long tones, and one that is over while it is listened to."""
    folder.mkdir(parents=True)
    for number, title in enumerate(TITLES):
        tone(folder / f"{title}.webm", 440.0 + 110 * number, 60)
    tone(folder / f"{BRIEF}.webm", 330.0, 1.5)


@asynccontextmanager
async def running(folder: Path, prometheus: Prometheus) -> AsyncIterator[Loaded]:
    """All processes, two voice nodes and two audio nodes among them; each of their lives is scraped.

    Raises:
        StartFailed: one did not come up.
    """

    def on_event(event: Event) -> None:
        job = event.name if event.name in JOBS else event.name.rpartition("-")[0]
        if event.kind is EventKind.READY and job in JOBS:
            prometheus.targets.set(job, event.name, str(event.ready["url"]))

    await asyncio.to_thread(make_music, folder / "music")
    with LogFolder(folder / "logs") as log:
        system = Loaded(
            folder,
            library=folder / "music",
            settings=SETTINGS,
            audio_nodes=2,
            premium=True,
            on_event=on_event,
            log=log,
        )
        async with system:
            await system.start_voice_node("voice-node-2")
            yield system


class Load:
    """What happens to it."""

    def __init__(self, system: Loaded, prometheus: Prometheus, say: Callable[[str], None]) -> None:
        self._system = system
        self._prometheus = prometheus
        self._say = say
        self._rooms: list[Room] = []
        self.unseen: list[str] = []
        """What was made to happen and never counted."""

    async def run(self, enough: Callable[[], Awaitable[bool]], within: float, *, at_least: float = 0) -> None:
        """People use it, and each rare event happens; then it goes on for ``at_least`` seconds, and until ``enough``
        says so or ``within`` seconds are over."""
        rooms = await open_rooms(self._system.twin, ROOMS + QUIET, SHARDS, people=2)
        self._rooms, quiet = rooms[:ROOMS], rooms[ROOMS:]
        async with asyncio.TaskGroup() as group:
            doings = (*map(self._listen, self._rooms), *map(self._only_listen, quiet), self._ask_the_api())
            people = [group.create_task(doing) for doing in doings]
            await self._rare_events()
            await asyncio.sleep(at_least)
            await self._go_on(enough, within)
            for task in people:
                task.cancel()

    async def _go_on(self, enough: Callable[[], Awaitable[bool]], within: float) -> None:
        try:
            async with asyncio.timeout(within):
                while not await enough():  # noqa: ASYNC110 - Prometheus tells nobody of a new sample
                    await asyncio.sleep(1)
        except TimeoutError:
            self._say(f"not all panels have data after {within:g} s more")

    # People.

    async def _only_listen(self, room: Room) -> None:
        """What is played is let play: frames are counted of players that are left alone."""
        for title in TITLES:
            with suppress(*COSTS):
                await room.ask("play", query=title, within=SEEN_SECONDS)

    async def _listen(self, room: Room) -> None:
        """Somebody does one thing after the other, for ever; who is refused or not understood goes on."""
        doings: tuple[tuple[str, dict[str, str | int]], ...] = (
            ("play", {"query": TITLES[0]}),
            ("play", {"query": TITLES[1]}),
            ("nowplaying", {}),
            ("play", {"query": BRIEF, "where": "next"}),
            ("skip", {}),
            ("pause", {}),
            ("resume", {}),
            ("volume", {"percent": 80}),
            ("queue", {}),
            ("play", {"query": TITLES[2]}),
            ("skip", {}),
            ("skip", {}),
            ("help", {}),
            ("stop", {}),
        )
        for number, (name, options) in enumerate(itertools.cycle(doings)):
            with suppress(*COSTS):
                await room.ask(name, number % 2, within=20, **options)
            await asyncio.sleep(PACE)

    # Scripts.

    async def _ask_the_api(self) -> None:
        async with self._caller() as caller:
            for number in itertools.count():
                guild = f"/guilds/{self._rooms[number % ROOMS].guild.id}"
                for path in (
                    f"{guild}/player",
                    f"{guild}/settings",
                    f"{guild}/subscription",
                    "/plans",
                    "/guilds/1/queue",
                ):
                    with suppress(*COSTS):
                        await caller.get(path)
                    await asyncio.sleep(PACE / 5)

    @asynccontextmanager
    async def _caller(self) -> AsyncIterator[Caller]:
        async with (
            Pool(self._system.environ["TONEARM_DATABASE_URL"], timeout=10) as pool,
            httpx.AsyncClient(base_url=self._system.api_url, timeout=20) as http,
        ):
            made = await create_key(pool, "check", ALL_SCOPES, now=datetime.now(UTC))
            yield Caller(http, made.secret)

    # What is rare.

    async def _rare_events(self) -> None:
        for event in (
            self._bad_signatures,
            self._too_many,
            self._sales,
            self._deletions,
            self._broken_tracks,
            self._voice_closed,
            self._database_away,
            self._audio_node_killed,
            self._voice_node_killed,
        ):
            name = event.__name__.strip("_").replace("_", " ")
            try:
                await event()
                self._say(name)
            except COSTS as error:
                self.unseen.append(f"{name}: {error}")
                self._say(self.unseen[-1])

    async def _counted(self, expr: str, why: str) -> None:
        await self._prometheus.until(expr, time.time, SEEN_SECONDS, why)

    async def _rising(self, metric: str, make: Callable[[], Awaitable[None]], why: str) -> None:
        """Let it happen until Prometheus sees an increase: what a series begins with is none.

        Raises:
            TimeoutError: it did not; ``why`` says what was waited for.
        """
        try:
            async with asyncio.timeout(SEEN_SECONDS):
                while not await self._prometheus.at(f"sum(rate({metric}[10s])) > 0", time.time()):
                    await make()
                    await asyncio.sleep(2 * SCRAPE_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"{why} was not seen within {SEEN_SECONDS:g} s") from None

    async def _bad_signatures(self) -> None:
        """At both addresses that Discord signs for."""
        twin = self._system.twin
        body = b'{"type":1,"id":"1","application_id":"1","token":"t","version":1}'
        headers = [*await twin.sign(body), ("Content-Type", "application/json")]
        for _ in range(3):
            await twin.send_raw(body + b" ", headers)
        async with httpx.AsyncClient(base_url=self._system.api_url, timeout=10) as http:
            for _ in range(3):
                await http.post("/webhook-events", content=body + b" ", headers=dict(headers))
        await self._counted("tonearm_signatures_refused_total > 0", "a bad signature")
        await self._counted('tonearm_webhook_receipts_total{outcome="refused"} > 0', "a refused webhook")

    async def _too_many(self) -> None:
        room = self._rooms[0]
        for _ in range(2):
            await asyncio.gather(*(room.say("pause") for _ in range(14)))
        await self._counted('tonearm_limited_total{limiter="user"} > 0', "a refusal of the limiter")

    async def _sales(self) -> None:
        """A trial that is paid for, and an entitlement that begins and ends."""
        twin, sku = self._system.twin, self._system.skus["premium"]
        async with self._caller() as caller:
            for number, room in enumerate(self._rooms[:2]):
                guild = f"/guilds/{room.guild.id}/subscription"
                await caller.post(f"{guild}/trial", {"user_id": str(room.people[0].id)})
                if number:
                    await caller.post(guild, {"plan": "premium"})
        for room in self._rooms[2:4]:
            bought = await twin.create_entitlement(sku, guild=room.guild.id)
        await self._counted("tonearm_receipt_lag_seconds_count > 1", "a webhook that was acted on")
        await twin.change_entitlement(str(bought["id"]), deleted=True)
        await self._counted('tonearm_subscription_events_total{kind="activate"} > 0', "a subscription")
        await self._counted("tonearm_conversions_total > 0", "a trial that was paid for")

    async def _deletions(self) -> None:
        async with self._caller() as caller:
            await caller.post(f"/guilds/{self._rooms[-1].guild.id}/deletions", {})
        await self._counted("tonearm_guild_tasks_total > 0", "a deletion")

    async def _broken_tracks(self) -> None:
        """An address where there is no music."""
        nothing = f"{self._system.environ['TONEARM_DISCORD_API_URL']}/gateway"

        async def play() -> None:
            await self._rooms[0].say("play", 1, query=nothing)

        await self._rising("tonearm_track_errors_total", play, "a track that broke")

    async def _voice_closed(self) -> None:
        """Of all that play; of those that are joined again just now, there is none to be closed."""

        async def close() -> None:
            for room in self._rooms:
                with suppress(TwinError):
                    await room.guild.close_voice(4006)

        await self._rising("tonearm_voice_rejoins_total", close, "a voice connection made anew")

    async def _database_away(self) -> None:
        """A table that somebody holds: who asks for it waits in vain."""
        connection = await asyncpg.connect(self._system.environ["TONEARM_DATABASE_URL"])
        try:
            async with connection.transaction():
                await connection.execute("lock table grants in access exclusive mode")
                await self._counted("tonearm_database_failures_total > 0", "a call that PostgreSQL did not do")
        finally:
            await connection.close()

    async def _audio_node_killed(self) -> None:
        """Both, the second once the first is back: wherever players are, some have to move."""
        for name in self._system.audio_urls:
            await self._system.supervisor.kill(name)
            await self._counted("max by (node) (tonearm_lavalink_up) < 1", "a Lavalink that is down")
            await self._counted("min(max by (node) (tonearm_lavalink_up)) > 0", "a Lavalink that is back")
        await self._counted("tonearm_lavalink_moves_total > 0", "a player that moved")

    async def _voice_node_killed(self) -> None:
        """The other one takes over; it is started again, and gets its part of the shards back."""
        await self._system.supervisor.kill("voice-node")
        await self._counted(f"sum(tonearm_leases) < {SHARDS}", "a shard without an owner")
        await self._counted(f"sum(tonearm_leases) == {SHARDS}", "an owner for each shard")
        await self._counted('count(up{job="voice-node"} == 1) == 2', "two voice nodes")
