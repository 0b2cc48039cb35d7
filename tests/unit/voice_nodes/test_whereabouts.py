"""Of whom the cache of voice states tells, after a takeover and what comes then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.voice_nodes import GUILD
from voice_nodes.whereabouts import EVERYBODY, Whereabouts

HERE, THERE, ADA, BOB = 11, 12, 42, 43


def saved(*users: int, **changes: Any) -> dict[str, Any]:
    """A guild as another process saved it, with the bot and these users in the bot's channel."""
    states = [{"user_id": str(user), "channel_id": str(HERE)} for user in users]
    return {"id": str(GUILD), "voice_states": states, **changes}


def moved(user: int, channel: int | None) -> dict[str, Any]:
    return {"guild_id": str(GUILD), "user_id": str(user), "channel_id": channel and str(channel)}


@pytest.fixture
def taken() -> Whereabouts:
    """The guild was taken over with the bot in a channel."""
    whereabouts = Whereabouts()
    whereabouts.take_over([saved(1, ADA)])
    return whereabouts


def known(whereabouts: Whereabouts) -> list[bool]:
    """Of Ada, Bob, the bot's channel and the other one."""
    users = [whereabouts.knows_user(GUILD, user) for user in (ADA, BOB)]
    return users + [whereabouts.knows_channel(GUILD, channel) for channel in (HERE, THERE)]


def test_a_session_of_our_own_tells_of_everybody() -> None:
    assert known(Whereabouts()) == [True] * 4


def test_after_a_takeover_the_bots_own_channel_is_known(taken: Whereabouts) -> None:
    assert known(taken) == [False, False, True, False]


def test_a_bot_that_was_nowhere_knows_of_nobody() -> None:
    whereabouts = Whereabouts()
    whereabouts.take_over([saved()])
    assert known(whereabouts) == [False] * 4


def test_who_moves_is_known_from_then_on(taken: Whereabouts) -> None:
    taken.event("VOICE_STATE_UPDATE", moved(ADA, None))
    assert known(taken) == [True, False, True, False]
    taken.told(GUILD, BOB)
    assert known(taken) == [True, True, True, False]


def test_what_the_owner_before_did_not_know_is_not_known_by_its_successor() -> None:
    whereabouts = Whereabouts()
    whereabouts.take_over([saved(1, **{EVERYBODY: False})])
    assert known(whereabouts) == [False] * 4


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("GUILD_CREATE", {"id": str(GUILD), "unavailable": False}),
        ("GUILD_CREATE", {"id": str(GUILD)}),
        ("GUILD_DELETE", {"id": str(GUILD)}),
    ],
)
def test_a_guild_that_is_told_of_as_a_whole_is_known(taken: Whereabouts, name: str, data: dict[str, Any]) -> None:
    taken.event("VOICE_STATE_UPDATE", moved(ADA, THERE))
    taken.event(name, data)
    assert known(taken) == [True] * 4


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("GUILD_CREATE", {"id": str(GUILD), "unavailable": True}),
        ("GUILD_DELETE", {"id": str(GUILD), "unavailable": True}),
        ("VOICE_STATE_UPDATE", {"user_id": str(ADA), "channel_id": "1"}),
        ("TYPING_START", {}),
    ],
)
def test_other_events_tell_nothing(taken: Whereabouts, name: str, data: dict[str, Any]) -> None:
    taken.event(name, data)
    assert known(taken) == [False, False, True, False]


def test_a_new_session_knows_of_nobody_until_each_guild_has_come(taken: Whereabouts) -> None:
    taken.told(GUILD, ADA)
    taken.event("READY", {"guilds": [{"id": str(GUILD), "unavailable": True}]})
    assert known(taken) == [False] * 4
    taken.event("GUILD_CREATE", {"id": str(GUILD), "unavailable": False})
    assert known(taken) == [True] * 4
