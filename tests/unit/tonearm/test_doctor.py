"""``tonearm doctor``: what is wrong is found, each with what mends it, and no secret is shown."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from tonearm import doctor
from tonearm.doctor import examine
from tonearm.doctor.finding import Finding, Verdict
from tonearm.settings import DECLARED, PREFIX, load

SECRET = "very-secret"


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


async def test_a_look_that_breaks_is_a_finding_and_stops_no_other(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def breaks(*_: object) -> list[Finding]:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(doctor.lavalink, "examine", breaks)
    found = await look(redis_url=redis_url, lavalink_nodes=f"http://:{SECRET}@127.0.0.1:1")
    assert found["Redis"].verdict is Verdict.OK
    assert found["Lavalink"].verdict is Verdict.ERROR
    assert f"{PREFIX}LAVALINK_NODES" in found["Lavalink"].remedy
    assert SECRET not in found["Lavalink"].found
    assert [(record.levelno, bool(record.exc_info)) for record in caplog.records] == [(logging.ERROR, True)]


@pytest.mark.parametrize(
    ("scheme", "parameter"),
    [
        ("redis", "socket_timeout=many"),
        ("redis", "nonsense=1"),
        ("rediss", "ssl_cert_reqs=nonsense"),
        ("redis+cluster", "socket_timeout=many"),
        ("redis+cluster", "nonsense=1"),
    ],
)
async def test_a_parameter_of_redis_that_is_wrong(scheme: str, parameter: str) -> None:
    (finding,) = (await look(redis_url=f"{scheme}://:{SECRET}@127.0.0.1:1?{parameter}")).values()
    assert finding.verdict is Verdict.ERROR
    assert f"{PREFIX}REDIS_URL has a parameter" in finding.remedy
    assert SECRET not in str(finding)


async def test_a_look_that_hangs_is_a_finding_and_stops_no_other(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object) -> list[Finding]:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(doctor, "LOOK_TIMEOUT", 1.0)
    monkeypatch.setattr(doctor.lavalink, "examine", hangs)
    found = await look(redis_url=redis_url, lavalink_nodes="http://:x@127.0.0.1:1")
    assert found["Redis"].verdict is Verdict.OK
    assert (found["Lavalink"].verdict, "within 1 s" in found["Lavalink"].found) == (Verdict.ERROR, True)


async def test_who_cancels_it_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()

    async def hangs(*_: object) -> list[Finding]:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(doctor.redis, "examine", hangs)
    looking = asyncio.create_task(look(redis_url="redis://127.0.0.1:1"))
    await begun.wait()
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking


async def test_redis_away() -> None:
    found = await look(redis_url=f"redis://:{SECRET}@127.0.0.1:1")
    assert f"{PREFIX}REDIS_URL" in found["Redis"].remedy
    assert SECRET not in found["Redis"].found


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    monkeypatch.chdir(tmp_path)  # where there is no file of settings
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


def test_what_is_missing_is_an_error(environ: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--brief"]) == 1
    said = capsys.readouterr().out
    assert f"!!  {PREFIX}DISCORD_BOT_TOKEN: is missing" in said
    assert f"!!  {PREFIX}DATABASE_URL" not in said
    assert said.endswith("5 of 5 must be mended.\n")


@pytest.mark.parametrize(
    ("found", "code", "ends"),
    [
        ([Finding("A", "fine")], 0, "Nothing is wrong.\n"),
        ([Finding("A", "fine"), Finding("B", "so so", "Look.", minor=True)], 0, "Nothing is wrong.\n"),
        ([Finding("A", "bad", "Mend it."), Finding("B", "fine")], 1, "1 of 2 must be mended.\n"),
    ],
)
def test_only_errors_are_an_exit_code(
    found: list[Finding],
    code: int,
    ends: str,
    environ: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def examine(*_: object) -> list[Finding]:
        return found

    environ.setattr(doctor, "examine", examine)
    environ.setattr(doctor, "missing_settings", lambda _: [])
    assert doctor.main(["--brief"]) == code
    assert capsys.readouterr().out.endswith(ends)
    assert doctor.main(["--json"]) == code
    rows = json.loads(capsys.readouterr().out)
    assert [row["verdict"] for row in rows] == [str(finding.verdict) for finding in found]
    assert rows[-1].keys() == {"what", "verdict", "found", "remedy"}


async def test_without_a_driver_the_database_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tonearm.doctor.postgres", "tonearm.postgres.pool"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.delattr(doctor, "postgres", raising=False)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    finding = (await look(database_url="postgresql://user@127.0.0.1:1/x"))["PostgreSQL"]
    assert finding.verdict is Verdict.WARNING
    assert "asyncpg is not installed" in finding.found
