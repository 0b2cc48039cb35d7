"""What the roster counts of what it hears."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock, create_autospec

import pytest

from tests.support.metrics import counts
from tests.support.voice_nodes import GUILD
from voice_nodes.actor import GuildActor
from voice_nodes.listener import Trouble
from voice_nodes.roster import Roster

BROKEN = Trouble("T", "youtube", "suspicious", "Not for you.")


def roster_of(actor: Any) -> Roster:
    roster = Roster(make=lambda _: actor, spawn=lambda work: work.close(), entered=MagicMock(), forget=MagicMock())
    roster.wake(GUILD)
    return roster


@pytest.fixture
def actor() -> Any:
    actor = create_autospec(GuildActor, instance=True)
    actor.converger, actor.announcer, actor.first_sound = MagicMock(), MagicMock(), MagicMock()
    actor.converger.excuses.return_value = False
    return actor


def test_a_track_that_breaks_is_counted_and_said(actor: Any) -> None:
    with counts("tonearm_track_errors_total", **{"class": "suspicious", "source": "youtube"}):
        roster_of(actor).track_failed(GUILD, "p1", BROKEN)
    actor.announcer.say.assert_called_once()


def test_one_that_is_started_again_is_neither(actor: Any) -> None:
    actor.converger.excuses.return_value = True
    with counts("tonearm_track_errors_total", 0, **{"class": "suspicious", "source": "youtube"}):
        roster_of(actor).track_failed(GUILD, "p1", BROKEN)
    actor.announcer.say.assert_not_called()


def test_listeners_are_those_of_all_guilds_and_a_sound_is_told_to_its_own(actor: Any) -> None:
    actor.listeners = 4
    roster = roster_of(actor)
    assert roster.listeners == 4
    roster.track_started(GUILD, "p1")
    roster.track_started(GUILD + 1, "p2")
    actor.first_sound.heard.assert_called_once_with("p1")
