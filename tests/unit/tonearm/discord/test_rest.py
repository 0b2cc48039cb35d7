"""The REST client against a real server that misbehaves."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.support.discord_api import DiscordApi, Interaction, deferred
from tonearm.discord import limits, rest
from tonearm.discord.cards import sentence
from tonearm.discord.rest import RestClient, nonce_for
from tonearm.errors import DiscordAway, DiscordError, LeaseLost

SECRET = "aW50ZXJhY3Rpb246c2VjcmV0"
BODY = sentence("Hello.")


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[DiscordApi]:
    monkeypatch.setattr(rest, "BACKOFF", (0.01, 0.02))
    async with DiscordApi() as server:
        server.interactions[SECRET] = Interaction(deferred())
        yield server
        assert server.complaints == []


@pytest.fixture
async def client(api: DiscordApi) -> AsyncIterator[RestClient]:
    async with RestClient(api.url, bot_token="bot-secret", timeout=5) as client:
        yield client


CALLS: dict[str, Callable[[RestClient], Awaitable[object]]] = {
    "GET /webhooks/5/T/messages/@original": lambda client: client.fetch_original(5, SECRET),
    "PATCH /webhooks/5/T/messages/@original": lambda client: client.edit_original(5, SECRET, BODY),
    "DELETE /webhooks/5/T/messages/@original": lambda client: client.delete_original(5, SECRET),
    "POST /webhooks/5/T": lambda client: client.follow_up(5, SECRET, BODY),
    "POST /channels/6/messages": lambda client: client.create_message(6, BODY, nonce="n"),
    "PATCH /channels/6/messages/7": lambda client: client.edit_message(6, 7, BODY),
    "DELETE /channels/6/messages/7": lambda client: client.delete_message(6, 7),
    "GET /applications/@me": lambda client: client.fetch_application(),
    "GET /gateway/bot": lambda client: client.fetch_gateway_bot(),
    "GET /guilds/8/voice-states/9": lambda client: client.fetch_voice_state(8, 9),
    "PUT /applications/5/commands": lambda client: client.put_commands(5, []),
    "PUT /applications/5/guilds/8/commands": lambda client: client.put_commands(5, [], 8),
}


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_asks_for_what_it_says(name: str, api: DiscordApi, client: RestClient) -> None:
    await CALLS[name](client)
    (request,) = api.requests
    assert f"{request.method} {request.path}" == name.replace("/T", f"/{SECRET}")
    assert request.headers["Authorization"] == "Bot bot-secret"
    assert request.headers["User-Agent"].startswith("DiscordBot (")


async def test_commands_are_fetched_with_their_translations(api: DiscordApi, client: RestClient) -> None:
    api.answers["GET", "/applications/5/commands"] = 200, [{"name": "play"}]
    api.answers["GET", "/applications/5/guilds/8/commands"] = 200, []
    assert await client.fetch_commands(5) == [{"name": "play"}]
    assert await client.fetch_commands(5, 8) == []
    assert [request.query for request in api.requests] == [{"with_localizations": "true"}] * 2


async def test_a_client_without_a_bot_token_sends_none(api: DiscordApi) -> None:
    async with RestClient(api.url + "/") as client:
        await client.edit_original(5, SECRET, BODY)
    assert "Authorization" not in api.requests[0].headers


async def test_a_message_is_posted_once_however_often_it_is_sent(api: DiscordApi, client: RestClient) -> None:
    api.faults.append(api.forget)
    nonce = nonce_for("i:1")
    assert await client.create_message(6, BODY, nonce=nonce) == await client.create_message(6, BODY, nonce=nonce)
    assert [request.body["enforce_nonce"] for request in api.requests] == [True] * 3
    assert len(api.posted) == 1


def test_nonces_are_short_derived_and_different() -> None:
    nonces = [nonce_for(f"i:{number}") for number in range(1000)]
    assert len(set(nonces)) == 1000
    assert {len(nonce) <= 25 for nonce in nonces} == {True}
    assert nonce_for("i:1") == nonces[1]


async def test_who_is_in_no_channel(api: DiscordApi, client: RestClient) -> None:
    api.answers["GET", "/guilds/8/voice-states/9"] = 404, {"code": 10065, "message": "Unknown Voice State"}
    assert await client.fetch_voice_state(8, 9) is None
    api.answers["GET", "/guilds/8/voice-states/9"] = 403, {"code": 50001, "message": "Missing Access"}
    with pytest.raises(DiscordError) as caught:
        await client.fetch_voice_state(8, 9)
    assert (caught.value.status, caught.value.code, caught.value.message) == (403, 50001, "Missing Access")
    assert len(api.requests) == 2


async def test_a_refusal_without_words(api: DiscordApi, client: RestClient) -> None:
    api.faults.append(api.status(403, "<html>no</html>"))
    with pytest.raises(DiscordError) as caught:
        await client.fetch_application()
    assert (caught.value.status, caught.value.code) == (403, 0)


@pytest.mark.parametrize("fault", ["502", "503", "drop"])
async def test_a_stumble_is_not_noticed(fault: str, api: DiscordApi, client: RestClient) -> None:
    api.faults.extend([api.drop if fault == "drop" else api.status(int(fault), "<html>")] * 2)
    await client.edit_original(5, SECRET, BODY)
    assert len(api.requests) == 3


async def test_a_fault_that_stays_is_away(api: DiscordApi, client: RestClient) -> None:
    api.faults.extend([api.status(500)] * 9)
    with pytest.raises(DiscordAway) as caught:
        await client.edit_original(5, SECRET, BODY)
    assert "500" in caught.value.detail
    assert len(api.requests) == 1 + len(rest.BACKOFF)


async def test_no_attempt_is_made_for_a_shard_that_was_lost_meanwhile(api: DiscordApi, client: RestClient) -> None:
    api.faults.append(api.status(502))
    looks: list[int] = []

    def check() -> None:
        looks.append(len(api.requests))
        if api.requests:
            raise LeaseLost("another's")

    with pytest.raises(LeaseLost):
        await client.checked(check).edit_message(6, 7, BODY)
    assert looks == [0, 1]
    assert len(api.requests) == 1
    await client.edit_message(6, 7, BODY)
    assert looks == [0, 1]


async def test_a_follow_up_that_may_have_arrived_is_not_sent_again(api: DiscordApi, client: RestClient) -> None:
    api.interactions[SECRET].original = None
    api.faults.append(api.forget)
    with pytest.raises(DiscordAway):
        await client.follow_up(5, SECRET, BODY)
    api.faults.append(api.drop)
    with pytest.raises(DiscordAway):
        await client.follow_up(5, SECRET, BODY)
    assert len(api.requests) == 2
    assert len(api.interactions[SECRET].follow_ups) == 1


async def test_a_hanging_server_costs_one_attempt(
    api: DiscordApi, client: RestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "ATTEMPT", 0.1)
    api.faults.append(api.hang)
    await client.edit_original(5, SECRET, BODY)
    assert len(api.requests) == 2


async def test_no_call_takes_longer_than_it_may(api: DiscordApi, client: RestClient) -> None:
    api.faults.append(api.hang)
    began = time.monotonic()
    with pytest.raises(DiscordAway):
        await client.fetch_application(timeout=0.2)
    assert 0.15 < time.monotonic() - began < 1


async def test_nobody_there_is_away() -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    async with RestClient(f"http://127.0.0.1:{port}", timeout=1) as client:
        with pytest.raises(DiscordAway):
            await client.follow_up(5, SECRET, BODY)


@pytest.mark.parametrize("where", ["header", "body"])
async def test_what_discord_asks_to_wait_is_waited(where: str, api: DiscordApi, client: RestClient) -> None:
    body = {"message": "slow down", "retry_after": 0.2, "global": False} if where == "body" else "<html>"
    headers = {"Retry-After": "1"} if where == "body" else {"Retry-After": "0.2"}
    api.faults.append(api.status(429, body, headers))
    began = time.monotonic()
    await client.edit_message(6, 7, BODY)
    assert 0.2 <= time.monotonic() - began < 0.9
    assert len(api.requests) == 2


async def test_a_wait_that_does_not_fit_is_away_at_once(api: DiscordApi, client: RestClient) -> None:
    api.faults.append(api.status(429, {"retry_after": 60}, {"Retry-After": "60"}))
    began = time.monotonic()
    with pytest.raises(DiscordAway) as caught:
        await client.edit_message(6, 7, BODY)
    assert "60" in caught.value.detail
    # The next call of the same kind knows, and does not even ask; another channel has nothing to do with it.
    with pytest.raises(DiscordAway):
        await client.edit_message(6, 8, BODY)
    assert len(api.requests) == 1
    await client.edit_message(7, 7, BODY)
    assert time.monotonic() - began < 1


async def test_an_empty_bucket_is_waited_for(api: DiscordApi, client: RestClient) -> None:
    used_up = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset-After": "0.2"}
    api.faults.append(api.status(200, {"id": "7"}, used_up))
    await client.edit_message(6, 7, BODY)
    began = time.monotonic()
    await client.edit_message(6, 7, BODY)
    assert time.monotonic() - began >= 0.15


async def test_calls_of_one_bucket_go_one_by_one(api: DiscordApi, client: RestClient) -> None:
    release = asyncio.Event()

    async def hold(_request: object) -> None:
        await release.wait()

    api.faults.append(hold)  # type: ignore[arg-type]
    first = asyncio.create_task(client.edit_message(6, 1, BODY))
    await api.received(1)
    second = asyncio.create_task(client.edit_message(6, 2, BODY))
    await client.edit_message(7, 3, BODY)  # another channel does not wait
    assert [request.path[-1] for request in api.requests] == ["1", "3"]
    release.set()
    await asyncio.gather(first, second)
    assert [request.path[-1] for request in api.requests] == ["1", "3", "2"]


async def test_a_limit_on_everything_holds_everything_but_interactions(api: DiscordApi, client: RestClient) -> None:
    body = {"retry_after": 0.3, "global": True}
    api.faults.append(api.status(429, body, {"Retry-After": "0.3", "X-RateLimit-Scope": "global"}))
    held = asyncio.create_task(client.edit_message(6, 1, BODY))
    await api.received(1)
    other = asyncio.create_task(client.edit_message(7, 2, BODY, timeout=3))
    await client.edit_original(5, SECRET, BODY)
    assert not held.done()
    await asyncio.gather(held, other)
    paths = [request.path for request in api.requests]
    assert paths[1].endswith("@original") or paths[1].endswith("/2")
    assert paths[-1].endswith(("/1", "/2"))


async def test_no_more_than_fifty_a_second(api: DiscordApi, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(limits.asyncio, "sleep", sleep)
    turns = limits.Limits()
    for _ in range(60):
        await turns.global_turn(True)
        await turns.global_turn(False)
    assert len(slept) == pytest.approx(10, abs=1)
    assert slept[-1] == pytest.approx(10 / 50, abs=0.05)


async def test_buckets_that_nobody_waits_for_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "KEPT", 10)
    turns = limits.Limits()
    far = asyncio.get_running_loop().time() + 100
    async with turns.turn("held", far):
        turns.hold("held", 50, everywhere=False)
        for number in range(100):
            async with turns.turn(f"b{number}", far):
                assert len(turns._buckets) <= 11
    with pytest.raises(TimeoutError):
        async with turns.turn("held", asyncio.get_running_loop().time() + 1):
            pass


FAULTS = ["401", "404", "429", "500", "drop", "hang", "nobody", "redirect", "not json"]


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_token_is_in_an_error_or_a_log(
    fault: str, api: DiscordApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(rest, "ATTEMPT", 0.1)
    faults = {
        "drop": api.drop,
        "hang": api.hang,
        "redirect": api.status(302, "", {"Location": "https://elsewhere.example/"}),
        "not json": api.status(200, "hello"),
        "429": api.status(429, {"retry_after": 60}),
    }
    api.faults.extend([faults.get(fault) or api.status(int(fault if fault.isdecimal() else 500))] * 5)
    url = "http://127.0.0.1:1" if fault == "nobody" else api.url
    async with RestClient(url, bot_token="bot-secret", timeout=1) as client:
        with pytest.raises((DiscordAway, DiscordError)) as caught:
            await client.edit_original(5, SECRET, BODY)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in repr(error) + str(error) + str(getattr(error, "detail", "")) + str(error.args)
        assert "bot-secret" not in repr(error)
        error = error.__cause__ or error.__context__
    assert "PATCH /webhooks/{application}/{token}" in str(getattr(caught.value, "detail", "")) + str(caught.value)
    assert SECRET not in caplog.text
    assert "bot-secret" not in caplog.text


async def test_a_token_cannot_change_the_address(api: DiscordApi, client: RestClient) -> None:
    with pytest.raises(DiscordError):
        await client.edit_original(5, "../../channels/6?x=#", BODY)
    assert api.requests[0].path.startswith("/webhooks/5/")
    assert api.requests[0].path.endswith("/messages/@original")


async def test_cancelling_a_call_frees_its_turn(api: DiscordApi, client: RestClient) -> None:
    api.faults.append(api.hang)
    task = asyncio.create_task(client.edit_message(6, 1, BODY))
    await api.received(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await client.edit_message(6, 1, BODY, timeout=2)
