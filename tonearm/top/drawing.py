"""An overview as people see it: pure, but for the :class:`Screen` that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tonearm.redis.faults import Fault
from tonearm.redis.keys import name_of
from tonearm.redis.members import LIFE_MS
from tonearm.redis.overview import Buried, Overview, Standing
from tonearm.redis.servers import SeenServer

MOST_ROWS = 64
"""Shards that are shown where the height is not a terminal's."""

FEWEST_ROWS = 4
ABOVE = 6
"""Lines for the summary, and for what is around the shards."""

BESIDE = 2
"""Lines of another table that are no rows."""

NARROW = 72
"""Characters below which the lesser columns are left out."""

GAP, FEWEST = 2, 12
"""Characters between two columns, and those that one which gives leaves to the next."""

OLD_MS = 5_000
"""A job that waits for longer is late: half a minute later most are not done any more."""

CALM, LATE, BAD = "", "yellow", "bold red"


class Screen:
    """A terminal, or whatever standard output is: there it is plain text, one frame after another."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._live: Live | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The frames that are shown meanwhile take each other's place, where that can be."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, screen=True, auto_refresh=False) as self._live:
            yield
        self._live = None

    def show(self, seen: Overview | None, trouble: str = "") -> None:
        """See :class:`tonearm.top.Shown`."""
        if self._live is None:
            self._console.print(draw(seen, trouble, width=self._console.width))
        else:
            size = self._console.size
            self._live.update(draw(seen, trouble, width=size.width, height=size.height), refresh=True)


def draw(seen: Overview | None, trouble: str = "", *, width: int, height: int | None = None) -> RenderableType:
    """One frame, ``width`` characters wide. Where ``height`` lines are not enough for all shards, it has the worst."""
    parts: list[RenderableType] = [Text(trouble, BAD)] if trouble else []
    if seen is None:
        return Group(*parts)
    parts.append(_summary(seen))
    if not seen.shards:
        parts.append(Text("No voice node has ever run here.", LATE))
    elif not seen.nodes:
        parts.append(Text("There is no voice node.", BAD))
    busy = [each for each in seen.streams if each.backlog or each.owed or each.dead]
    others = (
        _standings("STREAM", busy, len(busy), width),  # in the workers' streams there is mostly nothing
        _nodes(seen, width),
        _servers(seen, width),
        _dead(seen.dead, width),
        _faults(seen.faults, width),
    )
    most_rows = MOST_ROWS
    if height is not None:
        taken = sum(table.row_count + BESIDE for table in others if table is not None)
        most_rows = max(FEWEST_ROWS, height - taken - ABOVE)
    for table in (_standings("SHARD", seen.shards, most_rows, width), *others):
        parts += [Text(), table] if table is not None else []
    return Group(*parts)


def _summary(seen: Overview) -> Text:
    everything = (*seen.shards, *seen.streams)
    ownerless = sum(not each.owner for each in seen.shards)
    backlog, oldest = sum(each.backlog for each in everything), max((each.oldest_ms for each in everything), default=0)
    dead = sum(each.dead for each in everything)
    words = [
        (datetime.fromtimestamp(seen.at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC"), CALM),
        (
            _counted(len(seen.shards), "shard") + (f", {ownerless} without an owner" if ownerless else ""),
            _bad(ownerless),
        ),
        (_counted(sum(each.players for each in seen.shards), "player"), CALM),
        (
            _counted(backlog, "job") + (f" waiting, the oldest for {_time(oldest)}" if backlog else " waiting"),
            _age(oldest),
        ),
        (_counted(sum(each.owed for each in everything), "answer") + " owed", CALM),
        (_counted(dead, "job") + " given up", LATE if dead else CALM),
        (_counted(seen.workers, "worker"), CALM),
        *([(f"Redis {seen.memory:.0%} full", BAD if seen.memory > 0.9 else CALM)] if seen.memory else []),
    ]
    return Text(" · ").join(Text(word, style) for word, style in words)


def _standings(title: str, standings: Sequence[Standing], most_rows: int, width: int) -> Table | None:
    shown = standings
    if len(standings) > most_rows:  # those in trouble are among them, whatever their number
        shown = sorted(standings, key=lambda each: (bool(each.owner), -each.oldest_ms, -each.dead, each.number))
    columns = (
        Column(title),
        Column("OWNER", gives=True),
        Column("HELD", number=True, spared=True),
        Column("LEASE", number=True),
        Column("PLAYERS", number=True),
        Column("JOBS", number=True),
        Column("OLDEST", number=True),
        Column("OWED", number=True, spared=True),
        Column("GIVEN UP", number=True, spared=True),
    )
    table = _table(columns, [_row(each) for each in shown[:most_rows]], width)
    if table is not None and len(standings) > most_rows:
        table.caption = f"and {len(standings) - most_rows} more"
    return table


def _row(each: Standing) -> list[Text]:
    return [
        Text(name_of(each.number)),
        Text(each.owner or "nobody", CALM if each.owner else BAD),
        Text(_time(each.held_ms) if each.owner else ""),
        Text(_time(each.lease_ms) if each.owner else ""),
        Text(str(each.players)),
        Text(str(each.backlog), _age(each.oldest_ms)),
        Text(_time(each.oldest_ms) if each.backlog else "", _age(each.oldest_ms)),
        Text(str(each.owed)),
        Text(str(each.dead), LATE if each.dead else CALM),
    ]


def _nodes(seen: Overview, width: int) -> Table | None:
    columns = (
        Column("VOICE NODE", gives=True),
        Column("SHARDS", gives=True),
        Column("SINCE", number=True, spared=True),
        Column("SILENT", number=True),
        Column("VERSION", spared=True),
        Column("STATE"),
    )
    rows = []
    for node in seen.nodes:
        member, gone = node.member, node.silent_ms > LIFE_MS
        state = "gone" if gone else "leaving" if member.leaving else "there"
        rows.append(
            [
                Text(member.name),
                Text(_ranges(member.shards) or "-"),
                Text(_time(seen.at_ms - member.since_ms)),
                Text(_time(node.silent_ms), _bad(gone)),
                Text(member.version),
                Text(state, BAD if gone else LATE if member.leaving else CALM),
            ]
        )
    return _table(columns, rows, width)


def _servers(seen: Overview, width: int) -> Table | None:
    """Each server once, as all shards together see it."""
    by_name: dict[str, list[SeenServer]] = {}
    for server in seen.servers:
        by_name.setdefault(server.name, []).append(server)
    columns = (
        Column("LAVALINK", gives=True),
        Column("STATE"),
        Column("PLAYERS", number=True),
        Column("PENALTY", number=True, spared=True),
        Column("SHARDS", number=True, spared=True),
    )
    rows = []
    for name, views in by_name.items():
        states = sorted({view.state for view in views} | ({"draining"} if name in seen.draining else set()))
        rows.append(
            [
                Text(name),
                Text(", ".join(states), CALM if states == ["connected"] else LATE),
                Text(str(sum(view.players for view in views))),
                Text(f"{max(view.penalty for view in views):.0f}"),
                Text(str(len(views))),
            ]
        )
    return _table(columns, rows, width)


def _dead(dead: Iterable[Buried], width: int) -> Table | None:
    lines = [
        (_when(each.letter.at_ms), name_of(each.number), str(each.letter.guild), each.letter.reason, each.letter.id)
        for each in dead
    ]
    return _events("GIVEN UP", "SHARD", "WHY", lines, width)


def _faults(faults: Iterable[Fault], width: int) -> Table | None:
    lines = []
    for each in faults:
        what = f"{each.what} ({each.error})" if each.error else each.what
        lines.append((_when(each.at_ms), each.process, str(each.guild or ""), what, each.job))
    return _events("FAULT", "PROCESS", "WHAT", lines, width)


def _events(when: str, where: str, what: str, lines: Iterable[tuple[str, ...]], width: int) -> Table | None:
    """What befell a guild: when, where, its guild, what, and with which job."""
    columns = (
        Column(when),
        Column(where, spared=True),
        Column("GUILD", spared=True),
        Column(what, gives=True),
        Column("JOB", gives=True),
    )
    return _table(columns, [[Text(word) for word in line] for line in lines], width)


@dataclass(frozen=True)
class Column:
    """``gives``: it is cut where the width is not enough. ``spared``: it is left out of what is narrow."""

    title: str
    number: bool = False
    gives: bool = False
    spared: bool = False


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> Table | None:
    """Without lines, so that a script can read it; none where there are no rows."""
    if not rows:
        return None
    kept = [at for at, column in enumerate(columns) if width >= NARROW or not column.spared]
    widths = {at: max(len(columns[at].title), *(len(row[at]) for row in rows)) for at in kept}
    giving = [at for at in kept if columns[at].gives]
    left = width - GAP * (len(kept) - 1) - sum(widths[at] for at in kept if at not in giving)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), caption_justify="left", header_style="bold")
    for at in kept:
        if at in giving:
            widths[at] = max(1, min(widths[at], left - (len(giving) - 1 - giving.index(at)) * FEWEST))
            left -= widths[at]
        justify: Literal["left", "right"] = "right" if columns[at].number else "left"
        table.add_column(columns[at].title, justify=justify, no_wrap=True, overflow="ellipsis", width=widths[at])
    for row in rows:
        table.add_row(*(row[at] for at in kept))
    return table


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%m-%d %H:%M:%S")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _bad(trouble: int) -> str:
    return BAD if trouble else CALM


def _age(ms: int) -> str:
    return LATE if ms > OLD_MS else CALM


def _time(ms: int) -> str:
    """A length of time in its two largest units."""
    seconds = ms // 1000
    if seconds < 10:
        return f"{ms / 1000:.1f}s"
    for size, unit, part, lesser in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s")):
        if seconds >= size:
            return f"{seconds // size}{unit}{seconds % size // part}{lesser}"
    return f"{seconds}s"


def _ranges(numbers: Iterable[int]) -> str:
    """``0-3, 7``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
