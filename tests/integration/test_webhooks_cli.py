"""``tonearm webhooks``: where is told of what happens, and what did not arrive."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from tonearm import webhooks
from tonearm.postgres import outgoing


@pytest.fixture
def run(database_url, monkeypatch, capsys):
    """``await run(word, ...)``: the exit code and what was printed."""
    monkeypatch.setenv("TONEARM_DATABASE_URL", database_url)

    async def run(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(webhooks.main, list(words))
        return code, capsys.readouterr().out

    return run


async def test_added_listed_and_removed(run):
    assert await run("list") == (0, "There is no endpoint.\n")
    url = "https://me:secret@shop.example/told?key=secret"
    assert await run("add", "shop", url) == (0, "shop is told of everything from now on.\n")
    added = await run("add", "ends", "http://10.0.0.1:8080/", "--type", "subscription.ending")
    assert added == (0, "ends is told of subscription.ending from now on.\n")
    _, listed = await run("list")
    assert [line.split() for line in listed.splitlines()[1:]] == [
        ["ends", "http://10.0.0.1:8080/", "subscription.ending"],
        ["shop", "https://shop.example/told?…", "everything"],
    ]
    assert await run("remove", "shop") == (0, "shop is forgotten.\n")
    assert await run("remove", "shop") == (1, "shop is no endpoint.\n")


async def test_what_was_given_up_is_shown_and_tried_again(run, pool):
    assert await run("dead") == (0, "Nothing was given up.\n")
    now = datetime.now(UTC)
    await outgoing.add_endpoint(pool, "shop", "https://shop.example/", now=now)
    for event in "abc":
        await outgoing.enqueue(pool, event, "x.y", {}, guild=7, now=now)
    due = await outgoing.claim_due(pool, now, lease=timedelta(seconds=1))
    for delivery in due:
        await outgoing.failed(pool, delivery.id, now, "status 410", retry_at=None)
    _, shown = await run("dead")
    assert len(shown.splitlines()) == 4
    assert all(word in shown for word in ("shop", "x.y", "status 410", *(each.id for each in due)))
    first, second, _ = (each.id for each in due)
    assert await run("revive", first, second) == (0, f"{first} is tried again.\n{second} is tried again.\n")
    assert await run("revive", first) == (1, f"{first} is not there.\n")
    assert len((await run("dead"))[1].splitlines()) == 2


@pytest.mark.parametrize(
    "words", [("add", "Shop!", "https://a.example"), ("add", "shop", "ftp://a.example"), ("add", "shop", "https://")]
)
def test_what_can_not_be_is_refused(words, capsys):
    with pytest.raises(SystemExit) as caught:
        webhooks.main(list(words))
    assert caught.value.code == 2
    assert capsys.readouterr().err
