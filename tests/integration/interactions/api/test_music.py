"""Music by script: a job like any other, done by whoever owns the shard."""

import asyncio
from datetime import timedelta

import msgspec
import pytest

from interactions.api.resources.events import EventStream
from tests.support.api.serving import CHANNEL, GUILD, NOW, OTHER, USER, make_caller, problem, serving
from tests.support.scenes import busy, entry, track
from tonearm.jobs.job import WHERE_IT_PLAYS, Result, encode
from tonearm.music.actions import Pause, Play, Seek, SetVolume
from tonearm.music.change import Change, QueueChange, Queued
from tonearm.redis import guilds, keys
from tonearm.redis.results import fetch_log
from tonearm.telemetry import API_STREAMS

WISH = {"guild_id": str(GUILD), "actor": str(USER)}
PLAY = {**WISH, "voice_channel_id": str(CHANNEL), "query": "a song"}


async def plays(node) -> None:
    """The guild plays, and three tracks wait."""
    waiting = QueueChange(append=tuple(entry(name) for name in "abc"))
    await node.put(GUILD, Change(busy(voice_channel=CHANNEL), "play", queue=waiting))


async def end(node, result: Result):
    """The next job ends so."""
    name, job = await node.take()
    await guilds.commit(
        node.redis,
        shard=0,
        guild=job.guild,
        token=node.token,
        id=job.id,
        now_ms=0,
        before=await guilds.fetch_view(node.redis, 0, job.guild),
        stream_entry=name,
        user=job.user,
        result=result,
        result_to=job.result_to,
    )
    return job


async def test_a_job_is_handed_over_and_its_end_is_there_for_an_hour(caller, node, redis_client):
    answer = await caller.post("/music/play", PLAY)
    assert (answer.status_code, answer.json()["status"]) == (202, "queued")
    address = answer.headers["location"].removeprefix("/api/v1")
    assert (await caller.get(address)).json() == answer.json()
    told = Queued((track("a song"),), 4)
    job = await end(node, Result("done", told=msgspec.Raw(encode(told))))
    assert (job.action, job.user, job.voice_channel) == (Play("a song"), USER, CHANNEL)
    assert job.id == "a:" + answer.json()["id"]
    ended = (await caller.get(address)).json()
    assert (ended["status"], ended["queue_position"]) == ("done", 4)
    assert [each["title"] for each in ended["tracks"]] == ["a song"]
    life = await redis_client.pttl(keys.record(0, job.id))
    assert 3_500_000 < life <= 3_600_000
    assert problem(await caller.get(address.replace(str(GUILD), str(OTHER)))) == "not-found"


async def test_who_prefers_to_wait_gets_the_end(caller, node):
    await plays(node)
    asking = asyncio.create_task(caller.post("/music/pause", WISH, Prefer="respond-async, wait=2"))
    job = await end(node, Result("refused", "nothing_playing", "Nothing is playing."))
    answer = await asking
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=2")
    assert (answer.json()["status"], answer.json()["code"]) == ("refused", "nothing_playing")
    assert answer.json()["detail"] == "Nothing is playing."
    assert (job.action, job.voice_channel) == (Pause(), WHERE_IT_PLAYS)


async def test_the_same_wish_is_one_job_even_where_the_answer_was_lost(caller, node, pool, redis_client):
    await plays(node)
    first = await caller.post("/music/volume", {**WISH, "volume": 30}, Idempotency_Key="wish-0001")
    assert (await end(node, Result("done"))).action == SetVolume(30)
    await pool.execute("delete from idempotency")  # as after a crash between the job and its answer
    again = await caller.post("/music/volume", {**WISH, "volume": 30}, Idempotency_Key="wish-0001")
    assert again.json()["id"] == first.json()["id"]
    assert (again.status_code, again.json()["status"]) == (200, "done")
    assert await redis_client.xlen(keys.jobs(0)) == 0


async def test_a_seek_carries_its_position(caller, node):
    await plays(node)
    assert (await caller.post("/music/seek", {**WISH, "position_ms": 90_000})).status_code == 202
    assert (await node.take())[1].action == Seek(90_000)
    for wrong in (-1, 1.5, "90000", 2**53):
        assert problem(await caller.post("/music/seek", {**WISH, "position_ms": wrong})) == "invalid"


@pytest.mark.parametrize("what", ["pause", "resume", "skip", "stop"])
async def test_without_a_channel_the_bots_own_is_meant_and_without_one_nothing_is(caller, node, what):
    refused = await caller.post(f"/music/{what}", WISH)
    assert (refused.status_code, problem(refused)) == (409, "not-connected")
    await plays(node)
    assert (await caller.post(f"/music/{what}", WISH)).status_code == 202
    assert (await node.take())[1].voice_channel == WHERE_IT_PLAYS


async def test_nobody_is_there_to_do_it(caller, redis_client):
    refused = await caller.post("/music/play", PLAY)
    assert (refused.status_code, problem(refused)) == (503, "player-away")
    assert "retry-after" in refused.headers


async def test_too_many_wait(caller, node):
    answers = [await caller.post("/music/play", {**PLAY, "actor": str(n)}) for n in range(1, 22)]
    assert [each.status_code for each in answers] == [202] * 20 + [429]
    assert problem(answers[-1]) == "too-many-requests"


async def test_a_key_for_other_guilds_is_refused_by_the_body(api, pool, node):
    bound = await make_caller(api, pool, ["music:*"], guilds=[OTHER])
    assert problem(await bound.post("/music/play", PLAY)) == "guild-not-allowed"


@pytest.mark.parametrize(
    "wish",
    [
        {**PLAY, "query": ""},
        {**PLAY, "query": "   "},
        {**PLAY, "query": "x" * 501},
        {**PLAY, "where": "first"},
        {**PLAY, "guild_id": GUILD},
        {**PLAY, "colour": "red"},
        WISH,
    ],
)
async def test_what_does_not_fit_is_refused(caller, wish):
    assert problem(await caller.post("/music/play", wish)) == "invalid"


async def test_the_player_and_its_queue(caller, node):
    empty = (await caller.get(f"/guilds/{GUILD}/player")).json()
    assert (empty["playing"], empty["voice_channel_id"], empty["queue_length"]) == (None, None, 0)
    await plays(node)
    player = (await caller.get(f"/guilds/{GUILD}/player")).json()
    assert (player["voice_channel_id"], player["queue_length"]) == (str(CHANNEL), 3)
    assert player["playing"]["track"]["title"] == "now"
    assert "encoded" not in player["playing"]["track"]
    first = await caller.get(f"/guilds/{GUILD}/queue?limit=2")
    assert [(each["position"], each["track"]["title"]) for each in first.json()["data"]] == [(1, "a"), (2, "b")]
    rest = await caller.get(first.headers["link"].split(">")[0].removeprefix("</api/v1"))
    assert [(each["position"], each["track"]["title"]) for each in rest.json()["data"]] == [(3, "c")]
    assert rest.json()["next_cursor"] is None
    assert "link" not in rest.headers


def events(answer) -> list[str]:
    return [line.removeprefix("id: ") for line in answer.text.splitlines() if line.startswith("id: ")]


async def test_events_go_on_after_the_last_one_that_was_seen(caller, node, redis_client):
    for n in range(3):
        await plays(node) if n == 0 else await node.put(GUILD, Change(busy(voice_channel=CHANNEL), f"step{n}"))
    all_of_them = [each.id for each in await _log(redis_client)]
    answer = await caller.get(f"/guilds/{GUILD}/events", Last_Event_ID=all_of_them[0])
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events(answer) == all_of_them[1:]
    assert '"type":"step2"' in answer.text
    assert events(await caller.get(f"/guilds/{GUILD}/events")) == []
    lost = await caller.get(f"/guilds/{GUILD}/events", Last_Event_ID="e:long-ago")
    assert lost.text.count("event: reset") == 1
    assert events(lost) == []


async def _log(redis):
    return await fetch_log(redis, 0, GUILD, last=100)


async def test_what_happens_during_a_stream_is_told(database_url, redis_url, pool, node):
    async with serving(database_url, redis_url, stream_seconds=1.5) as http:
        caller = await make_caller(http, pool)
        asking = asyncio.create_task(caller.get(f"/guilds/{GUILD}/events"))
        async with asyncio.timeout(5):
            while not API_STREAMS._value.get():  # noqa: ASYNC110 - a gauge wakes nobody
                await asyncio.sleep(0)
        await plays(node)
        answer = await asking
    assert events(answer) == [each.id for each in await _log(node.redis)]
    assert (answer.text.count("event: player"), answer.text.count("event: reset")) == (1, 0)
    assert API_STREAMS._value.get() == 0


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_a_stream_ends_with_its_key(database_url, redis_url, pool, node, clock, end):
    async with serving(database_url, redis_url, clock=clock, stream_seconds=60) as http:
        bound = await make_caller(http, pool, ["music:read"], expires_at=NOW + timedelta(hours=1))
        boss = await make_caller(http, pool)
        asking = asyncio.create_task(bound.get(f"/guilds/{GUILD}/events"))
        async with asyncio.timeout(5):
            while not API_STREAMS._value.get():  # noqa: ASYNC110 - a gauge wakes nobody
                await asyncio.sleep(0)
        if end == "revoked":
            assert (await boss.ask("DELETE", f"/keys/{bound.key.id}")).status_code == 204
        else:
            clock.now = NOW + timedelta(hours=1)
        async with asyncio.timeout(5):
            assert (await asking).status_code == 200
        assert problem(await bound.get(f"/guilds/{GUILD}/events")) == "unauthenticated"
    assert API_STREAMS._value.get() == 0


async def test_where_nothing_can_be_streamed_it_says_so(database_url, redis_url, pool):
    async with serving(database_url, redis_url, stream_seconds=0) as http:
        refused = await (await make_caller(http, pool)).get(f"/guilds/{GUILD}/events")
    assert (refused.status_code, problem(refused)) == (501, "no-streams")


async def test_one_key_takes_not_all_streams(database_url, redis_url, pool, node, monkeypatch):
    monkeypatch.setattr("interactions.api.resources.events.MOST_OF_A_KEY", 2)
    path = f"/guilds/{GUILD}/events"
    async with serving(database_url, redis_url, stream_seconds=1) as http:
        greedy, other = await make_caller(http, pool), await make_caller(http, pool)
        answers = await asyncio.gather(*(greedy.get(path) for _ in range(5)), other.get(path))
        assert sorted(each.status_code for each in answers[:5]) == [200, 200, 429, 429, 429]
        assert answers[5].status_code == 200
        assert API_STREAMS._value.get() == 0
        assert (await greedy.get(path)).status_code == 200


async def test_who_asks_for_the_headers_of_a_stream_gets_no_stream(database_url, redis_url, pool, node):
    async with serving(database_url, redis_url, stream_seconds=60) as http:
        caller = await make_caller(http, pool)
        async with asyncio.timeout(5):
            answer = await caller.ask("HEAD", f"/guilds/{GUILD}/events")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


async def test_who_does_not_read_holds_no_stream_for_good():
    async def body():
        yield b"unread"

    began = asyncio.Event()

    async def send(message):
        began.set()
        await asyncio.Event().wait()

    stream = EventStream("key", body(), 0.1)
    scope = {"type": "http", "method": "GET", "asgi": {"spec_version": "2.4"}}
    async with asyncio.timeout(5):
        answering = asyncio.create_task(stream(scope, asyncio.Event().wait, send))
        await began.wait()
        assert API_STREAMS._value.get() == 1
        await answering
    assert API_STREAMS._value.get() == 0
