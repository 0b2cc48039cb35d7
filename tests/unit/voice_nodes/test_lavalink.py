"""Lavalink's sessions and look-ups, against a server that answers and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import AsyncMock, MagicMock, create_autospec

import msgspec
import pytest

from tests.support.lavalink import PASSWORD, Lavalink
from tests.support.voice_nodes import GUILD, Tenured, running
from tonearm import addresses
from tonearm.backoff import Backoff
from tonearm.errors import LavalinkAway, LavalinkGone, LeaseLost, Refused, SettingsError
from tonearm.music.track import Loaded, Track
from tonearm.sentences import Sentence
from tonearm.settings import LavalinkNode
from voice_nodes import lavalink, servers, station
from voice_nodes.gateway import Gateway
from voice_nodes.lavalink import Sound
from voice_nodes.placement import region_of
from voice_nodes.voicelink import VoiceLink

LOOPBACK_API = "http://127.0.0.1:1/api/v10"
IN_TIME = 2.4
"""Seconds. A person is answered within 2.5 s."""


def track(name: str, **info: Any) -> dict[str, Any]:
    known = {"title": name, "author": "A", "length": 1000, "isStream": False, "sourceName": "http", "uri": None}
    return {"encoded": f"e:{name}", "info": {**known, **info}}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "Backoff", lambda: Backoff(0.001, 0.01))
    monkeypatch.setattr(servers.wavelink.backoff.Backoff, "calculate", lambda _: 0.01)


@pytest.fixture
async def server() -> AsyncIterator[Lavalink]:
    async with Lavalink().serving() as server:
        yield server


class Heard:
    """A gateway that only hears what wavelink says."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.client = create_autospec(Gateway, instance=True)
        self.client.user = MagicMock(id=1)
        self.client.dispatch = lambda name, *values: self.events.put_nowait((name, values))

    async def next(self, wanted: str) -> Any:
        async with asyncio.timeout(10):
            while True:
                name, values = await self.events.get()
                if name == wanted:
                    return values


def sound_of(*nodes: LavalinkNode, api_url: str = LOOPBACK_API, lease: Tenured | None = None) -> Sound:
    return Sound(nodes, shard=0, api_url=api_url, lease=lease or Tenured())


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


async def test_a_look_up_may_take_long_while_the_server_is_alive(server: Lavalink) -> None:
    server.slow_load = True
    async with session(server) as (sound, _), running(sound.fetch_tracks("words", GUILD)) as loading:
        done, _ = await asyncio.wait([loading], timeout=1.7)
        assert not done
        server._released.set()
        with pytest.raises(Refused):
            await asyncio.wait_for(loading, 5)


async def test_without_a_session_it_is_away() -> None:
    with pytest.raises(LavalinkAway):
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


# Names that stand for several servers.


async def test_each_address_of_a_name_gets_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = Lavalink(), Lavalink()
    async with one.serving(), two.serving("127.0.0.2", one.port):
        asked: list[str] = []

        async def resolve(url: str) -> tuple[str, ...]:
            asked.append(url)
            if len(asked) < 3:
                raise OSError("not yet")
            return ("127.0.0.1", "127.0.0.2")

        monkeypatch.setattr(servers, "addresses_of", resolve)
        url = f"http://lavalink.example:{one.port}"
        sound, heard = sound_of(LavalinkNode(f"dns+{url}", PASSWORD)), Heard()
        async with running(sound.run(heard.client)):
            for _ in range(2):
                await heard.next("wavelink_node_ready")
            names = {node.identifier for node in sound.connected()}
        assert asked == [url] * 3
        assert len(names) == 2
        assert (len(one.sockets), len(two.sockets)) == (1, 1)


async def test_a_name_with_two_addresses_is_two_servers_and_one_that_vanishes_is_emptied_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name is looked up for real, as far as the system's resolver, which knows it from the test."""
    one, two = Lavalink(), Lavalink()
    async with one.serving(), two.serving("127.0.0.2", one.port):
        there = ["127.0.0.1", "127.0.0.2"]

        async def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
            assert (host, port) == ("lavalink.example", one.port)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in reversed(there)]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        heard, happened = Heard(), []
        node = LavalinkNode(f"dns+http://lavalink.example:{one.port}", PASSWORD)

        def leave(guild: int) -> None:
            happened.append((guild, list(two.patched)))
            del leaving.node._players[guild]
            sound._moves.gone(guild, elsewhere=True)

        sound = Sound((node,), shard=0, api_url=LOOPBACK_API, lease=Tenured(), on_leave=leave, every=0.05)
        async with running(sound.run(heard.client)):
            for _ in range(2):
                await heard.next("wavelink_node_ready")
            names = [f"{address}#lavalink.example:{one.port}" for address in there]
            assert sorted(sound._fleet.stations) == names
            leaving = sound._fleet.stations[names[1]]
            leaving.node._players[GUILD] = MagicMock(spec=VoiceLink)
            there.remove("127.0.0.2")
            await asyncio.wait_for(two.gone.wait(), 10)
            assert happened == [(GUILD, [])], "its player left, once, and before its session was ended"
            assert two.patched == [{"resuming": False}]
            assert list(sound._fleet.stations) == names[:1]
            there.append("127.0.0.2")
            assert (await asyncio.wait_for(two.opened.get(), 5), await asyncio.wait_for(two.opened.get(), 5)) == (
                "",
                "",
            )
        assert one.patched == []


async def test_a_server_of_the_voice_regions_of_the_channel_is_taken(server: Lavalink) -> None:
    async with Lavalink().serving() as far, Lavalink().serving() as anywhere:
        near = msgspec.structs.replace(server.node, regions=("rotterdam", "frankfurt"))
        nodes = (msgspec.structs.replace(far.node, regions=("us-east",)), anywhere.node, near)
        sound, heard = sound_of(*nodes), Heard()
        async with running(sound.run(heard.client)):
            for _ in nodes:
                await heard.next("wavelink_node_ready")

            async def taken(region: str) -> str:
                return (await sound.require_alive(GUILD, region_of(region))).server.url

            assert await taken("rotterdam1234.discord.media:443") == near.url
            assert await taken("us-east77.discord.media:443") == nodes[0].url
            assert await taken("japan5.discord.media:443") == anywhere.node.url
            server.hangs = True
            for station in sound._fleet.stations.values():
                if station.server.url == near.url:
                    station._heard_at = 0.0  # its last sign of life is old
            assert await taken("frankfurt9.discord.media:443") == anywhere.node.url


async def test_addresses_are_looked_up() -> None:
    assert "127.0.0.1" in await addresses.addresses_of("http://localhost:2333")
    with pytest.raises(OSError, match=r"."):
        await addresses.addresses_of("http://nobody.invalid:2333")


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
