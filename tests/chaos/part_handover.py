"""Part handover."""

from __future__ import annotations

from tests.chaos.part import Run
from tests.chaos.report import Result


async def run(asked: Run) -> Result:
    """Not yet."""
    return Result("handover")
