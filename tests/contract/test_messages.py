"""Every message the cards make, and every request the REST client makes, against Discord's published schemas."""

from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings

from tests.support.discord_api import GROUND_TRUTH, DiscordApi, Interaction, complaints, deferred, document
from tests.support.messages import Message, broken_rules, messages
from tonearm.discord.cards import sentence
from tonearm.discord.components import private
from tonearm.discord.rest import RestClient, nonce_for

pytestmark = pytest.mark.skipif(not GROUND_TRUTH, reason="TONEARM_GROUND_TRUTH names no folder with Discord's schemas")

ORIGINAL = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
FOLLOW_UP = "/webhooks/{webhook_id}/{webhook_token}"


def response_complaints(kind: int, schema: str, body: Message) -> list[str]:
    root = {"$ref": f"#/components/schemas/{schema}", "components": document()["components"]}
    validator = jsonschema_rs.Draft202012Validator(root, validate_formats=True, ignore_unknown_formats=True)
    return [error.message[:300] for error in validator.iter_errors({"type": kind, "data": body})]


@given(messages())
@settings(max_examples=150, deadline=None)
def test_a_card_can_be_an_edit_a_follow_up_and_a_message(body: Message) -> None:
    assert complaints("PATCH", ORIGINAL, body) == []
    assert complaints("POST", FOLLOW_UP, private(body)) == []
    assert complaints("PATCH", "/channels/{channel_id}/messages/{message_id}", body) == []
    new = {**body, "nonce": nonce_for("i:1"), "enforce_nonce": True}
    assert complaints("POST", "/channels/{channel_id}/messages", new) == []


@given(messages())
@settings(max_examples=20, deadline=None)
def test_a_card_can_be_an_answer(body: Message) -> None:
    assert response_complaints(4, "CreateMessageInteractionCallbackRequest", private(body)) == []
    assert response_complaints(7, "UpdateMessageInteractionCallbackRequest", body) == []


def test_the_schemas_do_refuse() -> None:
    body = sentence("Hello.")
    assert complaints("PATCH", ORIGINAL, {**body, "colour": 1})
    assert complaints("PATCH", ORIGINAL, {**body, "components": [{"type": 10}]})
    assert complaints("POST", "/channels/{channel_id}/messages", {**body, "nonce": "x" * 26})
    bad_link = {"type": 11, "media": {"url": "not a link"}}
    section = {"type": 9, "components": [{"type": 10, "content": "x"}], "accessory": bad_link}
    assert complaints("PATCH", ORIGINAL, {**body, "components": [section]})
    assert response_complaints(4, "CreateMessageInteractionCallbackRequest", {**body, "colour": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"flags": 0},
        {"content": "x"},
        {"allowed_mentions": {"parse": ["users"]}},
        {"allowed_mentions": None},
        {"components": []},
        {"components": [{"type": 10, "content": "x"}] * 41},
        {"components": [{"type": 10, "content": "😀" * 2_001}]},
        {"components": [{"type": 10, "content": " "}]},
        {"components": [{"type": 1, "components": [{"type": 2, "style": 2, "label": "x", "custom_id": "x"}] * 2}]},
        {"components": [{"type": 1, "components": [{"type": 2, "style": 2, "label": "x", "custom_id": "x" * 101}]}]},
        {"components": [{"type": 1, "components": [{"type": 2, "style": 2, "custom_id": "x"}]}]},
        {"components": [{"type": 1, "components": []}]},
    ],
)
def test_our_own_rules_do_refuse(change: dict[str, Any]) -> None:
    assert broken_rules({**sentence("Hello."), **change})


async def test_every_request_of_the_client_is_as_discord_wants_it() -> None:
    body = sentence("Hello.")
    command = {"name": "play", "description": "Play something.", "type": 1}
    async with DiscordApi() as api, RestClient(api.url, bot_token="x") as client:
        api.interactions["t"] = Interaction(deferred())
        await client.edit_original(5, "t", body)
        await client.fetch_original(5, "t")
        await client.follow_up(5, "t", private(body))
        await client.delete_original(5, "t")
        message = await client.create_message(6, body, nonce=nonce_for("i:1234567890123456789"))
        await client.edit_message(6, message, body)
        await client.delete_message(6, message)
        for guild in (None, 8):
            await client.put_commands(5, [command], guild)
        await client.fetch_application()
        await client.fetch_gateway_bot()
        await client.fetch_voice_state(8, 9)
        assert api.complaints == []
        assert len(api.requests) == 12
        for request in api.requests:
            assert request.headers.get("Content-Type", "application/json") == "application/json"
