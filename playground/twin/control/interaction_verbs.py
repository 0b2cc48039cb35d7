"""Verbs of people using the bot: commands, clicks, modals, and raw requests. Ids are strings of digits."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from playground.twin import payloads
from playground.twin.control.world_verbs import _channel
from playground.twin.errors import NotPossible
from playground.twin.interactions.desk import Delivery
from playground.twin.interactions.records import Answer, Interaction
from playground.twin.interactions.sending import Headers, Sent
from playground.twin.journal import Entry
from playground.twin.model import Json, Message
from playground.twin.permissions import Permission

if TYPE_CHECKING:
    from playground.twin.app import Twin


def _about_message(twin: Twin, message: Message | None) -> Json | None:
    if message is None:
        return None
    return payloads.message(twin.world, message) | {
        "guild_id": str(message.guild_id),
        "ephemeral": message.ephemeral_for is not None,
        "loading": message.loading,
        "edits": message.edits,
    }


def _shown(twin: Twin, interaction: Interaction) -> Message | None:
    """Return the message that tells the outcome: the original, or what took its place."""
    if interaction.type == Answer.DEFERRED_UPDATE and interaction.updates == 0 and interaction.followups:
        return twin.messages.find(interaction.followups[-1])
    if interaction.original_deleted and interaction.followups:
        return twin.messages.find(interaction.followups[-1])
    return twin.messages.find(interaction.original)


def _about(twin: Twin, interaction: Interaction) -> Json:
    response = interaction.response or {}
    data = response.get("data") or {}
    elapsed = None
    if interaction.sent_at_ns is not None and interaction.answered_at_ns is not None:
        elapsed = (interaction.answered_at_ns - interaction.sent_at_ns) / 1e6
    return {
        "interaction_id": str(interaction.id),
        "token": interaction.token,
        "type": interaction.type,
        "status": interaction.status,
        "failure": interaction.failure,
        "reason": interaction.reason,
        "ended": twin.answers.ended(interaction),
        "sent_at_ns": interaction.sent_at_ns,
        "written_at_ns": interaction.written_at_ns,
        "answered_at_ns": interaction.answered_at_ns,
        "elapsed_ms": elapsed,
        "original_deleted": interaction.original_deleted,
        "followups": [_about_message(twin, twin.messages.find(each)) for each in interaction.followups],
        "message": _about_message(twin, _shown(twin, interaction)),
        "choices": data.get("choices"),
        "modal": data if interaction.type == Answer.MODAL else None,
    }


def about_sent(sent: Sent | None) -> Json | None:
    """Return a raw answer as JSON; the body is in base64."""
    if sent is None:
        return None
    return {
        "status": sent.status,
        "headers": sent.headers,
        "body": base64.b64encode(sent.body).decode(),
        "error": sent.error,
        "sent_at_ns": sent.sent_at_ns,
        "written_at_ns": sent.written_at_ns,
        "answered_at_ns": sent.answered_at_ns,
    }


async def _sent(twin: Twin, interaction: Interaction, twice: bool, timestamp: int | None) -> Json:
    second = await twin.desk.send(interaction, Delivery(twice, timestamp))
    return _about(twin, interaction) | {"second": about_sent(second)}


def _found(twin: Twin, interaction: str) -> Interaction:
    if (found := twin.records.by_id(int(interaction))) is None:
        raise NotPossible(f"there is no interaction {interaction}")
    return found


async def command(
    twin: Twin,
    user: str,
    channel: str,
    name: str,
    options: Json,
    *,
    twice: bool = False,
    timestamp: int | None = None,
) -> Json:
    """Use a slash command; return once the first answer was judged."""
    made = twin.builder.command(int(user), _channel(twin, channel), name, options)
    return await _sent(twin, made, twice, timestamp)


async def autocomplete(twin: Twin, user: str, channel: str, name: str, focused: str, options: Json) -> Json:
    """Type into an option and return the suggestions."""
    made = twin.builder.autocomplete(int(user), _channel(twin, channel), name, focused, options)
    return await _sent(twin, made, False, None)


async def click(
    twin: Twin,
    user: str,
    message: str,
    component: str,
    values: list[str] | None = None,
    *,
    twice: bool = False,
    timestamp: int | None = None,
) -> Json:
    """Use a component of a message, as the message is now."""
    found = twin.messages.find(int(message))
    if found is None:
        raise NotPossible("the message is no longer there")
    made = twin.builder.component(int(user), found, component, values)
    return await _sent(twin, made, twice, timestamp)


async def double_click(twin: Twin, user: str, message: str, component: str) -> list[Json]:
    """Use a component of a message twice, the second time before anything came of the first."""
    found = twin.messages.find(int(message))
    if found is None:
        raise NotPossible("the message is no longer there")
    made = [twin.builder.component(int(user), found, component, None) for _ in range(2)]
    return await asyncio.gather(*(_sent(twin, each, False, None) for each in made))


async def submit(twin: Twin, interaction: str, fields: Json) -> Json:
    """Submit the modal that an interaction was answered with."""
    return await _sent(twin, twin.builder.modal_submit(_found(twin, interaction), fields), False, None)


async def ping(twin: Twin) -> Json:
    """Send a PING."""
    return await _sent(twin, twin.builder.ping(), False, None)


async def reply(twin: Twin, interaction: str) -> Json:
    """Describe an interaction as it is now."""
    return _about(twin, _found(twin, interaction))


async def wait_ended(twin: Twin, interaction: str, timeout: float = 5.0) -> Json:
    """Wait until the user sees the final outcome, and describe the interaction."""
    found = _found(twin, interaction)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout

    def match(entry: Entry) -> bool:
        return entry.kind == "interaction" and entry.data.get("id") == interaction

    while not twin.answers.ended(found):
        since, left = twin.journal.last, deadline - loop.time()
        if left <= 0 or await twin.journal.wait(match, since=since, seconds=left) is None:
            break
    return _about(twin, found)


async def again(twin: Twin, interaction: str) -> Json | None:
    """Deliver an interaction once more, newly signed."""
    return about_sent(await twin.desk.again(_found(twin, interaction)))


async def payload(twin: Twin, interaction: str) -> Json:
    """Return an interaction's payload."""
    return _found(twin, interaction).payload


async def draft(twin: Twin, user: str, channel: str, name: str, options: Json) -> Json:
    """Build the use of a slash command without sending it; return its payload."""
    return twin.builder.command(int(user), _channel(twin, channel), name, options).payload


async def sign(twin: Twin, body: str, timestamp: int | None = None) -> Headers:
    """Return the headers Discord would send with a body (base64)."""
    return twin.desk.signer.headers(base64.b64decode(body), timestamp)


async def send_raw(twin: Twin, body: str, headers: list[tuple[str, str]], timeout: float = 10.0) -> Json | None:
    """POST a body (base64) with exactly these headers to the interactions URL."""
    pairs = [(name, value) for name, value in headers]
    return about_sent(await twin.desk.raw(base64.b64decode(body), pairs, seconds=timeout))


async def message(twin: Twin, message: str) -> Json | None:
    """Return a message as it is now; None if it is gone."""
    return _about_message(twin, twin.messages.find(int(message)))


async def messages(twin: Twin, channel: str, user: str | None = None) -> list[Json | None]:
    """Return what a user sees in a channel, oldest first."""
    seen = twin.messages.history(int(channel), None if user is None else int(user))
    return [_about_message(twin, each) for each in seen]


async def say(twin: Twin, user: str, channel: str, content: str) -> Json | None:
    """Let a person write into a channel."""
    where = _channel(twin, channel)
    if not twin.world.permissions(where, int(user)) & Permission.SEND_MESSAGES:
        raise NotPossible("may not write here")
    return _about_message(twin, twin.messages.create(where, int(user), {"content": content}))


async def registered(twin: Twin, guild: str | None = None) -> list[Any]:
    """Return the registered commands, global or of a guild."""
    return list(twin.world.commands.registered(None if guild is None else int(guild)))
