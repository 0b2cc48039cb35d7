"""What is told of Lavalink: of servers while they are used, of frames, and of tracks that break."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import MagicMock, create_autospec

import pytest
from prometheus_client import REGISTRY

from tests.support.lavalink import Lavalink
from tests.support.metrics import counts, value
from tests.support.voice_nodes import Tenured, running
from voice_nodes import measuring, station
from voice_nodes.fleet import Fleet
from voice_nodes.gateway import Gateway
from voice_nodes.measuring import count_frames, count_trouble, source_of
from voice_nodes.placement import penalty

STATS = {
    "op": "stats",
    "players": 7,
    "playingPlayers": 7,
    "uptime": 1,
    "memory": {"free": 1, "used": 1, "allocated": 1, "reservable": 1},
    "cpu": {"cores": 1, "systemLoad": 0.5, "lavalinkLoad": 0.5},
    "frameStats": {"sent": 2_900, "nulled": 60, "deficit": 40},
}


async def no_move(guild: int, cause: str) -> None:
    raise AssertionError("nobody moves")


def fleet_of(*servers: Lavalink, shard: int = 0) -> Fleet:
    return Fleet(
        tuple(server.node for server in servers),
        shard=shard,
        api_url="http://127.0.0.1:1",
        lease=Tenured(),
        on_server=lambda _: None,
        move_away=no_move,
    )


def client() -> Any:
    client = create_autospec(Gateway, instance=True)
    client.user = MagicMock(id=1)
    return client


def of(name: str) -> tuple[float | None, ...]:
    return tuple(
        REGISTRY.get_sample_value(f"tonearm_lavalink_{what}", {"node": name}) for what in ("up", "penalty", "players")
    )


async def until(holds: Any) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 - a gauge is looked at, and tells nobody that it changed
            await asyncio.sleep(0.01)


async def test_a_server_is_told_of_while_a_shard_uses_it_and_is_forgotten_then() -> None:
    async with Lavalink().serving() as server:
        name = f"127.0.0.1:{server.port}"
        first, second = fleet_of(server), fleet_of(server, shard=1)
        async with running(first.run(client())):
            async with running(second.run(client())):
                await until(lambda: of(name)[0] == 1)
                for each, players in ((first, 2), (second, 3)):
                    each.stations[name].node._players.update(dict.fromkeys(range(players), MagicMock()))
                assert of(name)[2] == 5
                assert of(name)[1] == max(penalty(each.stations[name].load()) for each in (first, second)) > 0
            assert of(name)[2] == 2
        assert of(name) == (None, None, None)
        assert value("tonearm_lavalink_frames_total", node=name, kind="sent") == 0
        assert REGISTRY.get_sample_value("tonearm_lavalink_frames_total", {"node": name, "kind": "sent"}) is None


async def test_a_server_that_does_not_answer_is_not_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(station, "QUIET_IDLE", 0.0)
    monkeypatch.setattr(station, "WATCH_TIMEOUT", 0.05)
    async with Lavalink().serving() as server:
        name = f"127.0.0.1:{server.port}"
        async with running(fleet_of(server).run(client())):
            await until(lambda: of(name)[0] == 1)
            server.hangs = True
            await until(lambda: of(name)[0] == 0)
            assert value("tonearm_lavalink_sessions", state="open") >= 1


async def test_frames_are_the_averages_that_lavalink_tells_times_our_players() -> None:
    async with Lavalink().serving() as server:
        name = f"127.0.0.1:{server.port}"
        all_of_it = fleet_of(server)
        async with running(all_of_it.run(client())):
            await until(lambda: of(name)[0] == 1)
            all_of_it.stations[name].node._players.update({1: MagicMock(), 2: MagicMock()})
            await server.sockets[0].send_json(STATS)
            await until(lambda: value("tonearm_lavalink_frames_total", node=name, kind="sent") == 5_800)
            assert value("tonearm_lavalink_frames_total", node=name, kind="nulled") == 120
            assert value("tonearm_lavalink_frames_total", node=name, kind="deficit") == 80


def test_a_deficit_below_zero_makes_up_for_nothing() -> None:
    with counts("tonearm_lavalink_frames_total", 0, node="x", kind="deficit"):
        count_frames("x", 3, {"sent": 3_010, "nulled": 0, "deficit": -10})
    for kind in measuring.KINDS:
        measuring.LAVALINK_FRAMES.remove("x", kind)


@pytest.mark.parametrize(
    ("query", "source"),
    [
        ("some words", "youtube"),
        ("ytsearch:some words", "youtube"),
        ("https://www.youtube.com/watch?v=1", "youtube"),
        ("https://youtu.be/1", "youtube"),
        ("https://artist.bandcamp.com/track/x", "bandcamp"),
        ("https://soundcloud.com/a/b", "soundcloud"),
        ("https://notyoutube.com/", "http"),
        ("http://127.0.0.1:8000/tone.mp3", "http"),
        ("https://[", "other"),
    ],
)
def test_where_a_query_leads(query: str, source: str) -> None:
    assert source_of(query) == source


@pytest.mark.parametrize(
    ("kind", "source", "counted"),
    [
        ("common", "youtube", ("common", "youtube")),
        ("stuck", "local", ("stuck", "local")),
        ("None", "somebody's plugin", ("fault", "other")),
    ],
)
def test_what_breaks_is_counted_under_few_names(kind: str, source: str, counted: tuple[str, str]) -> None:
    with counts("tonearm_track_errors_total", **{"class": counted[0], "source": counted[1]}):
        count_trouble(kind, source)


def test_every_source_that_a_host_stands_for_is_one() -> None:
    assert set(measuring.HOSTS.values()) <= measuring.SOURCES
