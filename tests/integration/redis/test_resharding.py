"""Changing the number of shards on a real Valkey: everything of every guild is there afterwards, whatever happens."""

import itertools

import msgspec
import pytest

from tests.support.interactions.stub_node import answer
from tonearm.errors import Refused, SettingsError, StartFailed
from tonearm.jobs.job import DeadLetter, Job, Reply, decode_job
from tonearm.music.actions import Pause
from tonearm.music.change import Change, QueueChange
from tonearm.music.player import Player
from tonearm.music.track import Entry, Track
from tonearm.redis import answers, dead, guilds, keys, lease, members
from tonearm.redis.handover import Limit, hand_over
from tonearm.redis.resharding import reshard
from tonearm.redis.shards import agree_on_shard_count
from tonearm.sentences import Sentence

FREE = Limit(1, 1_000_000)
GUILDS = [number << 22 | 12345 for number in range(8)]
REPLY = Reply(1, "token", "reply:here")


def entry(name: str) -> Entry:
    return Entry(name, Track("x", name), 7)


class World:
    """An installation as its voice nodes leave it."""

    def __init__(self, redis, count: int) -> None:
        self.redis = redis
        self.count = count
        self.tokens: dict[int, str] = {}

    async def fill(self) -> None:
        await agree_on_shard_count(self.redis, self.count)
        for shard in range(self.count):
            token = await lease.take(self.redis, shard, "me")
            assert token is not None
            self.tokens[shard] = token
            await self.redis.xgroup_create(keys.jobs(shard), keys.JOB_GROUP, id="0", mkstream=True)
            await self.redis.hset(keys.sessions(shard), "gateway", "{}")
        for number, guild in enumerate(GUILDS):
            await self.queue(guild, number)
        # Answers that are owed, jobs that wait (some in hand), and jobs that were given up, in turns.
        for step, guild in itertools.product(range(2), GUILDS):
            await self.give(guild, f"i:{step}{guild}")
        for guild in GUILDS[::2]:
            await self.owe(guild)
        for guild in GUILDS:
            letter = DeadLetter(f"a:{guild}", guild, "why", 5, Job(f"a:{guild}", guild, 7, 9, Pause(), 1))
            await self.redis.xadd(keys.dead(self.shard(guild)), {"d": msgspec.json.encode(letter)})
        for shard in range(self.count):
            await self.redis.xreadgroup(keys.JOB_GROUP, "me", {keys.jobs(shard): ">"}, count=2)
            await lease.release(self.redis, shard, self.tokens[shard])

    def shard(self, guild: int) -> int:
        return keys.shard_of(guild, self.count)

    async def queue(self, guild: int, number: int) -> None:
        await guilds.commit(
            self.redis,
            shard=self.shard(guild),
            guild=guild,
            token=self.tokens[self.shard(guild)],
            id=f"e:{guild}",
            now_ms=0,
            before=guilds.GuildView(Player()),
            change=Change(
                Player(voice_channel=guild + 1 if number % 2 else None, volume=number),
                "queue",
                queue=QueueChange(append=tuple(entry(f"{guild}:{n}") for n in range(5 + number))),
                played=entry(f"played {guild}"),
            ),
        )

    async def give(self, guild: int, name: str) -> None:
        job = Job(name, guild, guild, 9, Pause(), 60_000, REPLY)
        await hand_over(self.redis, job, shard_count=self.count, window_ms=0, guild_limit=FREE, user_limit=FREE)

    async def owe(self, guild: int) -> None:
        shard, name = self.shard(guild), f"i:owed{guild}"
        await self.give(guild, name)
        found = await self.redis.xrevrange(keys.jobs(shard), count=1)
        await guilds.commit(
            self.redis,
            shard=shard,
            guild=guild,
            token=self.tokens[shard],
            id=name,
            now_ms=0,
            before=guilds.GuildView(Player()),
            stream_entry=found[0][0].decode(),
            answer=answer(f"for {guild}"),
            reply=REPLY,
        )


async def everything(redis, count: int) -> dict[object, object]:
    """All that there is of every guild, by the ways on which it is read, and not by where it lies."""
    found: dict[object, object] = {}
    for shard in range(count):
        for one in await guilds.fetch_active(redis, shard):
            assert keys.shard_of(one, count) == shard
            found["active", one] = True
        waiting: dict[int, list[tuple[bytes, str]]] = {}
        ids = [entry_id for entry_id, _ in await redis.xrange(keys.jobs(shard))]
        assert ids == sorted(ids, key=lambda each: tuple(map(int, each.split(b"-"))))
        for entry_id, fields in await redis.xrange(keys.jobs(shard)):
            job = decode_job(fields[b"j"])
            assert keys.shard_of(job.guild, count) == shard
            waiting.setdefault(job.guild, []).append((entry_id.split(b"-")[0], job.id))
        found.update({("jobs", guild): jobs for guild, jobs in waiting.items()})
        for owed in await answers.fetch_owed(redis, shard, 10**15, most=1_000):
            found["owed", owed.job] = owed
        for kept in await dead.fetch_dead(redis, shard):
            assert keys.shard_of(kept.letter.guild, count) == shard
            found["dead", kept.letter.id] = kept.letter
    for guild in GUILDS:
        shard = keys.shard_of(guild, count)
        found["queue", guild] = await guilds.fetch_queue(redis, shard, guild, most=1_000)
        found["history", guild] = await redis.lrange(keys.history(shard, guild), 0, -1)
        found["log", guild] = await redis.lrange(keys.log(shard, guild), 0, -1)
        found["waiting", guild] = await redis.smembers(keys.waiting(shard, guild))
        assert await redis.pttl(keys.waiting(shard, guild)) > 0
    return found


async def names(redis) -> set[bytes]:
    return set(await redis.keys("*"))


@pytest.mark.parametrize(("before", "to"), [(2, 4), (4, 2), (1, 3), (3, 2), (2, 2)])
async def test_everything_is_there_afterwards_and_nothing_twice(redis_client, before, to):
    await World(redis_client, before).fill()
    there = await everything(redis_client, before)
    assert len(there) > 50
    await reshard(redis_client, to)
    assert await everything(redis_client, to) == there
    assert await redis_client.get(keys.SHARD_COUNT) == str(to).encode()
    for name in await names(redis_client):
        assert not name.endswith(b":next")
        if b":g:" in name:
            shard, guild = int(name[2 : name.index(b"}")]), int(name.split(b":")[2])
            assert keys.shard_of(guild, to) == shard
        assert b":sessions" not in name


async def test_there_and_back_is_as_before(redis_client):
    await World(redis_client, 2).fill()
    there = await everything(redis_client, 2)
    for to in (4, 3, 2):
        await reshard(redis_client, to)
    assert await everything(redis_client, 2) == there


class Torn(Exception):
    """The process ends here."""


class Tearing:
    """A client that ends after so many commands."""

    def __init__(self, client, after: int) -> None:
        self.left = after
        one = client.execute_command

        async def execute_command(*args, **options):
            if self.left == 0:
                raise Torn
            self.left -= 1
            return await one(*args, **options)

        client.execute_command = execute_command
        self.mend = lambda: client.__dict__.pop("execute_command")


@pytest.mark.parametrize(("before", "to"), [(2, 4), (4, 2)])
async def test_broken_off_anywhere_and_begun_again(redis_client, before, to):
    world = World(redis_client, before)
    await world.fill()
    there = await everything(redis_client, before)
    torn = 0
    for after in itertools.count(0, 37):
        tearing = Tearing(redis_client, after)
        try:
            await reshard(redis_client, to)
            break
        except Torn:
            torn += 1
        finally:
            tearing.mend()
    assert torn > 3
    assert await everything(redis_client, to) == there
    assert not [name for name in await names(redis_client) if name.endswith(b":next") or name == keys.RESHARDING]


async def test_it_refuses_while_a_voice_node_runs_and_leaves_all_as_it_was(redis_client):
    await World(redis_client, 2).fill()
    there = await everything(redis_client, 2)
    token = await lease.take(redis_client, 1, "somebody")
    with pytest.raises(StartFailed, match="shard 1 has an owner"):
        await reshard(redis_client, 4)
    await lease.release(redis_client, 1, token)
    await members.beat(redis_client, members.Member("node-1", 0))
    with pytest.raises(StartFailed, match="node-1"):
        await reshard(redis_client, 4)
    await members.forget(redis_client, "node-1")
    assert await everything(redis_client, 2) == there
    await agree_on_shard_count(redis_client, 2)
    assert await lease.take(redis_client, 0, "me") is not None


async def test_no_voice_node_starts_or_takes_a_shard_meanwhile(redis_client):
    await World(redis_client, 2).fill()
    tearing = Tearing(redis_client, 100)
    with pytest.raises(Torn):
        await reshard(redis_client, 4)
    tearing.mend()
    for count in (2, 4):
        with pytest.raises(SettingsError, match="reshard --to 4"):
            await agree_on_shard_count(redis_client, count)
    for shard in range(4):
        assert await lease.take(redis_client, shard, "me") is None
    with pytest.raises(SettingsError, match="reshard --to 4"):
        await reshard(redis_client, 8)
    await reshard(redis_client, 4)
    await agree_on_shard_count(redis_client, 4)
    for shard in range(4):
        assert await lease.take(redis_client, shard, "me") is not None


async def test_who_still_counts_as_before_can_hand_nothing_over(redis_client):
    await World(redis_client, 2).fill()
    await reshard(redis_client, 4)
    for shard in range(4):
        await lease.take(redis_client, shard, "me")
    job = Job("i:new", GUILDS[2], 7, 9, Pause(), 60_000, REPLY)
    with pytest.raises(Refused) as refused:
        await hand_over(redis_client, job, shard_count=2, window_ms=0)
    assert refused.value.sentence is Sentence.NO_PLAYER
    await hand_over(redis_client, job, shard_count=4, window_ms=0)


async def test_where_no_voice_node_has_run_there_is_nothing_to_do(redis_client):
    with pytest.raises(SettingsError, match="TONEARM_SHARD_COUNT"):
        await reshard(redis_client, 4)
    assert await names(redis_client) == set()
