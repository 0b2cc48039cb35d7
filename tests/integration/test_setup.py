"""``tonearm setup`` against the twin: what it does, and the remedy of each failure."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from interactions.commands.sync import declared
from interactions.discord.verify import Verifier
from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from tests.support.serving import saying, serving
from tests.support.twin import Api, running_twin
from tonearm import envfile
from tonearm.discord.entitlements import EVENTS
from tonearm.discord.rest import RestClient
from tonearm.doctor.finding import Finding, Verdict
from tonearm.setup import steps
from tonearm.setup.steps import APPLICATION_ID, BOT_TOKEN, PUBLIC_KEY, PUBLIC_URL, Setup

OTHER_KEY = "cd" * 32
Answer = Callable[[web.Request], Awaitable[web.Response]]


class Place:
    """A twin, and a file of settings that is not there yet."""

    def __init__(self, twin: Twin, client: TwinClient, file: Path) -> None:
        self.twin, self.client, self.file = twin, client, file
        self.about = twin.about()
        self.key: str = self.about["public_key"]

    async def set_up(self, public_url: str = "", **changes: Any) -> list[Finding]:
        """What each step said."""
        rest = changes.pop("rest", RestClient)
        given: dict[str, Any] = {
            "file": self.file,
            "environ": envfile.read(self.file) if self.file.exists() else {},
            "token": self.about["bot_token"],
            "public_url": public_url,
            "may_replace": lambda _: False,
        }
        wanted = Setup(**given | changes)
        async with rest(self.about["api_url"], bot_token=wanted.token) as client:
            return [finding async for finding in wanted.run(client)]

    async def application(self) -> dict[str, Any]:
        """The application as Discord has it."""
        async with aiohttp.ClientSession() as http:
            status, found = await Api(http, self.about)("GET", "/applications/@me")
        assert status == 200
        application: dict[str, Any] = found
        return application

    def ours(self, *keys: str, clock: Callable[[], float] = time.time) -> Answer:
        """The HTTP side and the API as far as Discord tries them."""
        verified = Verifier(tuple(map(bytes.fromhex, keys or (self.key,))), clock)

        async def handle(request: web.Request) -> web.Response:
            body = await request.read()
            headers = (request.headers[f"X-Signature-{each}"].encode() for each in ("Ed25519", "Timestamp"))
            if not verified(*headers, body):
                return web.Response(body=verified.refusal, status=401, content_type="application/json")
            if request.path == "/webhook-events":
                return web.Response(status=204)
            return web.json_response({"type": json.loads(body)["type"]})

        return handle


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with running_twin() as (twin, client):
        yield Place(twin, client, tmp_path / ".env")


def failed(found: list[Finding]) -> Finding:
    """The last finding, which ended it, with all before it good."""
    assert [each.verdict for each in found].count(Verdict.ERROR) == 1, found
    assert found[-1].verdict is Verdict.ERROR
    return found[-1]


async def test_from_a_token_to_a_discord_that_posts_to_us(place: Place) -> None:
    async with serving(place.ours()) as url:
        found = await place.set_up(url, events_url=f"{url}/webhook-events")
        again = await place.set_up(url)
    assert {each.verdict for each in found if each.what != "Settings"} == {Verdict.OK}, found
    application = await place.application()
    assert application["interactions_endpoint_url"] == f"{url}/interactions"
    assert application["event_webhooks_url"] == f"{url}/webhook-events"
    assert (application["event_webhooks_status"], application["event_webhooks_types"]) == (2, list(EVENTS))
    assert envfile.read(place.file) == {
        APPLICATION_ID: place.about["application_id"],
        PUBLIC_KEY: place.key,
        BOT_TOKEN: place.about["bot_token"],
        PUBLIC_URL: url,
    }
    assert place.file.stat().st_mode & 0o777 == 0o600
    said = {each.what: each.found for each in found}
    assert f"client_id={place.about['application_id']}" in said["Invite link"]
    assert said["Commands"] == f"{len(declared())} registered, {len(declared())} of them changed just now"
    assert {each.verdict for each in again if each.what != "Settings"} == {Verdict.OK}, again
    assert f"{len(declared())} registered, 0 of them changed just now" in {each.found for each in again}
    assert place.about["bot_token"] not in str(found)
    assert await place.client.violations() == []


async def test_what_is_still_missing_to_start_is_said(place: Place) -> None:
    found = await place.set_up()
    (missing,) = [each for each in found if "must be set too" in each.found]
    assert missing.verdict is Verdict.WARNING
    assert "TONEARM_REDIS_URL, TONEARM_LAVALINK_NODES must" in missing.found


async def test_without_an_address_the_rest_is_done(place: Place) -> None:
    *_, last = await place.set_up()
    assert (last.what, last.verdict) == ("Interactions URL", Verdict.WARNING)
    assert (await place.application())["interactions_endpoint_url"] is None
    assert PUBLIC_URL not in envfile.read(place.file)


async def test_a_wrong_token_writes_nothing(place: Place) -> None:
    finding = failed(await place.set_up(token="MTA.wrong.token"))
    assert (finding.what, finding.found) == ("Discord", "refuses the token")
    assert "Reset Token" in finding.remedy
    assert not place.file.exists()


async def test_discord_away(place: Place) -> None:
    await place.client.hold_rest("GET", "/applications/@me", count=None, status=503)
    assert "does not answer" in failed(await place.set_up()).found


async def test_a_rate_limit_says_how_long(place: Place) -> None:
    await place.client.limit_rest("user", seconds=90)
    finding = failed(await place.set_up())
    assert "Discord asks to wait" in finding.found
    assert "run `tonearm setup` again" in finding.remedy


async def test_a_wrong_clock(place: Place) -> None:
    class Late(RestClient):
        clock_ahead = -61.0  # type: ignore[assignment]

    finding = failed(await place.set_up(rest=Late))
    assert (finding.what, finding.found) == ("Clock", "is 61 s behind Discord's")
    assert not place.file.exists()


async def test_another_application_in_the_file_is_not_written_over(place: Place) -> None:
    before = f"# ours\n{APPLICATION_ID}=77\n{PUBLIC_KEY}={OTHER_KEY}\n"
    place.file.write_text(before)
    asked: list[str] = []
    finding = failed(await place.set_up(may_replace=lambda name: asked.append(name) is not None))
    assert asked == [APPLICATION_ID]
    assert "--replace" in finding.remedy
    assert place.file.read_text() == before
    await place.set_up(may_replace=lambda name: True)
    assert envfile.read(place.file)[APPLICATION_ID] == place.about["application_id"]
    assert place.file.read_text().startswith("# ours\n")


async def test_another_application_in_the_environment_would_count_before_the_file(place: Place) -> None:
    finding = failed(await place.set_up(environ={APPLICATION_ID: "77"}))
    assert finding.found == f"the environment has another {APPLICATION_ID}"
    assert not place.file.exists()


async def test_two_keys_of_a_rotation_stay(place: Place) -> None:
    place.file.write_text(f"{PUBLIC_KEY}={OTHER_KEY},{place.key}\n")
    await place.set_up()
    assert envfile.read(place.file)[PUBLIC_KEY] == f"{OTHER_KEY},{place.key}"


async def test_a_file_that_can_not_be_written(place: Place) -> None:
    finding = failed(await place.set_up(file=place.file / "deeper"))
    assert "can't be written" in finding.found
    assert "--env-file" in finding.remedy


async def test_commands_that_discord_refuses(place: Place) -> None:
    await place.client.hold_rest("PUT", "/applications/.*/commands", status=400)
    finding = failed(await place.set_up())
    assert finding.found.startswith("are not registered")
    assert "tonearm commands sync" in finding.remedy


async def test_without_the_http_side_the_commands_are_left(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "declared", lambda: None)
    (finding,) = [each for each in await place.set_up() if each.what == "Commands"]
    assert finding.verdict is Verdict.WARNING


async def test_nobody_at_the_address(place: Place) -> None:
    finding = failed(await place.set_up("http://127.0.0.1:1"))
    assert "can't be reached" in finding.found
    assert (await place.application())["interactions_endpoint_url"] is None


async def test_another_address_in_the_file_is_kept_and_discord_not_told(place: Place) -> None:
    place.file.write_text(f"{PUBLIC_URL}=https://old.example\n")
    async with serving(place.ours()) as url:
        finding = failed(await place.set_up(url))
        assert finding.found == f"{place.file} has another {PUBLIC_URL}"
        assert (await place.application())["interactions_endpoint_url"] is None
        found = await place.set_up(url, may_replace=lambda name: name == PUBLIC_URL)
    assert {each.verdict for each in found if each.what != "Settings"} == {Verdict.OK}, found
    assert envfile.read(place.file)[PUBLIC_URL] == url


async def test_another_key_than_the_applications(place: Place) -> None:
    async with serving(place.ours(OTHER_KEY)) as url:
        finding = failed(await place.set_up(url))
    assert "another public key" in finding.found
    assert "tonearm setup" in finding.remedy


async def test_what_takes_a_bad_signature(place: Place) -> None:
    async with serving(saying({"type": 1})) as url:
        finding = failed(await place.set_up(url))
    assert "takes a bad signature (200)" in finding.found


async def test_tonearm_may_be_started_meanwhile(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LOOK_AGAIN", 0.01)
    up: list[bool] = []

    async def handle(request: web.Request) -> web.Response:
        if not up:
            return web.Response(status=502)
        return await place.ours()(request)

    async with serving(handle) as url, RestClient(place.about["api_url"], bot_token=place.about["bot_token"]) as rest:
        given = (place.file, {}, place.about["bot_token"], url, lambda _: False)
        async for finding in Setup(*given, wait=30).run(rest):
            assert finding.verdict is not Verdict.ERROR, finding
            if "waiting for 30 s" in finding.found:
                assert envfile.read(place.file)[PUBLIC_URL] == url  # what a proxy starts with
                assert "nobody answers (502)" in finding.found
                up.append(True)
    assert up
    assert (await place.application())["interactions_endpoint_url"] == f"{url}/interactions"


async def test_waiting_ends(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "LOOK_AGAIN", 0.01)
    assert "can't be reached" in failed(await place.set_up("http://127.0.0.1:1", wait=0.1)).found


async def test_what_discord_can_not_verify_though_we_can(place: Place) -> None:
    """Its clock is wrong: a bad signature is refused, and a good one too."""
    async with serving(place.ours(clock=lambda: time.time() - 400)) as url:
        finding = failed(await place.set_up(url))
    assert "could not be verified" in finding.found
    assert "a clock that is wrong" in finding.remedy


async def test_who_may_not_change_the_application_does_it_by_hand(place: Place) -> None:
    await place.client.hold_rest("PATCH", "/applications/@me", status=403)
    async with serving(place.ours()) as url:
        finding = failed(await place.set_up(url))
    assert f"{url}/interactions in Discord's developer portal" in finding.remedy


async def test_webhook_events_are_left_where_nobody_takes_them(place: Place) -> None:
    async def handle(request: web.Request) -> web.Response:
        if request.path != "/interactions":
            return web.Response(status=404)
        return await place.ours()(request)

    async with serving(handle) as url:
        *_, last = await place.set_up(url)
        assert (last.what, last.verdict) == ("Webhook events", Verdict.WARNING)
        assert (await place.application())["event_webhooks_url"] is None
        assert "it answers 404" in failed(await place.set_up(url, events_url=f"{url}/elsewhere")).found
