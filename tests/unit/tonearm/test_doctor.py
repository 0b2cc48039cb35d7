"""``tonearm doctor``: what is wrong is found, each with what mends it, and no secret is shown."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis.asyncio
from aiohttp import web

from tonearm import doctor
from tonearm.doctor import examine
from tonearm.doctor.finding import Finding
from tonearm.settings import DECLARED, PREFIX, load

KEY = "ab" * 32
SECRET = "very-secret"


@asynccontextmanager
async def serving(answer: Callable[[web.Request], web.Response]) -> AsyncIterator[str]:
    """A real server that answers everything so."""

    async def handle(request: web.Request) -> web.Response:
        return answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def saying(body: Any, status: int = 200) -> Callable[[web.Request], web.Response]:
    return lambda _: web.json_response(body, status=status)


async def look(**settings: str) -> dict[str, Finding]:
    """The findings by what they are about."""
    environ = {PREFIX + name.upper(): value for name, value in settings.items()}
    return {finding.what: finding for finding in await examine(load((), environ))}


async def test_a_good_redis(redis_url: str) -> None:
    found = await look(redis_url=redis_url)
    assert [finding.remedy for finding in found.values()] == ["", ""]
    assert found["Redis' policy"].found == "noeviction"


async def test_a_policy_that_forgets_is_refused(redis_url: str, redis_client: redis.asyncio.Redis[Any]) -> None:
    await redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        found = await look(redis_url=redis_url)
    finally:
        await redis_client.config_set("maxmemory-policy", "noeviction")
    assert found["Redis' policy"].found == "allkeys-lru"
    assert "noeviction" in found["Redis' policy"].remedy


async def test_what_is_away_is_told_and_stops_no_other_look(redis_url: str) -> None:
    nobody = "127.0.0.1:1"
    found = await look(
        redis_url=redis_url,
        discord_bot_token=SECRET,
        discord_api_url=f"http://{nobody}",
        lavalink_nodes=f"http://:{SECRET}@{nobody}",
        database_url=f"postgresql://user:{SECRET}@{nobody}/x",
    )
    assert found["Redis"].remedy == ""
    for what, setting in (
        ("Discord", "DISCORD_API_URL"),
        (f"Lavalink at http://{nobody}", "LAVALINK_NODES"),
        ("PostgreSQL", "DATABASE_URL"),
    ):
        assert f"{PREFIX}{setting}" in found[what].remedy
        assert SECRET not in found[what].found + found[what].remedy


async def test_redis_away() -> None:
    found = await look(redis_url=f"redis://:{SECRET}@127.0.0.1:1")
    assert f"{PREFIX}REDIS_URL" in found["Redis"].remedy
    assert SECRET not in found["Redis"].found


async def test_discord_as_it_should_be_and_with_wrong_ids() -> None:
    application = {"id": "77", "name": "Tonearm", "verify_key": KEY}
    async with serving(saying(application)) as url:
        good = await look(
            discord_api_url=url, discord_bot_token=SECRET, discord_application_id="77", discord_public_key=KEY
        )
        wrong = await look(
            discord_api_url=url, discord_bot_token=SECRET, discord_application_id="78", discord_public_key="cd" * 32
        )
    assert [finding.remedy for finding in good.values()] == [""]
    assert wrong["Application id"].remedy == f"Set {PREFIX}DISCORD_APPLICATION_ID to 77."
    assert f"{PREFIX}DISCORD_PUBLIC_KEY" in wrong["Public key"].remedy


async def test_a_wrong_token() -> None:
    async with serving(saying({"message": "401: Unauthorized", "code": 0}, 401)) as url:
        found = await look(discord_api_url=url, discord_bot_token=SECRET)
    assert found["Discord"].remedy == f"Check {PREFIX}DISCORD_BOT_TOKEN."
    assert SECRET not in found["Discord"].found


@pytest.mark.parametrize(
    ("body", "status", "remedy"),
    [
        ({"version": {"semver": "4.2.2", "major": 4, "minor": 2, "patch": 2}}, 200, ""),
        ({"version": {"semver": "4.1.1", "major": 4, "minor": 1, "patch": 1}}, 200, "use Lavalink 4.2.2 or newer"),
        ({}, 200, "use Lavalink 4.2.2 or newer"),
        ({}, 401, f"Check the password in {PREFIX}LAVALINK_NODES."),
    ],
)
async def test_lavalink_is_judged(body: Any, status: int, remedy: str) -> None:
    async with serving(saying(body, status)) as url:
        found = await look(lavalink_nodes=url.replace("://", "://:pw@"))
        named = await look(lavalink_nodes=url.replace("http://127.0.0.1", "dns+http://:pw@localhost"))
    (finding,) = found.values()
    assert remedy in finding.remedy
    assert bool(remedy) == bool(finding.remedy)
    assert [each for each in named.values() if each.found == finding.found]


async def test_a_name_without_addresses() -> None:
    (finding,) = (await look(lavalink_nodes="dns+http://:pw@nobody.invalid")).values()
    assert f"{PREFIX}LAVALINK_NODES" in finding.remedy


async def test_what_is_no_lavalink() -> None:
    async with serving(lambda _: web.Response(text="hello")) as url:
        (finding,) = (await look(lavalink_nodes=url.replace("://", "://:pw@"))).values()
    assert finding.remedy


async def test_postgres(postgres_url: str) -> None:
    (finding,) = (await look(database_url=postgres_url)).values()
    assert finding.remedy == ""
    assert finding.found.startswith("version ")


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for setting in DECLARED:
        monkeypatch.delenv(PREFIX + setting.name.upper(), raising=False)
    return monkeypatch


def test_it_explains_every_setting_and_shows_no_secret(
    environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = {setting.name for setting in DECLARED if setting.secret}
    for name in secrets:
        environ.setenv(PREFIX + name.upper(), f"redis://{SECRET}")
    assert doctor.main(["--settings"]) == 0
    said = capsys.readouterr().out
    assert SECRET not in said
    for setting in DECLARED:
        assert f"{PREFIX}{setting.name.upper()} = " in said
        assert setting.help in said


def test_each_wrong_setting_is_a_finding(environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    environ.setenv(f"{PREFIX}PORT", "many")
    environ.setenv(f"{PREFIX}REDIS_URL", f"http://{SECRET}")
    assert doctor.main([]) == 1
    said = capsys.readouterr().out
    assert f"!!  {PREFIX}PORT: wrong" in said
    assert f"!!  {PREFIX}REDIS_URL: wrong" in said
    assert SECRET not in said


def test_nothing_wrong_is_exit_code_0(environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main([]) == 0
    assert "!!" not in capsys.readouterr().out


async def test_an_answer_that_is_no_object_is_no_lavalink() -> None:
    async with serving(lambda _: web.Response(text=json.dumps([1]), content_type="application/json")) as url:
        (finding,) = (await look(lavalink_nodes=url.replace("://", "://:pw@"))).values()
    assert finding.remedy
