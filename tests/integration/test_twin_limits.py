"""Limits of the twin as clients meet them: identify, session starts, REST, compression."""

import asyncio
import importlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from playground.twin.actors import TwinClient, TwinError
from playground.twin.app import Twin
from tests.support.twin import Api, RawGateway, running_twin

World = tuple[Twin, TwinClient]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with running_twin() as (twin, client):
        yield twin, client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def api(world: World, http: aiohttp.ClientSession) -> Api:
    return Api(http, world[0].about())


async def get(http: aiohttp.ClientSession, twin: Twin, path: str, token: str | None = None) -> aiohttp.ClientResponse:
    about = twin.about()
    headers = {"Authorization": f"Bot {token or about['bot_token']}"}
    async with http.get(about["api_url"] + path, headers=headers) as response:
        await response.read()
        return response


# Identify


async def identify(http: aiohttp.ClientSession, twin: Twin, shard: int, count: int) -> tuple[RawGateway, int]:
    """A client process of one shard; returns it with the op that answers its IDENTIFY."""
    gateway = await RawGateway(http, twin.about()).open()
    data = {"token": twin.about()["bot_token"], "intents": 1, "shard": [shard, count], "properties": {}}
    await gateway.send(2, data)
    return gateway, (await gateway.next())["op"]


async def test_each_bucket_of_shards_identifies_once_in_five_seconds(world: World, http: aiohttp.ClientSession) -> None:
    twin, client = world
    await client.configure(identify_interval=60.0, max_concurrency=2)
    answers = [await identify(http, twin, shard, 6) for shard in (0, 1, 2, 3)]
    assert [op for _, op in answers] == [0, 0, 9, 9]
    refused = [entry["data"]["bucket"] for entry in await client.log(name="identify_limited")]
    assert refused == [0, 1]
    await client.configure(identify_interval=0.0)
    answers += [await identify(http, twin, shard, 6) for shard in (2, 3, 4, 5, 2)]
    assert [op for _, op in answers[4:]] == [0] * 5
    assert sorted(each["shard"] for each in await client.sessions()) == [0, 1, 2, 2, 3, 4, 5]
    # What was refused may be sent again on the same connection.
    again = answers[2][0]
    await again.identify(shard=(2, 6))
    for gateway, _ in answers:
        await gateway.ws.close()


async def test_clients_of_several_shards_live_side_by_side(world: World, http: aiohttp.ClientSession) -> None:
    twin, client = world
    guilds = [await client.create_guild(f"G{shard}", shard=shard, shard_count=3) for shard in range(3)]
    gateways = [await RawGateway(http, twin.about()).open() for _ in range(3)]
    for shard, gateway in enumerate(gateways):
        ready = await gateway.identify(shard=(shard, 3))
        assert [each["id"] for each in ready["guilds"]] == [guilds[shard].id]
    for guild, gateway in zip(guilds, gateways, strict=True):
        await gateway.voice(guild.id, guild.voice_channels[0].id)
        await gateway.event("VOICE_SERVER_UPDATE", guild_id=guild.id)
    # Another shard's guild can't be joined, and another shard's loss is nobody else's.
    await gateways[0].voice(guilds[1].id, None)
    since = await client.mark()
    await client.forget_session(2)
    await client.wait_for("session_ended", since=since, shard=2)
    await guilds[2].wait_bot_in(None)
    for guild in guilds[:2]:
        await guild.wait_bot_in(guild.voice_channels[0])
    successor = await RawGateway(http, twin.about()).open()
    since = await client.mark()
    await successor.resume(gateways[1])
    await client.wait_for("session_resumed", since=since, shard=1)
    assert await gateways[1].closed() == 4000
    assert [each["shard"] for each in await client.sessions()] == [0, 1]
    for gateway in (gateways[0], successor):
        await gateway.ws.close()


async def test_session_starts_are_counted_and_come_back(world: World, http: aiohttp.ClientSession, api: Api) -> None:
    _, client = world
    await client.configure(session_starts=3, session_starts_total=3, max_concurrency=16)
    gateways = [(await identify(http, world[0], shard, 2))[0] for shard in (0, 1)]
    _, told = await api("GET", "/gateway/bot")
    limit = told["session_start_limit"]
    assert (limit["total"], limit["remaining"], limit["max_concurrency"]) == (3, 1, 16)
    assert 0 < limit["reset_after"] <= 24 * 3600 * 1000
    # A RESUME costs none.
    other = await RawGateway(http, world[0].about()).open()
    gateways[0].session_id = gateways[0].received[-1]["d"]["session_id"]
    await other.resume(gateways[0])
    await other.event("RESUMED")
    assert (await api("GET", "/gateway/bot"))[1]["session_start_limit"]["remaining"] == 1
    await client.advance_clock(limit["reset_after"] / 1000 + 1)
    limit = (await api("GET", "/gateway/bot"))[1]["session_start_limit"]
    assert (limit["remaining"], await client.violations()) == (3, [])
    for gateway in (other, gateways[1]):
        await gateway.ws.close()


async def test_one_session_start_too_many_ends_all_sessions_and_the_token(
    world: World, http: aiohttp.ClientSession
) -> None:
    twin, client = world
    await client.configure(session_starts=1)
    old = twin.about()["bot_token"]
    first, _ = await identify(http, twin, 0, 2)
    second = await RawGateway(http, twin.about()).open()
    await second.send(2, {"token": old, "intents": 1, "shard": [1, 2], "properties": {}})
    assert await second.closed() == 4004
    assert await first.closed() == 4004
    assert await client.sessions() == []
    assert [entry["name"] for entry in await client.violations()] == ["session_starts_exceeded"]
    assert (await get(http, twin, "/users/@me", old)).status == 401
    assert (await get(http, twin, "/users/@me")).status == 200


# REST


def rest_headers(response: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith(("X-Rate", "Retry", "Via"))}


async def test_a_bucket_can_be_empty(world: World, http: aiohttp.ClientSession, api: Api) -> None:
    twin, client = world
    guild = await client.create_guild()
    where = f"/channels/{guild.text_channels[0].id}"
    await client.limit_rest("user", seconds=30, method="get", pattern="/channels/")
    response = await get(http, twin, where)
    headers = rest_headers(response)
    assert response.status == 429
    assert headers["Via"]
    assert (headers["X-RateLimit-Scope"], headers["X-RateLimit-Remaining"], headers["Retry-After"]) == (
        "user",
        "0",
        "30",
    )
    assert float(headers["X-RateLimit-Reset-After"]) == pytest.approx(30, abs=1)
    assert headers.keys() >= {"X-RateLimit-Limit", "X-RateLimit-Reset", "X-RateLimit-Bucket"}
    assert "X-RateLimit-Global" not in headers
    body = await response.json()
    assert (body["global"], body["message"]) == (False, "You are being rate limited.")
    assert body["retry_after"] == pytest.approx(30, abs=1)
    assert (await api("POST", f"{where}/messages", {"content": "another method"}))[0] == 200
    assert (await api("GET", "/users/@me"))[0] == 200
    await client.unlimit_rest()
    assert (await api("GET", where))[0] == 200
    await client.limit_rest("shared", seconds=0.2)
    assert rest_headers(await get(http, twin, where))["X-RateLimit-Scope"] == "shared"
    with pytest.raises(TwinError):
        await client.limit_rest(pattern="(")
    with pytest.raises(TwinError):
        await client.limit_rest("nobody's")  # type: ignore[arg-type]


async def test_all_requests_of_the_bot_can_be_too_many_but_not_those_of_interactions(
    world: World, http: aiohttp.ClientSession
) -> None:
    twin, client = world
    await client.limit_rest("global", seconds=20)
    response = await get(http, twin, "/users/@me")
    headers = rest_headers(response)
    assert (response.status, (await response.json())["global"]) == (429, True)
    assert (headers["X-RateLimit-Global"], headers["X-RateLimit-Scope"]) == ("true", "global")
    assert "X-RateLimit-Bucket" not in headers
    assert headers["Via"]
    webhook = await get(http, twin, f"/webhooks/{twin.about()['application_id']}/nobody/messages/@original")
    assert webhook.status == 404


async def test_more_than_fifty_requests_in_a_second_are_too_many_whatever_their_buckets(
    world: World, http: aiohttp.ClientSession
) -> None:
    twin, client = world
    guilds = [await client.create_guild() for _ in range(4)]
    answers = await asyncio.gather(*(get(http, twin, f"/guilds/{guilds[n % 4].id}") for n in range(120)))
    refused = [each for each in answers if each.status == 429]
    assert 0 < len(refused) <= 70
    assert {each.headers["X-RateLimit-Scope"] for each in refused} == {"global"}
    assert all("Via" in each.headers and each.headers["Retry-After"] == "1" for each in refused)


async def test_too_many_invalid_requests_are_banned_before_discord_sees_them(
    world: World, http: aiohttp.ClientSession, api: Api
) -> None:
    twin, client = world
    await client.configure(invalid_requests=4, ban_seconds=60.0)
    await client.limit_rest("shared", seconds=60, pattern="/users")
    for _ in range(5):  # nobody's fault, not counted
        assert (await get(http, twin, "/users/@me")).status == 429
    await client.unlimit_rest()
    for _ in range(3):
        assert (await get(http, twin, "/users/@me", "wrong")).status == 401
    await client.limit_rest("user", seconds=60, pattern="/applications")
    assert (await get(http, twin, "/applications/@me")).status == 429
    banned = await get(http, twin, "/users/@me")
    assert banned.status == 429
    assert "Via" not in banned.headers
    assert banned.content_type == "text/plain"
    assert not [name for name in banned.headers if name.startswith("X-RateLimit")]
    assert 50 < int(banned.headers["Retry-After"]) <= 60
    assert [entry["name"] for entry in await client.violations()] == ["invalid_requests"]
    await client.unlimit_rest()
    assert (await api("GET", "/users/@me"))[0] == 200
    await client.limit_rest("ban", seconds=60)
    assert "Via" not in (await get(http, twin, "/users/@me")).headers


# Compression


async def test_a_compression_that_is_not_to_be_had_is_refused(world: World, http: aiohttp.ClientSession) -> None:
    url = world[0].about()["gateway_url"]
    async with http.ws_connect(f"{url}?v=10&encoding=json&compress=brotli-stream") as ws:
        await ws.receive(timeout=5)
        assert ws.close_code == 4002


def zstd() -> Any:
    """A stream that decompresses, where Python or a package brings one."""
    try:
        return importlib.import_module("zstandard").ZstdDecompressor().decompressobj()
    except ImportError:
        return pytest.importorskip("compression.zstd", reason="zstd comes with Python 3.14").ZstdDecompressor()


async def test_zstd_is_one_frame_for_a_connection(world: World, http: aiohttp.ClientSession) -> None:
    stream = zstd()
    async with http.ws_connect(f"{world[0].about()['gateway_url']}?v=10&encoding=json&compress=zstd-stream") as ws:
        for op in (10, 11, 11):
            assert json.loads(stream.decompress(await ws.receive_bytes(timeout=5)))["op"] == op
            await ws.send_json({"op": 1, "d": None})
