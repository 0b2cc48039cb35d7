"""Answers, edits and follow-ups by an interaction's token.

From the Discord documentation, "Receiving and Responding", "Endpoints".
"""

from __future__ import annotations

from playground.twin import payloads
from playground.twin.errors import unknown
from playground.twin.interactions.records import Interaction
from playground.twin.model import Message
from playground.twin.rest.calls import Call, Handler, Result, Route, Services
from playground.twin.rest.limits import Limit


def _interaction(services: Services, call: Call, *, editing: bool = False) -> Interaction:
    if call.params["webhook_id"] != str(services.world.application_id):
        raise unknown("Webhook")
    return services.answers.usable(call.params["webhook_token"], editing=editing)


def _message(services: Services, call: Call, *, editing: bool = False) -> tuple[Interaction, Message]:
    which = call.params.get("message_id", "@original")
    interaction = _interaction(services, call, editing=editing)
    if which == "@original":
        return interaction, services.answers.original(interaction)
    return interaction, services.answers.followup_message(interaction, call.id("message_id"))


async def _callback(services: Services, call: Call) -> Result:
    interaction = services.records.by_token(call.params["interaction_token"])
    if interaction is None or interaction.id != call.id("interaction_id"):
        raise unknown("interaction")
    services.desk.answered(interaction, call.object())
    if not call.flag("with_response"):
        return Result(status=204)
    about = {
        "id": str(interaction.id),
        "type": int(interaction.kind),
        "response_message_loading": not services.answers.ended(interaction),
        "response_message_ephemeral": False,
    }
    resource: dict[str, object] = {"type": interaction.type}
    if (message := services.messages.find(interaction.original)) is not None:
        about["response_message_id"] = str(message.id)
        about["response_message_ephemeral"] = message.ephemeral_for is not None
        resource["message"] = payloads.message(services.world, message)
    return Result({"interaction": about, "resource": resource})


async def _get(services: Services, call: Call) -> Result:
    _, message = _message(services, call)
    return Result(payloads.message(services.world, message))


async def _edit(services: Services, call: Call) -> Result:
    interaction, message = _message(services, call, editing=True)
    services.answers.edit(interaction, message, call.object())
    return Result(payloads.message(services.world, message))


async def _delete(services: Services, call: Call) -> Result:
    interaction, message = _message(services, call, editing=True)
    services.answers.delete(interaction, message)
    return Result(status=204)


async def _follow_up(services: Services, call: Call) -> Result:
    interaction = _interaction(services, call, editing=True)
    made = services.answers.follow_up(interaction, call.object())
    return Result(payloads.message(services.world, made))


_BASE = "/webhooks/{webhook_id}/{webhook_token}"
_MAJOR = ("webhook_id", "webhook_token")


def _route(method: str, template: str, handler: Handler) -> Route:
    limit = Limit(f"webhook {method}", 5, 2.0)
    return Route(method, template, handler, bot=False, limit=limit, major=_MAJOR)


ROUTES = [
    Route(
        "POST",
        "/interactions/{interaction_id}/{interaction_token}/callback",
        _callback,
        bot=False,
        major=("interaction_id",),
    ),
    _route("POST", _BASE, _follow_up),
    *(
        _route(method, f"{_BASE}/messages/{which}", handler)
        for which in ("@original", "{message_id}")
        for method, handler in (("GET", _get), ("PATCH", _edit), ("DELETE", _delete))
    ),
]
