"""When something can be asked of a guild over the gateway."""

from __future__ import annotations

from typing import Any

import pytest

from voice_nodes.introduced import Introduced

ONE, OTHER = 1, 2
FIRST, SECOND = object(), object()


class World:
    """Events over a connection, and which guilds were told of as new."""

    def __init__(self) -> None:
        self.told: list[int] = []
        self.introduced = Introduced(self.told.append)

    def ready(self, connection: object, *, first: bool = False) -> None:
        data = {"guilds": [{"id": str(ONE), "unavailable": True}, {"id": str(OTHER), "unavailable": True}]}
        self.introduced.event("READY", data, connection, first=first)

    def guild(self, guild: int, connection: object, *, first: bool = False, **data: Any) -> None:
        self.introduced.event("GUILD_CREATE", {"id": str(guild), **data}, connection, first=first)

    def known(self, connection: object) -> list[int]:
        return [guild for guild in (ONE, OTHER) if self.introduced.knows(guild, connection)]


@pytest.fixture
def world() -> World:
    return World()


def test_nothing_is_known_before_a_session_begins(world: World) -> None:
    assert world.known(None) == []
    assert world.known(FIRST) == []
    world.ready(FIRST, first=True)
    assert world.known(FIRST) == []


def test_guild_by_guild_in_the_session_that_tells_of_them(world: World) -> None:
    world.ready(FIRST, first=True)
    world.guild(OTHER, FIRST, first=True)
    assert world.known(FIRST) == [OTHER]
    assert world.known(SECOND) == []
    assert world.told == []


def test_a_session_that_goes_on_knows_what_it_knew(world: World) -> None:
    world.ready(FIRST, first=True)
    world.guild(ONE, FIRST, first=True)
    assert world.known(SECOND) == []
    world.introduced.event("RESUMED", {}, SECOND, first=False)
    assert world.known(SECOND) == [ONE]
    assert world.known(FIRST) == []


def test_another_session_is_new_to_each_guild_once(world: World) -> None:
    world.ready(FIRST, first=True)
    world.guild(ONE, FIRST, first=True)
    world.ready(SECOND)
    assert world.known(SECOND) == []
    world.guild(ONE, SECOND)
    world.guild(ONE, SECOND)
    assert world.known(SECOND) == [ONE]
    assert world.told == [ONE]


def test_a_guild_with_an_outage_is_known_when_that_is_over(world: World) -> None:
    world.ready(FIRST)
    world.guild(ONE, FIRST, unavailable=True)
    assert world.known(FIRST) == []
    world.guild(ONE, FIRST)
    assert world.known(FIRST) == [ONE]
