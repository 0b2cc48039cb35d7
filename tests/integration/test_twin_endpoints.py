"""The twin tries an endpoint before it saves it, as Discord does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from tests.support.serving import saying, serving
from tests.support.twin import Api, Receiver, running_twin

ME = "/applications/@me"
EVENT_TYPES = ["ENTITLEMENT_CREATE", "ENTITLEMENT_UPDATE"]


class Place:
    """A twin, its REST API, and an endpoint that verifies."""

    def __init__(self, twin: Twin, client: TwinClient, api: Api, receiver: Receiver) -> None:
        self.twin, self.client, self.api, self.receiver = twin, client, api, receiver

    async def tried(self) -> dict[str, Any]:
        """What came of the last trial."""
        data: dict[str, Any] = (await self.client.wait_for("endpoint_tried", since=0))["data"]
        return data


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with running_twin() as (twin, client), aiohttp.ClientSession() as http:
        receiver = Receiver(twin.desk.signer.public_key)
        receiver.answer = {"type": 1}
        await receiver.start()
        yield Place(twin, client, Api(http, twin.about()), receiver)
        await receiver.close()
        assert await client.violations() == []


async def test_what_answers_the_ping_and_refuses_a_bad_signature_is_saved(place: Place) -> None:
    status, application = await place.api("PATCH", ME, {"interactions_endpoint_url": place.receiver.url})
    assert status == 200, application
    assert application["interactions_endpoint_url"] == place.receiver.url
    assert (await place.api("GET", ME))[1] == application
    (ping,) = place.receiver.received
    assert (ping["type"], ping["application_id"]) == (1, str(place.twin.world.application_id))
    assert await place.tried() == {
        "kind": "interactions",
        "url": place.receiver.url,
        "ping": 200,
        "bad_signature": 401,
        "refusal": None,
    }
    status, application = await place.api("PATCH", ME, {"interactions_endpoint_url": ""})
    assert (status, application["interactions_endpoint_url"]) == (200, None)


async def refused(place: Place, url: str, why: str) -> None:
    status, body = await place.api("PATCH", ME, {"interactions_endpoint_url": url})
    assert (status, body["code"]) == (400, 50035)
    (error,) = body["errors"]["interactions_endpoint_url"]["_errors"]
    assert error["code"] == "APPLICATION_INTERACTIONS_ENDPOINT_URL_INVALID"
    assert why in str((await place.tried())["refusal"])
    assert (await place.api("GET", ME))[1]["interactions_endpoint_url"] is None


async def test_what_takes_a_bad_signature_is_not_saved(place: Place) -> None:
    async with serving(saying({"type": 1})) as url:
        await refused(place, url, "a bad signature met 200")


@pytest.mark.parametrize("answer", [{"type": 5}, [], "PONG"])
async def test_what_answers_the_ping_otherwise_is_not_saved(place: Place, answer: Any) -> None:
    async with serving(saying(answer)) as url:
        await refused(place, url, "the PING met 200")


async def test_what_refuses_the_ping_is_not_saved(place: Place) -> None:
    async with serving(saying({}, 401)) as url:
        await refused(place, url, "the PING met 401")


@pytest.mark.parametrize("url", ["http://music.example/interactions", "http://10.0.0.1/", "ftp://127.0.0.1/"])
async def test_http_is_for_this_machine_alone(place: Place, url: str) -> None:
    await refused(place, url, "https only")


async def test_nobody_there_is_not_saved(place: Place) -> None:
    await refused(place, "http://127.0.0.1:1/interactions", "the PING met")


async def test_webhook_events_are_tried_and_then_told_as_asked(place: Place) -> None:
    async def respond(_: Any) -> web.Response:
        return web.Response(status=204)

    place.receiver.answer = respond
    changes = {"event_webhooks_url": place.receiver.url, "event_webhooks_status": 2}
    status, application = await place.api("PATCH", ME, changes | {"event_webhooks_types": EVENT_TYPES})
    assert status == 200, application
    assert (application["event_webhooks_status"], application["event_webhooks_types"]) == (2, EVENT_TYPES)
    (ping,) = place.receiver.received
    assert ping == {"version": 1, "application_id": str(place.twin.world.application_id), "type": 0}
    guild = await place.client.create_guild()
    made = await place.client.create_entitlement("900", guild=guild.id)
    await place.client.wait_for("webhook_event_delivered", since=0, type="ENTITLEMENT_CREATE")
    await place.client.change_entitlement(made["id"], deleted=True)
    await place.client.change_entitlement(made["id"], ends_at="2020-01-01T00:00:00+00:00")
    await place.client.wait_for("webhook_event_delivered", since=0, type="ENTITLEMENT_UPDATE")
    assert [each["event"]["type"] for each in place.receiver.received[1:]] == EVENT_TYPES


async def test_events_that_are_not_taken_with_204_are_not_saved(place: Place) -> None:
    status, body = await place.api("PATCH", ME, {"event_webhooks_url": place.receiver.url})
    assert (status, body["code"]) == (400, 50035)
    assert list(body["errors"]) == ["event_webhooks_url"]


async def test_a_wrong_token_changes_nothing(place: Place) -> None:
    status, _ = await place.api("PATCH", ME, {"interactions_endpoint_url": place.receiver.url}, token="no")
    assert status == 401
    assert place.receiver.received == []
