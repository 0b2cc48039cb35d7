"""A guild's data leaves, goes and comes back, through the running system: the queue is there again, and heard."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from playground.system import System
from tests.e2e.conftest import OpenRoom, Room
from tests.support.api.serving import Caller, make_caller
from tests.support.aws import running_moto
from tonearm.child_logs import LogFolder
from tonearm.guild_data.document import read_document
from tonearm.postgres.pool import Pool
from tonearm.redis.client import connect

TIMEOUT = 30
BUCKET = "tonearm-e2e"


@pytest.fixture(scope="module")
async def kept(tmp_path_factory: pytest.TempPathFactory, tones: Path) -> AsyncIterator[System]:
    """A system with a worker and the API, a bucket, and a secret that says which one."""
    folder = tmp_path_factory.mktemp("guild_data")
    with LogFolder(folder / "logs") as log, pytest.MonkeyPatch.context() as environ:
        async with running_moto() as moto:
            for name, value in moto.environ.items():
                environ.setenv(name, value)
            await moto.make_bucket(BUCKET)
            async with moto.client("secretsmanager") as secrets:
                text = json.dumps({"TONEARM_S3_BUCKET": BUCKET, "TONEARM_DEFAULT_PLAN": "pro"})
                await secrets.create_secret(Name="tonearm", SecretString=text)
            settings = {"SECRETS": "tonearm", "SHARD_COUNT": "2"}
            async with System(folder, library=tones, premium=True, settings=settings, log=log) as running:
                yield running
                assert await running.twin.violations() == []


@pytest.fixture
async def script(kept: System) -> AsyncIterator[Caller]:
    """Who may do everything."""
    async with (
        Pool(kept.environ["TONEARM_DATABASE_URL"], timeout=5) as pool,
        httpx.AsyncClient(base_url=kept.api_url, timeout=10) as http,
    ):
        yield await make_caller(http, pool)


@pytest.fixture
async def room(open_room: OpenRoom, kept: System) -> Room:
    """A guild of that system."""
    return await open_room(where=kept)


async def ended(script: Caller, location: str) -> dict[str, Any]:
    """What became of a task."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            seen = (await script.get(location.removeprefix("/api/v1"))).json()
            if seen["status"] not in ("waiting", "queued"):
                return seen
            await asyncio.sleep(0.5)


async def played(script: Caller, room: Room, query: str) -> None:
    wish = {"guild_id": str(room.guild.id), "actor": str(room.ada.id), "voice_channel_id": str(room.voice.id)}
    job = await script.post("/music/play", {**wish, "query": query})
    assert (await ended(script, job.headers["location"]))["status"] == "done"


async def titles(script: Caller, guild: str) -> list[str]:
    return [each["track"]["title"] for each in (await script.get(f"{guild}/queue")).json()["data"]]


@pytest.mark.timeout(400)  # eight processes, each of which imports what AWS needs
async def test_a_guild_is_exported_deleted_and_brought_back_and_heard(script: Caller, room: Room, kept: System) -> None:
    guild = f"/guilds/{room.guild.id}"
    set_to = await script.patch(f"{guild}/settings", {"default_volume": 80}, If_Match="*")
    assert set_to.status_code == 200, set_to.text
    await played(script, room, "long 440.webm")
    await played(script, room, "long 550.webm")
    await room.ear.hears(440, within=10)
    before = await titles(script, guild)
    assert len(before) == 1

    export = await ended(script, (await script.post(f"{guild}/exports")).headers["location"])
    assert export["status"] == "done"
    async with httpx.AsyncClient() as anybody:
        raw = (await anybody.get(export["url"])).content
        document = read_document(raw)
        assert document.player.playing is not None
        assert "440" in document.player.playing.track.title
        assert {part.what for part in document.log} >= {"play", "queue"}

        deletion = await script.post(f"{guild}/deletions", {})
        assert (await ended(script, deletion.headers["location"]))["status"] == "done"
        await room.ear.hears_silence(within=10)
        async with connect(kept.environ["TONEARM_REDIS_URL"], timeout=5) as redis:
            left = [key.decode() async for key in redis.scan_iter(f"*:g:{room.guild.id}:*")]
        assert [key for key in left if not key.endswith((":terms", ":limit")) and ":limit:" not in key] == []
        player = (await script.get(f"{guild}/player")).json()
        assert (player["voice_channel_id"], player["playing"], player["queue_length"]) == (None, None, 0)
        assert (await script.get(f"{guild}/settings")).json()["default_volume"] == 100
        assert (await script.get(f"{guild}/exports")).json()["data"] == []
        # S3 says 403 where who asks may not list the bucket.
        assert (await anybody.get(export["url"])).status_code in (403, 404)

        wish = {"size": len(raw), "voice_channel_id": str(room.voice.id)}
        made = await script.post(f"{guild}/imports", wish)
        assert (await anybody.put(made.json()["upload_url"], content=raw)).status_code == 200
    await script.post(f"{guild}/imports/{made.json()['id']}/start")
    restored = await ended(script, made.headers["location"])
    assert (restored["status"], restored["tracks_restored"], restored["notes"]) == ("done", 2, [])
    await room.ear.hears(440, within=10)
    assert await titles(script, guild) == before
    assert (await script.get(f"{guild}/settings")).json()["default_volume"] == 80
