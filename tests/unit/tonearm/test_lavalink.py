"""Regions in the settings, and how the command line shows the servers."""

from __future__ import annotations

import pytest

from tonearm.errors import SettingsError
from tonearm.lavalink import table
from tonearm.redis.servers import SeenServer
from tonearm.settings import LavalinkNode, load


@pytest.mark.parametrize(
    ("value", "nodes"),
    [
        ("http://:a@h", [("http://h:2333", ())]),
        ("http://:a@h?regions=rotterdam", [("http://h:2333", ("rotterdam",))]),
        (
            "http://:a@h:1?regions=Frankfurt, rotterdam,http://:a@i:2,dns+http://:a@j?regions=us-east,japan",
            [
                ("http://h:1", ("frankfurt", "rotterdam")),
                ("http://i:2", ()),
                ("dns+http://j:2333", ("us-east", "japan")),
            ],
        ),
        ("http://:a@h?regions=", [("http://h:2333", ())]),
    ],
)
def test_nodes_may_be_for_regions(value: str, nodes: list[tuple[str, tuple[str, ...]]]) -> None:
    found = load(("lavalink_nodes",), {"TONEARM_LAVALINK_NODES": value}).lavalink_nodes
    assert found == tuple(LavalinkNode(url, "a", regions) for url, regions in nodes)


@pytest.mark.parametrize("value", ["http://:a@h?regions=x,", "http://:a@h,japan", "http://:a@h?regions=x,http://i"])
def test_what_is_neither_a_region_nor_a_node_is_refused(value: str) -> None:
    with pytest.raises(SettingsError, match="TONEARM_LAVALINK_NODES"):
        load(("lavalink_nodes",), {"TONEARM_LAVALINK_NODES": value})


def test_the_servers_are_shown_in_lines() -> None:
    seen = [SeenServer("lava-0:2333", 0, "connected", 12, 13.5), SeenServer("lava-1:2333", 0, "draining", 0, 0)]
    assert table(seen, frozenset({"lava-1:2333", "lava-9:2333"})).splitlines() == [
        "server       shard  state      players  penalty",
        "lava-0:2333  0      connected  12       13.5",
        "lava-1:2333  0      draining   0        0.0",
        "lava-9:2333  -      draining   -        -",
    ]
