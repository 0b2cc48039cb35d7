"""A row passes, fails or can't be shown, and the run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from tests.cluster.kube import KubeError, eventually
from tests.cluster.load import failure_in
from tests.cluster.rows import Failed, NotRun, Stage, Table
from tonearm.child_logs import LogFolder
from tonearm.sentences import Sentence

NOTHING = cast(Stage, None)


async def good(_: Stage) -> str:
    return "as it should be"


async def bad(_: Stage) -> str:
    raise Failed("3 packets lost")


async def broken(_: Stage) -> str:
    raise KubeError("no such pod")


async def impossible(_: Stage) -> str:
    raise NotRun("one node")


async def test_every_row_is_told(tmp_path: Path) -> None:
    with LogFolder(tmp_path) as log:
        table = Table(log)
        for name, scene in {"a": good, "b": bad, "c": broken, "d": impossible}.items():
            await table.run(name, scene, NOTHING)
    rows = table.result.sheets[0].rows
    assert [row.cells[1] for row in rows] == ["passed", "FAILED", "FAILED", "not run"]
    assert [row.good for row in rows] == [True, False, False, True]
    assert table.result.missed == ["b: 3 packets lost", "c: no such pod"]
    assert not table.result.good
    assert str(table) == "1 of 4 rows passed; not run here: d."
    assert "KubeError: no such pod" in (tmp_path / "rows.log").read_text()


async def test_good_rows_alone_are_good(tmp_path: Path) -> None:
    with LogFolder(tmp_path) as log:
        table = Table(log)
        await table.run("a", good, NOTHING)
    assert table.result.good
    assert str(table) == "1 of 1 rows passed."


def test_an_answer_that_says_that_nothing_came_of_it() -> None:
    assert failure_in(Sentence.NOT_DONE_IN_TIME.format(seconds=21)) == "NOT_DONE_IN_TIME"
    assert failure_in("**Not so fast**\n" + Sentence.NO_PLAYER.format()) == "NO_PLAYER"
    assert failure_in("Volume: 100 %") is None
    assert failure_in(Sentence.NOTHING_PLAYING.format()) is None


async def test_what_is_asked_again_until_it_is_good() -> None:
    answers = iter([1, KubeError("away"), 3])

    async def ask() -> int:
        answer = next(answers)
        if isinstance(answer, KubeError):
            raise answer
        return answer

    assert await eventually(ask, lambda found: found == 3, 10, 0) == 3


async def test_the_last_answer_when_it_never_was_good() -> None:
    async def ask() -> int:
        return 5

    assert await eventually(ask, lambda found: found == 3, 0, 0) == 5
