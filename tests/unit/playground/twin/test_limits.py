"""Rate limits of REST, without a server."""

import pytest

from playground.twin.rest import limits
from playground.twin.rest.limits import INVALID_SECONDS, Limit, Limiter, Scope

LIMIT = Limit("messages", 5, 60.0)


class Watch:
    """Unix time, as the test says."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(limits, "time", watch)
    return watch


def take(limiter: Limiter, method: str = "GET", path: str = "/users/@me", *, bot: bool = True) -> limits.Verdict:
    return limiter.take(LIMIT, "1", (method, path), counts_globally=bot)


def test_what_is_imposed_holds_for_its_time_and_for_what_matches(watch: Watch) -> None:
    limiter = Limiter()
    limiter.impose(Scope.USER, 3.2, "get", "/users")
    assert take(limiter, path="/guilds").retry_after is None
    assert take(limiter, "POST").retry_after is None
    refused = take(limiter)
    assert (refused.retry_after, refused.headers["Retry-After"]) == (3.2, "4")
    watch.now += 3.2
    assert take(limiter).retry_after is None


def test_a_global_limit_knows_the_bot_only(watch: Watch) -> None:
    limiter = Limiter()
    limiter.impose(Scope.GLOBAL, 1)
    assert take(limiter).is_global
    assert take(limiter, bot=False).retry_after is None


def test_ten_thousand_invalid_answers_in_ten_minutes_bring_the_ban(watch: Watch) -> None:
    limiter = Limiter()
    statuses = (401, 403, 429)
    assert not any(limiter.answered(statuses[n % 3]) for n in range(9_999))
    for status in (200, 404, 500):
        assert not limiter.answered(status)
    assert not limiter.answered(429, Scope.SHARED)
    assert limiter.banned_for() is None
    assert limiter.answered(403)
    assert limiter.banned_for() == limiter.ban_seconds
    watch.now += limiter.ban_seconds
    assert limiter.banned_for() is None


def test_invalid_answers_are_forgotten_after_ten_minutes(watch: Watch) -> None:
    limiter = Limiter()
    limiter.invalid_requests = 3
    limiter.answered(401)
    watch.now += INVALID_SECONDS
    assert [limiter.answered(401) for _ in range(3)] == [False, False, True]


def test_without_limits_nothing_is_counted(watch: Watch) -> None:
    limiter = Limiter()
    limiter.enabled = False
    limiter.invalid_requests = 1
    assert not limiter.answered(401)
