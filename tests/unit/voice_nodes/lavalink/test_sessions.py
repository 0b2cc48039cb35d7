"""Lavalink's sessions and look-ups, against a server that answers and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, MagicMock

import aiohttp
import pytest

from tests.support.lavalink import PASSWORD, Lavalink
from tests.support.sound import Heard, sound_of
from tests.support.voice_nodes import GUILD, Tenured, running
from tonearm.errors import LavalinkAway, LavalinkGone, LavalinkSilent, LeaseLost, Refused, SettingsError
from tonearm.music.track import Loaded, Track
from tonearm.sentences import Sentence
from tonearm.settings import LavalinkNode
from voice_nodes import lavalink, station
from voice_nodes.lavalink import Sound

IN_TIME = 2.4
"""Seconds. A person is answered within 2.5 s."""


def track(name: str, **info: Any) -> dict[str, Any]:
    known = {"title": name, "author": "A", "length": 1000, "isStream": False, "sourceName": "http", "uri": None}
    return {"encoded": f"e:{name}", "info": {**known, **info}}


@asynccontextmanager
async def session(server: Lavalink) -> AsyncIterator[tuple[Sound, Heard]]:
    sound, heard = sound_of(server.node), Heard()
    async with running(sound.run(heard.client)):
        await heard.next("wavelink_node_ready")
        yield sound, heard


async def reason(sound: Sound) -> str:
    """The sentence with which it ends."""
    with pytest.raises(BaseExceptionGroup) as group:
        await asyncio.wait_for(sound.run(Heard().client), 10)
    error: BaseException = group.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, SettingsError)
    return str(error)


# Look-ups.


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (
            {"loadType": "track", "data": track("a", uri="https://x.example", artworkUrl="https://y.example")},
            Loaded((Track("e:a", "a", "A", 1000, "https://x.example", "https://y.example", "http"),)),
        ),
        (
            {"loadType": "search", "data": [track("a"), track("b")]},
            Loaded((Track("e:a", "a", "A", 1000, source="http"),)),
        ),
        (
            {"loadType": "playlist", "data": {"info": {"name": "P"}, "tracks": [track("a", isStream=True)]}},
            Loaded((Track("e:a", "a", "A", 0, source="http", is_stream=True),), "P"),
        ),
        ({"loadType": "playlist", "data": {"info": {"name": "P"}, "tracks": []}}, Loaded(())),
    ],
)
async def test_what_is_found(server: Lavalink, answer: Any, found: Loaded) -> None:
    server.load = answer
    async with session(server) as (sound, _):
        assert await sound.fetch_tracks("words", GUILD) == found
        assert await sound.fetch_tracks("https://x.example/a b", GUILD) == found
    assert server.identifiers == ["ytsearch:words", "https://x.example/a b"]


@pytest.mark.parametrize(
    ("answer", "status", "sentence"),
    [
        ({"loadType": "empty", "data": None}, 200, Sentence.NOTHING_FOUND.format(query="words")),
        ({"loadType": "search", "data": []}, 200, Sentence.NOTHING_FOUND.format(query="words")),
        (
            {"loadType": "error", "data": {"message": "Not for you."}},
            200,
            Sentence.TRACK_BROKEN.format(query="words", reason="Not for you"),
        ),
        (
            {"loadType": "error", "data": {"message": None}},
            200,
            Sentence.TRACK_BROKEN.format(query="words", reason="it can't be read"),
        ),
        (
            {"timestamp": 1, "status": 500, "error": "Internal Server Error", "path": "/"},
            500,
            Sentence.TRACK_BROKEN.format(query="words", reason="Internal Server Error"),
        ),
    ],
)
async def test_what_is_not_found_is_a_sentence(server: Lavalink, answer: Any, status: int, sentence: str) -> None:
    server.load, server.load_status = answer, status
    async with session(server) as (sound, _):
        with pytest.raises(Refused) as refused:
            await sound.fetch_tracks("words", GUILD)
    assert str(refused.value) == sentence


# What breaks.


async def test_a_server_that_hangs_is_away_in_time(server: Lavalink) -> None:
    async with session(server) as (sound, _):
        await sound.require_alive(GUILD)
        server.hangs = True
        begun = time.monotonic()
        with pytest.raises(LavalinkAway):
            await sound.fetch_tracks("words", GUILD)
        assert time.monotonic() - begun < IN_TIME


@pytest.mark.parametrize(
    ("error", "reached"),
    [
        (TimeoutError(), True),
        (aiohttp.ServerDisconnectedError(), True),
        (aiohttp.ClientConnectorError(MagicMock(), OSError("refused")), False),
    ],
)
async def test_who_may_have_done_it_is_told_from_who_was_never_asked(
    server: Lavalink, error: Exception, reached: bool
) -> None:
    async with session(server) as (sound, _):
        station = await sound.require_alive(GUILD)
        with pytest.raises(LavalinkAway) as failed:
            await station.call(AsyncMock(side_effect=error))
        assert isinstance(failed.value, LavalinkSilent) is reached


async def test_a_look_up_may_take_long_while_the_server_is_alive(server: Lavalink) -> None:
    server.slow_load = True
    async with session(server) as (sound, _), running(sound.fetch_tracks("words", GUILD)) as loading:
        done, _ = await asyncio.wait([loading], timeout=1.7)
        assert not done
        server._released.set()
        with pytest.raises(Refused):
            await asyncio.wait_for(loading, 5)


async def test_without_a_session_nothing_has_failed_but_the_server() -> None:
    with pytest.raises(LavalinkGone):
        await sound_of(LavalinkNode("http://127.0.0.1:1", PASSWORD)).require_alive(GUILD)


@pytest.mark.parametrize("how", ["closed", "broken", "nonsense"])
async def test_a_session_is_opened_again_and_asks_to_be_resumed(
    server: Lavalink, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with session(server) as (_, heard):
        assert await server.opened.get() == ""
        socket = server.sockets[0]
        if how == "closed":
            await socket.close()
        elif how == "broken":
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
        else:
            await socket.send_str("no json")
        await heard.next("wavelink_node_ready")
        assert await server.opened.get() == "s1"
    if how == "nonsense":
        assert "Lavalink's socket broke" in caplog.text, "wavelink's reader fell"


async def test_no_session_is_taken_while_the_lease_has_run_out(server: Lavalink) -> None:
    lease = Tenured()
    sound, heard = sound_of(server.node, lease=lease), Heard()
    async with running(sound.run(heard.client)) as task:
        await heard.next("wavelink_node_ready")
        await server.opened.get()
        lease.run_out()
        await server.sockets[0].close()
        await asyncio.wait_for(lease.waits.wait(), 10)
        assert (len(server.sockets), task.done()) == (1, False)
        await lease.settle()
        assert await asyncio.wait_for(server.opened.get(), 10) == "s1"
        await heard.next("wavelink_node_ready")
        lease.run_out()
        await server.sockets[1].close()
        await asyncio.wait_for(lease.waits.wait(), 10)
        await lease.settle(gone=True)
        with pytest.raises(BaseExceptionGroup) as caught:
            await asyncio.wait_for(task, 10)
        assert caught.group_contains(LeaseLost)
    assert len(server.sockets) == 2


async def test_an_unknown_close_code_of_voice_does_not_end_the_reading(server: Lavalink) -> None:
    async with session(server) as (_, heard):
        event = {"op": "event", "type": "WebSocketClosedEvent", "guildId": "1", "reason": "", "byRemote": True}
        for code in (4017, 4999):
            await server.sockets[0].send_json({**event, "code": code})
            (closed,) = await heard.next("wavelink_websocket_closed")
            assert closed.code.value == code
        assert len(server.sockets) == 1


async def test_a_server_that_starts_late_is_waited_for() -> None:
    server = Lavalink()
    async with server.serving():
        port = server.port
    late = Lavalink()
    sound, heard = sound_of(LavalinkNode(f"http://127.0.0.1:{port}", PASSWORD)), Heard()
    async with running(sound.run(heard.client)), late.serving(port=port):
        await heard.next("wavelink_node_ready")
        assert len(sound.connected()) == 1


@pytest.mark.parametrize("stats", [[], "busy", {}, {"players": None, "cpu": {}}])
async def test_figures_that_cant_be_read_end_nothing(
    server: Lavalink, stats: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(station, "QUIET_IDLE", 0.0)
    server.stats = stats
    async with session(server) as (sound, _):
        for _ in range(2):
            server.asked_stats.clear()
            await asyncio.wait_for(server.asked_stats.wait(), 10)
        assert len(sound.connected()) == 1
    assert len(server.sockets) == 1


async def test_a_process_that_stands_still_is_away_in_time(tmp_path: Any) -> None:
    """Not our idea of hanging, but the kernel's."""
    script = tmp_path / "server.py"
    script.write_text(
        "import asyncio\n"
        "from tests.support.lavalink import Lavalink\n"
        "async def main():\n"
        "    async with Lavalink().serving() as server:\n"
        "        print(server.port, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "ignore", str(script), stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": "."}
    )
    assert process.stdout is not None
    try:
        port = int(await asyncio.wait_for(process.stdout.readline(), 20))
        sound, heard = sound_of(LavalinkNode(f"http://127.0.0.1:{port}", PASSWORD)), Heard()
        async with running(sound.run(heard.client)):
            await heard.next("wavelink_node_ready")
            process.send_signal(signal.SIGSTOP)
            begun = time.monotonic()
            with pytest.raises(LavalinkAway):
                await sound.fetch_tracks("words", GUILD)
            assert time.monotonic() - begun < IN_TIME
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]


# What is refused.


async def test_a_wrong_password_is_a_sentence(server: Lavalink) -> None:
    said = await reason(sound_of(LavalinkNode(server.node.url, "wrong")))
    assert said == f"TONEARM_LAVALINK_NODES: {server.node.url} refuses its password."


@pytest.mark.parametrize(("info", "status"), [({}, 200), ([1], 200), ("hello", 200), ({}, 404)])
async def test_what_is_no_lavalink_is_a_sentence(server: Lavalink, info: Any, status: int) -> None:
    server.info, server.info_status = info, status
    assert "is not a Lavalink 4 server" in await reason(sound_of(server.node))


async def test_the_audio_node_is_refused_for_the_real_discord(server: Lavalink) -> None:
    server.info = {**server.info, "tonearm": {"audioNode": True}}
    said = await reason(sound_of(server.node, api_url="https://discord.com/api/v10"))
    assert "end-to-end encryption (DAVE)" in said
    async with session(server):
        pass


# Voice.


@pytest.mark.parametrize(("gone", "back"), [(True, False), (True, True), (False, False)])
async def test_a_join_tells_a_server_that_went_away_from_a_channel_that_can_not_be_joined(
    server: Lavalink, monkeypatch: pytest.MonkeyPatch, gone: bool, back: bool
) -> None:
    monkeypatch.setattr(lavalink, "JOIN_TIMEOUT", 3.0 if back else 0.5)
    async with session(server) as (sound, heard):
        heard.client._connection = MagicMock()
        channel = MagicMock(rtc_region=None)
        channel.guild.id, channel.guild.me.voice = GUILD, None
        entered = asyncio.Event()
        heard.client.send_voice_state = AsyncMock(side_effect=lambda *_: entered.set())
        joining = asyncio.create_task(sound.join(channel))
        await asyncio.wait_for(entered.wait(), 10)
        if gone:
            server.hangs = not back
            for socket in list(server.sockets):
                await socket.close()
        with pytest.raises(LavalinkAway) as failed:
            await joining
        assert isinstance(failed.value, LavalinkGone) is gone
        assert sound.link(GUILD) is None
