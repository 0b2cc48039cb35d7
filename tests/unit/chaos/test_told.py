"""What people read is known for what it is; nothing is taken for done that does not say so."""

from __future__ import annotations

from typing import Any

import pytest

from interactions.commands import catalogue
from playground.twin.messages import texts
from tests.chaos.told import DONE, UNKNOWN, told
from tonearm.discord import cards
from tonearm.music.change import Outcome, Paused, Queued, Resumed, Skipped, Started, VolumeSet
from tonearm.music.player import Player, Playing
from tonearm.music.track import Entry, Track
from tonearm.sentences import Sentence

NOW = 1_700_000_000_000
TONE = Track("x", "tone0001", "Tonearm", 10_000, "https://a.example/tone0001.webm")
PLAYER = Player(1, 2, Playing("abc", Entry("e", TONE, 42), 4_000, NOW, NOW), False, 50, "abc")


def read(message: Any) -> str:
    return "\n".join(each["content"] for each in texts(message["components"]))


@pytest.mark.parametrize("sentence", Sentence)
def test_every_sentence_is_recognized(sentence: Sentence) -> None:
    class Filled(dict[str, str]):
        def __missing__(self, key: str) -> str:
            return "17"

    assert told(sentence.value.format_map(Filled())) == sentence.name


@pytest.mark.parametrize(
    "outcome",
    [
        Started(TONE),
        Queued((TONE,), 1),
        Queued((TONE,), 1_017),
        Paused(TONE, 4_000),
        Resumed(TONE, 4_000),
        Skipped(TONE, TONE),
        Skipped(TONE, None),
        VolumeSet(20),
        VolumeSet(0),
    ],
)
def test_every_outcome_is_recognized(outcome: Outcome) -> None:
    assert told(read(cards.outcome(outcome, PLAYER, queue_length=3, now_ms=NOW))) == DONE


@pytest.mark.parametrize("paused", [True, False])
def test_what_is_shown_is_recognized(paused: bool) -> None:
    player = Player(1, 2, PLAYER.playing, paused, 50, "abc")
    waiting = [Entry(str(number), TONE, 42) for number in range(10)]
    assert told(read(cards.player_message(player, 3, following=TONE, now_ms=NOW))) == DONE
    assert told(read(cards.queue_page(player, 0, [], first=0, now_ms=NOW))) == DONE
    assert told(read(cards.queue_page(Player(1, 2), 10, waiting, first=0, now_ms=NOW))) == DONE
    assert told(read(cards.queue_page(Player(1, 2), 0, [], first=0, now_ms=NOW))) == DONE


def test_plans_and_help_are_recognized() -> None:
    assert told("### This server's plan: Free\n**Free** (yours)\n...") == DONE
    assert told(f"`/help`: {catalogue().commands['help'].description}\n`/leave`: ...") == DONE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Traceback (most recent call last):\nKeyError: 'player'",
        "KeyError",
        "None",
        "### tone0001",
        "-# Now playing",
        "⏸️ Paused",
        "Nothing is playing.",
        f"{Sentence.NO_PLAYER} {Sentence.NO_PLAYER}",
    ],
)
def test_all_else_is_nothing_that_was_done(text: str) -> None:
    assert told(text) == UNKNOWN
