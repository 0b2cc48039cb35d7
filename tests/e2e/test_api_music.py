"""Music by script, heard: the API, a real voice node, a real audio node, and an ear."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from playground.system import System
from tests.e2e.conftest import Room
from tests.support.api.serving import Caller, make_caller, serving
from tonearm.postgres.pool import Pool


@pytest.fixture
async def script(system: System) -> AsyncIterator[Caller]:
    """Who may make music everywhere."""
    database, redis = (system.environ[f"TONEARM_{name}_URL"] for name in ("DATABASE", "REDIS"))
    async with Pool(database, timeout=5) as pool, serving(database, redis, shard_count=2) as http:
        yield await make_caller(http, pool, ["music:*"])


async def test_a_script_plays_asks_and_stops(script: Caller, room: Room) -> None:
    wish = {"guild_id": str(room.guild.id), "actor": str(room.ada.id)}
    assert (await script.post("/music/skip", wish)).status_code == 409
    play = {**wish, "voice_channel_id": str(room.voice.id), "query": "long 440.webm"}
    asked = await script.post("/music/play", play, Prefer="wait=2")
    if asked.status_code == 202:
        asked = await script.get(asked.headers["location"].removeprefix("/api/v1"))
    assert asked.json()["status"] == "done", asked.text
    assert "440" in asked.json()["tracks"][0]["title"]
    await room.ear.hears(440, within=10)
    player = (await script.get(f"/guilds/{room.guild.id}/player")).json()
    assert (player["voice_channel_id"], player["playing"]["requested_by"]) == (str(room.voice.id), str(room.ada.id))
    stopped = await script.post("/music/stop", wish, Prefer="wait=2")
    assert stopped.status_code == 200
    assert stopped.json()["status"] == "done"
    refused = await script.post("/music/pause", wish, Prefer="wait=2")
    assert (refused.json()["status"], refused.json()["code"]) == ("refused", "nothing_playing")


async def test_a_seek_is_heard_where_it_leads(script: Caller, room: Room) -> None:
    wish = {"guild_id": str(room.guild.id), "actor": str(room.ada.id)}
    await room.ask("play", query="climb mp3")
    await room.hears_place(0)
    forth = await script.post("/music/seek", {**wish, "position_ms": 40_000}, Prefer="wait=2")
    assert (forth.status_code, forth.json()["status"]) == (200, "done"), forth.text
    await room.hears_place(40)
    position = (await script.get(f"/guilds/{room.guild.id}/player")).json()["playing"]["position_ms"]
    assert 40_000 <= position < 60_000
    beyond = await script.post("/music/seek", {**wish, "position_ms": 60_500}, Prefer="wait=2")
    assert (beyond.json()["status"], beyond.json()["code"]) == ("refused", "seek_range")
