"""What the doctor says of Discord: each check once as it should be, and once not."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from interactions.commands.sync import declared
from tests.support.serving import saying, serving
from tonearm.doctor import discord
from tonearm.doctor.discord import Seen
from tonearm.doctor.finding import Finding, Verdict
from tonearm.settings import PREFIX, Settings, load

KEY, OTHER_KEY = "ab" * 32, "cd" * 32
SECRET = "very-secret"
PUBLIC = "https://music.example"


def settings(**values: str) -> Settings:
    return load((), {PREFIX + name.upper(): value for name, value in values.items()})


def seen(
    application: dict[str, Any] | None = None,
    registered: list[dict[str, Any]] | None = None,
    clock_ahead: float | None = 0.0,
    known: list[dict[str, Any]] | None = None,
    **values: str,
) -> Seen:
    about = {"id": "77", "name": "Tonearm", "verify_key": KEY, "event_webhooks_status": 1} | (application or {})
    known = declared() if known is None else known
    return Seen(settings(**values), about, known if registered is None else registered, known, clock_ahead)


@pytest.mark.parametrize(
    ("check", "given", "verdict", "says"),
    [
        (discord.name, seen(), Verdict.OK, "application Tonearm"),
        (discord.application_id, seen(discord_application_id="77"), Verdict.OK, ""),
        (discord.application_id, seen(discord_application_id="78"), Verdict.ERROR, "DISCORD_APPLICATION_ID to 77."),
        (discord.public_key, seen(discord_public_key=f"{OTHER_KEY},{KEY}"), Verdict.OK, ""),
        (discord.public_key, seen(discord_public_key=OTHER_KEY), Verdict.ERROR, f"DISCORD_PUBLIC_KEY to {KEY}."),
        (discord.clock, seen(clock_ahead=1.2), Verdict.OK, "agrees"),
        (discord.clock, seen(clock_ahead=-19), Verdict.OK, "19 s behind"),
        (discord.clock, seen(clock_ahead=-40), Verdict.WARNING, "NTP"),
        (discord.clock, seen(clock_ahead=61), Verdict.ERROR, "61 s ahead of Discord's"),
        (discord.commands, seen(), Verdict.OK, "as declared"),
        (discord.commands, seen(registered=[]), Verdict.ERROR, "tonearm commands sync"),
        (discord.commands, seen(registered=[*declared(), {"name": "dance"}]), Verdict.ERROR, "/dance is no longer"),
        (
            discord.commands,
            seen(registered=[{**declared()[0], "description": "Old."}, *declared()[1:]]),
            Verdict.ERROR,
            f"/{declared()[0]['name']} is old",
        ),
        (discord.interactions_url, seen(), Verdict.ERROR, "tonearm setup"),
        (
            discord.interactions_url,
            seen({"interactions_endpoint_url": f"{PUBLIC}/interactions"}, public_url=PUBLIC),
            Verdict.OK,
            PUBLIC,
        ),
        (
            discord.interactions_url,
            seen({"interactions_endpoint_url": "https://old.example/interactions"}, public_url=PUBLIC),
            Verdict.ERROR,
            "old.example",
        ),
        (discord.interactions_url, seen({"interactions_endpoint_url": f"{PUBLIC}/x"}), Verdict.OK, PUBLIC),
        (discord.events_url, seen(), Verdict.OK, "are off"),
        (discord.events_url, seen(discord_skus="premium=1"), Verdict.ERROR, "tonearm setup"),
        (
            discord.events_url,
            seen({"event_webhooks_status": 2, "event_webhooks_url": f"{PUBLIC}/webhook-events"}),
            Verdict.OK,
            f"{PUBLIC}/webhook-events",
        ),
        (discord.events_url, seen({"event_webhooks_status": 3}), Verdict.ERROR, "disabled by Discord"),
    ],
)
def test_each_check(check: Callable[[Seen], Finding | None], given: Seen, verdict: Verdict, says: str) -> None:
    finding = check(given)
    assert finding is not None
    assert finding.verdict is verdict, finding
    assert says in f"{finding.found} {finding.remedy}"
    assert bool(finding.remedy) == (verdict is not Verdict.OK)


def test_an_application_that_asks_for_a_code_grant_can_not_be_invited() -> None:
    assert discord.code_grant({"bot_require_code_grant": False}) is None
    finding = discord.code_grant({"bot_require_code_grant": True})
    assert finding is not None
    assert finding.verdict is Verdict.ERROR


@pytest.mark.parametrize("check", [discord.application_id, discord.public_key])
def test_what_is_not_set_is_not_compared(check: Callable[[Seen], Finding | None]) -> None:
    assert check(seen()) is None


def test_without_the_http_side_there_is_nothing_to_compare_commands_with() -> None:
    finding = discord.commands(seen()._replace(declared=None))
    assert finding.verdict is Verdict.OK
    assert "not installed" in finding.found


def like_discord(clock_off: float = 0.0) -> Callable[[web.Request], web.Response]:
    """Discord's REST API, as far as it is asked."""

    def answer(request: web.Request) -> web.Response:
        headers = {"Date": formatdate(time.time() - clock_off, usegmt=True)}
        if request.path.endswith("/commands"):
            return web.json_response(declared(), headers=headers)
        if request.path == "/interactions":
            return web.json_response({"public_keys": [KEY]}, status=401)
        application = {"id": "77", "name": "Tonearm", "verify_key": KEY, "event_webhooks_status": 1}
        application["interactions_endpoint_url"] = f"http://{request.host}/interactions"
        return web.json_response(application, headers=headers)

    return answer


async def examined(url: str, **values: str) -> dict[str, Finding]:
    found = await discord.examine(settings(discord_api_url=url, discord_bot_token=SECRET, **values))
    return {finding.what: finding for finding in found}


async def test_all_is_well() -> None:
    async with serving(like_discord()) as url:
        found = await examined(url, discord_application_id="77", discord_public_key=KEY, public_url=url)
    assert {finding.verdict for finding in found.values()} == {Verdict.OK}, found
    assert "refuses a bad signature" in found["Public URL"].found


async def test_the_clock_is_read_from_discords_answers() -> None:
    async with serving(like_discord(clock_off=300)) as url:
        found = await examined(url)
    assert found["Clock"].verdict is Verdict.ERROR
    assert "ahead of Discord's" in found["Clock"].found


async def test_a_wrong_token() -> None:
    async with serving(saying({"message": "401: Unauthorized", "code": 0}, 401)) as url:
        found = await examined(url)
    assert found["Discord"].remedy == f"Check {PREFIX}DISCORD_BOT_TOKEN."
    assert SECRET not in found["Discord"].found
