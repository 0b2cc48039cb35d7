"""How long an answer is waited for, and what each delivery of an interaction gets of it."""

import asyncio
import json

import pytest

from tests.support.interactions.outcomes import counted, sent_and_done
from tests.support.interactions.signed import click, command, send, sign, text_of
from tests.support.interactions.stub_node import answer
from tonearm.music.actions import Pause
from tonearm.redis import keys


async def test_after_the_response_nothing_is_owed(http, node, redis_client):
    sent = command("pause")
    await sent_and_done(http, node, sent)
    assert await redis_client.zcard(keys.outbox(0)) == 0
    assert await redis_client.hexists(keys.record(0, f"i:{sent['id']}"), "reply") == 0


async def test_without_a_window_everything_is_deferred(redis_url, node, serving, redis_client):
    async with serving(redis_url, inline_reply_ms=0) as http:
        for sent, body in (
            (command("play", query="x"), {"type": 5}),
            (click("v1:pause:abc"), {"type": 6}),
        ):
            assert (await send(http, sent)).json() == body
            assert await redis_client.hget(keys.record(0, f"i:{sent['id']}"), "deferred") == b"1"


@pytest.fixture
def windows(monkeypatch):
    """How long each job's answer was to be waited for, in ms."""
    found = []

    def watch(http):
        memory = http.app.state.memory
        hand_over = memory.hand_over

        async def noted(job, window_ms):
            found.append(window_ms)
            return await hand_over(job, window_ms)

        monkeypatch.setattr(memory, "hand_over", noted)
        return found

    return watch


async def test_while_no_answer_could_be_heard_it_is_deferred_at_once(redis_url, node, serving, monkeypatch, windows):
    async def deaf(self):
        await asyncio.Event().wait()

    monkeypatch.setattr("interactions.replies.Replies.run", deaf)
    async with serving(redis_url, inline_reply_ms=2_000, listening=False) as http:
        waited = windows(http)
        assert (await send(http, command("pause"))).json() == {"type": 5}
        assert (await node.take())[1].action == Pause()
        assert waited == [0]


async def test_a_lost_publication_is_claimed_at_the_end_of_the_window(redis_url, node, serving, redis_client):
    async with serving(redis_url, inline_reply_ms=600) as http:
        http.app.state.replies.hear = lambda message: None
        response, _ = await sent_and_done(http, node, command("pause"), answer("claimed"))
        assert text_of(response) == "claimed"
        assert await redis_client.zcard(keys.outbox(0)) == 0


async def test_an_answer_that_does_not_come_is_deferred_and_owed(redis_url, node, serving, redis_client):
    async with serving(redis_url, inline_reply_ms=30) as http:
        before = counted("pause", "deferred")
        assert (await send(http, command("pause"))).json() == {"type": 5}
        assert counted("pause", "deferred") == before + 1
        entry, job = await node.take()
        assert (await node.commit(entry, job, answer())).deferred


async def test_a_window_never_reaches_beyond_what_discord_waits_for(redis_url, node, serving, windows):
    async with serving(redis_url, inline_reply_ms=2_000) as http:
        waited = windows(http)
        assert (await send(http, command("pause", age_ms=2_250))).json() == {"type": 5}
        await asyncio.gather(send(http, command("pause", age_ms=1_200)), node.do_one(), node.do_one())
        assert waited[0] == 0
        assert 0 < waited[1] <= 1_000


async def test_an_interaction_that_came_too_late_does_nothing(http, node, redis_client):
    before = counted("pause", "void")
    response = await send(http, command("pause", age_ms=2_900))
    assert response.json()["type"] == 4
    assert text_of(response) == "This reached me 2 s late, so nothing was done. Please try again."
    assert counted("pause", "void") == before + 1
    assert await redis_client.xlen(keys.jobs(0)) == 0


async def test_two_deliveries_at_once_get_one_effect_and_the_same_answer(http, node, redis_client):
    sent = command("play", query="x")
    before = counted("play", "seen")
    first, second, _ = await asyncio.gather(send(http, sent), send(http, sent), node.do_one(answer("same")))
    assert text_of(first) == text_of(second) == "same"
    assert await redis_client.xlen(keys.jobs(0)) == 0
    assert counted("play", "seen") == before + 1


async def test_a_later_delivery_gets_the_answer_of_the_first(http, node, redis_client):
    sent = command("play", query="x")
    await sent_and_done(http, node, sent, answer("once"))
    assert text_of(await send(http, sent)) == "once"
    assert await redis_client.xlen(keys.jobs(0)) == 0


async def test_an_answer_to_a_later_delivery_leaves_what_is_owed_to_the_first(http, node, redis_client):
    """Discord shows one response: perhaps the first, which was a sentence as Redis had broken off."""
    sent = command("play", query="x")
    gone = {"type": "http.disconnect"}
    body = json.dumps(sent).encode()
    messages = [{"type": "http.request", "body": body}, gone]

    async def receive():
        return messages.pop(0)

    async def into_nothing(message):
        pass

    headers = [(name.lower().encode(), value.encode()) for name, value in sign(body).items()]
    scope = {"type": "http", "method": "POST", "path": "/interactions", "headers": headers, "query_string": b""}
    await asyncio.gather(http.app(scope, receive, into_nothing), node.do_one(answer("once")))
    assert text_of(await send(http, sent)) == "once"
    assert await redis_client.zcard(keys.outbox(0)) == 1


async def test_a_later_delivery_of_what_was_deferred_is_deferred(redis_url, node, serving, redis_client):
    async with serving(redis_url, inline_reply_ms=20) as http:
        sent = command("play", query="x")
        assert [(await send(http, sent)).json() for _ in range(2)] == [{"type": 5}] * 2
        assert await redis_client.xlen(keys.jobs(0)) == 1


async def test_another_process_waits_for_the_same_answer(http, redis_url, node, serving):
    sent = command("play", query="x")
    async with serving(redis_url, inline_reply_ms=100) as other:
        first = asyncio.create_task(send(http, sent))
        entry, job = await node.take()
        second = asyncio.create_task(send(other, sent))
        assert (await second).json() == {"type": 5}  # its window was shorter
        assert (await node.commit(entry, job, answer("first's"))).deferred
        assert text_of(await first) == "first's"


async def test_a_caller_who_is_gone_keeps_the_answer_owed(http, node, redis_client):
    """The response is written nowhere, so it may not count as delivered."""
    body = json.dumps(command("pause")).encode()
    headers = [(name.lower().encode(), value.encode()) for name, value in sign(body).items()]
    messages = [{"type": "http.request", "body": body}, {"type": "http.disconnect"}]

    async def receive():
        return messages.pop(0)

    async def into_nothing(message):
        pass

    scope = {"type": "http", "method": "POST", "path": "/interactions", "headers": headers, "query_string": b""}
    await asyncio.gather(http.app(scope, receive, into_nothing), node.do_one())
    assert await redis_client.zcard(keys.outbox(0)) == 1


async def test_of_two_deliveries_at_once_the_deferred_one_gets_its_edit(http, serving, redis_url, node, redis_client):
    sent = command("pause")
    inline = asyncio.create_task(send(http, sent))
    entry, job = await node.take()
    async with serving(redis_url, inline_reply_ms=0) as other:  # as one that can't hear answers just now
        assert (await send(other, sent)).json() == {"type": 5}
    await node.commit(entry, job, answer("done"))
    assert text_of(await inline) == "done"
    assert await redis_client.zrange(keys.outbox(0), 0, -1) == [job.id.encode()]
