"""Entitlements, SKUs and webhook events of the twin."""

import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema_rs
import pytest
from aiohttp import web

from playground.twin.actors import TwinClient
from playground.twin.app import Twin
from tests.support.twin import Api, RawGateway, Receiver, running_twin

FOLDER = os.environ.get("TONEARM_GROUND_TRUTH")


@pytest.fixture
async def world() -> AsyncIterator[tuple[Twin, TwinClient]]:
    async with running_twin() as (twin, client):
        yield twin, client


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def events(world: tuple[Twin, TwinClient]) -> AsyncIterator[Receiver]:
    receiver = Receiver(world[0].desk.signer.public_key)
    await receiver.start()
    await world[1].set_events_url(receiver.url, [0.01, 0.01])
    yield receiver
    await receiver.close()


async def test_webhook_events_come_until_they_are_taken(world: tuple[Twin, TwinClient], events: Receiver) -> None:
    _, client = world
    answers = [500, 200, 204]

    async def respond(_: Any) -> web.Response:
        return web.Response(status=answers.pop(0) if answers else 204)

    events.answer = respond
    guild = await client.create_guild()
    made = await client.create_entitlement("900", guild=guild.id)
    delivered = await client.wait_for("webhook_event_delivered", since=0)
    assert delivered["data"] == {"type": "ENTITLEMENT_CREATE", "attempt": 3, "status": 204}
    await client.change_entitlement(made["id"], ends_at="2020-01-01T00:00:00+00:00")
    await client.wait_for("webhook_event_delivered", since=delivered["seq"], type="ENTITLEMENT_UPDATE")
    await client.change_entitlement(made["id"], deleted=True)
    await client.wait_for("webhook_event_delivered", since=delivered["seq"], type="ENTITLEMENT_DELETE")
    assert (await client.ping_events()).status == 204
    kinds = [each.get("event", {}).get("type") for each in events.received]
    assert kinds == ["ENTITLEMENT_CREATE"] * 3 + ["ENTITLEMENT_UPDATE", "ENTITLEMENT_DELETE", None]
    answers += [500] * 3
    user = events.received[0]["event"]["data"]["user_id"]
    about = {"user": world[0].world.users[int(user)].name, "scopes": ["bot"]}
    await client.tell_event("APPLICATION_AUTHORIZED", about)
    await client.wait_for("webhook_event_lost", since=delivered["seq"])
    if FOLDER is not None:
        types = json.loads((Path(FOLDER) / "discord-payloads.schema.json").read_text())["definitions"]
        check = jsonschema_rs.Draft7Validator({"$ref": "#/definitions/WebhookEvent", "definitions": types})
        for payload in events.received[:5]:
            assert check.is_valid(payload), payload


async def test_entitlements_and_skus_by_rest(world: tuple[Twin, TwinClient], http: aiohttp.ClientSession) -> None:
    twin, client = world
    api = Api(http, twin.about())
    app, guild = f"/applications/{twin.world.application_id}", await client.create_guild()
    gateway = await RawGateway(http, twin.about()).open()
    await gateway.identify()
    sku = (await client.create_sku("Premium"))["id"]
    assert [each["id"] for each in (await api("GET", f"{app}/skus"))[1]] == [sku]
    body = {"sku_id": sku, "owner_id": guild.id, "owner_type": 1}
    _, made = await api("POST", f"{app}/entitlements", body)
    assert (made["guild_id"], made["ends_at"]) == (guild.id, None)
    assert (await gateway.event("ENTITLEMENT_CREATE"))["id"] == made["id"]
    status, answer = await api("POST", f"{app}/entitlements", body | {"sku_id": "1"})
    assert (status, answer["code"]) == (400, 50035)
    ended = await client.create_entitlement(sku, guild=guild.id, ends_at="2020-01-01T00:00:00+00:00")
    listed = (await api("GET", f"{app}/entitlements?guild_id={guild.id}"))[1]
    assert [each["id"] for each in listed] == [made["id"], ended["id"]]
    listed = (await api("GET", f"{app}/entitlements?guild_id={guild.id}&exclude_ended=true"))[1]
    assert [each["id"] for each in listed] == [made["id"]]
    one = f"{app}/entitlements/{made['id']}"
    assert (await api("POST", f"{one}/consume"))[0] == 204
    assert (await api("GET", one))[1]["consumed"] is True
    assert (await api("DELETE", one))[0] == 204
    assert [each["id"] for each in (await api("GET", f"{app}/entitlements"))[1]] == [ended["id"]]
    assert (await api("GET", f"{app}/entitlements/1"))[1]["code"] == 10029
    await gateway.ws.close()
