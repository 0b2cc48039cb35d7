"""A guild's actor on a real Valkey, with doubles for Discord and Lavalink."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import AsyncMock, create_autospec

import msgspec
import pytest
import redis.asyncio

from playground.stores.postgres import Postgres
from tests.support.metrics import counts, value
from tests.support.scenes import HERE, loaded
from tests.support.voice_nodes import GUILD, SHARD, Called, hand_over, make_job, metric, running
from tonearm.cache import Terms, TermsCache
from tonearm.errors import LeaseLost, Refused
from tonearm.jobs.job import Reply, decode_answer
from tonearm.music.actions import AnyAction, Pause, Play, SetVolume, Skip, Stop
from tonearm.music.change import Where
from tonearm.music.events import Disconnected, Moved, TrackOver
from tonearm.music.guild_settings import GuildSettings
from tonearm.music.player import Player
from tonearm.postgres.guild_settings import save_guild_settings
from tonearm.postgres.migrate import migrate
from tonearm.postgres.pool import Pool
from tonearm.redis import guilds, keys
from tonearm.sentences import Sentence
from voice_nodes import actor as module
from voice_nodes import judging
from voice_nodes.actor import GuildActor
from voice_nodes.announcer import Announcer
from voice_nodes.gateway import Gateway
from voice_nodes.intake import Intake
from voice_nodes.lavalink import Sound
from voice_nodes.lease import Lease

SOUND, MISSED = "tonearm_sound_seconds_count", "tonearm_sounds_missed_total"
Redis = redis.asyncio.Redis
numbers = itertools.count(1)


class World:
    """One guild: an intake that wakes its actor as a shard does."""

    def __init__(self, client: Redis[Any], lease: Lease) -> None:
        self.redis, self.lease = client, lease
        self.gateway = create_autospec(Gateway, instance=True)
        self.gateway.fetch_caller_channel = AsyncMock(return_value=HERE)
        self.sound = create_autospec(Sound, instance=True)
        self.sound.link.return_value = None
        self.sound.fetch_tracks = AsyncMock(side_effect=lambda query, guild: loaded(query))
        self.sound.join = AsyncMock()
        self.announcer = create_autospec(Announcer, instance=True)
        self.announcer.run = AsyncMock(side_effect=asyncio.Event().wait)
        self.deferred: list[str] = []
        self.actor: GuildActor | None = None
        self.ended = 0
        self.gateway.is_alone.return_value = False
        self.terms: TermsCache | None = None
        self.tasks: asyncio.TaskGroup
        self.commits = Called(guilds.commit)

    def wake(self) -> GuildActor:
        if self.actor is None:
            self.actor = GuildActor(
                GUILD,
                shard=SHARD,
                redis=self.redis,
                lease=self.lease,
                gateway=self.gateway,
                sound=self.sound,
                announcer=self.announcer,
                on_deferred=self.deferred.append,
                on_end=self._end,
                terms=self.terms,
            )
            self.tasks.create_task(self.actor.run())
        return self.actor

    def _end(self) -> None:
        self.actor = None
        self.ended += 1

    async def run(self) -> None:
        async with asyncio.TaskGroup() as self.tasks:
            intake = Intake(self.redis, SHARD, "me", lambda received: self.wake().submit(received))
            self.tasks.create_task(intake.run())

    async def do(self, action: AnyAction, *, valid_ms: int = 60_000, window_ms: int = 0) -> str:
        """Have it done; the words of its answer."""
        name = f"i:{next(numbers)}"
        before = len(self.commits.results)
        reply = Reply(5, "token", "reply:x")
        await hand_over(self.redis, make_job(name, action, reply=reply, valid_ms=valid_ms), window_ms=window_ms)
        await self.commits.times(before + 1)
        answer = await self.redis.hget(keys.record(SHARD, name), "answer")
        assert answer is not None
        return bytes(decode_answer(answer).message).decode()

    async def view(self) -> guilds.GuildView:
        return await guilds.fetch_view(self.redis, SHARD, GUILD)


@pytest.fixture
async def world(redis_client: Redis[Any], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    lease = await Lease.attempt(redis_client, SHARD, "me")
    assert lease is not None
    world = World(redis_client, lease)
    monkeypatch.setattr(guilds, "commit", world.commits)
    async with running(world.run()):
        yield world


def said(sentence: str, answer: str) -> bool:
    return msgspec.json.encode(sentence).decode()[1:-1] in answer


async def test_jobs_are_done_in_order_and_counted(world: World) -> None:
    done = metric("tonearm_jobs_total", kind="play", outcome="done")
    await world.do(Play("one"))
    await world.do(Play("two"))
    view = await world.view()
    assert view.player.playing is not None
    assert (view.player.playing.entry.track.title, view.queue_length) == ("one", 1)
    assert metric("tonearm_jobs_total", kind="play", outcome="done") == done + 2
    assert len(world.deferred) == 2


async def playing(world: World) -> str:
    """The current play."""
    playing = (await world.view()).player.playing
    assert playing is not None
    return playing.play


async def test_the_first_sound_of_a_play_is_measured_from_its_hand_over(world: World) -> None:
    await world.do(Play("one"))
    assert world.actor is not None
    with counts(SOUND, 0):
        world.actor.first_sound.heard("another play")
        await world.do(Play("two"))  # which waits in the queue
    first = await playing(world)
    before = value("tonearm_sound_seconds_sum")
    with counts(SOUND):
        for _ in range(2):  # Lavalink tells of it once more where it goes on elsewhere
            world.actor.first_sound.heard(first)
    assert 0 <= value("tonearm_sound_seconds_sum") - before < 60
    with counts(SOUND, 0), counts(MISSED, 0):  # what follows in the queue was not asked for just now
        world.actor.submit(TrackOver(first))
        await world.do(SetVolume(50))
        world.actor.first_sound.heard(await playing(world))
        await world.do(Play("three", Where.NOW))  # which takes the place of what is heard
        world.actor.first_sound.heard(await playing(world))


async def test_a_sound_that_never_came_is_missed_unless_somebody_stopped_it(world: World) -> None:
    await world.do(Play("one"))
    assert world.actor is not None
    with counts(MISSED), counts(SOUND, 0):
        over = len(world.commits.results) + 1
        world.actor.submit(TrackOver(await playing(world), failed=True))
        await world.commits.times(over)
    await world.do(Play("two"))
    with counts(MISSED, 0):
        await world.do(Stop())


async def test_listeners_are_those_where_it_plays(world: World) -> None:
    world.gateway.company.return_value = 3
    await world.do(Play("one"))
    assert world.actor is not None
    assert world.actor.listeners == 3
    await world.do(Stop())
    assert world.actor.listeners == 0


async def test_a_refusal_is_answered_and_changes_nothing(world: World) -> None:
    assert said(Sentence.NOT_CONNECTED, await world.do(Stop()))
    assert not await world.redis.exists(keys.player(SHARD, GUILD))


async def test_the_caller_is_looked_for_before_the_tracks(world: World) -> None:
    world.gateway.fetch_caller_channel.return_value = None
    assert said(Sentence.NOT_IN_VOICE, await world.do(Play("one")))
    world.gateway.fetch_caller_channel.return_value = HERE
    world.gateway.require_entry.side_effect = Refused(Sentence.NO_SPEAK, channel=HERE)
    assert said(Sentence.NO_SPEAK.format(channel=HERE), await world.do(Play("one")))
    world.sound.fetch_tracks.assert_not_called()


async def test_a_job_that_comes_again_has_one_effect(world: World) -> None:
    again = metric("tonearm_jobs_total", kind="play", outcome="again")
    await world.do(Play("one"))
    entry = {"j": msgspec.json.encode(make_job(f"i:{next(numbers) - 1}", Play("one")))}
    await world.redis.xadd(keys.jobs(SHARD), entry)  # type: ignore[arg-type]
    await world.commits.times(2)
    await world.do(SetVolume(50))
    assert (await world.view()).queue_length == 0
    assert metric("tonearm_jobs_total", kind="play", outcome="again") == again + 1


async def test_what_comes_too_late_is_not_done(world: World) -> None:
    world.lease._offset_ms += 30_000
    answer = await world.do(Play("one"), valid_ms=20_000)
    assert said("Not done: the player was away for", answer)
    assert (await world.view()).player.playing is None


async def test_an_unexpected_error_is_a_sentence_and_the_next_job_works(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "RETRY_AFTER", (0.0, 0.0, 0.0))
    world.sound.fetch_tracks.side_effect = RuntimeError("a bug")
    assert said(Sentence.INTERNAL.value.partition("{")[0], await world.do(Play("one")))
    world.sound.fetch_tracks.side_effect = lambda query, guild: loaded(query)
    await world.do(Play("two"))
    assert (await world.view()).player.playing is not None


async def test_events_of_a_play_that_is_over_are_dropped_and_counted(world: World) -> None:
    await world.do(Play("one"))
    await world.do(Play("two"))
    first = (await world.view()).player.playing
    assert first is not None
    dropped = metric("tonearm_events_dropped_total", kind="TrackOver")
    for _ in range(2):
        world.wake().submit(TrackOver(first.play))
    await world.wake().finished()
    view = await world.view()
    assert view.player.playing is not None
    assert (view.player.playing.entry.track.title, view.queue_length) == ("two", 0)
    assert metric("tonearm_events_dropped_total", kind="TrackOver") == dropped + 1


async def test_who_is_moved_or_taken_out_is_where_discord_says(world: World) -> None:
    await world.do(Play("one"))
    world.wake().submit(Moved(99, "moved:1"))
    await world.wake().finished()
    assert (await world.view()).player.voice_channel == 99
    world.wake().submit(Disconnected(99, "join:1"))
    await world.wake().finished()
    assert (await world.view()).player.voice_channel is None
    world.announcer.say.assert_called_once_with(Sentence.JOIN_FAILED.format(channel=99), "join:1")


async def test_a_lost_lease_ends_the_actor(world: World) -> None:
    await world.redis.hset(keys.lease(SHARD), "token", "1")
    actor = GuildActor(
        GUILD,
        shard=SHARD,
        redis=world.redis,
        lease=world.lease,
        gateway=world.gateway,
        sound=world.sound,
        announcer=world.announcer,
        on_deferred=world.deferred.append,
        on_end=lambda: None,
    )
    actor.submit(Moved(99, "moved:1"))
    actor._view = guilds.GuildView(player=msgspec.structs.replace(actor._view.player, voice_channel=1))
    await guilds.fetch_view(world.redis, SHARD, GUILD)
    state = b'{"voice_channel":1}'
    await world.redis.hset(keys.player(SHARD, GUILD), "state", state)  # type: ignore[arg-type]
    with pytest.raises(ExceptionGroup) as group:
        await asyncio.wait_for(actor.run(), 10)
    assert group.group_contains(LeaseLost)


async def test_an_idle_actor_ends_and_no_job_is_lost(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    for _ in range(30):
        assert said(Sentence.NOT_CONNECTED, await world.do(Skip()))
    assert world.ended > 0
    await world.do(Play("one"))
    assert (await world.view()).player.playing is not None


async def test_what_comes_while_it_ends_is_done(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IDLE_SECONDS", 0.0)
    done = asyncio.Event()

    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            if not done.is_set():
                done.set()
                job = make_job("i:late", Pause())
                await hand_over(world.redis, job)
                entries = await world.redis.xrange(keys.jobs(SHARD))
                assert len(entries) <= 1

    world.announcer.run.side_effect = slow_to_end
    world.wake()
    async with asyncio.timeout(10):
        await done.wait()
        await world.commits.times(1)


async def test_the_first_player_has_the_volume_that_the_guild_set(
    world: World, postgres: Postgres, postgres_url: str
) -> None:
    await migrate(postgres_url)
    async with Pool(postgres_url, timeout=5) as pool:
        world.terms = TermsCache(world.redis, pool, shard_count=1)
        await save_guild_settings(pool, GUILD, GuildSettings(default_volume=40))
        await world.do(Play("one"))
        assert (await world.view()).player.volume == 40
        await world.do(SetVolume(70))
        assert (await world.view()).player.volume == 70


async def test_a_database_that_is_away_stops_no_music(world: World) -> None:
    async with Pool("postgresql://nobody@127.0.0.1:1/none") as pool:
        world.terms = TermsCache(world.redis, pool, shard_count=1)
        await world.do(Play("one"))
    assert (await world.view()).player.volume == 100


class Known(TermsCache):
    """A guild whose settings are known."""

    def __init__(self, settings: GuildSettings, *, known: bool = True) -> None:
        self.terms = Terms(settings, known=known)

    async def fetch(self, guild: int) -> Terms:
        return self.terms


async def left(world: World, what: str) -> list[str]:
    """Wait until the player is nowhere; what the log says."""
    async with asyncio.timeout(10):
        while True:
            seen = len(world.commits.results)
            if (await world.view()).player.voice_channel is None:
                break
            await world.commits.times(seen + 1)
    logged = await world.redis.lrange(keys.log(SHARD, GUILD), 0, -1)
    return [word for entry in logged if (word := msgspec.json.decode(entry)["what"]) == what]


async def test_alone_for_as_long_as_the_guild_has_set_it_leaves_and_says_so(world: World) -> None:
    world.terms = Known(GuildSettings(alone_seconds=1))
    await world.do(Play("one"))
    assert (await world.view()).player.alone_at_ms is None
    world.gateway.is_alone.return_value = True
    world.wake().settle("company")
    await world.commits.times(2)
    player = (await world.view()).player
    assert player.alone_at_ms is not None
    assert abs(player.alone_at_ms - world.lease.now_ms() - 1_000) < 500
    assert await left(world, "left alone") == ["left alone"]
    (said_text, nonce), _ = world.announcer.say.call_args
    assert said_text == Sentence.LEFT_ALONE.format(channel=HERE)
    assert nonce == f"t:{GUILD}:alone:{player.alone_at_ms}"


async def test_who_comes_back_in_time_is_company(world: World) -> None:
    world.terms = Known(GuildSettings(alone_seconds=600))
    world.gateway.is_alone.return_value = True
    await world.do(Play("one"))
    assert (await world.view()).player.alone_at_ms is not None
    world.gateway.is_alone.return_value = False
    world.wake().settle("company")
    await world.commits.times(2)
    assert (await world.view()).player.alone_at_ms is None


@pytest.mark.parametrize("alone", [True, False])
async def test_a_timer_that_fell_due_while_nobody_owned_the_guild_fires_once(
    world: World, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    monkeypatch.setattr("voice_nodes.timers.START_SECONDS", 0)
    world.gateway.is_alone.return_value = alone
    late = Player(HERE, 21, volume=50, last_play="abc", alone_at_ms=world.lease.now_ms() - 60_000)
    state = msgspec.json.encode(late)
    await world.redis.hset(keys.player(SHARD, GUILD), mapping={"state": state, "play": ""})
    world.terms = Known(GuildSettings(idle_seconds=0 if not alone else 600))
    world.wake()
    assert await left(world, "left alone") == (["left alone"] if alone else [])


@pytest.mark.parametrize(("known", "kept"), [(True, 20), (False, 22)])
async def test_as_many_tracks_are_remembered_as_the_plan_allows(world: World, known: bool, kept: int) -> None:
    world.terms = Known(GuildSettings(), known=known)
    for number in range(23):
        await world.do(Play(f"{number}", Where.NOW))
    assert await world.redis.llen(keys.history(SHARD, GUILD)) == kept


async def test_what_the_plan_forbids_is_a_sentence_of_the_gate(world: World) -> None:
    await world.do(Play("one"))
    answer = await world.do(SetVolume(150))
    assert "**Premium**" in answer
    assert (await world.view()).player.volume == 100
