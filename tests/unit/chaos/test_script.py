"""The script asks until it is told, with the same key; and the books tell what is written from what was done."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.chaos.books import Books, identity
from tests.chaos.cluster import Cluster
from tests.chaos.plan import Deal
from tests.chaos.rooms import Room
from tests.chaos.script import Answer, Script

GUILD = "772904309264089089"
Handler = Callable[[web.Request], Any]


@asynccontextmanager
async def script(handler: Handler) -> AsyncIterator[Script]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as server:
        cluster = SimpleNamespace(api_url=str(server.make_url("")).rstrip("/"), api_key="key", api_key_id="k1")
        async with Script(cast(Cluster, cluster)) as opened:
            yield opened


def problem(status: int, kind: str) -> web.Response:
    return web.json_response({"type": f"/api/v1/docs#{kind}", "detail": "no"}, status=status)


async def test_it_asks_again_with_the_same_key_until_the_answer_is_final() -> None:
    keys: list[str] = []
    answers = [problem(503, "database-away"), problem(409, "still-running"), problem(409, "not-connected")]

    async def handler(request: web.Request) -> web.Response:
        keys.append(request.headers["Idempotency-Key"])
        return answers[len(keys) - 1]

    async with script(handler) as it:
        answer, tries = await it.insist("/music/play", {}, "once", 10)
    assert (answer.status, answer.word, answer.text, tries) == (409, "not-connected", "no", 3)
    assert keys == ["once"] * 3


@pytest.mark.parametrize(
    ("status", "body", "word"),
    [
        (200, {"status": "done"}, "done"),
        (200, {"status": "refused", "code": "nothing_playing"}, "NOTHING_PLAYING"),
        (503, {"type": "/api/v1/docs#memory-away"}, "memory-away"),
    ],
)
def test_an_answer_has_a_word(status: int, body: dict[str, Any], word: str) -> None:
    assert Answer(status, body).word == word


class Ledger:
    """An API that keeps books, and may keep them badly."""

    def __init__(self, spoil: Callable[[list[dict[str, str]]], Sequence[dict[str, str]]]) -> None:
        self.events: list[dict[str, str]] = []
        self.spoil = spoil

    async def handle(self, request: web.Request) -> web.Response:
        last = self.events[-1]["kind"] if self.events else ""
        if request.method == "POST":
            word = request.path.rpartition("/")[2]
            name = "a:" + hashlib.sha256(f"k1\0{request.headers['Idempotency-Key']}".encode()).hexdigest()
            kind = {"subscription": "activate"}.get(word, word)
            self.events.append({"kind": kind, "id": name})
            return web.json_response({}, status=201)
        if request.path.endswith("/events"):
            return web.json_response({"data": list(self.spoil(self.events))[::-1], "next_cursor": None})
        return web.json_response({"plan": "premium", "state": "canceling" if last == "cancel" else "active"})


async def deals(ledger: Ledger, times: int) -> list[str]:
    rooms = [cast(Room, SimpleNamespace(guild=SimpleNamespace(id=GUILD)))] * 2
    async with script(ledger.handle) as it:
        books = Books(it, rooms)
        for _ in range(times):
            await books.deal(0.0, Deal(0.0, 1))
        await books.compare()
    return books.missed


async def test_books_that_are_right() -> None:
    assert await deals(Ledger(lambda events: events), 5) == []


@pytest.mark.parametrize(
    "spoil", [lambda events: events[:-1], lambda events: [*events, events[-1]], lambda events: events[::-1]]
)
async def test_what_is_missing_doubled_or_out_of_order_is_told(spoil: Any) -> None:
    (missed,) = await deals(Ledger(spoil), 3)
    assert "is written" in missed


def test_a_request_is_called_as_the_design_says() -> None:
    assert identity("k1", "x") == "a:" + hashlib.sha256(b"k1\0x").hexdigest()
