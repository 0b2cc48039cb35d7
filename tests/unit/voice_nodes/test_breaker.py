"""When a server is asked, and when not."""

from __future__ import annotations

import pytest

from tests.support.voice_nodes import Clock
from voice_nodes.breaker import Breaker


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def test_one_failure_is_none(breaker: Breaker) -> None:
    assert not breaker.failed()
    assert (breaker.closed, breaker.failures) == (True, 1)
    breaker.succeeded()
    assert not breaker.failed()
    assert breaker.closed


def test_two_in_a_row_open_it_once(breaker: Breaker) -> None:
    assert [breaker.failed() for _ in range(4)] == [False, True, False, False]
    assert not breaker.closed
    assert breaker.due() == 1.0


def test_each_attempt_waits_twice_as_long_up_to_half_a_minute(breaker: Breaker, clock: Clock) -> None:
    breaker.failed()
    breaker.failed()
    waits = []
    for _ in range(7):
        waits.append(breaker.due())
        clock.now += waits[-1]
        assert breaker.due() == 0
        assert not breaker.failed()
    assert waits == [1, 2, 4, 8, 16, 30, 30]


def test_calls_that_were_under_way_are_no_attempts(breaker: Breaker, clock: Clock) -> None:
    for _ in range(9):
        breaker.failed()
    clock.now += 1
    assert breaker.due() == 0


def test_an_answer_closes_it_and_it_begins_anew(breaker: Breaker, clock: Clock) -> None:
    for _ in range(2):
        breaker.failed()
    clock.now += 1
    breaker.failed()
    breaker.succeeded()
    assert (breaker.closed, breaker.due(), breaker.failures) == (True, 0, 0)
    assert [breaker.failed(), breaker.failed()] == [False, True]
    assert breaker.due() == 1
