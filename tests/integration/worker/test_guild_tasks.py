"""Exports, imports and deletions on a real database, Valkey and bucket; the player's owner does what real ones do."""

import asyncio
import secrets
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import msgspec
import pytest

from tests.support.interactions.stub_node import StubNode
from tonearm.aws.places import AREAS, export_key, upload_key
from tonearm.aws.store import Store
from tonearm.guild_data.document import read_document
from tonearm.guild_data.tasks import Deletion, Export, Import, TaskKind, TaskState
from tonearm.jobs.job import DeadLetter, Result, decode_job, encode
from tonearm.music.actions import Scene
from tonearm.music.change import Change, QueueChange
from tonearm.music.guild_settings import GuildSettings
from tonearm.music.player import Player, Playing
from tonearm.music.track import Entry, Track
from tonearm.postgres import grants, guild_tasks
from tonearm.postgres.guild_settings import fetch_guild_settings, save_guild_settings
from tonearm.premium.grants import Event, Source
from tonearm.premium.plans import FREE, PRO
from tonearm.premium.states import Kind
from tonearm.redis import guilds, keys, lease
from tonearm.sentences import Sentence
from tonearm.worker.desk import _entries
from tonearm.worker.guild_tasks import AGAIN_AFTER, KEPT, LEASE, PATIENCE, Clerk

GUILD, OTHER, VOICE, TEXT = 7 << 22, 8 << 22, 11, 12
CHANGED = GuildSettings(default_volume=80, alone_seconds=5, always_on=True)


def entry(n: int, user: int = 1) -> Entry:
    return Entry(f"e{n}", Track(f"QAAA{n}", f"Song {n}", "Somebody", 1_000 + n, f"https://x/{n}"), user)


class Owner(StubNode):
    """Does jobs as a voice node does: what the action makes of the scene is committed, and how it ended is kept."""

    plan = PRO
    away = 0

    async def take(self):
        """The next job, however long that takes."""
        while True:
            found = await self.redis.xreadgroup(keys.JOB_GROUP, "stub", {keys.jobs(0): ">"}, count=1, block=1_000)
            for taken, fields in _entries(found):
                return taken.decode(), decode_job(fields[b"j"])

    async def do_one(self, said=None):
        taken, job = await self.take()
        view = await guilds.fetch_view(self.redis, 0, job.guild)
        here = job.voice_channel or view.player.voice_channel
        scene = Scene(
            job.id,
            job.user,
            1_000,
            1_000,
            job.text_channel,
            view.player,
            view.queue_length,
            view.first,
            here,
            plan=self.plan,
        )
        change = None
        try:
            if self.away:
                self.away -= 1
                result = Result("refused", "sound_away", str(Sentence.SOUND_AWAY.value))
            else:
                change = job.action.apply(scene)
                result = Result("done", told=msgspec.Raw(msgspec.json.encode(change.outcome)))
        except Exception as refusal:
            result = Result("refused", refusal.sentence.name.lower(), str(refusal))
        await guilds.commit(
            self.redis,
            shard=0,
            guild=job.guild,
            token=self.token,
            id=job.id,
            now_ms=1_000,
            before=view,
            change=change,
            stream_entry=taken,
            user=job.user,
            result=result,
            result_to=job.result_to,
        )
        return job


@pytest.fixture
async def store(bucket):
    """The bucket."""
    async with Store(bucket) as store:
        yield store


@pytest.fixture
async def owner(redis_client):
    """Owns shard 0 of 1, and does what comes."""
    owner = Owner(redis_client)
    await owner.own()
    doing = asyncio.create_task(owner.do_all())
    yield owner
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)


@pytest.fixture
def clerk(pool, redis_client, cache, store, clock):
    """A worker's clerk."""
    return Clerk(pool, redis_client, cache, store, shard_count=1, base=PRO, clock=clock)


async def play_something(node, waiting: int = 3) -> None:
    player = Player(VOICE, TEXT, Playing("p1", entry(0, 5), 0, 0, 0), last_play="p1")
    queue = QueueChange(append=tuple(entry(n) for n in range(1, waiting + 1)))
    await node.put(GUILD, Change(player, "play", queue=queue, played=entry(99)))


async def ask(clerk, kind, work, *, guild=GUILD, upload=False):
    id = f"{kind[:3]}_{secrets.token_hex(12)}"
    until = clerk.clock() + timedelta(hours=1) if upload else None
    return await guild_tasks.add(clerk.pool, id, kind, guild, work, now=clerk.clock(), upload_until=until)


async def done(clerk, task):
    """Let the clerk work, and see what became of it."""
    assert await clerk.work()
    return await guild_tasks.fetch(clerk.pool, task.id, task.guild, task.kind)


async def exported(clerk, guild=GUILD):
    return await done(clerk, await ask(clerk, TaskKind.EXPORT, Export(), guild=guild))


async def waiting(client, guild=GUILD) -> list[str]:
    _, _, found = await guilds.fetch_queue(client, 0, guild, most=10_000)
    return [each.track.title for each in found]


@asynccontextmanager
async def nobody_there(owner):
    await owner.redis.delete(keys.lease(0))
    yield
    owner.token = ""
    owner.token = await lease.take(owner.redis, 0, "stub", life_ms=60_000)


async def test_an_export_has_all_of_a_guild_behind_a_link(clerk, store, owner, pool):
    await play_something(owner, 1_200)
    await save_guild_settings(pool, GUILD, CHANGED)
    await grants.start_trial(pool, GUILD, "discord:1", now=clerk.clock())
    task = await exported(clerk)
    assert task.state is TaskState.DONE
    assert task.expires_at == clerk.clock() + KEPT
    link = await store.link_to_get(export_key(GUILD, task.id), seconds=60, name="x.json")
    async with httpx.AsyncClient() as http:
        raw = (await http.get(link)).content
    assert len(raw) == task.work.size
    document = read_document(raw)
    assert document.guild_settings() == CHANGED
    assert (document.player.voice_channel_id, document.player.playing.requested_by) == (str(VOICE), "5")
    assert [part.track.title for part in document.queue] == [f"Song {n}" for n in range(1, 1_201)]
    assert [part.track.title for part in document.history] == ["Song 99"]
    assert [part.what for part in document.log] == ["play"]
    assert [part.kind for part in document.events] == ["start_trial"]
    assert [part.payer for part in document.grants] == ["discord:1"]


async def test_a_deleted_guild_comes_back_from_its_export_and_plays(clerk, store, owner, pool, redis_client):
    await play_something(owner, 450)
    await save_guild_settings(pool, GUILD, CHANGED)
    export = await exported(clerk)
    raw = await store.get(export_key(GUILD, export.id), most=10**7)
    assert (await done(clerk, await ask(clerk, TaskKind.DELETION, Deletion()))).state is TaskState.DONE
    upload = await ask(clerk, TaskKind.IMPORT, Import("x", len(raw), VOICE), upload=True)
    await store.put("x", raw)
    assert not await clerk.work(), "it waits for its file"
    assert await guild_tasks.start(pool, upload.id, GUILD, clerk.clock())
    task = await done(clerk, upload)
    assert (task.state, task.work.tracks_restored, task.work.tracks_left_out) == (TaskState.DONE, 451, 0)
    assert await store.get("x", most=1) is None, "what was sent has served"
    assert await fetch_guild_settings(pool, GUILD) == CHANGED
    view = await guilds.fetch_view(redis_client, 0, GUILD)
    assert (view.player.voice_channel, view.player.playing.entry.track.title) == (VOICE, "Song 0")
    assert view.player.playing.entry.user == 5
    assert await waiting(redis_client) == [f"Song {n}" for n in range(1, 451)]


async def test_an_import_without_a_channel_waits_behind_what_is_there(clerk, owner, redis_client):
    await play_something(owner)
    export = await exported(clerk)
    await owner.put(GUILD, Change(Player(), "x", queue=QueueChange(clear=True, append=(entry(7),))))
    task = await done(clerk, await ask(clerk, TaskKind.IMPORT, Import(export_key(GUILD, export.id))))
    assert task.work.tracks_restored == 4
    assert (await guilds.fetch_view(redis_client, 0, GUILD)).player.playing is None
    assert await waiting(redis_client) == ["Song 7", "Song 0", "Song 1", "Song 2", "Song 3"]


async def test_what_the_plan_does_not_allow_is_left_out_and_said(clerk, owner, pool, redis_client):
    await play_something(owner, 600)
    await save_guild_settings(pool, GUILD, msgspec.structs.replace(CHANGED, default_volume=150))
    export = await exported(clerk)
    await owner.put(GUILD, Change(Player(), "x", queue=QueueChange(clear=True)))
    clerk.base = owner.plan = FREE
    task = await done(clerk, await ask(clerk, TaskKind.IMPORT, Import(export_key(GUILD, export.id))))
    assert (task.work.tracks_restored, task.work.tracks_left_out) == (500, 101)
    assert [note[:10] for note in task.work.notes] == ["The volume", "The plan *", "The queue "]
    assert await fetch_guild_settings(pool, GUILD) == GuildSettings(alone_seconds=5)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"[]", "The file does not fit: Expected `object`, got `array`."),
        (b"no", "The file is not JSON."),
        (b'{"format": "other", "version": 1}', "The file is no export of Tonearm."),
        (b'{"format": "tonearm-guild", "version": 2}', "The file has the version 2; version 1 can be read here."),
    ],
)
async def test_a_file_that_is_no_export_restores_nothing(clerk, store, owner, redis_client, raw, said):
    await store.put(upload_key(GUILD, "u"), raw)
    task = await done(clerk, await ask(clerk, TaskKind.IMPORT, Import(upload_key(GUILD, "u"), len(raw))))
    assert (task.state, task.detail) == (TaskState.FAILED, said)
    assert await store.list_keys("imports", GUILD) == []
    assert await waiting(redis_client) == []


async def test_a_file_that_is_missing_or_has_another_size_restores_nothing(clerk, store):
    task = await done(clerk, await ask(clerk, TaskKind.IMPORT, Import("nothing", 3)))
    assert (task.state, task.detail[:17]) == (TaskState.FAILED, "There is no file:")
    await store.put("more", b"{}" * 1_000)
    task = await done(clerk, await ask(clerk, TaskKind.IMPORT, Import("more", 3)))
    assert (task.state, task.detail) == (TaskState.FAILED, "The file has not the 3 bytes that were announced.")


async def test_a_deletion_leaves_nothing_but_what_was_granted_and_nothing_of_others_goes(
    clerk, store, owner, pool, redis_client
):
    for guild in (GUILD, OTHER):
        await save_guild_settings(pool, guild, CHANGED)
        await exported(clerk, guild)
        for stream in (0, keys.stream_of(guild)):
            await redis_client.xadd(keys.dead(stream), {"d": encode(DeadLetter(f"i:{guild}", guild, "x", 1))})
    await play_something(owner)
    await grants.start_trial(pool, GUILD, "discord:1", now=clerk.clock())
    task = await done(clerk, await ask(clerk, TaskKind.DELETION, Deletion()))
    assert task.state is TaskState.DONE
    left = [key.decode() async for key in redis_client.scan_iter(f"*:g:{GUILD}:*")]
    assert [key for key in left if not key.endswith((":terms", ":limit", ":limit:0"))] == []
    assert await redis_client.smembers(keys.active(0)) == set()
    assert await fetch_guild_settings(pool, GUILD) == GuildSettings()
    assert [await store.list_keys(area, GUILD) for area in AREAS] == [[], [], []]
    assert await guild_tasks.fetch_page(pool, GUILD, TaskKind.EXPORT) == ()
    assert [grant.id for grant in await grants.fetch_grants(pool, GUILD)] == [f"trial:{GUILD}"]
    assert await fetch_guild_settings(pool, OTHER) == CHANGED
    assert len(await store.list_keys("exports", OTHER)) == 1
    for stream in (0, keys.stream_of(OTHER)):
        assert [fields[b"d"] for _, fields in await redis_client.xrange(keys.dead(stream))] != []
    clerk.clock.forward(days=7)
    again = await done(clerk, await ask(clerk, TaskKind.DELETION, Deletion(with_subscription=True)))
    assert (again.state, again.work) == (TaskState.DONE, Deletion(with_subscription=True))
    assert await grants.fetch_grants(pool, GUILD) == ()
    assert await grants.fetch_events(pool, GUILD) == ()


@pytest.mark.parametrize("begins_in", [-1, 1])
async def test_a_deletion_keeps_what_was_bought_since_it_was_asked_for(clerk, owner, pool, clock, begins_in):
    await grants.start_trial(pool, GUILD, "discord:1", now=clock())
    clock.forward(days=30)
    task = await ask(clerk, TaskKind.DELETION, Deletion(with_subscription=True))
    bought = Event("paid", Kind.ACTIVATE, clock(), PRO.id, starts_at=clock() + timedelta(days=begins_in))
    await grants.record(pool, GUILD, Source.STRIPE, "sub", bought, now=clock())
    ended = await done(clerk, task)
    assert (ended.state, ended.work) == (TaskState.DONE, Deletion(with_subscription=False))
    assert {grant.source for grant in await grants.fetch_grants(pool, GUILD)} == {Source.TRIAL, Source.STRIPE}


async def test_an_import_that_is_started_while_all_is_deleted_comes_after_that(clerk, store, owner, pool, clock):
    await play_something(owner)
    raw = await store.get(export_key(GUILD, (await exported(clerk)).id), most=10**7)
    upload = await ask(clerk, TaskKind.IMPORT, Import(upload_key(GUILD, "u"), len(raw)), upload=True)
    await ask(clerk, TaskKind.DELETION, Deletion())
    deletion = await guild_tasks.claim(pool, clock(), lease=LEASE)
    assert await guild_tasks.start(pool, upload.id, GUILD, clock())
    assert not await clerk.work(), "another worker deletes"
    clock.forward(seconds=LEASE.total_seconds())
    assert (await done(clerk, deletion)).state is TaskState.DONE
    await store.put(upload_key(GUILD, "u"), raw)
    assert (await done(clerk, upload)).work.tracks_restored == 4


async def test_a_deletion_waits_for_a_voice_node_and_needs_no_bucket(clerk, owner, pool, clock):
    await save_guild_settings(pool, GUILD, CHANGED)
    clerk.store = None
    task = await ask(clerk, TaskKind.DELETION, Deletion())
    async with nobody_there(owner):
        assert (await done(clerk, task)).state is TaskState.QUEUED
        assert not await clerk.work(), "it is put off"
        assert await fetch_guild_settings(pool, GUILD) == CHANGED
    clock.forward(seconds=AGAIN_AFTER[0].total_seconds())
    assert (await done(clerk, task)).state is TaskState.DONE
    assert await fetch_guild_settings(pool, GUILD) == GuildSettings()


async def test_an_import_that_found_the_sound_away_restores_each_track_once(clerk, owner, redis_client, clock):
    await play_something(owner, 250)
    export = await exported(clerk)
    await owner.put(GUILD, Change(Player(), "x", queue=QueueChange(clear=True)))
    task = await ask(clerk, TaskKind.IMPORT, Import(export_key(GUILD, export.id)))
    owner.away = 1
    assert (await done(clerk, task)).state is TaskState.QUEUED
    clock.forward(minutes=2)
    assert (await done(clerk, task)).work.tracks_restored == 251
    assert await waiting(redis_client) == [f"Song {n}" for n in range(251)]


async def test_an_export_is_tried_for_half_an_hour(clerk, moto, bucket, clock):
    task = await ask(clerk, TaskKind.EXPORT, Export())
    async with Store("no-such-bucket") as clerk.store:
        assert (await done(clerk, task)).state is TaskState.QUEUED
        clock.forward(seconds=PATIENCE.total_seconds() + 1)
        ended = await done(clerk, task)
    assert (ended.state, "NoSuchBucket" in ended.detail) == (TaskState.FAILED, True)


async def test_tasks_of_one_guild_are_done_in_order_and_those_of_others_at_once(clerk, clock):
    first = await ask(clerk, TaskKind.EXPORT, Export())
    await ask(clerk, TaskKind.EXPORT, Export())
    other = await ask(clerk, TaskKind.EXPORT, Export(), guild=OTHER)
    taken = [await guild_tasks.claim(clerk.pool, clock(), lease=timedelta(minutes=1)) for _ in range(3)]
    assert {task and task.id for task in taken} == {first.id, other.id, None}


async def test_what_is_over_is_deleted_from_the_bucket_and_forgotten_later(clerk, store, owner, pool, clock):
    export = await exported(clerk)
    upload = await ask(clerk, TaskKind.IMPORT, Import(upload_key(GUILD, "u"), 2), upload=True)
    await store.put(upload_key(GUILD, "u"), b"{}")
    assert await clerk.expire() == 0
    clock.forward(days=7)
    assert await clerk.expire() == 2
    assert await clerk.expire() == 0
    assert [await store.list_keys(area, GUILD) for area in AREAS] == [[], [], []]
    states = [(await guild_tasks.fetch(pool, task.id, GUILD, task.kind)).state for task in (export, upload)]
    assert states == [TaskState.EXPIRED, TaskState.EXPIRED]
    clock.forward(days=31)
    await clerk.expire()
    assert await guild_tasks.fetch_page(pool, GUILD, TaskKind.EXPORT) == ()
