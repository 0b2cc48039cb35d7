"""What breaks in the tool is told, and takes nothing else with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from tests.chaos.jobs import PATIENT_TRIES, Jobs, patiently
from tests.chaos.plan import make_plan
from tests.chaos.script import Script


async def test_what_breaks_is_missed_and_written_down() -> None:
    written: list[str] = []
    script = cast(Script, SimpleNamespace(cluster=None))
    jobs = Jobs(script, make_plan(1, jobs=1, guilds=1, repeats=0), 1, lambda _, line: written.append(line))

    async def falls_over() -> None:
        raise KeyError("id")

    await jobs._guarded("job 7", falls_over())
    assert jobs._missed == ["job 7: KeyError('id')"]
    assert "falls_over" in written[0]


@pytest.mark.parametrize(("busy", "good"), [(PATIENT_TRIES - 1, True), (PATIENT_TRIES, False)])
async def test_a_busy_twin_is_asked_again(busy: int, good: bool) -> None:
    asked = 0

    async def ask() -> str:
        nonlocal asked
        asked += 1
        if asked <= busy:
            raise TimeoutError
        return "told"

    if good:
        assert await patiently(ask) == "told"
    else:
        with pytest.raises(TimeoutError):
            await patiently(ask)
