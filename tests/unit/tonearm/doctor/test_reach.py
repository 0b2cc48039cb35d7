"""What answers where Discord shall post: each answer has its remedy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from interactions.discord.verify import Verifier
from tests.support.serving import saying, serving
from tonearm.doctor import reach
from tonearm.doctor.finding import Finding, Verdict

KEY, OTHER_KEY = "ab" * 32, "cd" * 32
OURS = Verifier((bytes.fromhex(OTHER_KEY), bytes.fromhex(KEY))).refusal


async def judged(answer: Callable[[web.Request], web.Response], key: str = KEY) -> Finding:
    async with serving(answer) as base:
        return reach.judge("Public URL", base, await reach.ask(base + reach.INTERACTIONS), key)


async def test_ours_refuses_and_names_its_keys() -> None:
    def answer(request: web.Request) -> web.Response:
        assert (request.method, request.path) == ("POST", "/interactions")
        return web.Response(body=OURS, status=401, content_type="application/json")

    assert (await judged(answer)).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (saying({"type": 1}), "takes a bad signature (200)"),
        (saying({"public_keys": [OTHER_KEY]}, 401), "verifies with another public key"),
        (saying({"error": "log in"}, 401), "is not Tonearm's: it answers 401"),
        (lambda _: web.Response(text="<html>", status=401), "it answers 401"),
        (saying([], 404), "it answers 404"),
        (saying({}, 302, Location="https://elsewhere.example"), "it answers 302"),
        (saying({}, 502), "nobody answers (502)"),
        (saying({}, 530), "nobody answers (530)"),
    ],
)
async def test_what_discord_would_not_take(answer: Callable[[web.Request], web.Response], says: str) -> None:
    finding = await judged(answer)
    assert finding.verdict is Verdict.ERROR
    assert says in finding.found


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:1/interactions", "nobody takes the connection (Connect call failed"),
        ("http://nobody.invalid/interactions", "its name has no address"),
    ],
)
async def test_nobody_there(url: str, says: str) -> None:
    finding = reach.judge("Public URL", url, await reach.ask(url), KEY)
    assert finding.verdict is Verdict.ERROR
    assert says in finding.found


async def test_nobody_speaks() -> None:
    async def keep_quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(keep_quiet, "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        answer = await reach.ask(f"http://{host}:{port}/interactions", timeout=0.2)
    assert answer.trouble == "there is no answer within 0.2 s"


async def test_plain_http_behind_https() -> None:
    async with serving(saying({})) as base:
        answer = await reach.ask(base.replace("http://", "https://"))
    assert answer.trouble
