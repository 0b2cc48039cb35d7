"""Commands and buttons, from the signed request to the response."""

import asyncio

import pytest

from tests.support.interactions.outcomes import counted, sent_and_done
from tests.support.interactions.signed import CHANNEL, GUILD, USER, click, command, interaction, send, text_of
from tests.support.interactions.stub_node import answer
from tonearm.jobs.job import CONTROL_VALID_MS, PLAY_VALID_MS
from tonearm.music.actions import Leave, Pause, Play, Resume, Seek, SetVolume, Skip, Stop
from tonearm.music.change import Change, QueueChange, Where
from tonearm.music.player import Player, Playing
from tonearm.music.track import Entry, Track
from tonearm.redis import keys
from tonearm.redis.handover import RECORD_MS
from tonearm.telemetry import ANSWER_SECONDS, HANDOVER_SECONDS

EPHEMERAL = 64


async def test_a_ping_is_answered(http):
    response = await send(http, interaction(1))
    assert (response.status_code, response.json()) == (200, {"type": 1})
    assert response.headers["content-type"] == "application/json"


async def test_a_ping_without_guild_or_user_is_answered_however_old(http):
    ping = interaction(1, age_ms=60_000, guild_id=None, channel_id=None, member=None)
    assert (await send(http, ping)).json() == {"type": 1}


async def test_a_play_becomes_a_job_and_its_answer_the_response(http, node):
    before = counted("play", "inline"), ANSWER_SECONDS._sum.get(), HANDOVER_SECONDS._sum.get()
    sent = command("play", query=" some words ", where="next")
    response, job = await sent_and_done(http, node, sent, answer("found it"))
    assert response.status_code == 200
    assert response.json()["type"] == 4
    assert response.json()["data"]["flags"] == 1 << 15
    assert text_of(response) == "found it"
    assert job.id == f"i:{sent['id']}"
    assert (job.guild, job.user, job.text_channel, job.valid_ms) == (GUILD, USER, CHANNEL, PLAY_VALID_MS)
    assert job.action == Play("some words", Where.NEXT)
    assert (job.reply.token, job.reply.private, job.reply.component) == (sent["token"], False, False)
    assert counted("play", "inline") == before[0] + 1
    assert ANSWER_SECONDS._sum.get() > before[1]
    assert HANDOVER_SECONDS._sum.get() > before[2]


@pytest.mark.parametrize(
    ("sent", "action"),
    [
        (command("play", query="x"), Play("x", Where.END)),
        (command("pause"), Pause()),
        (command("resume"), Resume()),
        (command("skip"), Skip()),
        (command("stop"), Stop()),
        (command("leave"), Leave()),
        (command("volume", percent=30), SetVolume(30)),
        (command("seek", to="1:30"), Seek(90_000)),
        (click("v1:pause:abc"), Pause("abc")),
        (click("v1:resume:abc"), Resume("abc")),
        (click("v1:skip:abc"), Skip("abc")),
        (click("v1:stop:abc:wanted"), Stop("abc")),
    ],
)
async def test_what_changes_something_is_a_job(http, node, sent, action):
    sent["id"] = command("x")["id"]
    response, job = await sent_and_done(http, node, sent)
    is_click = sent["type"] == 3
    assert job.action == action
    assert job.valid_ms == (PLAY_VALID_MS if isinstance(action, Play) else CONTROL_VALID_MS)
    assert job.reply.component is is_click
    assert response.json()["type"] == (7 if is_click else 4)


async def test_the_trace_of_the_request_goes_with_the_job(http, node):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    _, job = await asyncio.gather(send(http, command("pause"), traceparent=trace), node.do_one())
    assert job.trace == trace


async def test_a_private_answer_to_a_click_is_a_message_of_its_own(http, node):
    response, _ = await sent_and_done(http, node, click("v1:skip:abc"), answer("over", private=True))
    assert response.json()["type"] == 4
    assert response.json()["data"]["flags"] & EPHEMERAL


# Sentences.


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (command("unheard"), "I don't know this command any more"),
        (command("pause", speed=3), "I don't know this command any more"),
        (command("play"), "I don't know this command any more"),
        (command("play", query="   "), "Tell me what to play"),
        (command("play", query="x" * 501), "Use at most 500 characters."),
        (command("play", query=7), "The value of `query` doesn't fit"),
        (command("play", query="x", where="never"), "The value of `where` doesn't fit: there is no such choice."),
        (command("volume", percent=201), "The volume goes from 0 to 200."),
        (command("volume", percent=-1), "The volume goes from 0 to 200."),
        (command("volume", percent=True), "The value of `percent` doesn't fit"),
        (command("queue", page=0), "The value of `page` doesn't fit: at least 1."),
        (click("v1:dance:abc"), "This button belongs to an older player."),
        (click("v0:pause:abc"), "This button belongs to an older player."),
        (click("v1:pause"), "This button belongs to an older player."),
        (click("v1:pause:"), "This button belongs to an older player."),
        (click("v1:pause:a b"), "This button belongs to an older player."),
        (click("v1:page:0"), "This button belongs to an older player."),
        (click("v1:page:x"), "This button belongs to an older player."),
        (click("💥"), "This button belongs to an older player."),
        (interaction(2, {"name": "pause", "type": 1}, guild_id=None), "Use this command in a server."),
        (interaction(2, {"name": "pause", "type": 3}), "I don't know this command any more"),
        (interaction(5, {"custom_id": "form", "components": []}), "I don't know this command any more"),
    ],
)
async def test_what_can_not_be_is_a_private_sentence(http, node, redis_client, sent, said):
    sent["id"] = command("x")["id"]
    response = await send(http, sent)
    assert response.status_code == 200
    assert response.json()["type"] == 4
    assert response.json()["data"]["flags"] & EPHEMERAL
    assert said in text_of(response)
    assert await redis_client.xlen(keys.jobs(0)) == 0


async def test_without_a_voice_node_nothing_is_done_and_said_so(http):
    before = counted("pause", "refused")
    response = await send(http, command("pause"))
    assert text_of(response).startswith("No player is running at the moment")
    assert counted("pause", "refused") == before + 1


async def test_autocomplete_is_answered_without_choices(http):
    asked = interaction(4, {"name": "play", "type": 1, "options": [{"name": "query", "type": 3, "value": "x"}]})
    assert (await send(http, asked)).json() == {"type": 8, "data": {"choices": []}}


async def test_a_fault_of_our_own_is_a_sentence_too(http, node, monkeypatch, caplog):
    async def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(http.app.state.memory, "hand_over", broken)
    sent = command("pause")
    response = await send(http, sent)
    assert response.status_code == 200
    assert text_of(response).endswith(f"tell the operator: {sent['id']}")
    assert "ZeroDivisionError" in caplog.text


# What only reads.


@pytest.fixture
async def playing(node):
    entries = tuple(Entry(f"q:{n}", Track("e", f"Waiting {n}", length_ms=60_000), USER) for n in range(25))
    track = Track("e", "The current one", "Somebody", 180_000)
    player = Player(voice_channel=4, playing=Playing("abc", Entry("e", track, USER), 0, 0, 0), last_play="abc")
    await node.put(GUILD, Change(player, "play", queue=QueueChange(append=entries)))


async def test_the_queue_is_shown_privately_from_redis(http, playing, redis_client):
    response = await send(http, command("queue"))
    shown = response.json()
    assert shown["type"] == 4
    assert shown["data"]["flags"] & EPHEMERAL
    assert "Waiting 0" in text_of(response)
    assert "Waiting 10" not in text_of(response)
    assert await redis_client.xlen(keys.jobs(0)) == 0


async def test_a_page_of_the_queue(http, playing):
    assert "Waiting 20" in text_of(await send(http, command("queue", page=3)))


async def test_turning_a_page_changes_the_message_with_the_button(http, playing):
    response = await send(http, click("v1:page:2"))
    assert response.json()["type"] == 7
    assert not response.json()["data"]["flags"] & EPHEMERAL
    assert "Waiting 10" in text_of(response)


async def test_what_plays_is_shown_with_buttons_that_we_know(http, playing, node):
    response = await send(http, command("nowplaying"))
    assert response.json()["data"]["flags"] & EPHEMERAL
    assert "The current one" in text_of(response)
    buttons = [
        button["custom_id"]
        for part in response.json()["data"]["components"][0]["components"]
        if part["type"] == 1
        for button in part["components"]
    ]
    assert buttons == ["v1:pause:abc", "v1:skip:abc", "v1:stop:abc"]
    for custom_id in buttons:
        _, job = await sent_and_done(http, node, click(custom_id))
        assert job.action.play == "abc"


async def test_help_names_every_command(http):
    response = await send(http, command("help"))
    assert response.json()["data"]["flags"] & EPHEMERAL
    for name in ("play", "pause", "resume", "skip", "stop", "leave", "volume", "queue", "nowplaying", "help"):
        assert f"`/{name}`" in text_of(response)


# The process.


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_it_is_alive_and_ready_by_itself(serving, path):
    async with serving("redis://127.0.0.1:1", listening=False) as http:
        assert (await http.get(path)).status_code == 200


async def test_metrics_are_shown(http):
    await send(http, interaction(1))
    response = await http.get("/metrics")
    assert 'tonearm_interactions_total{command="ping",outcome="answered"}' in response.text


async def test_a_shard_count_that_is_not_the_others_ends_it(serving, redis_url, node):
    fatal = []
    async with serving(redis_url, listening=False, shard_count=3, app_options={"on_fatal": fatal.append}) as http:
        response = await send(http, command("pause"))
    assert text_of(response).startswith("No player is running")
    assert {str(error) for error in fatal} == {
        "TONEARM_SHARD_COUNT is 3 here, but Redis was set up with 1. Set it to the same number in every process."
    }


async def test_records_outlive_the_interaction(http, node, redis_client):
    sent = command("pause")
    await sent_and_done(http, node, sent)
    assert await redis_client.pttl(keys.record(0, f"i:{sent['id']}")) > RECORD_MS - 10_000


async def test_it_hears_again_after_its_connection_was_cut(http, node, redis_client, monkeypatch):
    replies = http.app.state.replies
    stands, noticed = replies._listening, asyncio.Event()
    clear = stands.clear
    monkeypatch.setattr(stands, "clear", lambda: (clear(), noticed.set()))
    await redis_client.client_kill_filter(_type="pubsub")
    await noticed.wait()
    await replies.wait_until_listening()
    response, _ = await sent_and_done(http, node, command("pause"), answer("heard again"))
    assert text_of(response) == "heard again"
