"""What the voice nodes say of Lavalink's servers, and what an operator wants of them."""

from __future__ import annotations

import asyncio
import json

import pytest

from tonearm.lavalink import main
from tonearm.redis import keys, servers
from tonearm.redis.client import Client
from tonearm.redis.servers import SeenServer


def seen(name: str, shard: int = 0) -> SeenServer:
    return SeenServer(name, shard, "connected", 3, 4.5)


async def test_what_was_seen_of_late_is_shown(redis_client: Client) -> None:
    await servers.report(redis_client, [seen("b", 1), seen("a")])
    await servers.report(redis_client, [seen("b", 0)])
    old = {"name": "old", "shard": 0, "state": "away", "players": 0, "penalty": 0, "at_ms": 1}
    await redis_client.hset(keys.SERVERS, "0@old", json.dumps(old))
    found = await servers.fetch_seen(redis_client)
    assert [(each.name, each.shard) for each in found] == [("a", 0), ("b", 0), ("b", 1)]
    assert 0 < await redis_client.ttl(keys.SERVERS) <= servers.KEPT_SECONDS


async def test_who_reports_hears_what_is_to_be_empty(redis_client: Client) -> None:
    assert await servers.report(redis_client, []) == frozenset()
    assert await servers.drain(redis_client, "a")
    assert not await servers.drain(redis_client, "a")
    assert await servers.report(redis_client, [seen("a")]) == {"a"}
    assert await servers.undrain(redis_client, "a")
    assert not await servers.undrain(redis_client, "a")
    assert await servers.fetch_draining(redis_client) == frozenset()


async def test_the_command_line_says_what_it_did(
    redis_client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TONEARM_REDIS_URL", redis_url)
    await servers.report(redis_client, [seen("a:1")])

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(main, list(words))
        return code, capsys.readouterr().out

    assert await run("drain", "a:1") == (0, "a:1 is being left by its players.\n")
    assert await run("drain", "a:1") == (1, "a:1 is draining already.\n")
    code, output = await run("drain", "z:1")
    assert (code, output.splitlines()[0]) == (0, "No voice node sees a server 'z:1'; it is drained when one does.")
    code, output = await run("list")
    assert [line.split() for line in output.splitlines()[1:]] == [
        ["a:1", "0", "connected", "3", "4.5"],
        ["z:1", "-", "draining", "-", "-"],
    ]
    assert await run("undrain", "a:1") == (0, "a:1 takes players again.\n")
    assert await run("undrain", "a:1") == (1, "a:1 was not draining.\n")
