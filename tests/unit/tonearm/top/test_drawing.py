"""What a frame shows, at every width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tonearm.jobs.job import DeadLetter
from tonearm.redis.faults import Fault
from tonearm.redis.members import Member, Seen
from tonearm.redis.overview import Buried, Overview, Standing
from tonearm.redis.servers import SeenServer
from tonearm.top.drawing import Screen, draw

AT = 1_800_000_000_000
NODE = "voice-node-7d9c5b8f64-x2x7k-1"


def well(number: int, **changes: object) -> Standing:
    return Standing(number, NODE, 3_661_000, 7_400, **changes)  # type: ignore[arg-type]


BUSY = Overview(
    at_ms=AT,
    memory=0.12,
    shards=(well(0, players=12), Standing(1, backlog=3, oldest_ms=61_000), well(2, owed=2, dead=1), well(3)),
    streams=(well(-1, backlog=1), well(-2)),
    nodes=(
        Seen(Member(NODE, AT - 90_000_000, (0, 2, 3), version="0.1.0"), 400),
        Seen(Member("old", AT - 5_000, leaving=True), 200),
        Seen(Member("lost", AT - 5_000), 9_000),
    ),
    workers=1,
    servers=(SeenServer("lava:2333", 0, "connected", 5, 12.4), SeenServer("lava:2333", 2, "away", 1, 30.0)),
    faults=(Fault(AT - 2_000, "voice-node", "A job failed", "KeyError", "i:2", 5),),
    dead=(Buried(2, DeadLetter("i:1", 5, "LavalinkAway (SOUND_AWAY), 4 times", AT - 1_000)),),
)


def text(seen: Overview | None, width: int, trouble: str = "", **options: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(draw(seen, trouble, width=width, **options))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line(shown: str, first: str) -> list[str]:
    """The words of the one row that begins with it."""
    (found,) = [each.split() for each in shown.splitlines() if each.split()[:1] == [first]]
    return found


def test_each_part_is_there() -> None:
    shown = text(BUSY, 180)
    assert "4 shards, 1 without an owner · 12 players · 4 jobs waiting, the oldest for 1m1s" in shown
    assert "2 answers owed · 1 job given up · 1 worker · Redis 12% full" in shown
    assert line(shown, "0") == ["0", NODE, "1h1m", "7.4s", "12", "0", "0", "0"]
    assert line(shown, "1") == ["1", "nobody", "0", "3", "1m1s", "0", "0"]
    assert line(shown, "w0")[:2] == ["w0", NODE]
    assert "w1" not in shown
    assert line(shown, NODE) == [NODE, "0,", "2-3", "1d1h", "0.4s", "0.1.0", "there"]
    assert line(shown, "old")[-1] == "leaving"
    assert line(shown, "lost")[-1] == "gone"
    assert line(shown, "lava:2333") == ["lava:2333", "away,", "connected", "6", "30", "2"]
    assert "LavalinkAway (SOUND_AWAY), 4 times  i:1" in shown
    assert "voice-node  5      A job failed (KeyError)  i:2" in shown


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    assert max(map(len, text(BUSY, width).splitlines())) <= width


def test_80_columns_are_enough_for_all_but_a_part_of_long_names() -> None:
    shown = text(BUSY, 80)
    assert line(shown, "0")[1:] == ["voice-node-7d9c5b8f6…", "1h1m", "7.4s", "12", "0", "0", "0"]
    for heading in ("SHARD", "OWNER", "HELD", "LEASE", "PLAYERS", "JOBS", "OLDEST", "OWED", "GIVEN UP"):
        assert heading in shown
    assert line(shown, "1")[1] == "nobody"


def test_what_is_narrow_leaves_the_lesser_columns_out() -> None:
    shown = text(BUSY, 50)
    assert line(shown, "1") == ["1", "nobody", "0", "3", "1m1s"]
    assert line(shown, "lava:2333")[-1] == "6"


def test_of_many_shards_those_in_trouble_are_shown() -> None:
    many = Overview(AT, shards=(*(well(number) for number in range(999)), Standing(999)))
    shown = text(many, 80, height=11)
    assert line(shown, "999")[1] == "nobody"
    assert "and 995 more" in shown
    assert len(shown.splitlines()) < 20


def test_without_voice_nodes_it_says_so() -> None:
    assert "No voice node has ever run here." in text(Overview(AT), 80)
    assert "There is no voice node." in text(Overview(AT, shards=(Standing(0),)), 80)


def test_what_was_last_known_stays_under_the_trouble() -> None:
    shown = text(BUSY, 120, "Redis doesn't answer, and is asked again: gone")
    assert shown.splitlines()[0] == "Redis doesn't answer, and is asked again: gone"
    assert "VOICE NODE" in shown
    assert text(None, 80, "Redis doesn't answer").strip() == "Redis doesn't answer"


def test_in_a_terminal_a_frame_takes_the_place_of_the_one_before_and_fits() -> None:
    console = Console(file=io.StringIO(), width=80, height=30, force_terminal=True, highlight=False)
    many = Overview(AT, shards=tuple(well(number) for number in range(999)))
    screen = Screen(console)
    with screen.kept():
        screen.show(many)
        assert isinstance(console.file, io.StringIO)
        shown = console.file.getvalue()
    assert "\x1b[?1049h" in shown  # the alternate screen
    assert "and 975 more" in shown


def test_without_a_terminal_it_is_plain_text() -> None:
    console = Console(file=io.StringIO(), width=80, highlight=False)
    screen = Screen(console)
    with screen.kept():
        screen.show(BUSY)
    assert isinstance(console.file, io.StringIO)
    assert "\x1b" not in console.file.getvalue()
