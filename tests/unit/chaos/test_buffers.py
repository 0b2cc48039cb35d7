"""A small receive buffer voids what counts, and is told of where it can't be helped."""

from __future__ import annotations

import pytest

from tests.chaos.buffers import LEAST_BYTES, judge_buffer, receive_buffer
from tests.chaos.report import Result


@pytest.mark.parametrize(
    ("size", "long", "missed", "told"),
    [
        (LEAST_BYTES, True, 0, 0),
        (LEAST_BYTES, False, 0, 0),
        (LEAST_BYTES - 1, True, 1, 0),
        (LEAST_BYTES - 1, False, 0, 1),
    ],
)
def test_a_small_buffer(size: int, long: bool, missed: int, told: int) -> None:
    result = Result("handover")
    judge_buffer(result, long=long, size=size)
    assert (len(result.missed), len(result.lines)) == (missed, told)


def test_the_kernel_says_how_large_it_is() -> None:
    assert receive_buffer() > 0
